"""A batch waits for what its verdicts need, and not for ever."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from streams.continuity import Continuity
from streams.errors import BrokerError
from streams.settling import SETTLE_CHECK_SEC, ConversationWait, Settling
from streams.topics import MESSAGES
from tests.stream_samples import START

CHANGELOG = "worker-context-changelog"
LIMIT = timedelta(seconds=60)


class Worker:
    """What Faust shows of a worker that was given these partitions of the messages and of the changelog."""

    def __init__(self, messages: set[int], conversations: set[int]) -> None:
        self.now = START
        self.conversations = conversations
        self.asked: list[set[TP]] = []
        consumer = SimpleNamespace(
            flow_active=True,
            assignment=lambda: {TP(MESSAGES, each) for each in messages},
            earliest_offsets=self.earliest_offsets,
        )
        assignor = SimpleNamespace(
            assigned_actives=lambda: {TP(CHANGELOG, each) for each in self.conversations}
        )
        self.app = cast(Any, SimpleNamespace(rebalancing=False, consumer=consumer, assignor=assignor))
        self.wait = ConversationWait(LIMIT, lambda: self.now)
        self.continuity = Continuity({0: 5, 1: 5, 2: 5}.get)
        self.settling = Settling(self.app, CHANGELOG, self.continuity, self.wait, ask_sec=10)

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        self.asked.append(set(partitions))
        return dict.fromkeys(partitions, 40)

    async def begin(self, *partitions: int) -> asyncio.Task[None]:
        """A batch of these partitions, after some looks."""
        batch = asyncio.create_task(self.settling.settled(partitions))
        await self.look()
        return batch

    async def look(self) -> None:
        await asyncio.sleep(5 * SETTLE_CHECK_SEC)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_messages_wait_where_another_worker_was_given_their_conversations(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(messages={0, 1}, conversations={0})
    batch = await worker.begin(0, 1)
    assert not batch.done()
    assert list(worker.wait.partitions) == [1]
    worker.conversations = {0, 1}  # the next rebalance put it right
    await asyncio.wait_for(batch, timeout=10)
    assert list(worker.wait.partitions) == []
    assert told(caplog) == [f"{MESSAGES}[1] waits: this worker was not given its conversations"]


async def test_messages_do_not_wait_for_what_is_not_theirs(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(messages={0, 1}, conversations={0})
    assert (await worker.begin(0)).done()
    assert (await worker.begin(0, 2)).done()  # of 2, which is another worker's now, nothing is judged here
    assert told(caplog) == []


async def test_a_wait_for_conversations_ends_loudly_and_nothing_is_judged() -> None:
    worker = Worker(messages={0, 1}, conversations={0})
    batch = await worker.begin(1)
    worker.now += LIMIT
    await worker.look()
    assert not batch.done()
    worker.now += timedelta(seconds=1)
    with pytest.raises(BrokerError, match=r"advisor\.messages\[1\] waited for 60 s"):
        await asyncio.wait_for(batch, timeout=10)


async def test_a_rebalance_is_waited_for_however_long_it_reads_back(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(messages={0}, conversations=set())
    worker.app.rebalancing = True
    batch = await worker.begin(0)
    worker.now += 10 * LIMIT
    await worker.look()
    assert not batch.done()
    worker.conversations, worker.app.rebalancing = {0}, False
    await asyncio.wait_for(batch, timeout=10)
    assert told(caplog) == []


async def test_where_a_partition_begins_is_asked_before_its_first_record() -> None:
    worker = Worker(messages={0, 3}, conversations={0, 3})
    await asyncio.wait_for(worker.settling.settled([0, 3]), timeout=10)
    assert [{TP(MESSAGES, 3)}] == worker.asked
    assert worker.continuity.expected(3) == 40


def test_each_wait_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    wait = ConversationWait(LIMIT, lambda: START)
    looks = [[1], [1], [1, 2], [1, 2], [], [1]]
    assert [True, True, True, True, False, True] == [wait.goes_on(lacking) for lacking in looks]
    assert [
        f"{MESSAGES}[{each}] waits: this worker was not given its conversations" for each in (1, 2, 1)
    ] == told(caplog)
