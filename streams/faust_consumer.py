"""
What Faust's consumer (faust-streaming 0.15 on aiokafka) does otherwise while it fetches, pauses and stops.

A backlog is read at once. Faust pauses a partition whose buffer is full and resumes it when the buffer is
nearly empty, but looks for resumed partitions only once a second (`Consumer._wait_next_records`). With a
backlog all of them are paused most of the time, and a worker that is faster than one buffer a second stands
still for the rest of it: a third of its time, as measured.

What was fetched and not passed on is fetched again. Faust throws away records of partitions that were paused
while it fetched, and the rest of a batch when a rebalance begins; some of them it seeks back to. In the
changelog of the conversations it goes back to nothing: the table waits for ever, or has a gap.

A partition that is paused stays paused. Where its buffer had been full, Faust fetches from it again as soon as
the buffer is empty, also while tables are read back: the buffer fills, and the tables wait behind it for ever.

A rebalance does not keep a worker from stopping. Faust answers one that comes while the app is stopping by
closing the broker's client from the app's thread, which is not the client's: the client waits for an answer on
a connection that is gone, and the worker for the client. It is closed in its own thread anyway, which waits
until the app has dealt with its partitions; one that is stopping may never get there.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, cast

import faust
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
