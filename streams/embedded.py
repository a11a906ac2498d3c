"""Everything in one process: records in, verdicts out, in the order they came."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from detectors.domain import Message, Outcome
from streams.pipeline import Judged, Pipeline
from streams.readers.base import BadRecord


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is: `read` = `judged` + `bad`."""

    judged: int
    bad: int
    flagged: int
    undecided: int

    @property
    def read(self) -> int:
        """Records that have their result."""
        return self.judged + self.bad


def scan(
    records: Iterable[Message | BadRecord],
    pipeline: Pipeline,
    *,
    batch_size: int = 64,
    on_progress: Callable[[ScanProgress], None] | None = None,
) -> Iterator[Judged | BadRecord]:
    """
    One result per record, in input order.

    Holds one batch at a time. `on_progress` is called after each batch, with
    totals, before its results are given. What a source raises comes through
    after the results of the records before it.
    """
    if batch_size < 1:
        raise ValueError("batch_size must be at least 1")
    progress = ScanProgress(0, 0, 0, 0)
    for batch in _batches(records, batch_size):
        results = _judge_batch(batch, pipeline)
        progress = _add(progress, results)
        if on_progress is not None:
            on_progress(progress)
        yield from results


def _batches(records: Iterable[Message | BadRecord], size: int) -> Iterator[list[Message | BadRecord]]:
    batch: list[Message | BadRecord] = []
    source = iter(records)
    while True:
        try:
            batch.append(next(source))
        except StopIteration:
            break
        except Exception:
            if batch:
                yield batch
            raise
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _judge_batch(batch: list[Message | BadRecord], pipeline: Pipeline) -> list[Judged | BadRecord]:
    judged = iter(pipeline.process([record for record in batch if isinstance(record, Message)]))
    return [record if isinstance(record, BadRecord) else next(judged) for record in batch]


def _add(progress: ScanProgress, results: list[Judged | BadRecord]) -> ScanProgress:
    outcomes = [result.verdict.outcome for result in results if isinstance(result, Judged)]
    return ScanProgress(
        judged=progress.judged + len(outcomes),
        bad=progress.bad + len(results) - len(outcomes),
        flagged=progress.flagged + outcomes.count(Outcome.FLAGGED),
        undecided=progress.undecided + outcomes.count(Outcome.UNDECIDED),
    )
