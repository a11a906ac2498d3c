"""Send messages to the broker, as a CRM would: in order per conversation, with a report of what arrived."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from detectors.domain import Message
from streams.broker import Bootstrap, as_broker, not_let_in, require_broker
from streams.codec import encode_record
from streams.errors import BrokerError, InvalidMessage
from streams.topics import MAX_RECORD_BYTES, MESSAGES

MAX_IN_FLIGHT = 2_000
# A record that only the broker finds too large ends an idempotent producer with all that is on its
# way, so the client refuses it first: a little below the topic's limit, for the frame around a batch.
FRAME_BYTES = 4_096
DELIVERY_TIMEOUT_SEC = 120
BOOTSTRAP_TIMEOUT_MS = 15_000
LINGER_MS = 5
# Long messages would otherwise each be a request of their own.
BATCH_BYTES = 256 * 1024
# Errors that speak of one record. After any other the rest would fail as well.
REFUSED_ALONE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A record that was not taken, and why. `name` is the message's id."""

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    What became of one record. Told in the order in which the records were handed over.

    `error` is empty when it was delivered, to this partition at this offset.
    """

    name: str
    partition: int = -1
    offset: int = -1
    error: str = ""


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
    record. A record that is too large or that the broker refuses is reported and the
    others go on; when the broker is away for longer than `DELIVERY_TIMEOUT_SEC`, or
    refuses this producer, BrokerError ends it all.
    `on_delivery` hears of every record in order. A context manager that flushes at the end.
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        *,
        topic: str = MESSAGES,
        on_delivery: Callable[[Delivery], None] | None = None,
    ) -> None:
        self._topic = topic
        self._bootstrap = bootstrap
        self._on_delivery = on_delivery
        self._delivered = 0
        self._failed: list[FailedDelivery] = []
        self._failed_before = 0
        self._in_flight: deque[tuple[str, Any]] = deque()
        require_broker(bootstrap)
        try:
            self._producer = KafkaProducer(
                **as_broker(bootstrap).client_options(),
                client_id="redline-send",
                enable_idempotence=True,
                acks=-1,
                linger_ms=LINGER_MS,
                batch_size=BATCH_BYTES,
                max_request_size=MAX_RECORD_BYTES - FRAME_BYTES,
                delivery_timeout_ms=DELIVERY_TIMEOUT_SEC * 1000,
                bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
                max_block_ms=BOOTSTRAP_TIMEOUT_MS,
                allow_auto_create_topics=False,
            )
        except KafkaError as error:
            raise not_let_in(bootstrap, error) from error

    def send(self, message: Message) -> None:
        """
        Hand one message over; waits only when too many are on their way.

        What the worker would not accept is not sent, and reported like what the broker refused.
        """
        try:
            value = encode_record(message)
        except InvalidMessage as error:
            self._wait()  # in order: what is on its way is told first
            self._refuse(message.message_id, str(error))
        else:
            self.send_bytes(message.message_id, message.conversation_id.encode(), value)

    def send_bytes(
        self, name: str, key: bytes | None, value: bytes | None, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Hand over a record as it is, for dead letters that are sent again. `name` stands in the report."""
        while len(self._in_flight) >= MAX_IN_FLIGHT or (self._in_flight and self._in_flight[0][1].is_done):
            self._settle()
        try:
            sent = self._producer.send(self._topic, value=value, key=key, headers=list(headers))
        except KafkaError as error:
            # In order: what is on its way before it is told first.
            self._wait()
            self._note_failure(name, error)
        else:
            self._in_flight.append((name, sent))

    def report(self) -> DeliveryReport:
        """Wait for everything handed over so far, and say what arrived."""
        self._wait()
        return DeliveryReport(self._delivered, tuple(self._failed))

    def settle(self) -> tuple[FailedDelivery, ...]:
        """Wait for everything handed over so far; what of it was refused since the last time."""
        self._wait()
        fresh = tuple(self._failed[self._failed_before :])
        self._failed_before = len(self._failed)
        return fresh

    def close(self) -> None:
        """Flush and leave."""
        self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self) -> None:
        with suppress(KafkaError):  # each delivery tells its own error below
            self._producer.flush(timeout=DELIVERY_TIMEOUT_SEC)
        while self._in_flight:
            self._settle()

    def _settle(self) -> None:
        name, future = self._in_flight[0]
        try:
            placed = future.get(timeout=DELIVERY_TIMEOUT_SEC)
        except KafkaError as error:
            self._in_flight.popleft()
            self._note_failure(name, error)
        else:
            self._in_flight.popleft()
            self._delivered += 1
            self._tell(Delivery(name, placed.partition, placed.offset))

    def _note_failure(self, name: str, error: KafkaError) -> None:
        said = f"{type(error).__name__}: {error}"
        if not isinstance(error, REFUSED_ALONE):
            self._in_flight.clear()
            raise BrokerError(
                f"the broker at {self._bootstrap} does not take records any more ({said})",
                retryable=bool(getattr(error, "retriable", False)),
            ) from error
        self._refuse(name, said)

    def _refuse(self, name: str, said: str) -> None:
        self._failed.append(FailedDelivery(name, said))
        self._tell(Delivery(name, error=said))

    def _tell(self, delivery: Delivery) -> None:
        if self._on_delivery is not None:
            self._on_delivery(delivery)


def send_messages(
    messages: Iterable[Message],
    *,
    bootstrap: Bootstrap,
    topic: str = MESSAGES,
    on_progress: Callable[[int], None] | None = None,
    on_delivery: Callable[[Delivery], None] | None = None,
) -> DeliveryReport:
    """
    Send all messages and wait for the broker's answer to each; memory stays flat.

    `on_delivery` hears what became of each, in order, so that a run can be resumed behind
    the last one. Raises BrokerError when no broker answers or it goes away. A message that
    is refused is in the report, and the others go on.
    """
    with MessageProducer(bootstrap, topic=topic, on_delivery=on_delivery) as producer:
        for count, message in enumerate(messages, start=1):
            producer.send(message)
            if on_progress is not None:
                on_progress(count)
        return producer.report()
