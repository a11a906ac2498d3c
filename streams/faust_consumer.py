"""
What Faust's consumer (faust-streaming 0.15 on aiokafka) must do otherwise for a worker that loses nothing.

A backlog is read at once. Faust pauses a partition whose buffer is full and resumes it when the buffer is
nearly empty, but looks for resumed partitions only once a second (`Consumer._wait_next_records`). With a
backlog all of them are paused most of the time, and a worker that is faster than one buffer a second stands
still for the rest of it: a third of its time, as measured.

A rebalance that was overtaken does not end the one after it. Faust seeks after it has made sure that no newer
one began, and then says that rebalancing is over; if one began meanwhile, messages would be judged while
their conversations are still being read back.

Going back goes back. "Seek to the committed offsets" leaves a partition that has none where it stands, and
with it whatever was fetched and then thrown away.
"""

import asyncio
from typing import Any, cast

import faust

LOOK_EVERY_SEC = 0.01


def read_backlog_at_once(app: faust.App) -> None:
    """Give the app such a consumer. Call before it starts."""
    transport = cast(Any, app.transport)
    usual: Any = transport.Consumer

    class EagerConsumer(usual):  # type: ignore[misc]
        async def _wait_next_records(self, timeout: float) -> Any:
            while self.flow_active and not self.should_stop and not self._get_active_partitions():
                await asyncio.sleep(LOOK_EVERY_SEC)
            return await super()._wait_next_records(timeout)

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


async def go_back(consumer: Any, topic: str) -> None:
    """
    Read all partitions again from their committed offsets, those of `topic` without one from their beginning.

    Not in the place of Faust's own seek after a rebalance: what takes longer there lets the next
    rebalance overtake it.
    """
    await consumer.perform_seek()
    fresh = [
        tp for tp in consumer.assignment() if tp.topic == topic and not consumer._committed_offset.get(tp)
    ]
    if fresh:
        await consumer.seek_wait(await consumer.earliest_offsets(*fresh))
