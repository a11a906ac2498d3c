"""What Faust does otherwise around a rebalance: going back, and ending one."""

import asyncio
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from faust.tables.recovery import RebalanceAgain
from faust.transport.consumer import Consumer
from faust.types import TP
from mode.utils.queues import FlowControlEvent, FlowControlQueue

from streams.faust_recovery import end_only_the_latest_rebalance, go_back

OURS, NEW, OTHER = TP("messages", 0), TP("messages", 1), TP("changelog", 1)


class Usual:
    """The calls of Faust's consumer that matter here."""

    def __init__(self, committed: Mapping[TP, int | None]) -> None:
        self._committed_offset = committed
        self.went_back = 0
        self.sought: dict[TP, int] = {}
        self.asked: tuple[TP, ...] = ()
        self._active_partitions = self.assignment()
        self._buffered_partitions: set[TP] = set()

    # As Faust keeps account of full buffers.
    _get_active_partitions = Consumer._get_active_partitions
    on_buffer_full = Consumer.on_buffer_full
    on_buffer_drop = Consumer.on_buffer_drop
    app = SimpleNamespace(in_recovery=False)

    def assignment(self) -> set[TP]:
        return {OURS, NEW, OTHER}

    async def perform_seek(self) -> None:
        self.went_back += 1

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        self.asked = partitions
        return dict.fromkeys(partitions, 40)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.sought.update(partitions)


def app_of(consumer: Any, flow: FlowControlEvent) -> SimpleNamespace:
    changes = FlowControlQueue[str](flow_control=flow, clear_on_resume=True)
    return SimpleNamespace(
        consumer=consumer, flow_control=flow, tables=SimpleNamespace(changelog_queue=changes)
    )


def sought(committed: Mapping[TP, int | None]) -> Usual:
    consumer = Usual(committed)
    app: Any = app_of(consumer, FlowControlEvent())
    asyncio.run(go_back(app, "messages"))
    assert consumer.went_back == 1
    return consumer


def test_what_nobody_committed_is_read_from_the_first_record_that_the_broker_has() -> None:
    assert sought({OURS: 7, NEW: None, OTHER: None}).sought == {NEW: 40}
    assert sought({OURS: 0, NEW: 3}).sought == {OURS: 40}


def test_where_all_is_committed_the_broker_is_not_asked() -> None:
    consumer = sought({OURS: 7, NEW: 3, OTHER: None})
    assert (consumer.asked, consumer.sought) == ((), {})


def test_a_partition_whose_buffer_was_full_is_fetched_again_though_nothing_else_comes() -> None:
    consumer: Any = Usual({OURS: 7, NEW: 3, OTHER: 1})
    flow = FlowControlEvent()

    async def full_then_back() -> FlowControlQueue[int]:
        flow.resume()
        buffer = FlowControlQueue[int](maxsize=10, flow_control=flow, clear_on_resume=True)
        for number in range(10):
            buffer.put_nowait_enhanced(
                number,
                on_pressure_high=partial(consumer.on_buffer_full, OURS),
                on_pressure_drop=partial(consumer.on_buffer_drop, OURS),
            )
        assert OURS not in consumer._active_partitions
        app: Any = app_of(consumer, flow)
        changes = app.tables.changelog_queue
        changes.put_nowait("a change that a table waits for")
        await go_back(app, "messages")
        assert changes.qsize() == 1
        return buffer

    assert asyncio.run(full_then_back()).empty()
    assert consumer._active_partitions == {OURS, NEW, OTHER}


class App:
    """What Faust's app shows of rebalancing."""

    def __init__(self) -> None:
        self.rebalancing_count = 0
        self.ended = 0
        self.sought: list[Any] = []
        self.tables = SimpleNamespace(
            recovery=SimpleNamespace(on_rebalance=self.read_back, _seek_offsets=self.seek)
        )

    async def seek(self, *arguments: Any) -> None:
        self.sought.append(arguments)

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


def test_what_is_not_known_yet_of_a_newer_rebalance_is_not_sought() -> None:
    app: Any = App()
    end_only_the_latest_rebalance(app)
    seek = app.tables.recovery._seek_offsets
    with pytest.raises(RebalanceAgain):
        asyncio.run(seek(None, {OURS, NEW}, {OURS: 3, NEW: None}, "active"))
    assert app.sought == []
    asyncio.run(seek(None, {OURS}, {OURS: 3, NEW: None}, "active"))
    assert len(app.sought) == 1
