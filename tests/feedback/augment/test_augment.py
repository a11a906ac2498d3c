"""New samples keep their label and their evidence, turn it only by meaning, and name their parent."""

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.domain import Speaker, Turn
from feedback.augment.contrast import Contrast
from feedback.augment.expand import UnknownSource, counted, expanded
from feedback.augment.rewrite import Edit, parent_of, rewritten
from feedback.augment.sources import sources
from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.labelled import LabelledTurn
from feedback.training.examples import judged
from rules.text import normalise
from tests.feedback.evaluation.systems import row

ROWS = [item for item in judged(read_corpus()) if item.group in {"w01", "w03"}]
CONTRAST = sources()["contrast"]


def marked(text: str, evidence: str, *, tags: tuple[str, ...] = ()) -> LabelledTurn:
    plain = row(text, "guaranteed_return", tags=tags)
    start = text.index(evidence)
    return LabelledTurn(plain.turn, plain.labels, ((start, start + len(evidence)),), tags)


def quotes(item: LabelledTurn) -> list[str]:
    return [item.turn.message.text[start:end] for start, end in item.evidence]


def test_evidence_moves_with_the_text() -> None:
    parent = marked("这款基金保本，放心", "保本")
    new = rewritten(
        parent, [Edit(0, 0, "您好，"), Edit(2, 4, "理财产品"), Edit(9, 9, "。")], source="x", number=1
    )
    assert "您好，这款理财产品保本，放心。" == new.turn.message.text
    assert ["保本"] == quotes(new)
    assert parent.turn.message.message_id == parent_of(new)
    assert parent.turn.message.conversation_id == new.turn.message.conversation_id


@given(st.data())
def test_evidence_stays_in_the_text_whatever_is_edited(data: st.DataObject) -> None:
    text = "年化百分之八保本付息亏了我补给您放心"  # no character twice
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    edits = [
        Edit(left, right, data.draw(st.text("啊嗯8", max_size=3)))
        for left, right in zip(places[::2], places[1::2], strict=False)
    ]
    new = rewritten(marked(text, text[start:end]), edits, source="x", number=1)
    (span,) = new.evidence
    assert 0 <= span[0] <= span[1] <= len(new.turn.message.text)
    inside = [edit for edit in edits if edit.start < end and start < edit.end]
    if not inside:
        assert text[start:end] in quotes(new)[0]


@pytest.mark.parametrize("name", ["slots", "register", "attacks"])
def test_rewrites_keep_label_and_evidence(name: str) -> None:
    made = expanded(ROWS, [name], share=1.0, seed=3)
    by_id = {item.turn.message.message_id: item for item in ROWS}
    assert len(made) > 100
    for new in made:
        parent = by_id[parent_of(new) or ""]
        assert parent.labels == new.labels
        assert parent.turn.message.text != new.turn.message.text
        assert len(parent.evidence) == len(new.evidence)
        assert all(quotes(new)) or not new.evidence


def test_both_classes_get_every_voice() -> None:
    """Otherwise the model would learn the voice."""
    made = expanded(ROWS, ["register"], share=1.0, seed=3)
    violating = sum(bool(new.labels) for new in made)
    assert 0.5 < violating / max(1, len(made) - violating) < 2


def test_a_quoted_violation_is_compliant_and_says_what_it_is() -> None:
    (quoted, *_) = CONTRAST.children(marked("这款稳赚不赔", "稳赚不赔"), random.Random(1))
    assert "“这款稳赚不赔”" in quoted.turn.message.text
    assert (frozenset(), ()) == (quoted.labels, quoted.evidence)
    assert "hard:quote_to_correct" in quoted.tags


