"""
What Faust's consumer (faust-streaming 0.15 on aiokafka) must do otherwise for a worker that loses nothing.

A backlog is read at once. Faust pauses a partition whose buffer is full and resumes it when the buffer is
nearly empty, but looks for resumed partitions only once a second (`Consumer._wait_next_records`). With a
backlog all of them are paused most of the time, and a worker that is faster than one buffer a second stands
still for the rest of it: a third of its time, as measured.

What was fetched and not passed on is fetched again. Faust throws away records of partitions that were paused
while it fetched, and the rest of a batch when a rebalance begins; some of them it seeks back to. In the
changelog of the conversations it goes back to nothing: the table waits for ever, or has a gap.

Changes that wait to be put into a table are not thrown away. Faust empties all buffers when it lets records
flow again after a rebalance, also the one in which changes of other workers' conversations arrive by then.

A partition that is paused stays paused. Where its buffer had been full, Faust fetches from it again as soon as
the buffer is empty, also while tables are read back: the buffer fills, and the tables wait behind it for ever.

A rebalance that was overtaken does not end the one after it. Faust seeks after it has made sure that no newer
one began, and then says that rebalancing is over; if one began meanwhile, messages would be judged while
their conversations are still being read back.

A rebalance does not keep a worker from stopping. Faust answers one that comes while the app is stopping by
closing the broker's client from the app's thread, which is not the client's: the client waits for an answer on
a connection that is gone, and the worker for the client. It is closed in its own thread anyway, which waits
until the app has dealt with its partitions; one that is stopping may never get there.

Going back goes back. "Seek to the committed offsets" leaves a partition that has none where it stands, and
with it whatever was fetched and then thrown away. And a partition whose buffer was full when it was emptied
would be fetched again only after something else had gone through that buffer.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, cast

import faust
from faust.tables.recovery import RebalanceAgain
from faust.types import TP

LOOK_EVERY_SEC = 0.01
STOP_LOOK_SEC = 0.2


def use_eager_consumer(app: faust.App) -> None:
    """Give the app a consumer that reads, pauses and stops as said above. Call before it starts."""
    transport = cast(Any, app.transport)
    usual: Any = transport.Consumer

    class EagerConsumer(usual):  # type: ignore[misc]
        _fetched: Mapping[TP, Sequence[Any]]

        async def _wait_next_records(self, timeout: float) -> Any:
            while self.flow_active and not self.should_stop and not self._get_active_partitions():
                await asyncio.sleep(LOOK_EVERY_SEC)
            records, active = await super()._wait_next_records(timeout)
            self._fetched = records or {}
            return records, active

        async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
            self._fetched = {}
            passed_on: Counter[TP] = Counter()
            async for tp, message in super().getmany(timeout):
                due = self._fetched[tp][passed_on[tp]]
                if tp in self._paused_partitions or message.offset != due.offset:
                    continue  # a gap: nothing of this partition may pass after it
                yield tp, message
                passed_on[tp] += 1
            left = {tp: rest for tp, found in self._fetched.items() if (rest := found[passed_on[tp] :])}
            if left and not self.app.should_stop:
                await self._thread.call_thread(put_back, self._thread._consumer, left)

        def on_buffer_drop(self, tp: TP) -> None:
            if tp in self._paused_partitions:
                self._buffered_partitions.discard(tp)  # it flows again when it is resumed
            else:
                super().on_buffer_drop(tp)

        def close(self) -> None:
            """Left to the client's thread, which closes it when it stops, and says to the group that it leaves."""

        async def threadsafe_partitions_revoked(self, *arguments: Any) -> None:
            await self._unless_stopping(super().threadsafe_partitions_revoked(*arguments))

        async def threadsafe_partitions_assigned(self, *arguments: Any) -> None:
            await self._unless_stopping(super().threadsafe_partitions_assigned(*arguments))

        async def _unless_stopping(self, dealing: Coroutine[Any, Any, None]) -> None:
            """In the thread of the broker's client: wait for the app's own, but not for one that is stopping."""
            task = asyncio.ensure_future(dealing)
            while not task.done() and not self.app.should_stop:
                await asyncio.wait({task}, timeout=STOP_LOOK_SEC)
            if task.done():
                await task
            else:
                task.cancel()

    transport.Consumer = EagerConsumer


async def put_back(client: Any, left: Mapping[TP, Sequence[Any]]) -> None:
    """
    Let the broker's client fetch these records again, partition by partition.

    Not where somebody moved it since, as a rebalance does, or where the partition is gone.
    """
    subscription = client._subscription.subscription
    assignment = subscription.assignment if subscription is not None else None
    for tp, records in left.items():
        state = assignment.state_value(tp) if assignment is not None else None
        if state is not None and state.has_valid_position and state.position == records[-1].offset + 1:
            client.seek(tp, records[0].offset)


def end_only_the_latest_rebalance(app: faust.App) -> None:
    """Let the app take rebalancing for over only when the tables of the latest one are read back. Call before it starts."""
    shown = cast(Any, app)
    recovery = shown.tables.recovery
    read_back, seek, end = recovery.on_rebalance, recovery._seek_offsets, shown.on_rebalance_end
    latest = 0

    async def on_rebalance(*arguments: Any, **named: Any) -> Any:
        nonlocal latest
        latest = shown.rebalancing_count
        return await read_back(*arguments, **named)

    def on_rebalance_end() -> None:
        if shown.rebalancing_count == latest:
            end()

    async def seek_offsets(consumer: Any, partitions: set[TP], offsets: Counter[TP], title: str) -> None:
        if any(offsets[tp] is None for tp in partitions):
            raise RebalanceAgain  # what is to be read back has just changed; Faust would crash
        await seek(consumer, partitions, offsets, title)

    recovery._seek_offsets = seek_offsets
    recovery.on_rebalance = on_rebalance
    shown.on_rebalance_end = on_rebalance_end


def keep_changes(app: faust.App) -> None:
    """Let the end of a rebalance throw away no changes that wait for a table. Call before it starts."""
    tables = cast(Any, app).tables
    recovery, changes = tables.recovery, tables.changelog_queue
    end, clear = recovery.on_recovery_completed, changes.clear
    ending = False

    async def on_recovery_completed(*arguments: Any, **named: Any) -> None:
        nonlocal ending
        ending = True
        try:
            await end(*arguments, **named)
        finally:
            ending = False

    def clear_unless_ending() -> None:
        if not ending:
            clear()

    recovery.on_recovery_completed = on_recovery_completed
    changes.clear = clear_unless_ending


async def go_back(app: faust.App, topic: str) -> None:
    """
    Read all partitions again from their committed offsets, those of `topic` without one from their beginning.

    What was fetched is thrown away. The flow must have been stopped.
    Not in the place of Faust's own seek after a rebalance: what takes longer there lets the next
    rebalance overtake it.
    """
    consumer = cast(Any, app.consumer)
    await consumer.perform_seek()
    fresh = [
        tp for tp in consumer.assignment() if tp.topic == topic and not consumer._committed_offset.get(tp)
    ]
    if fresh:
        await consumer.seek_wait(await consumer.earliest_offsets(*fresh))
    shown = cast(Any, app)
    for buffer in shown.flow_control._queues:
        if buffer is not shown.tables.changelog_queue:
            buffer.clear()
    for tp in list(consumer._buffered_partitions):
        consumer.on_buffer_drop(tp)
