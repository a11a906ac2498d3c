"""Decisions and the ledger leave the desk in order, each destination on its own, none forgotten."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from detectors.domain import Turn, Verdict
from feedback.decisions import decide, reopen
from feedback.outbox import note_pack, publish_ledger, publish_reviews
from feedback.store.desk_store import DeskStore
from streams.errors import StoreError
from streams.ledger import LedgerRecord, decode_ledger_record, encode_ledger_record
from streams.reviews import Review, decode_review, encode_review
from tests.desk_samples import seed_case_id

Pairs = list[tuple[Turn, Verdict]]
Clock = Callable[[], datetime]
GUARANTEE, UNDECIDED = seed_case_id("conv-7101-04"), seed_case_id("conv-7106-03")


class Destination:
    """Takes records, and fails when told to."""

    def __init__(self) -> None:
        self.reviews: list[Review] = []
        self.ledger: list[LedgerRecord] = []
        self.away = False

    def write_reviews(self, rows: Sequence[Review]) -> None:
        if self.away:
            raise StoreError("away", retryable=True)
        self.reviews += rows

    def write_ledger(self, rows: Sequence[LedgerRecord]) -> None:
        self.ledger += rows


def test_every_decision_leaves_once_and_in_order(
    store: DeskStore, fill: Callable[[DeskStore], Pairs], clock: Clock
) -> None:
    fill(store)
    decide(store, GUARANTEE, "wang", "confirm", note="客户原话", clock=clock)
    decide(store, UNDECIDED, "wang", "dismiss", clock=clock)
    reopen(store, GUARANTEE, "li", note="再看一下", clock=clock)
    decide(store, GUARANTEE, "li", "relabel", ["private_deal"], clock=clock)
    there = Destination()
    assert 4 == publish_reviews(store, there.write_reviews, destination="a", batch_size=3)
    assert 0 == publish_reviews(store, there.write_reviews, destination="a")
    assert [
        ("confirm", "wang", ("guaranteed_return",)),
        ("dismiss", "wang", ()),
        ("reopen", "li", ()),
        ("relabel", "li", ("private_deal",)),
    ] == [(each.action, each.reviewer, each.labels) for each in there.reviews]
    first = there.reviews[0]
    assert ("conv-7101", "conv-7101-04", GUARANTEE) == (
        first.conversation_id,
        first.message_id,
        first.case_id,
    )
    assert ("guaranteed_return",) == first.machine_labels
    assert "客户原话" not in encode_review(first).decode()
    assert there.reviews == [decode_review(encode_review(each)) for each in there.reviews]
    assert 4 == len({each.review_id for each in there.reviews})


def test_each_destination_has_its_own_place_and_what_failed_is_sent_again(
    store: DeskStore, fill: Callable[[DeskStore], Pairs], clock: Clock
) -> None:
    fill(store)
    decide(store, GUARANTEE, "wang", "confirm", clock=clock)
    one, other = Destination(), Destination()
    other.away = True
    assert 1 == publish_reviews(store, one.write_reviews, destination="one")
    with pytest.raises(StoreError):
        publish_reviews(store, other.write_reviews, destination="other")
    other.away = False
    assert 1 == publish_reviews(store, other.write_reviews, destination="other")
    assert one.reviews == other.reviews


def test_the_ledger_leaves_as_it_grows(sqlite_store: DeskStore, clock: Clock) -> None:
    there = Destination()
    added = LedgerRecord("model", clock(), "li", "added", "m2")
    promoted = replace(added, action="promoted", previous="m1", reasons=("better",))

    def publish(*models: LedgerRecord) -> int:
        return publish_ledger(sqlite_store, models, there.write_ledger, destination="a")

    assert note_pack(sqlite_store, "hash-1", at=clock(), actor="system")
    assert not note_pack(sqlite_store, "hash-1", at=clock() + timedelta(hours=1), actor="system")
    assert 2 == publish(added)
    assert 0 == publish(added)
    assert note_pack(sqlite_store, "hash-2", at=clock() + timedelta(hours=2), actor="system")
    assert 2 == publish(added, promoted)
    assert [
        ("model", "added", "m2", None),
        ("rules", "in_service", "hash-1", None),
        ("model", "promoted", "m2", "m1"),
        ("rules", "in_service", "hash-2", "hash-1"),
    ] == [(each.kind, each.action, each.version, each.previous) for each in there.ledger]
    assert there.ledger == [decode_ledger_record(encode_ledger_record(each)) for each in there.ledger]
    assert 1 == publish(replace(added, version="another store"))
