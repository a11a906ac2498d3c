"""The messages before a message: by time, then number, then arrival, within bounds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.domain import Message, Product, Speaker
from streams.context import MemoryContext
from streams.errors import ContextUnwritable

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def said(name: str, second: int = 0, seq: int | None = None, conversation: str = "c") -> Message:
    return Message(name, conversation, NOON + timedelta(seconds=second), Speaker.ADVISOR, name, seq)


def before(context: MemoryContext, message: Message) -> list[str]:
    return [earlier.message_id for earlier in context.turn(message).before]


def test_late_message_sees_only_what_stood_before_it() -> None:
    context = MemoryContext()
    assert before(context, said("a", 1)) == []
    assert before(context, said("c", 3)) == ["a"]
    assert before(context, said("b", 2)) == ["a"]
    assert before(context, said("d", 4)) == ["a", "b", "c"]


def test_same_time_is_ordered_by_seq_then_arrival() -> None:
    context = MemoryContext()
    for message in (said("y", 0, 2), said("x", 0, 1), said("n"), said("x2", 0, 1)):
        context.turn(message)
    assert before(context, said("z", 1)) == ["n", "x", "x2", "y"]


def test_repeated_id_does_not_enter_twice_and_sees_the_same() -> None:
    context = MemoryContext()
    for message in (said("a", 1), said("b", 2), said("c", 3)):
        context.turn(message)
    assert before(context, said("b", 2)) == ["a"]
    assert before(context, said("b", 9)) == ["a"]
    assert before(context, said("d", 4)) == ["a", "b", "c"]


def test_conversations_do_not_mix() -> None:
    context = MemoryContext()
    context.turn(said("a", conversation="c1"))
    assert before(context, said("b", 1, conversation="c2")) == []


def test_longest_unused_conversation_is_forgotten() -> None:
    context = MemoryContext(in_memory=1, max_conversations=1)
    for conversation in ("c1", "c2", "c1", "c3"):
        context.turn(said(f"m-{conversation}", conversation=conversation))
    assert len(context) == 2
    assert before(context, said("x", 1, conversation="c1")) == ["m-c1"]
    assert before(context, said("x", 1, conversation="c2")) == []


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12), st.integers(0, 5)), max_size=40))
def test_a_conversation_put_on_disk_is_the_same_as_one_in_memory(
    arrivals: list[tuple[int, int, int]],
) -> None:
    disk, memory = MemoryContext(3, in_memory=1), MemoryContext(3, in_memory=100)
    for conversation, name, second in arrivals:
        message = replace(
            said(str(name), second, conversation=f"c{conversation}\U0001f4c8"),
            product=Product("p", "稳\0健", "fund"),
            attributes={"event": "edit"} if second == 5 else {},
        )
        assert disk.peek(message) == memory.peek(message)
        assert disk.turn(message) == memory.turn(message)
    assert len(disk) == len(memory)


def test_a_full_disk_is_told_and_what_to_do() -> None:
    context = MemoryContext(in_memory=1)
    context._resting._file.execute("PRAGMA max_page_count = 4")
    messages = [replace(said("a", conversation=f"c{number}"), text="字" * 1000) for number in range(100)]
    with pytest.raises(ContextUnwritable, match=r"full.*TMPDIR"):
        list(map(context.turn, messages))


def test_bounds_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        MemoryContext(0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.none() | st.integers(0, 3)), max_size=40))
def test_context_is_the_latest_messages_in_order(arrivals: list[tuple[int, int, int | None]]) -> None:
    context, kept = MemoryContext(max_messages=4), list[Message]()
    for name, second, seq in arrivals:
        message = said(str(name), second, seq)
        turn = context.turn(message)
        assert len(turn.before) <= 4
        assert str(name) not in [m.message_id for m in turn.before]
        if str(name) not in [m.message_id for m in kept]:
            kept.append(message)
            kept.sort(key=lambda m: (m.sent_at, -1 if m.seq is None else m.seq))
            at = next(i for i, m in enumerate(kept) if m is message)
            assert kept[:at] == list(turn.before)
            del kept[:-4]


def changed(name: str, text: str, second: int, event: str) -> Message:
    return replace(said(name, second), text=text, attributes={"event": event})


def test_edited_message_stands_where_it_stood_and_reads_as_it_reads_now() -> None:
    context = MemoryContext()
    for message in (said("a", 1), said("b", 2)):
        context.turn(message)
    edited = changed("a", "other words", 9, "edit")
    turn = context.turn(edited)
    assert (edited, ()) == (turn.message, turn.before)
    later = context.turn(said("c", 3))
    assert ["other words", "b"] == [message.text for message in later.before]


def test_recalled_message_was_read_and_stays() -> None:
    context = MemoryContext()
    for message in (said("a", 1), said("b", 2)):
        context.turn(message)
    assert before(context, changed("b", "", 9, "recall")) == ["a"]
    assert before(context, changed("never-seen", "", 3, "recall")) == ["a", "b"]
    assert before(context, changed("unseen", "words", 3, "recall")) == ["a", "b"]
    assert before(context, said("c", 4)) == ["a", "b", "unseen"]


def test_after_a_long_silence_a_conversation_begins_anew() -> None:
    context, day = MemoryContext(), 24 * 3600
    for message in (said("a"), said("b", 2 * day), said("c", 7 * day)):
        context.turn(message)
    assert before(context, said("x", 3 * day)) == ["a", "b"]
    assert before(context, said("d", 7 * day + 1)) == ["c"]


def test_message_edited_without_end_stays_bounded_and_the_others_are_kept() -> None:
    context = MemoryContext(max_messages=3)
    context.turn(said("a", 1))
    for number in range(500):
        context.turn(changed("b", f"text {number}", 2, "edit"))
    assert ["b", "text 499"] == [
        context.turn(said("c", 3)).before[-1].message_id,
        context.turn(said("d", 4)).before[-2].text,
    ]
