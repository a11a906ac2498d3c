"""A command that goes round is well as long as it gets through."""

from datetime import UTC, datetime, timedelta

from deploy.rounds import Rounds


def test_it_is_well_until_nothing_was_done_for_too_long() -> None:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    rounds = Rounds(timedelta(minutes=3), lambda: now)
    assert rounds.health().well, "it has just begun"
    assert rounds.health().last_done_age_sec is None
    now += timedelta(minutes=2)
    rounds.done()
    now += timedelta(minutes=3)
    assert (True, 180.0) == (rounds.health().well, rounds.health().last_done_age_sec)
    now += timedelta(seconds=1)
    assert not rounds.health().well
    rounds.done()
    assert rounds.health().well


def test_one_that_never_began_is_told() -> None:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    rounds = Rounds(timedelta(minutes=3), lambda: now)
    now += timedelta(minutes=4)
    assert ("it stands still: a store or the broker does not answer",) == rounds.health().problems
