"""Pulls verdicts that a person should see out of the event store and opens cases for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from detectors.domain import Message, Turn, Verdict
from feedback.cases import Clock, case_id_of, open_cases
from feedback.store.desk_store import DeskStore
from feedback.store.tables import state, waiting_verdicts
from streams.codec import decode_verdict, encode_verdict
from streams.identity import content_hash, verdict_key
from streams.store.base import EventStore, ReviewCursor

CONTEXT_MESSAGES = 40
BATCH_SIZE = 200
DEAD_LETTERS = "open_dead_letters"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull did. `waiting` verdicts have no message in the event store yet."""

    opened: int
    waiting: int


def pull_cases(
    events: EventStore,
    store: DeskStore,
    *,
    clock: Clock,
    source: str = "events",
    batch_size: int = BATCH_SIZE,
    max_batches: int | None = None,
) -> Pulled:
    """
    Open cases for everything new, and remember how far we came under the name `source`.

    Call it as often as you like: a repeat opens nothing twice, and a stop in the middle
    loses nothing. A verdict that is ahead of its message is kept and tried again. Name
    another `source` when the event store is another one: a cursor means nothing elsewhere.
    It ends early where somebody else moved the cursor meanwhile, or took it back (`pull_again`).
    Raises StoreError of the event store.
    """
    opened = _try_waiting(events, store, batch_size, clock)
    cursor = _load_cursor(store, source)
    batches = 0
    while max_batches is None or batches < max_batches:
        verdicts, reached = events.verdicts_for_review(cursor, batch_size)
        opened += _open(events, store, verdicts, clock)
        if reached is None or reached == cursor:
            break
        if not _save_cursor(store, source, cursor, reached):
            break
        cursor = reached
        batches += 1
    return Pulled(opened=opened, waiting=count_waiting(store))


def pull_again(store: DeskStore, *, source: str = "events") -> None:
    """
    Forget how far we came: the next pull reads every verdict again, and opens nothing twice.

    For when the topic of verdicts was made anew: its offsets begin at 0, and lie behind the cursor.
    """
    with store.write() as connection:
        connection.execute(delete(state).where(state.c.name == _cursor_name(source)))


def count_waiting(store: DeskStore) -> int:
    """How many verdicts wait for their message."""
    with store.read() as connection:
        counted: int = connection.execute(select(func.count()).select_from(waiting_verdicts)).scalar_one()
    return counted


def note_dead_letters(store: DeskStore, count: int) -> None:
    """Keep how many records could not be judged at all, for the desk to show."""
    if count != count_dead_letters(store):
        with store.write() as connection:
            connection.execute(delete(state).where(state.c.name == DEAD_LETTERS))
            connection.execute(insert(state).values(name=DEAD_LETTERS, value=str(count)))


def count_dead_letters(store: DeskStore) -> int:
    """How many there were at the last pull."""
    with store.read() as connection:
        value = connection.execute(
            select(state.c.value).where(state.c.name == DEAD_LETTERS)
        ).scalar_one_or_none()
    return int(value or 0)


def _open(events: EventStore, store: DeskStore, verdicts: Sequence[Verdict], clock: Clock) -> int:
    if not verdicts:
        return 0
    conversations: dict[str, list[Message]] = {}
    found: list[tuple[Turn, Verdict]] = []
    missing: list[Verdict] = []
    for verdict in verdicts:
        key = verdict.conversation_id
        if key not in conversations:
            conversations[key] = events.conversation(key)
        turn = _turn(conversations[key], verdict)
        if turn is None:
            missing.append(verdict)
        else:
            found.append((turn, verdict))
    opened = open_cases(store, found, clock=clock)
    with store.write() as connection:
        for verdict in missing:
            _wait(connection, verdict, clock)
        arrived = [case_id_of(verdict_key(verdict)) for _, verdict in found]
        connection.execute(delete(waiting_verdicts).where(waiting_verdicts.c.case_id.in_(arrived)))
    return opened


def _turn(conversation: Sequence[Message], verdict: Verdict) -> Turn | None:
    """The message that was judged, by its text: an id may have come with several."""
    for index, message in enumerate(conversation):
        if message.message_id == verdict.message_id and (
            not verdict.content_hash or content_hash(message) == verdict.content_hash
        ):
            return Turn(message, tuple(conversation[max(0, index - CONTEXT_MESSAGES) : index]))
    return None


def _wait(connection: Connection, verdict: Verdict, clock: Clock) -> None:
    now, key = clock(), case_id_of(verdict_key(verdict))
    text = encode_verdict(verdict).decode()
    known = connection.execute(
        update(waiting_verdicts).where(waiting_verdicts.c.case_id == key).values(verdict=text, tried_at=now)
    )
    if known.rowcount == 0:
        connection.execute(
            insert(waiting_verdicts).values(case_id=key, verdict=text, since=now, tried_at=now)
        )


def _try_waiting(events: EventStore, store: DeskStore, limit: int, clock: Clock) -> int:
    query = select(waiting_verdicts.c.verdict).order_by(waiting_verdicts.c.tried_at).limit(limit)
    with store.read() as connection:
        texts = connection.execute(query).scalars().all()
    return _open(events, store, [decode_verdict(text) for text in texts], clock)


def _load_cursor(store: DeskStore, source: str) -> ReviewCursor | None:
    with store.read() as connection:
        value = connection.execute(
            select(state.c.value).where(state.c.name == _cursor_name(source))
        ).scalar_one_or_none()
    if value is None:
        return None
    try:
        return ReviewCursor.parse(orjson.loads(value))
    except ValueError:
        return None  # of redline 0.1: reading from the beginning opens nothing twice


def _save_cursor(store: DeskStore, source: str, before: ReviewCursor | None, cursor: ReviewCursor) -> bool:
    """False where the cursor is no longer the one that we went on from: that of somebody else stays."""
    name, value = _cursor_name(source), orjson.dumps(str(cursor)).decode()
    with store.write() as connection:
        if before is not None:
            ours = (state.c.name == name) & (state.c.value == orjson.dumps(str(before)).decode())
            return connection.execute(update(state).where(ours).values(value=value)).rowcount == 1
        connection.execute(delete(state).where(state.c.name == name))
        connection.execute(insert(state).values(name=name, value=value))
    return True


def _cursor_name(source: str) -> str:
    return f"intake_cursor:{source}"
