"""What the worker does with a batch, without a broker: a verdict or a dead letter for each record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from detectors.domain import Message, Versions
from streams.admission import refuse_future, refuse_misplaced
from streams.codec import decode_message, encode_verdict
from streams.dead_letters import (
    PIPELINE_ERROR,
    TOMBSTONE,
    VERDICT_TOO_LARGE,
    DeadLetter,
    dead_letter,
)
from streams.errors import InvalidMessage
from streams.origin import Origin
from streams.pipeline import Judged, Pipeline
from streams.table_context import TableContext
from streams.topics import MAX_RECORD_BYTES

# Room for the key and the broker's own frame around a value.
RECORD_FRAME_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the broker gave it."""

    origin: Origin
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class OutgoingVerdict:
    """A verdict ready to send: keyed by conversation, like the message."""

    key: bytes
    value: bytes
    outcome: str
    judged_by: Versions


@dataclass(slots=True)
class BatchResult:
    """Every record of the batch is in one of the two lists."""

    verdicts: list[OutgoingVerdict] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


class BatchJudge:
    """
    Turns records into verdicts and dead letters. Never raises for what a record holds.

    When the pipeline fails on a batch, its messages are judged one by one, so that one
    bad message does not take the others with it.
    """

    def __init__(self, pipeline: Pipeline, context: TableContext, *, clock: Callable[[], datetime]) -> None:
        self._pipeline = pipeline
        self._context = context
        self._clock = clock

    def judge(self, records: Sequence[Record]) -> BatchResult:
        """One verdict or one dead letter per record."""
        result = BatchResult()
        decoded: list[tuple[Record, Message]] = []
        for record in records:
            if record.value is None:
                result.dead.append(self._dead(record, None, TOMBSTONE))
                continue
            try:
                message = decode_message(record.value)
                refuse_misplaced(record.key, message)
                refuse_future(message, self._clock())
                decoded.append((record, message))
            except InvalidMessage as error:
                result.dead.append(self._dead(record, error, error.reason))
            except Exception as error:  # a decoder's bug must not stop the others
                result.dead.append(self._dead(record, error, PIPELINE_ERROR))
        self._context.expect((message, record.origin) for record, message in decoded)
        self._process(decoded, result)
        return result

    def _process(self, decoded: list[tuple[Record, Message]], result: BatchResult) -> None:
        if not decoded:
            return
        try:
            judged = self._pipeline.process([message for _, message in decoded])
            if len(judged) != len(decoded):
                raise RuntimeError(f"the pipeline gave {len(judged)} verdicts for {len(decoded)} messages")
        except Exception as error:
            if len(decoded) == 1:
                result.dead.append(self._dead(decoded[0][0], error, PIPELINE_ERROR))
                return
            for one in decoded:
                self._process([one], result)
            return
        for (record, _), each in zip(decoded, judged, strict=True):
            self._add_verdict(record, each, result)

    def _add_verdict(self, record: Record, judged: Judged, result: BatchResult) -> None:
        try:
            value = encode_verdict(judged.verdict)
        except Exception as error:
            result.dead.append(self._dead(record, error, PIPELINE_ERROR))
            return
        if len(value) > MAX_RECORD_BYTES - RECORD_FRAME_BYTES:
            result.dead.append(self._dead(record, None, VERDICT_TOO_LARGE))
            return
        key = judged.verdict.conversation_id.encode()
        result.verdicts.append(
            OutgoingVerdict(key, value, judged.verdict.outcome.value, judged.verdict.versions)
        )

    def _dead(self, record: Record, error: Exception | None, reason: str) -> DeadLetter:
        origin = record.origin
        return dead_letter(
            error,
            reason=reason,
            topic=origin.topic,
            partition=origin.partition,
            offset=origin.offset,
            key=record.key,
            original=record.value,
            at=self._clock(),
        )
