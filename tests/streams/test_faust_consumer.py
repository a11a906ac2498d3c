"""Going back reads a partition that nobody committed yet from its beginning, whatever was fetched before."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from streams.faust_consumer import end_only_the_latest_rebalance, go_back

OURS, NEW, OTHER = TP("messages", 0), TP("messages", 1), TP("changelog", 1)


class Usual:
    """The calls of Faust's consumer that matter here."""

    def __init__(self, committed: Mapping[TP, int | None]) -> None:
        self._committed_offset = committed
        self.went_back = 0
        self.sought: dict[TP, int] = {}
        self.asked: tuple[TP, ...] = ()

    def assignment(self) -> set[TP]:
        return {OURS, NEW, OTHER}

    async def perform_seek(self) -> None:
        self.went_back += 1

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        self.asked = partitions
        return dict.fromkeys(partitions, 40)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.sought.update(partitions)


def sought(committed: Mapping[TP, int | None]) -> Usual:
    consumer = Usual(committed)
    asyncio.run(go_back(consumer, "messages"))
    assert consumer.went_back == 1
    return consumer


def test_what_nobody_committed_is_read_from_the_first_record_that_the_broker_has() -> None:
    assert sought({OURS: 7, NEW: None, OTHER: None}).sought == {NEW: 40}
    assert sought({OURS: 0, NEW: 3}).sought == {OURS: 40}


def test_where_all_is_committed_the_broker_is_not_asked() -> None:
    consumer = sought({OURS: 7, NEW: 3, OTHER: None})
    assert (consumer.asked, consumer.sought) == ((), {})


class App:
    """What Faust's app shows of rebalancing."""

    def __init__(self) -> None:
        self.rebalancing_count = 0
        self.ended = 0
        self.tables = SimpleNamespace(recovery=SimpleNamespace(on_rebalance=self.read_back))

    async def read_back(self, generation: int) -> int:
        return generation

    def on_rebalance_end(self) -> None:
        self.ended += 1


def test_a_rebalance_that_was_overtaken_does_not_end_the_next() -> None:
    app: Any = App()
    end_only_the_latest_rebalance(app)
    app.rebalancing_count = 1
    assert asyncio.run(app.tables.recovery.on_rebalance(7)) == 7
    app.rebalancing_count = 2  # revoked again while the first one seeks
    app.on_rebalance_end()
    assert app.ended == 0
    asyncio.run(app.tables.recovery.on_rebalance(8))
    app.on_rebalance_end()
    assert app.ended == 1
