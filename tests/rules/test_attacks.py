"""The attack generator: seeded, composable, label-preserving; evidence stays on what it pointed at."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.attacks.disguising import ATTACK_NAMES, disguise, split_over_messages
from rules.attacks.kinds import KINDS
from rules.attacks.report import losses
from rules.attacks.text import Marked
from rules.engine import Engine
from rules.loader import load_pack
from rules.model import Line, Scene
from rules.text import normalise

PACK = load_pack()
ENGINE = Engine(PACK)
WORDS = {"保本", "稳赚", "年化", "不会亏"}
TEXT = "姐，这款保本，年化8%，稳赚的，您放心"
EVIDENCE = ((4, 6), (7, 11), (12, 14))


def test_there_are_at_least_twelve_kinds() -> None:
    assert 12 <= len(ATTACK_NAMES)
    assert all(kind.means for kind in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_the_evidence_and_nothing_else(kind: str) -> None:
    marked = Marked(TEXT, EVIDENCE)
    changed = disguise(marked, [kind], words=WORDS, seed="7")
    assert changed is not None
    assert changed.text != TEXT
    assert TEXT[:4] == changed.text[:4]
    assert TEXT[14:] == changed.text[changed.spans[-1][1] :]
    assert changed.quotes() != marked.quotes()


@pytest.mark.parametrize(
    ("kind", "first"),
    [("pinyin", "baoben"), ("initials", "bb"), ("zero_width", "保本"), ("traditional", "保本")],
)
def test_some_kinds_are_known_exactly(kind: str, first: str) -> None:
    changed = disguise(Marked("这款保本，稳赚", ((2, 4), (5, 7))), [kind], words=WORDS, seed="1")
    assert changed is not None
    assert first.replace(" ", "") == normalise(changed.quotes()[0]).text.replace(" ", "")


def test_the_same_seed_gives_the_same_text() -> None:
    marked = Marked(TEXT, EVIDENCE)
    for kind in KINDS:
        first = disguise(marked, [kind], words=WORDS, seed="1")
        assert first == disguise(marked, [kind], words=WORDS, seed="1")
    assert 1 < len({disguise(marked, ["homophone"], words=WORDS, seed=str(seed)) for seed in range(20)})


marked_texts = st.text(alphabet="保本稳赚年化8%不会亏的 ab，。", min_size=1, max_size=20).flatmap(
    lambda text: st.tuples(
        st.just(text),
        st.lists(
            st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text))).filter(
                lambda span: span[0] < span[1]
            ),
            max_size=3,
        ),
    )
)


@settings(max_examples=300, deadline=None)
@given(marked_texts, st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4), st.integers(0, 99))
def test_evidence_always_lies_in_the_disguised_text(
    marked: tuple[str, list[tuple[int, int]]], kinds: list[str], seed: int
) -> None:
    text, spans = marked
    changed = disguise(Marked(text, tuple(spans)), kinds, words=WORDS, seed=str(seed))
    if changed is not None:
        assert len(spans) == len(changed.spans)
        assert all(0 <= start < end <= len(changed.text) for start, end in changed.spans)


@given(marked_texts, st.integers(0, 99))
def test_a_split_loses_no_character(marked: tuple[str, list[tuple[int, int]]], seed: int) -> None:
    text, spans = marked
    parts = split_over_messages(Marked(text, tuple(spans)), words=WORDS, seed=str(seed))
    if parts is not None:
        assert text == parts[0].text + parts[1].text
        for part in parts:
            assert all(0 <= start < end <= len(part.text) for start, end in part.spans)


def test_a_mark_takes_all_of_what_replaced_its_end() -> None:
    marked = Marked("这款保本的", ((2, 4),))
    assert ["bao*本"] == marked.edited([(2, 3, "bao*")]).quotes()
    assert ["保本本"] == marked.edited([(3, 4, "本本")]).quotes()
    with pytest.raises(ValueError, match="out of order"):
        marked.edited([(3, 4, "x"), (1, 2, "y")])


# The kinds that no rule should lose more than five points to, on sentences of our own.
@pytest.mark.parametrize(
    "kind", [name for name in ATTACK_NAMES if name not in ("asr", "initials", "look_alike", "pictures")]
)
def test_the_rules_lose_little_to_a_disguise(kind: str) -> None:
    found = []
    for text in (
        "这款保本，您放心", "放进来只赚不赔", "这只稳赚不赔的", "亏了我兜底", "我们承诺保底", "预期年化收益率6%",
        "拿满三年不会亏", "保证收益8%", "本金肯定安全的", "这款保本保息",
    ):  # fmt: skip
        scene = Scene(Line("advisor", text))
        spans = tuple(span for hit in ENGINE.hits(scene) for span in hit.spans)
        if spans:
            found.append((scene, Marked(text, spans)))
    assert 8 <= len(found)
    missed = sum(
        loss.missed
        for seed in range(5)
        for loss in losses(ENGINE, found, kinds=[kind], words=set(PACK.hidden_words), seed=str(seed))
    )
    assert missed <= 0.05 * 5 * len(found)
