"""
What Faust's consumer (faust-streaming 0.15 on aiokafka) must do otherwise for a worker that loses nothing.

A backlog is read at once. Faust pauses a partition whose buffer is full and resumes it when the buffer is
nearly empty, but looks for resumed partitions only once a second (`Consumer._wait_next_records`). With a
backlog all of them are paused most of the time, and a worker that is faster than one buffer a second stands
still for the rest of it: a third of its time, as measured.

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
from collections.abc import Coroutine
from typing import Any, cast

import faust

LOOK_EVERY_SEC = 0.01
STOP_LOOK_SEC = 0.2


def use_eager_consumer(app: faust.App) -> None:
    """Let the app read a backlog at once, and stop in the midst of a rebalance. Call before it starts."""
    transport = cast(Any, app.transport)
    usual: Any = transport.Consumer

    class EagerConsumer(usual):  # type: ignore[misc]
        async def _wait_next_records(self, timeout: float) -> Any:
            while self.flow_active and not self.should_stop and not self._get_active_partitions():
                await asyncio.sleep(LOOK_EVERY_SEC)
            return await super()._wait_next_records(timeout)

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


def end_only_the_latest_rebalance(app: faust.App) -> None:
    """Let the app take rebalancing for over only when the tables of the latest one are read back. Call before it starts."""
    shown = cast(Any, app)
    recovery = shown.tables.recovery
    read_back, end = recovery.on_rebalance, shown.on_rebalance_end
    latest = 0

    async def on_rebalance(*arguments: Any, **named: Any) -> Any:
        nonlocal latest
        latest = shown.rebalancing_count
        return await read_back(*arguments, **named)

    def on_rebalance_end() -> None:
        if shown.rebalancing_count == latest:
            end()

    recovery.on_rebalance = on_rebalance
    shown.on_rebalance_end = on_rebalance_end


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
    app.flow_control.resume()  # empties the buffers
    for tp in list(consumer._buffered_partitions):
        consumer.on_buffer_drop(tp)
