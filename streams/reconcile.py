"""
Is everything accounted for? Per hour and partition: produced = judged + dead-lettered = stored.

Reads the broker's own record of each: every message that it holds of a time, the verdicts since then,
all dead letters. A message counts as judged when there is a verdict on these words under its
conversation and id, so a verdict that was given twice counts once and none is taken for another.
In the same way a dead letter counts for the bytes that it was written about, at their place: where
a topic was made anew, old letters name places that now hold other records.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b, sha256
from itertools import islice
from typing import Literal

from streams.broker import Bootstrap
from streams.codec import decode_message, decode_verdict
from streams.dead_letter_events import DeadLetterEvent, Status, decode_dlq_record
from streams.dead_letters import DeadLetter
from streams.errors import InvalidMessage
from streams.group_offsets import Place, committed_offsets
from streams.identity import MessageKey, message_key, verdict_key
from streams.origin import Origin
from streams.store.base import EventStore
from streams.topic_reader import Stretch, TopicReader, TopicRecord
from streams.topics import DEAD_LETTERS, MESSAGES, SINK_GROUP, VERDICTS, WORKER_GROUP

BATCH = 500
# Clocks of producers and workers may be so far apart that a verdict seems older than its message.
CLOCK_SKEW = timedelta(hours=1)

Failed = tuple[Origin, str]
"""A record that a dead letter is about: its place, and the SHA-256 of its bytes in hex."""

GapKind = Literal[
    "not judged", "not read yet", "message not stored", "verdict not stored", "dead letter not stored"
]


@dataclass(frozen=True, slots=True)
class Gap:
    """A record that is not where it should be. `not read yet`: the worker has not come so far, nothing is lost."""

    kind: GapKind
    origin: Origin
    at: datetime


@dataclass(slots=True)
class HourBalance:
    """
    One hour (in UTC, by the producers' clocks) of one partition.

    `open_letters` are those of `dead` that nobody replayed or dropped. `in_flight` were produced
    too lately to ask for. `stored` is 0 where no store was asked.
    """

    produced: int = 0
    judged: int = 0
    dead: int = 0
    open_letters: int = 0
    in_flight: int = 0
    stored: int = 0
    gaps: int = 0


@dataclass(slots=True)
class Balance:
    """
    The result. `stretches` says which offsets were looked at.

    `cut` names partitions of which the broker has dropped the beginning of the time asked for,
    so that nothing can be said of it. `deleted` are offsets that the broker dropped before the worker
    came to them, whatever their time; `deleted_unstored` those of any topic that it dropped before the
    sink came to them. `unseen` names the groups whose place this user may not see, so that what was
    deleted before they came to it is not known.
    """

    stretches: tuple[Stretch, ...]
    hours: dict[tuple[datetime, int], HourBalance] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    deleted: list[Stretch] = field(default_factory=list)
    deleted_unstored: list[Stretch] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """True when every record is accounted for, as far as could be seen: see `unseen`."""
        return not (self.gaps or self.deleted or self.deleted_unstored)

    def total(self) -> HourBalance:
        """All hours and partitions together."""
        found = HourBalance()
        for hour in self.hours.values():
            for name in ("produced", "judged", "dead", "open_letters", "in_flight", "stored", "gaps"):
                setattr(found, name, getattr(found, name) + getattr(hour, name))
        return found


def reconcile(
    bootstrap: Bootstrap,
    store: EventStore | None,
    *,
    start: datetime,
    end: datetime,
    now: datetime,
    settle: timedelta = timedelta(minutes=1),
    group: str = WORKER_GROUP,
    sink_group: str = SINK_GROUP,
) -> Balance:
    """
    Compare what the broker holds of a time with what became of it; with a store, also with what is kept.

    Records younger than `settle` may still be on their way and count as in flight. `group` is that of
    the workers, `sink_group` that of the sinks, which is asked with a store only. Memory: 16 bytes for
    each verdict since `start`. Raises BrokerError and StoreError.
    """
    # Before the verdicts: what is read in the meantime is judged by then, or waits.
    read_to = committed_offsets(bootstrap, group)
    stored_to = committed_offsets(bootstrap, sink_group) if store is not None else {}
    with TopicReader(bootstrap) as reader:
        stretches = reader.stretches(MESSAGES, start, end)
        whole = {stretch.partition: stretch for stretch in reader.stretches(MESSAGES)}
        letters = dict(_letters(reader.read(reader.stretches(DEAD_LETTERS))))
        judged = set(_judged(reader.read(reader.stretches(VERDICTS, start - CLOCK_SKEW))))
        balance = Balance(
            tuple(stretches),
            deleted=_deleted(read_to or {}, whole.values()),
            deleted_unstored=_deleted(stored_to or {}, _held(reader, stored_to or {})),
            unseen=[name for name, seen in ((group, read_to), (sink_group, stored_to)) if seen is None],
        )
        for stretch in stretches:
            first = whole[stretch.partition].start
            if 0 < first == stretch.start:
                balance.cut.append(stretch.partition)
        stored_letters = _stored_letters(store) if store is not None else set()
        records = reader.read(stretches)
        while batch := list(islice(records, BATCH)):
            _account(balance, batch, judged, letters, read_to, store, stored_letters, now - settle)
    return balance


def _held(reader: TopicReader, places: Iterable[Place]) -> list[Stretch]:
    """What the broker holds of the topics of these places."""
    topics = sorted({topic for topic, _ in places})
    return [stretch for topic in topics for stretch in reader.stretches(topic)]


def _deleted(read_to: Mapping[Place, int], whole: Iterable[Stretch]) -> list[Stretch]:
    """Between where a group would go on and what the broker still holds."""
    return [
        Stretch(held.topic, held.partition, read_to[held.topic, held.partition], held.start)
        for held in whole
        if read_to.get((held.topic, held.partition), held.start) < held.start
    ]


def _account(
    balance: Balance,
    batch: list[TopicRecord],
    judged: set[bytes],
    letters: dict[Failed, Status],
    read_to: dict[Place, int] | None,
    store: EventStore | None,
    stored_letters: set[Failed],
    young: datetime,
) -> None:
    keys = {record.origin: _key(record) for record in batch}
    known = [key for key in keys.values() if key is not None]
    messages = store.present("messages", known) if store is not None else set()
    verdicts = store.present("verdicts", known) if store is not None else set()
    for record in batch:
        hour = record.at.replace(minute=0, second=0, microsecond=0)
        count = balance.hours.setdefault((hour, record.origin.partition), HourBalance())
        count.produced += 1
        key = keys[record.origin]
        is_judged = key is not None and _digest(key) in judged
        failed = _failed(record)
        is_dead = not is_judged and failed in letters
        missing: list[GapKind] = []
        if not is_judged and not is_dead:
            origin = record.origin
            waits = read_to is not None and origin.offset >= read_to.get((origin.topic, origin.partition), 0)
            missing.append("not read yet" if waits else "not judged")
        elif store is not None and is_dead:
            missing += [] if failed in stored_letters else ["dead letter not stored"]
        elif store is not None:
            missing += [] if key in messages else ["message not stored"]
            missing += [] if key in verdicts else ["verdict not stored"]
        if missing and record.at > young:
            count.in_flight += 1
            continue
        count.judged += is_judged
        count.dead += is_dead
        count.open_letters += is_dead and letters[failed] == "open"
        count.stored += store is not None and not missing
        count.gaps += bool(missing)
        balance.gaps += [Gap(kind, record.origin, record.at) for kind in missing]


def _key(record: TopicRecord) -> MessageKey | None:
    try:
        return message_key(decode_message(record.value or b""))
    except InvalidMessage:
        return None


def _digest(key: MessageKey) -> bytes:
    return blake2b("\0".join(key).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _judged(records: Iterable[TopicRecord]) -> Iterator[bytes]:
    for record in records:
        try:
            yield _digest(verdict_key(decode_verdict(record.value or b"")))
        except InvalidMessage:
            continue  # the sink dead-letters it; its message shows as not judged


def _failed(record: TopicRecord) -> Failed:
    return record.origin, sha256(record.value or b"").hexdigest()


def _letters(records: Iterable[TopicRecord]) -> Iterator[tuple[Failed, Status]]:
    """What became of each, the last word last; see `streams.dead_letter_events.fold`."""
    letters: dict[Origin, tuple[datetime, str]] = {}
    notes: dict[Origin, DeadLetterEvent] = {}
    for record in records:
        try:
            found = decode_dlq_record(record.value)
        except InvalidMessage:
            continue
        if isinstance(found, DeadLetter):
            origin = Origin(found.topic, found.partition, found.offset)
            last = max(found.at, letters[origin][0]) if origin in letters else found.at
            letters[origin] = last, found.original_sha256
        else:
            origin = found.origin
            if origin not in notes or found.at >= notes[origin].at:
                notes[origin] = found
        if origin not in letters:
            continue  # a note whose letter is gone says nothing of what it was about
        (failed_at, digest), note = letters[origin], notes.get(origin)
        yield (origin, digest), note.status if note is not None and note.at >= failed_at else "open"


def _stored_letters(store: EventStore) -> set[Failed]:
    rows = store.select(
        "SELECT DISTINCT topic, partition_no, offset_no, sha256 FROM dead_letter_events WHERE status = 'open'",
        {},
    )
    return {(Origin(topic, int(partition), int(offset)), digest) for topic, partition, offset, digest in rows}
