"""Letters and what was done about them: one state per record, whatever was written twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.dead_letter_events import (
    DeadLetterEvent,
    decode_dlq_record,
    encode_resolution,
    event_of_letter,
    fold,
)
from streams.dead_letter_queue import LetterFilter
from streams.dead_letters import BAD_VERDICT, DeadLetter, dead_letter, encode_dead_letter
from streams.errors import InvalidMessage
from streams.origin import Origin

AT = datetime(2025, 3, 1, tzinfo=UTC)
FIRST = Origin("advisor.messages", 0, 1)


def failed(origin: Origin = FIRST, minutes: int = 0) -> DeadLetterEvent:
    return DeadLetterEvent(origin, "open", AT + timedelta(minutes=minutes), reason="bad_json")


def resolved(status: str, origin: Origin = FIRST, minutes: int = 5) -> DeadLetterEvent:
    at = AT + timedelta(minutes=minutes)
    return DeadLetterEvent(origin, status, at, actor="li", why="because")  # type: ignore[arg-type]


def test_letter_and_note_survive_the_wire() -> None:
    letter = dead_letter(
        None, reason=BAD_VERDICT, topic="t", partition=1, offset=2, key=b"k", original=b"x", at=AT
    )
    read = decode_dlq_record(encode_dead_letter(letter))
    assert isinstance(read, DeadLetter)
    assert letter == read
    event = event_of_letter(read)
    assert (Origin("t", 1, 2), "open", BAD_VERDICT, 1, True) == (
        event.origin,
        event.status,
        event.reason,
        event.size,
        event.complete,
    )
    assert resolved("dropped") == decode_dlq_record(encode_resolution(resolved("dropped")))


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"\xff", b"[]", b'"x"', b'{"resolution": "burnt"}', b'{"resolution": "dropped", "topic": 5}'],
)
def test_anything_else_is_refused(raw: bytes | None) -> None:
    with pytest.raises(InvalidMessage):
        decode_dlq_record(raw)


def test_an_open_letter_is_no_note() -> None:
    with pytest.raises(ValueError, match="no resolution"):
        encode_resolution(failed())


def test_one_record_is_one_letter() -> None:
    states = fold([failed(), failed(minutes=3)])
    assert (2, "open") == (states[FIRST].letters, states[FIRST].status)


@pytest.mark.parametrize(
    "events",
    [
        [failed(), resolved("dropped")],
        [failed(), resolved("replayed"), resolved("dropped")],
        [failed(), resolved("dropped"), failed(minutes=3)],
        [resolved("dropped"), failed()],
    ],
    ids=["in order", "dropped after a replay", "read again before the note", "the note comes first"],
)
def test_a_note_stays_with_its_letter(events: list[DeadLetterEvent]) -> None:
    (state,) = fold(events).values()
    assert "dropped" == state.status
    assert state.resolved == resolved("dropped")
    assert state.letter.reason == "bad_json"


OFFSETS = st.integers(0, 4)


@given(st.lists(st.tuples(OFFSETS, st.sampled_from(["open", "replayed", "dropped"])), max_size=30))
def test_a_letter_is_open_exactly_when_nobody_saw_to_it(steps: list[tuple[int, str]]) -> None:
    events = [
        failed(Origin("t", 0, offset), minutes)
        if status == "open"
        else resolved(status, Origin("t", 0, offset), minutes)
        for minutes, (offset, status) in enumerate(steps)
    ]
    states = fold(events)
    assert {offset for offset, status in steps if status == "open"} == {origin.offset for origin in states}
    last = dict(steps)
    assert all(
        (state.status == "open") == (last[origin.offset] == "open") for origin, state in states.items()
    )
    assert all((state.status == "open") == (state.resolved is None) for state in states.values())


def test_a_record_that_fails_where_an_older_letter_was_seen_to_is_open() -> None:
    """Offsets begin at 0 again where a topic was made anew."""
    another = replace(failed(minutes=9), reason="clock_skew")
    state = fold([failed(), resolved("dropped"), another])[FIRST]
    assert ("open", None, another) == (state.status, state.resolved, state.letter)
    dropped = resolved("dropped", minutes=12)
    assert dropped == fold([failed(), resolved("replayed"), another, dropped])[FIRST].resolved


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (LetterFilter(), True),
        (LetterFilter(origins=frozenset({FIRST})), True),
        (LetterFilter(origins=frozenset({Origin("t", 0, 1)})), False),
        (LetterFilter(reasons=frozenset({"bad_json", "x"})), True),
        (LetterFilter(reasons=frozenset({"x"})), False),
        (LetterFilter(partitions=frozenset({1})), False),
        (LetterFilter(statuses=frozenset({"dropped"})), False),
        (LetterFilter(since=AT, until=AT + timedelta(seconds=1)), True),
        (LetterFilter(since=AT + timedelta(seconds=1)), False),
        (LetterFilter(until=AT), False),
    ],
)
def test_filter(wanted: LetterFilter, taken: bool) -> None:
    assert taken == wanted.takes(fold([failed()])[FIRST])


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("advisor.messages:0:1", FIRST),
        ("0:1", FIRST),
        ("a:b:3:41", Origin("a:b", 3, 41)),
    ],
)
def test_a_record_has_a_name(text: str, origin: Origin) -> None:
    assert origin == Origin.parse(text, topic="advisor.messages")
    assert origin == Origin.parse(str(origin), topic="x")


@pytest.mark.parametrize("text", ["", "1", "x:1", "1:x", ":1:2", "t:-1:2"])
def test_what_names_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no record"):
        Origin.parse(text, topic="advisor.messages")


def test_note_is_json_that_names_its_letter() -> None:
    told = orjson.loads(encode_resolution(resolved("replayed")))
    assert {"resolution": "replayed", "topic": "advisor.messages", "partition": 0, "offset": 1} == {
        name: told[name] for name in ("resolution", "topic", "partition", "offset")
    }
