"""The worker's context: the same turns as in memory, and the same again after a restart."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.domain import Message, Turn
from streams.context import MemoryContext
from streams.idle import ContextLimits
from streams.origin import Origin
from streams.table_context import TableContext
from streams.topics import MAX_CONTEXT_BYTES
from tests.stream_samples import START, message, rich_message


class DictTable:
    """A table in a dict with its changelog in a list, as the broker would have it."""

    def __init__(self, changelog: Sequence[tuple[int, bytes, bytes | None]] = ()) -> None:
        self.data: dict[bytes, bytes] = {}
        self.changelog = list(changelog)
        for _, key, value in changelog:
            self.put(key, value)

    def get(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value

    def publish(self, partition: int, key: bytes, value: bytes | None) -> Awaitable[object]:
        async def deliver() -> None:
            self.changelog.append((partition, key, value))

        return deliver()


class Log:
    """A partition: messages by offset, and how far a restart would go back."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.committed = 0

    def turns(self, context: TableContext, start: int, end: int) -> list[tuple[str, list[str]]]:
        return [
            (turn.message.message_id, [m.message_id for m in turn.before])
            for turn in self.judged(context, start, end)
        ]

    def judged(self, context: TableContext, start: int, end: int) -> list[Turn]:
        # As they come off the wire: a record is an object of its own, also where it repeats another.
        batch = [(replace(m), Origin("t", 0, n)) for n, m in list(enumerate(self.messages))[start:end]]
        context.expect(batch)
        return [context.turn(m) for m, _ in batch]


def context_over(
    table: DictTable,
    log: Log,
    *,
    conversations: int = 100,
    max_bytes: int = 10**9,
    clock: Callable[[], datetime] = lambda: START,
) -> TableContext:
    return TableContext(
        table,
        committed=lambda _: log.committed,
        clock=clock,
        max_messages=3,
        limits=ContextLimits(max_conversations=conversations, max_bytes=max_bytes),
    )


shuffled = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.none() | st.integers(0, 2)), max_size=40
)


@given(shuffled)
@settings(max_examples=60, deadline=None)
def test_turns_are_those_of_the_memory_context(made: list[tuple[int, str, int | None]]) -> None:
    # With everything committed the table keeps exactly as much as the memory does.
    messages = [message(number, conversation, seq=seq) for number, conversation, seq in made]
    log, table, memory = Log(messages), DictTable(), MemoryContext(max_messages=3)
    context = context_over(table, log)
    for offset, one in enumerate(messages):
        log.committed = offset
        expected = memory.turn(one)
        ((_, before),) = log.turns(context, offset, offset + 1)
        if len(before) == len(expected.before):
            assert [m.message_id for m in expected.before] == before
        else:  # a late message: the table still has what the memory has dropped
            assert before[len(before) - len(expected.before) :] == [m.message_id for m in expected.before]


async def test_an_edit_in_the_batch_of_its_original_is_what_comes_after_is_judged_with() -> None:
    said = message(1, text="保证年化8%")
    edit = replace(said, text="收益稳定", attributes={"event": "edit"})
    log = Log([said, edit, message(2, text="对，就是这样")])
    *_, last = log.judged(context_over(DictTable(), log), 0, 3)
    assert ["收益稳定"] == [earlier.text for earlier in last.before]


async def test_an_original_that_is_sent_again_does_not_undo_its_edit() -> None:
    said = message(1, text="保证年化8%")
    edit = replace(said, text="收益稳定", attributes={"event": "edit"})
    log, table = Log([said, edit, message(2), said, message(3)]), DictTable()
    context = context_over(table, log)
    for offset in range(5):
        log.committed = offset
        (turn,) = log.judged(context, offset, offset + 1)
    assert ["收益稳定", "您好"] == [earlier.text for earlier in turn.before]


# Second, id, event, words: so that edits, repeats and recalls, late ones among them, come often.
records = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(0, 4),
        st.sampled_from(["said", "edit", "recall"]),
        st.sampled_from(["甲", "乙", ""]),
    ),
    max_size=14,
)


@given(records, st.sets(st.integers(0, 14)))
@settings(max_examples=200, deadline=None)
def test_batching_never_changes_what_a_message_is_judged_with(
    made: list[tuple[int, int, str, str]], cuts: set[int]
) -> None:
    sent = [
        replace(
            message(second, text=text),
            message_id=f"m{number}",
            attributes={} if event == "said" else {"event": event},
        )
        for second, number, event, text in made
    ]
    log = Log(sent)
    one_by_one, in_batches = context_over(DictTable(), log), context_over(DictTable(), log)
    expected = [turn for n in range(len(sent)) for turn in log.judged(one_by_one, n, n + 1)]
    bounds = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    found = [turn for start, end in pairwise(bounds) for turn in log.judged(in_batches, start, end)]
    assert expected == found


async def test_what_is_read_again_is_seen_as_the_first_time() -> None:
    log, table = Log([message(n) for n in range(60)]), DictTable()
    first = context_over(table, log)
    seen = []
    for start in range(0, 60, 10):
        seen += log.turns(first, start, start + 10)
        await first.flush()
        log.committed = max(0, start - 20)
    # Killed here: 40 messages are read again, with the context of after the last of them.
    restarted = context_over(DictTable(table.changelog), log)
    assert seen[log.committed :] == log.turns(restarted, log.committed, 60)


