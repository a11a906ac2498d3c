"""A sink that waits for its store or its broker says so, and one that has nothing to do is well."""

from datetime import timedelta

from streams.metrics import SinkMetrics
from streams.sink_vitals import SinkPulse, SinkVitals
from streams.topics import MESSAGES
from streams.vitals import HealthPolicy
from tests.stream_samples import START

POLICY = HealthPolicy(start=timedelta(seconds=100), silence=timedelta(seconds=60))


class Patient:
    """Vitals with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = START
        self.vitals = SinkVitals(POLICY, lambda: self.now)

    def after(self, seconds: float, *, lag: int | None = None, heard: bool = True) -> tuple[str, ...]:
        """So much later; with `lag` the loop looked at itself, and heard the broker or not since the start."""
        self.now += timedelta(seconds=seconds)
        if lag is not None:
            at = self.now if heard else START
            self.vitals.feel(SinkPulse(self.now, {(MESSAGES, 0): lag}, at))
        return self.vitals.health().problems


def test_starting_and_having_nothing_to_do_is_no_illness() -> None:
    patient = Patient()
    assert patient.after(90) == ()
    assert patient.after(20) == ("has not begun to consume",)
    assert patient.after(500, lag=0) == ()


def test_loop_that_stands_still_is_told() -> None:
    patient = Patient()
    patient.after(1, lag=0)
    assert patient.after(61) == ("its loop stands still",)


def test_short_absence_of_the_store_is_shown_and_a_long_one_is_a_problem() -> None:
    patient = Patient()
    patient.after(1, lag=0)
    patient.vitals.wrote()
    patient.vitals.store_away(patient.now)
    assert patient.after(40, lag=500) == ()
    assert (40.0, 500) == (patient.vitals.health().store_away_sec, patient.vitals.health().lag)
    assert patient.after(40, lag=900) == ("the store is away: nothing is written, the lag grows",)
    patient.vitals.store_away(None)
    patient.vitals.wrote()
    assert patient.after(1, lag=900) == ()
    assert (1.0, None) == (
        patient.vitals.health().last_write_age_sec,
        patient.vitals.health().store_away_sec,
    )


def test_broker_that_is_silent_is_told() -> None:
    patient = Patient()
    assert patient.after(70, lag=0, heard=False) == ("the broker was not heard",)


def test_records_that_nobody_writes_are_told_and_a_slow_sink_is_not_ill() -> None:
    patient = Patient()
    assert patient.after(61, lag=7) == ("records wait, but none was written",)
    patient.vitals.wrote()
    assert patient.after(50, lag=7_000) == ()


def test_lag_of_partitions_that_moved_away_is_not_shown() -> None:
    metrics = SinkMetrics()
    metrics.show_lag({(MESSAGES, 0): 3, (MESSAGES, 1): 5})
    metrics.show_lag({(MESSAGES, 1): 6})
    labels = {"topic": MESSAGES, "partition": "1"}
    assert 6.0 == metrics.registry.get_sample_value("redline_sink_lag_records", labels)
    gone = {"topic": MESSAGES, "partition": "0"}
    assert metrics.registry.get_sample_value("redline_sink_lag_records", gone) is None
