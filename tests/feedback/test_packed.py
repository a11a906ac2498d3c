"""Packed text gives pre-training the very inputs that serving makes of a turn."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.domain import Speaker, Turn
from detectors.tokens import InputLimits, Vocabulary, collate, windows
from feedback.corpus.dialogues import Dialogue, as_messages
from feedback.training.batching import batches
from feedback.training.errors import TrainingError
from feedback.training.packed import PackedText, pack, read_once

VOCABULARY = Vocabulary(list("保本收益放心好的吗没问题了我你"))
LIMITS = InputLimits(message=8, overlap=2, context=4, turns=3)
SPEAKERS = st.sampled_from([Speaker.ADVISOR, Speaker.CUSTOMER, Speaker.BOT])
MESSAGES = st.tuples(SPEAKERS, st.text(alphabet="保本收益放心好的吗没问题了我你天", min_size=1, max_size=30))
DIALOGUES = st.lists(st.lists(MESSAGES, min_size=1, max_size=9), min_size=1, max_size=6)


@given(DIALOGUES, st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_the_inputs_are_those_of_serving(dialogues: list[Dialogue], seed: int) -> None:
    text = pack(dialogues, VOCABULARY)
    table = read_once(text, LIMITS, seed=seed)
    made = table.batch(text, multiple=4)
    possible = []
    for dialogue in dialogues:
        messages = as_messages(dialogue, "x")
        for index, message in enumerate(messages):
            before = tuple(messages[max(0, index - LIMITS.turns) : index])
            possible += windows(Turn(message, before), VOCABULARY, LIMITS)[1]
    wanted = Counter(
        tuple(tuple(part) for part in (item.ids, item.roles, item.ages, item.places)) for item in possible
    )
    found: Counter[tuple[tuple[int, ...], ...]] = Counter()
    for row, size in enumerate(table.sizes.tolist()):
        parts = (made.ids, made.roles, made.ages, made.places)
        found[tuple(tuple(part[row, :size].tolist()) for part in parts)] += 1
        assert not any(part[row, size:].any() for part in parts)
    assert not found - wanted


@given(DIALOGUES, st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_every_dialogue_is_read(dialogues: list[Dialogue], seed: int) -> None:
    text = pack(dialogues, VOCABULARY)
    table = read_once(text, LIMITS, seed=seed)
    begins = text.starts[:-1][text.places == 0]
    read = np.searchsorted(begins, table.starts[:, 0], side="right") - 1
    assert set(read.tolist()) == set(range(len(dialogues)))


@given(DIALOGUES, DIALOGUES)
@settings(max_examples=60, deadline=None)
def test_its_digest_names_the_text(
    tmp_path_factory: pytest.TempPathFactory, one: list[Dialogue], other: list[Dialogue]
) -> None:
    text, path = pack(one, VOCABULARY), tmp_path_factory.mktemp("packed") / "text.npz"
    text.save(path)
    assert text.digest == pack(one, VOCABULARY).digest == PackedText.load(path).digest
    same = [VOCABULARY.ids(said) for dialogue in one for _, said in dialogue] == [
        VOCABULARY.ids(said) for dialogue in other for _, said in dialogue
    ]
    assert same or text.digest != pack(other, VOCABULARY).digest


def test_a_strangers_context_keeps_the_message() -> None:
    dialogues: list[Dialogue] = [
        [(Speaker.CUSTOMER, "保本吗"), (Speaker.ADVISOR, "没问题"), (Speaker.CUSTOMER, "好")] * 2,
        [(Speaker.CUSTOMER, "好吗"), (Speaker.ADVISOR, "好的"), (Speaker.CUSTOMER, "我放心了")] * 2,
        [(Speaker.ADVISOR, "放心了")],
    ]
    text = pack(dialogues, VOCABULARY)
    table = read_once(text, InputLimits(turns=1), seed=3)
    with_context = table.of(np.flatnonzero(table.lengths[:, 1] >= 0))
    swapped, own = with_context.with_strangers(np.random.default_rng(1), 1.0)
    assert (swapped.starts[:, 0] == with_context.starts[:, 0]).all()
    assert not (swapped.starts[:, 1] == with_context.starts[:, 1]).any()
    assert (own == 0).all()
    _, alone = table.of(np.flatnonzero(table.lengths[:, 1] < 0)).with_strangers(np.random.default_rng(1), 1.0)
    assert np.isnan(alone).all()


def test_a_file_gives_back_what_was_packed(tmp_path: Path) -> None:
    text = pack([[(Speaker.ADVISOR, "保本保收益"), (Speaker.CUSTOMER, "好的")]], VOCABULARY)
    text.save(tmp_path / "text.npz")
    again = PackedText.load(tmp_path / "text.npz")
    for name in ("ids", "starts", "roles", "places"):
        assert (getattr(text, name) == getattr(again, name)).all()


def test_a_broken_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_bytes(b"PK no archive")
    with pytest.raises(TrainingError, match="make it again from the dialogues"):
        PackedText.load(tmp_path / "text.npz")


@given(st.lists(st.integers(1, 120), min_size=1, max_size=200), st.integers(120, 600))
def test_batches_hold_everything_once_and_keep_to_their_size(sizes: list[int], tokens: int) -> None:
    groups = batches(sizes, tokens=tokens, seed=1)
    assert sorted(index for group in groups for index in group.tolist()) == list(range(len(sizes)))
    assert all(max(sizes[i] for i in group) * len(group) <= tokens for group in groups)


def test_collate_and_table_agree_on_a_known_turn() -> None:
    dialogue: Dialogue = [(Speaker.CUSTOMER, "保本吗"), (Speaker.ADVISOR, "没问题")]
    messages = as_messages(dialogue, "x")
    text = pack([dialogue], VOCABULARY)
    table = read_once(text, InputLimits(turns=1), seed=0)
    for row in range(len(table)):
        index = int(np.searchsorted(text.starts, table.starts[row, 0]))
        turn = Turn(messages[index], tuple(messages[:index]))
        wanted = collate(windows(turn, VOCABULARY, InputLimits(turns=1))[1], multiple=16)
        assert (table.of(np.array([row])).batch(text, multiple=16).ids == wanted.ids).all()