async def test_context_survives_a_restart() -> None:
    log, table = Log([message(1), rich_message(), message(9)]), DictTable()
    context = context_over(table, log)
    log.turns(context, 0, 2)
    await context.flush()
    log.committed = 2
    restarted = context_over(DictTable(table.changelog), log)
    assert log.turns(restarted, 2, 3) == [("c1-m9", ["c1-rich", "c1-m1"])]


async def test_each_conversation_is_written_once_per_batch() -> None:
    log, table = Log([message(n, f"c{n % 2}") for n in range(50)]), DictTable()
    context = context_over(table, log)
    log.turns(context, 0, 50)
    await context.flush()
    await context.flush()
    assert sorted(key for _, key, _ in table.changelog) == [b"c0", b"c1"]


async def test_least_used_conversation_is_forgotten_also_in_the_changelog() -> None:
    log, table = Log([message(n, f"c{n}") for n in range(5)]), DictTable()
    context = context_over(table, log, conversations=3)
    log.turns(context, 0, 5)
    await context.flush()
    assert {b"c2", b"c3", b"c4"} == DictTable(table.changelog).data.keys()
    assert (0, b"c0", None) in table.changelog


async def test_value_stays_below_the_brokers_limit() -> None:
    long = [message(n, text="保" * 20_000) for n in range(200)]
    log, table = Log(long), DictTable()
    context = context_over(table, log)
    log.turns(context, 0, 200)
    await context.flush()
    assert all(value is None or len(value) <= MAX_CONTEXT_BYTES for _, _, value in table.changelog)
    bulky = replace(message(1, "c2"), attributes={"raw": "x" * 900_000})
    log = Log([bulky])
    log.turns(context, 0, 1)
    assert len(table.data[b"c2"]) < 1_000


async def test_what_is_read_again_is_seen_as_the_first_time_also_with_late_and_edited_messages() -> None:
    sent = [message(n) for n in range(12)]
    edits = {4: (2, "edited"), 7: (2, "edited again"), 9: (6, "edited")}
    for at, (number, text) in edits.items():
        sent[at] = replace(message(number), text=text, attributes={"event": "edit"})
    sent[5] = replace(sent[5], sent_at=START)  # late
    log, table = Log(sent), DictTable()
    first = context_over(table, log)
    seen = log.turns(first, 0, 12)
    await first.flush()
    log.committed = 3
    assert seen[3:] == log.turns(context_over(DictTable(table.changelog), log), 3, 12)


async def test_conversation_without_end_stays_bounded() -> None:
    log, table = Log([message(n) for n in range(3_000)]), DictTable()
    context = context_over(table, log)
    log.turns(context, 0, 3_000)  # nothing is committed all the while
    assert table.data[b"c1"].count(b"\n") < 3 + 500
    log.committed = 3_000
    log.messages = [*log.messages, message(3_001)]
    ((_, before),) = log.turns(context, 3_000, 3_001)
    assert ["c1-m2997", "c1-m2998", "c1-m2999"] == before
    assert table.data[b"c1"].count(b"\n") <= 3


async def test_message_edited_without_end_stays_bounded() -> None:
    texts = [replace(message(1), text=f"text {n}", attributes={"event": "edit"}) for n in range(300)]
    log, table = Log([message(0), *texts, message(2)]), DictTable()
    context = context_over(table, log)
    for offset in range(302):
        log.committed = offset
        ((_, before),) = log.turns(context, offset, offset + 1)
    assert ["c1-m0", "c1-m1"] == before
    assert table.data[b"c1"].count(b"\n") <= 3


async def test_silent_conversation_is_forgotten_also_in_the_changelog() -> None:
    now = [START]
    log, table = Log([message(0, "old"), message(1, "new")]), DictTable()
    context = context_over(table, log, clock=lambda: now[0])
    log.turns(context, 0, 1)
    await context.flush()
    now[0] += timedelta(days=5)
    log.turns(context, 1, 2)
    await context.flush()
    assert {b"new"} == table.data.keys()
    assert (0, b"old", None) in table.changelog


async def test_conversations_of_another_worker_are_not_forgotten_for_it() -> None:
    log, table = Log([message(n, f"c{n}") for n in range(4)]), DictTable()
    context = context_over(table, log, conversations=2)
    table.put(b"theirs", b"0 {}")
    context.remember(b"theirs", b"0 {}", 1)  # a standby of partition 1
    log.turns(context, 0, 2)
    context.disown([0])
    context.remember(b"also-theirs", b"0 {}", 0)
    await context.flush()
    assert all(value is not None for _, _, value in table.changelog)


async def test_conversations_of_long_messages_are_fewer() -> None:
    log, table = Log([message(n, f"c{n}", text="保" * 1_000) for n in range(50)]), DictTable()
    context = context_over(table, log, max_bytes=20_000)
    log.turns(context, 0, 50)
    await context.flush()
    assert b"c49" in table.data
    assert 1 < len(table.data) < 8
    assert sum(map(len, table.data.values())) <= 20_000
