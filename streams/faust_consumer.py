"""
What Faust's consumer (faust-streaming 0.15 on aiokafka) must do otherwise for a worker that loses nothing.

- A partition without a committed offset is read from its beginning whenever Faust goes back "to the
  committed offsets", as it does around each rebalance. Faust leaves such a partition where it stands,
  and with it whatever it fetched and then threw away.
- A backlog is read at once. Faust pauses a partition whose buffer is full and resumes it when the buffer
  is nearly empty, but looks for resumed partitions only once a second (`Consumer._wait_next_records`).
  With a backlog all of them are paused most of the time, and a worker that is faster than one buffer a
  second stands still for the rest of it: a third of its time, as measured.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import faust
from faust.types import TP

LOOK_EVERY_SEC = 0.01


def mend_consumer(app: faust.App, topic: str) -> None:
    """Give the app such a consumer, for the partitions of one topic. Call before it starts."""
    transport = cast(Any, app.transport)
    transport.Consumer = mended(transport.Consumer, topic)


def mended(usual: Any, topic: str) -> Any:
    """The consumer class with both mends."""

    class MendedConsumer(usual):  # type: ignore[misc]
        async def seek_to_committed(self) -> Mapping[TP, int]:
            committed: Mapping[TP, int] = await super().seek_to_committed()
            fresh = [tp for tp in self.assignment() if tp.topic == topic and not committed.get(tp)]
            if fresh:
                await self.seek_wait(await self.earliest_offsets(*fresh))
            return committed

        async def _wait_next_records(self, timeout: float) -> Any:
            while self.flow_active and not self.should_stop and not self._get_active_partitions():
                await asyncio.sleep(LOOK_EVERY_SEC)
            return await super()._wait_next_records(timeout)

    return MendedConsumer