def test_a_denied_promise_is_compliant() -> None:
    made = CONTRAST.children(marked("这款产品保本的", "保本的"), random.Random(1))
    assert "这款产品不保本的" in [new.turn.message.text for new in made]


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("这款保本，亏了我私人补给您", "保本，亏了我私人补给您"),  # denying one promise leaves the other
        ("保本的，保本的，说了三遍了", "保本的"),
    ],
)
def test_a_denial_that_might_leave_a_violation_is_not_made(text: str, evidence: str) -> None:
    made = CONTRAST.children(marked(text, evidence), random.Random(1))
    assert not [new for new in made if "hard:negation" in new.tags]


def test_what_needs_its_context_has_no_twin() -> None:
    assert [] == CONTRAST.children(marked("没问题，保本", "保本", tags=("context",)), random.Random(1))
    assert isinstance(CONTRAST, Contrast)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_the_same_seed_gives_the_same_samples(seed: int) -> None:
    first, second = (expanded(rows, list(sources()), share=0.3, seed=seed) for rows in (ROWS, ROWS[::-1]))
    assert {new.turn.message.message_id: new for new in first} == {
        new.turn.message.message_id: new for new in second
    }


def test_a_child_stays_in_the_part_of_its_parent() -> None:
    parts = {item.turn.message.message_id: split_of(item) for item in ROWS}
    for new in expanded(ROWS, list(sources()), share=0.5, seed=1):
        assert parts[parent_of(new) or ""] == split_of(new)


def test_a_disguise_marks_neither_class() -> None:
    made = expanded(ROWS, ["attacks"], share=1.0, seed=3)
    assert [new for new in made if not new.labels]
    plain = {normalise(item.turn.message.text).text for item in ROWS}
    assert not [new for new in made if normalise(new.turn.message.text).text in plain]


def test_sources_are_counted_and_unknown_ones_refused() -> None:
    assert {"slots"} == set(counted(expanded(ROWS, ["slots"], share=0.2, seed=1)))
    with pytest.raises(UnknownSource, match="there are slots"):
        expanded(ROWS, ["magic"], share=0.2, seed=1)


def test_a_word_of_the_violation_on_another_topic_opens_a_compliant_talk_of_its_own() -> None:
    parent = marked("这款稳稳跑赢沪深300", "跑赢沪深300")
    asked = LabelledTurn(
        replace(parent.turn, before=(parent.turn.message,)), parent.labels, parent.evidence, group="w01"
    )
    found = [new for new in CONTRAST.children(asked, random.Random(1)) if "hard:other_topic" in new.tags]
    (new,) = found
    assert "跑赢" in new.turn.message.text
    assert (frozenset(), (), ()) == (new.labels, new.evidence, new.turn.before)
    assert parent.turn.message.message_id == parent_of(new)


def test_a_bot_tells_of_no_football_match() -> None:
    plain = marked("这款稳稳跑赢沪深300", "跑赢沪深300")
    bot = replace(plain, turn=Turn(replace(plain.turn.message, speaker=Speaker.BOT)))
    assert not [new for new in CONTRAST.children(bot, random.Random(1)) if "hard:other_topic" in new.tags]


MONEY = re.compile("基金|理财|股票|股市|净值|年化|本金|产品|投资|行业|买入|持有|回报|赎回|收益率|保险|存款")


@given(st.data())
def test_a_sentence_on_another_topic_holds_its_word_and_nothing_about_money_to_win(
    data: st.DataObject,
) -> None:
    assert isinstance(CONTRAST, Contrast)
    word = data.draw(st.sampled_from(sorted(CONTRAST.elsewhere.frames)))
    said = CONTRAST.elsewhere.sentence(word, random.Random(data.draw(st.integers())))
    assert word in said
    assert "{" not in said
    assert MONEY.search(said) is None


def test_no_two_samples_say_the_same_after_the_same_messages() -> None:
    made = expanded(ROWS, list(sources()), share=1.0, seed=2)
    said = [
        tuple((message.speaker, message.text) for message in (*new.turn.before, new.turn.message))
        for new in made
    ]
    assert len(set(said)) == len(said)
