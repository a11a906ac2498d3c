"""
What Faust (faust-streaming 0.15) does otherwise around a rebalance: when it is over, and what is read again.

A rebalance that was overtaken does not end the one after it. Faust seeks after it has made sure that no newer
one began, and then says that rebalancing is over; if one began meanwhile, messages would be judged while
their conversations are still being read back.

Going back goes back. "Seek to the committed offsets" leaves a partition that has none where it stands, and
with it whatever was fetched and then thrown away. And a partition whose buffer was full when it was emptied
would be fetched again only after something else had gone through that buffer.
"""

from collections import Counter
from typing import Any, cast

import faust
from faust.tables.recovery import RebalanceAgain
from faust.types import TP


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


async def rewind(app: faust.App, topic: str) -> None:
    """
    Read all partitions again from their committed offsets, those of `topic` without one from their beginning.

    What was done comes twice, and is only acknowledged again; what was dropped comes at last.
    """
    consumer: Any = app.consumer
    consumer.stop_flow()
    await consumer.wait_for_stopped_flow()
    consumer._gap.clear()  # a hole that is none would be committed over
    await go_back(app, topic)
    if not app.rebalancing:  # else Faust lets it flow again when the tables are read back
        consumer.resume_flow()


async def go_back(app: faust.App, topic: str) -> None:
    """
    Seek for `rewind`, and throw away what was fetched. The flow must have been stopped.

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
        if buffer is not shown.tables.changelog_queue:  # a rebalance may have begun to read back meanwhile
            buffer.clear()
    for tp in list(consumer._buffered_partitions):
        consumer.on_buffer_drop(tp)
