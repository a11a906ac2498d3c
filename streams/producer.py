"""Send messages to the broker, as a CRM would: in order per conversation, with a report of what arrived."""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from detectors.domain import Message
from streams.broker import require_broker
from streams.codec import encode_message
from streams.errors import BrokerError
from streams.topics import MAX_RECORD_BYTES, MESSAGES

MAX_IN_FLIGHT = 2_000
# A record that only the broker finds too large ends an idempotent producer with all that is on its
# way, so the client refuses it first: a little below the topic's limit, for the frame around a batch.
FRAME_BYTES = 4_096
DELIVERY_TIMEOUT_SEC = 120
BOOTSTRAP_TIMEOUT_MS = 15_000
LINGER_MS = 5


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A record that the broker did not take, and why. `name` is the message's id."""

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of a run: every message is either delivered or listed in `failed`."""

    delivered: int
    failed: tuple[FailedDelivery, ...]

    @property
    def ok(self) -> bool:
        """True when nothing failed."""
        return not self.failed


class MessageProducer:
    """
    An idempotent producer that waits for all replicas.

    `send` returns at once; `report` waits for what is on its way. The broker keeps
    the order of one conversation, and a retry inside the client never doubles a
    record. A context manager that flushes at the end.
    """

    def __init__(self, bootstrap: str, *, topic: str = MESSAGES) -> None:
        self._topic = topic
        self._delivered = 0
        self._failed: list[FailedDelivery] = []
        self._in_flight: deque[tuple[str, Any]] = deque()
        require_broker(bootstrap)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap,
                client_id="redline-send",
                enable_idempotence=True,
                acks=-1,
                linger_ms=LINGER_MS,
                max_request_size=MAX_RECORD_BYTES - FRAME_BYTES,
                delivery_timeout_ms=DELIVERY_TIMEOUT_SEC * 1000,
                bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
                max_block_ms=BOOTSTRAP_TIMEOUT_MS,
                allow_auto_create_topics=False,
            )
        except KafkaError as error:
            raise BrokerError(f"no Kafka broker answers at {bootstrap} ({error})", retryable=True) from error

    def send(self, message: Message) -> None:
        """Hand one message over; waits only when too many are on their way."""
        self.send_bytes(message.message_id, message.conversation_id.encode(), encode_message(message))

    def send_bytes(self, name: str, key: bytes | None, value: bytes | None) -> None:
        """Hand over a record as it is, for dead letters that are sent again. `name` stands in the report."""
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            self._settle()
        try:
            self._in_flight.append((name, self._producer.send(self._topic, value=value, key=key)))
        except KafkaError as error:
            self._failed.append(FailedDelivery(name, f"{type(error).__name__}: {error}"))

    def report(self) -> DeliveryReport:
        """Wait for everything handed over so far, and say what arrived."""
        with suppress(KafkaError):  # each delivery tells its own error below
            self._producer.flush(timeout=DELIVERY_TIMEOUT_SEC)
        while self._in_flight:
            self._settle()
        return DeliveryReport(self._delivered, tuple(self._failed))

    def close(self) -> None:
        """Flush and leave."""
        self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self) -> None:
        name, future = self._in_flight.popleft()
        try:
            future.get(timeout=DELIVERY_TIMEOUT_SEC)
        except KafkaError as error:
            self._failed.append(FailedDelivery(name, f"{type(error).__name__}: {error}"))
        else:
            self._delivered += 1


def send_messages(
    messages: Iterable[Message],
    *,
    bootstrap: str,
    topic: str = MESSAGES,
    on_progress: Callable[[int], None] | None = None,
) -> DeliveryReport:
    """
    Send all messages and wait for the broker's answer to each; memory stays flat.

    Raises BrokerError when no broker answers. A message that the broker refuses is
    in the report, and the others go on.
    """
    with MessageProducer(bootstrap, topic=topic) as producer:
        for count, message in enumerate(messages, start=1):
            producer.send(message)
            if on_progress is not None:
                on_progress(count)
        return producer.report()
