"""
What commands and the desk ask of the stored events by SQL that every store takes.

It runs unchanged on SQLite, on ClickHouse 18.16 and on the modern engine: it reads the `current_…`
views, in which every row stands once, keeps to integer microseconds, names every sub-query, and uses
no window functions. Ranges hold their start and not their end.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

from streams.store.rows import microseconds

PAGE = 500


class Selecting(Protocol):
    """What is asked: an EventStore."""

    def select(self, query: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        """The rows of a query with `:name` places."""


def open_dead_letters(store: Selecting) -> int:
    """How many records could not be judged, and nobody replayed or dropped."""
    ((letters,),) = store.select("SELECT count(*) FROM current_dead_letters WHERE status = 'open'", {})
    return int(letters)


def conversations_between(store: Selecting, start: datetime, end: datetime) -> Iterator[str]:
    """The conversations that have a message sent in a time, by id; read page by page."""
    after = ""
    while True:
        rows = store.select(
            """
SELECT conversation_id FROM current_messages
WHERE sent_us >= :start AND sent_us < :end AND conversation_id > :after
GROUP BY conversation_id ORDER BY conversation_id LIMIT :limit
""",
            {"start": microseconds(start), "end": microseconds(end), "after": after, "limit": PAGE},
        )
        yield from (conversation for (conversation,) in rows)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]
