"""A worker that lives but does not work is told apart from one that has nothing to do."""

import json
import urllib.error
import urllib.request
from datetime import timedelta

import pytest

from streams.errors import BrokerError
from streams.metrics import WorkerMetrics
from streams.status_server import serving_status
from streams.vitals import HealthPolicy, Pulse, Vitals
from tests.detectors.samples import VERSIONS
from tests.stream_samples import START

POLICY = HealthPolicy(start=timedelta(seconds=100), silence=timedelta(seconds=60))


class Patient:
    """Vitals with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = START
        self.vitals = Vitals(POLICY, lambda: self.now)

    def after(
        self, seconds: float, *, lag: dict[int, int] | None = None, heard: bool = True
    ) -> tuple[str, ...]:
        """So much later; with `lag` the loop looked at itself, and heard the broker or not since the start."""
        self.now += timedelta(seconds=seconds)
        if lag is not None:
            self.vitals.feel(Pulse(self.now, lag, self.now if heard else START))
        return self.vitals.health().problems


def test_starting_is_no_illness_until_it_takes_too_long() -> None:
    patient = Patient()
    assert patient.after(90) == ()
    assert patient.after(20) == ("has not begun to consume",)


def test_nothing_to_do_is_no_illness() -> None:
    patient = Patient()
    assert patient.after(500, lag={0: 0}) == ()
    assert patient.after(500, lag={}) == ()  # more workers than partitions


def test_dead_consumer_is_told() -> None:
    patient = Patient()
    patient.after(1, lag={0: 0})
    assert patient.after(70, lag={0: 0}, heard=False) == ("the broker was not heard: the consumer is dead",)


def test_loop_that_stands_still_is_told() -> None:
    patient = Patient()
    patient.after(1, lag={0: 5})
    assert patient.after(61) == ("its event loop stands still",)


def test_waiting_records_that_nobody_does_are_told_and_a_slow_worker_is_not_ill() -> None:
    patient = Patient()
    patient.after(110, lag={0: 7})
    patient.vitals.done()
    assert patient.after(50, lag={0: 7}, heard=False) == ()
    assert patient.after(30, lag={0: 7}) == ("records wait, but none was done",)
    patient.vitals.done()
    assert patient.after(1, lag={0: 6}) == ()


def test_a_wait_for_conversations_is_shown_and_a_problem_only_when_it_lasts() -> None:
    patient = Patient()
    patient.after(110, lag={0: 7, 1: 2})
    patient.vitals.done()
    for seconds, problems in (
        (10, ()),
        (60, ("records wait, but none was done: the conversations of partitions 0, 1 are not here",)),
    ):
        patient.now += timedelta(seconds=seconds)
        patient.vitals.feel(Pulse(patient.now, {0: 7, 1: 2}, patient.now, (0, 1)))
        health = patient.vitals.health()
        assert (problems, (0, 1)) == (health.problems, health.without_conversations)


def test_what_was_deleted_unjudged_is_shown_and_no_reason_to_restart() -> None:
    patient = Patient()
    patient.after(110, lag={0: 7})
    patient.vitals.done()
    patient.vitals.deleted(5)
    patient.vitals.deleted(2)
    health = patient.vitals.health()
    assert (7, True) == (health.deleted_unjudged, health.well)


def test_health_names_what_gave_the_last_verdict() -> None:
    patient = Patient()
    assert patient.vitals.health().judged_by is None
    patient.vitals.done(VERSIONS)
    patient.vitals.done()  # a batch of dead letters only
    assert patient.vitals.health().judged_by == VERSIONS
    with (
        serving_status(
            "127.0.0.1", 0, health=patient.vitals.health, registry=WorkerMetrics().registry
        ) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer,
    ):
        assert json.load(answer)["judged_by"]["pack"] == VERSIONS.pack


def test_health_and_metrics_are_served() -> None:
    patient, metrics = Patient(), WorkerMetrics()
    metrics.count_batch({"clean": 2, "flagged": 1}, {"bad_json": 1}, [0.02, 0.3, 0.02, 0.02], 0.1)
    metrics.show_lag({0: 3, 1: 0})
    metrics.show_lag({0: 4})
    with serving_status("127.0.0.1", 0, health=patient.vitals.health, registry=metrics.registry) as port:
        address = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert json.load(answer)["problems"] == []
        patient.after(101)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/health")
        assert refused.value.code == 503
        assert json.load(refused.value)["problems"] == ["has not begun to consume"]
        refused.value.close()
        with urllib.request.urlopen(f"{address}/metrics") as answer:
            told = answer.read().decode()
        with (
            pytest.raises(BrokerError, match="cannot serve"),
            serving_status("127.0.0.1", port, health=patient.vitals.health, registry=metrics.registry),
        ):
            pass
    for line in (
        'redline_verdicts_total{outcome="flagged"} 1.0',
        'redline_dead_letters_total{reason="bad_json"} 1.0',
        'redline_lag_records{partition="0"} 4.0',
        "redline_end_to_end_seconds_count 4.0",
        'redline_end_to_end_seconds_bucket{le="0.25"} 3.0',
    ):
        assert line in told.splitlines()
    assert 'partition="1"' not in told
