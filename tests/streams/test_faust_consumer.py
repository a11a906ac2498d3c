"""What Faust's consumer does otherwise: fetching again, staying paused, stopping in the midst of a rebalance."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.consumer import Consumer
from faust.types import TP

from streams.faust_consumer import STOP_LOOK_SEC, use_eager_consumer

OURS, NEW, OTHER = TP("messages", 0), TP("messages", 1), TP("changelog", 1)


class Paused:
    """One partition is paused; the buffers of it and of another had been full. As Faust keeps account of them."""

    _get_active_partitions = Consumer._get_active_partitions
    on_buffer_drop = Consumer.on_buffer_drop
    app = SimpleNamespace(in_recovery=False)

    def __init__(self) -> None:
        self._paused_partitions = {OURS}
        self._active_partitions = {NEW}
        self._buffered_partitions = {OURS, OTHER}


def test_a_partition_that_is_paused_does_not_flow_when_its_buffer_is_empty() -> None:
    app: Any = SimpleNamespace(transport=SimpleNamespace(Consumer=Paused))
    use_eager_consumer(app)
    consumer = app.transport.Consumer()
    for tp in (OURS, OTHER):
        consumer.on_buffer_drop(tp)
    assert consumer._active_partitions == {NEW, OTHER}
    assert consumer._buffered_partitions == set()


class Client:
    """The broker's client: where each partition stands."""

    def __init__(self, **positions: int) -> None:
        states = {
            TP(name, 0): SimpleNamespace(position=at, has_valid_position=True)
            for name, at in positions.items()
        }
        self._subscription = SimpleNamespace(
            subscription=SimpleNamespace(assignment=SimpleNamespace(state_value=states.get))
        )
        self.sought: dict[TP, int] = {}

    def seek(self, tp: TP, offset: int) -> None:
        self.sought[tp] = offset


class Drops:
    """Faust's consumer: of what it fetched it passes on only some."""

    def __init__(self, fetched: Mapping[TP, Sequence[Any]], passes: Sequence[tuple[TP, int]]) -> None:
        self.app = SimpleNamespace(should_stop=False)
        self._paused_partitions: set[TP] = set()
        self.flow_active, self.should_stop = True, False
        self.fetched, self.passes = fetched, passes
        self.client = Client(messages=12, changelog=31, moved=7)
        self._thread = SimpleNamespace(_consumer=self.client, call_thread=self.call_thread)

    def _get_active_partitions(self) -> set[TP]:
        return {OURS}

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        return self.fetched, {OURS}

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        await self._wait_next_records(timeout)
        for tp, offset in self.passes:
            yield tp, SimpleNamespace(offset=offset)

    async def call_thread(self, call: Any, *arguments: Any) -> None:
        await call(*arguments)


def records(first: int, last: int) -> list[Any]:
    return [SimpleNamespace(offset=offset) for offset in range(first, last + 1)]


def test_what_was_fetched_and_not_passed_on_is_fetched_again() -> None:
    changes, moved, gone = TP("changelog", 0), TP("moved", 0), TP("gone", 0)
    fetched = {
        OURS: records(8, 11),
        changes: records(20, 30),
        moved: records(5, 9),  # somebody went elsewhere with it meanwhile
        gone: records(1, 2),
    }
    app: Any = SimpleNamespace(transport=SimpleNamespace(Consumer=Drops))
    use_eager_consumer(app)
    consumer = app.transport.Consumer(fetched, [(OURS, 8), (OURS, 9)])

    async def drain() -> list[int]:
        return [message.offset async for _, message in consumer.getmany(1.0)]

    assert asyncio.run(drain()) == [8, 9]
    assert consumer.client.sought == {OURS: 10, changes: 20}

    # What comes after a gap is not passed on either, nor anything of a partition that is paused.
    consumer = app.transport.Consumer(fetched, [(OURS, 8), (OURS, 10), (OURS, 11), (changes, 20)])
    consumer._paused_partitions = {changes}
    assert asyncio.run(drain()) == [8]
    assert consumer.client.sought == {OURS: 9, changes: 20}

    passed = [(tp, record.offset) for tp, found in fetched.items() for record in found]
    consumer = app.transport.Consumer(fetched, passed)
    assert len(asyncio.run(drain())) == len(passed)
    assert consumer.client.sought == {}


class Transport:
    """Gives a consumer whose app never gets done with its new partitions."""

    class Consumer:
        def __init__(self, app: Any) -> None:
            self.app = app
            self.cancelled = False

        async def threadsafe_partitions_assigned(self, *_: Any) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise

        threadsafe_partitions_revoked = threadsafe_partitions_assigned


def test_a_rebalance_waits_for_the_app_but_not_for_one_that_is_stopping() -> None:
    app: Any = SimpleNamespace(transport=Transport(), should_stop=False)
    use_eager_consumer(app)
    consumer = app.transport.Consumer(app)

    async def stopped_meanwhile(call: Any) -> None:
        app.should_stop, consumer.cancelled = False, False
        waiting = asyncio.ensure_future(call())
        await asyncio.sleep(3 * STOP_LOOK_SEC)
        assert not waiting.done()
        app.should_stop = True
        await asyncio.wait_for(waiting, timeout=30)
        await asyncio.sleep(0)
        assert consumer.cancelled

    asyncio.run(stopped_meanwhile(lambda: consumer.threadsafe_partitions_assigned(None, {OURS}, 3)))
    asyncio.run(stopped_meanwhile(lambda: consumer.threadsafe_partitions_revoked(None, {OURS})))


def test_what_the_app_raises_while_it_deals_with_its_partitions_reaches_the_client() -> None:
    app: Any = SimpleNamespace(transport=Transport(), should_stop=False)

    async def fails(*_: Any) -> None:
        raise RuntimeError("no")

    app.transport.Consumer = type("Failing", (), {"threadsafe_partitions_assigned": fails, "app": app})
    use_eager_consumer(app)
    with pytest.raises(RuntimeError):
        asyncio.run(app.transport.Consumer().threadsafe_partitions_assigned(None, {OURS}))
