"""Look at dead letters, send their records again, or drop them, on the broker itself."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from streams.broker import Bootstrap
from streams.codec import decode_message
from streams.dead_letter_events import (
    DeadLetterEvent,
    LetterState,
    Resolution,
    Status,
    decode_dlq_record,
    encode_resolution,
    event_of_letter,
    fold,
)
from streams.dead_letters import WRONG_KEY, DeadLetter
from streams.errors import BrokerError, InvalidMessage
from streams.origin import Origin
from streams.producer import MessageProducer
from streams.topic_reader import TopicReader
from streams.topics import DEAD_LETTERS

BATCH = 200
REPLAY_HEADER = "redline-replay-of"


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; an empty part means all. `since` and `until` speak of the last failure."""

    origins: frozenset[Origin] = frozenset()
    reasons: frozenset[str] = frozenset()
    stack_digests: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    statuses: frozenset[Status] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, state: LetterState) -> bool:
        """Whether this letter is meant."""
        letter = state.letter
        checks = (
            (self.origins, letter.origin),
            (self.reasons, letter.reason),
            (self.stack_digests, letter.stack_digest),
            (self.topics, letter.origin.topic),
            (self.partitions, letter.origin.partition),
            (self.statuses, state.status),
        )
        return (
            all(not wanted or found in wanted for wanted, found in checks)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )


@dataclass(slots=True)
class ReplayReport:
    """What a replay did. `incomplete` were cut or are tombstones: their bytes are not in the letter."""

    replayed: int = 0
    incomplete: list[Origin] = field(default_factory=list)
    refused: dict[Origin, str] = field(default_factory=dict)


class DeadLetterQueue:
    """
    The letters of one broker. Reads the whole dead-letter topic for every question: it is small.

    Every method raises BrokerError.
    """

    def __init__(self, bootstrap: Bootstrap, *, clock: Callable[[], datetime]) -> None:
        self._bootstrap = bootstrap
        self._clock = clock
        self.unreadable = 0

    def states(self) -> Mapping[Origin, LetterState]:
        """Every letter and what became of it, by the first failure."""
        return fold(
            event_of_letter(record) if isinstance(record, DeadLetter) else record
            for record in self._records()
        )

    def chosen(self, wanted: LetterFilter) -> list[LetterState]:
        """The letters that a filter takes."""
        return [state for state in self.states().values() if wanted.takes(state)]

    def letters(self, origins: Collection[Origin]) -> Iterator[DeadLetter]:
        """The letters with their bytes, the last of each record."""
        wanted = set(origins)
        last = {origin: state.letter.at for origin, state in self.states().items() if origin in wanted}
        for record in self._records():
            if not isinstance(record, DeadLetter):
                continue
            if last.get(_origin(record)) == record.at:
                del last[_origin(record)]
                yield record

    def replay(self, origins: Collection[Origin], *, actor: str, why: str) -> ReplayReport:
        """
        Send the original records again, each to its topic, and note who did it and why.

        They keep their keys, except those that failed for a wrong one: they get the right one.

        The note follows the delivery: a replay that is cut short sends some records twice
        when it is run again, which is harmless, and loses none.
        """
        report = ReplayReport()
        letters = self.letters(origins)
        with _Producers(self._bootstrap) as producers:
            while batch := list(islice(letters, BATCH)):
                complete = [letter for letter in batch if letter.complete]
                report.incomplete += [_origin(letter) for letter in batch if not letter.complete]
                for letter in complete:
                    origin = _origin(letter)
                    producers.to(letter.topic).send_bytes(
                        str(origin),
                        _right_key(letter),
                        letter.original,
                        headers=[(REPLAY_HEADER, str(origin).encode())],
                    )
                failed = producers.failures()
                report.refused |= {
                    _origin(letter): failed[str(_origin(letter))]
                    for letter in complete
                    if str(_origin(letter)) in failed
                }
                sent = {
                    _origin(letter): letter.at for letter in complete if str(_origin(letter)) not in failed
                }
                self._note(producers, sent, "replayed", actor, why)
                report.replayed += len(sent)
        return report

    def drop(self, origins: Collection[Origin], *, actor: str, why: str) -> int:
        """
        Note that these records need not be judged, who says so and why; how many of them are letters.

        The letters stay in the topic.
        """
        states = self.states()
        known = {origin: states[origin].letter.at for origin in origins if origin in states}
        with _Producers(self._bootstrap) as producers:
            self._note(producers, known, "dropped", actor, why)
        return len(known)

    def _note(
        self,
        producers: "_Producers",
        failed_at: Mapping[Origin, datetime],
        status: Resolution,
        actor: str,
        why: str,
    ) -> None:
        for origin, known_at in failed_at.items():
            # Not before the failure that it speaks of, also where the worker's clock is ahead of this one.
            at = max(self._clock(), known_at)
            event = DeadLetterEvent(origin, status, at, actor=actor, why=why)
            producers.to(DEAD_LETTERS).send_bytes(str(origin), str(origin).encode(), encode_resolution(event))
        failed = producers.failures()
        if failed:
            name, error = next(iter(failed.items()))
            raise BrokerError(
                f"the broker did not take the note that {name} was {status}: {error}", retryable=True
            )

    def _records(self) -> Iterator[DeadLetter | DeadLetterEvent]:
        self.unreadable = 0
        with TopicReader(self._bootstrap) as reader:
            for record in reader.read(reader.stretches(DEAD_LETTERS)):
                try:
                    yield decode_dlq_record(record.value)
                except InvalidMessage:
                    self.unreadable += 1


def _right_key(letter: DeadLetter) -> bytes | None:
    if letter.reason == WRONG_KEY and letter.original is not None:
        return decode_message(letter.original).conversation_id.encode()
    return letter.key


class _Producers:
    """A producer for each topic, made when it is needed."""

    def __init__(self, bootstrap: Bootstrap) -> None:
        self._bootstrap = bootstrap
        self._by_topic: dict[str, MessageProducer] = {}

    def to(self, topic: str) -> MessageProducer:
        if topic not in self._by_topic:
            self._by_topic[topic] = MessageProducer(self._bootstrap, topic=topic)
        return self._by_topic[topic]

    def failures(self) -> dict[str, str]:
        """Wait for all that was sent since the last time; what failed of it, with the error."""
        failed: dict[str, str] = {}
        for producer in self._by_topic.values():
            failed |= {failure.name: failure.error for failure in producer.settle()}
        return failed

    def __enter__(self) -> "_Producers":
        return self

    def __exit__(self, *_: object) -> None:
        for producer in self._by_topic.values():
            producer.close()


def _origin(letter: DeadLetter) -> Origin:
    return Origin(letter.topic, letter.partition, letter.offset)
