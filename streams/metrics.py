"""What a worker and a sink count of themselves, for Prometheus. No text, no id of a customer is in a name or a tag."""

from collections import Counter as Tally
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.second_opinion import OpinionResult

# End to end: a verdict within a second is the promise, 250 ms at half load the aim.
LATENCY_BUCKETS_SEC = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class WorkerMetrics:
    """The metrics of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._verdicts = Counter(
            "redline_verdicts", "Messages judged, by outcome", ["outcome"], registry=self.registry
        )
        self._dead_letters = Counter(
            "redline_dead_letters", "Records that could not be judged", ["reason"], registry=self.registry
        )
        self._degraded = Counter(
            "redline_degraded_verdicts",
            "Messages that a detector could not judge, scored ones too, by detector and kind of error",
            ["detector", "error"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "redline_end_to_end_seconds",
            "From the broker's time of a record to its verdict being with the broker",
            buckets=LATENCY_BUCKETS_SEC,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "redline_batch_seconds",
            "Time to judge a batch and deliver it",
            buckets=LATENCY_BUCKETS_SEC,
            registry=self.registry,
        )
        self._batch_records = Histogram(
            "redline_batch_records", "Records in a batch", buckets=BATCH_BUCKETS, registry=self.registry
        )
        self._opinions = Counter(
            "redline_llm_judge",
            "Undecided messages for the LLM judge, by what came of it",
            ["result"],
            registry=self.registry,
        )
        self._deleted = Counter(
            "redline_deleted_unjudged",
            "Offsets that the broker deleted before anybody judged their messages",
            registry=self.registry,
        )
        self._lag = Gauge(
            "redline_lag_records",
            "Records of a partition of this worker that wait",
            ["partition"],
            registry=self.registry,
        )

    def count_batch(
        self,
        outcomes: Mapping[str, int],
        reasons: Mapping[str, int],
        latencies_sec: list[float],
        took_sec: float,
    ) -> None:
        """A batch is judged and delivered."""
        for outcome, number in outcomes.items():
            self._verdicts.labels(outcome).inc(number)
        for reason, number in Tally(reasons).items():
            self._dead_letters.labels(reason).inc(number)
        for latency in latencies_sec:
            self._latency.observe(max(0.0, latency))
        self._batch_seconds.observe(took_sec)
        self._batch_records.observe(len(latencies_sec))

    def count_degraded(self, detector: str, error: str, verdicts: int) -> None:
        """A detector could not judge so many messages of a batch. `error` is a type or a code, never a text."""
        self._degraded.labels(detector, error).inc(verdicts)

    def count_opinion(self, result: OpinionResult) -> None:
        """What came of a question to the LLM judge. Its amended verdicts are not among the messages judged."""
        self._opinions.labels(result).inc()

    def count_deleted(self, offsets: int) -> None:
        """So many offsets were deleted before anybody judged them."""
        self._deleted.inc(offsets)

    def show_lag(self, lag: Mapping[int, int]) -> None:
        """How much waits; partitions that are not in it are no longer this worker's."""
        self._lag.clear()
        for partition, records in lag.items():
            self._lag.labels(str(partition)).set(records)


class SinkMetrics:
    """The metrics of one sink, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._rows = Counter("redline_sink_rows", "Rows written", ["kind"], registry=self.registry)
        self._unreadable = Counter(
            "redline_sink_unreadable",
            "Records that cannot be stored: skipped (no message, no dead letter) or dead-lettered",
            ["outcome"],
            registry=self.registry,
        )
        self._deleted = Counter(
            "redline_sink_deleted_unstored",
            "Offsets that the broker deleted before a sink stored their records",
            ["topic"],
            registry=self.registry,
        )
        self._write_seconds = Histogram(
            "redline_sink_write_seconds",
            "Time to write a batch and commit its offsets",
            buckets=LATENCY_BUCKETS_SEC,
            registry=self.registry,
        )
        self._last_write = Gauge(
            "redline_sink_last_write_timestamp_seconds",
            "When a batch was last written",
            registry=self.registry,
        )
        self._store_away = Gauge(
            "redline_sink_store_away_seconds",
            "For how long the store has been away; 0 when it is there",
            registry=self.registry,
        )
        self._lag = Gauge(
            "redline_sink_lag_records",
            "Records that are on the broker but not in the store",
            ["topic", "partition"],
            registry=self.registry,
        )

    def count_write(self, rows: Mapping[str, int], at: float, took_sec: float) -> None:
        """A batch is written, at this time (seconds since 1970)."""
        for kind, number in rows.items():
            self._rows.labels(kind).inc(number)
        self._last_write.set(at)
        self._write_seconds.observe(took_sec)

    def count_unreadable(self, *, dead_lettered: bool) -> None:
        """A record that cannot be stored."""
        self._unreadable.labels("dead_lettered" if dead_lettered else "skipped").inc()

    def count_deleted(self, topic: str, offsets: int) -> None:
        """So many offsets were deleted before a sink stored them."""
        self._deleted.labels(topic).inc(offsets)

    def show_store_away(self, seconds: float) -> None:
        """For how long the store has been away."""
        self._store_away.set(seconds)

    def show_lag(self, lag: Mapping[tuple[str, int], int]) -> None:
        """How much waits; places that are not in it are no longer this sink's."""
        self._lag.clear()
        for (topic, partition), records in lag.items():
            self._lag.labels(topic, str(partition)).set(records)
