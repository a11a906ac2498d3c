"""Conversations at rest, on disk: what one process need not hold in memory."""

import sqlite3
from functools import cached_property

from streams.conversation import Entry
from streams.conversation_lines import entries_of, lines_of
from streams.errors import ContextUnwritable

CACHE_KIB = 8 * 1024


class RestingConversations:
    """
    Conversations in a temporary file that is gone with the process (SQLite; `TMPDIR` says where).

    Keeps the `most` that came last; raises `ContextUnwritable` when the disk takes no more.
    For one thread at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def put(self, conversation_id: str, entries: list[Entry]) -> None:
        """Lay a conversation down that is not there."""
        self._run("INSERT INTO resting (id, lines) VALUES (?, ?)", _key(conversation_id), lines_of(entries))
        self._count += 1
        if self._count > self._most:
            self._run("DELETE FROM resting WHERE turn = (SELECT min(turn) FROM resting)")
            self._count -= 1

    def take(self, conversation_id: str) -> list[Entry] | None:
        """Take a conversation up again; None when it is not there."""
        found = self.look(conversation_id)
        if found is not None:
            self._run("DELETE FROM resting WHERE id = ?", _key(conversation_id))
            self._count -= 1
        return found

    def look(self, conversation_id: str) -> list[Entry] | None:
        """A conversation, which stays where it is; None when it is not there."""
        if not self._count:
            return None
        row = self._run("SELECT lines FROM resting WHERE id = ?", _key(conversation_id)).fetchone()
        return None if row is None else entries_of(row[0])

    @cached_property
    def _file(self) -> sqlite3.Connection:
        """Opened with the first conversation: most contexts never lay one down."""
        # Nothing here outlives the process, so nothing need survive a crash.
        file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            file.execute(f"PRAGMA {setting}")
        file.execute("CREATE TABLE resting (turn INTEGER PRIMARY KEY, id BLOB UNIQUE, lines BLOB)")
        return file

    def _run(self, statement: str, *values: bytes) -> sqlite3.Cursor:
        try:
            return self._file.execute(statement, values)
        except sqlite3.Error as error:
            raise ContextUnwritable(str(error)) from error

    def __len__(self) -> int:
        """How many conversations rest."""
        return self._count


def _key(conversation_id: str) -> bytes:
    return conversation_id.encode("utf-8", "surrogatepass")
