"""A conversation as bytes, one line per entry: how it stands in the worker's table and on disk."""

from collections.abc import Iterable
from dataclasses import replace

from streams.codec import encode_message, restore_message
from streams.conversation import Entry

# Nobody reads the attributes of an earlier message; large ones are not carried along.
MAX_ATTRIBUTES_CHARS = 4_000


def with_line(entry: Entry) -> Entry:
    """With the line that stands for it: arrival, place where it is another, message."""
    message = entry.message
    if sum(len(key) + len(value) for key, value in message.attributes.items()) > MAX_ATTRIBUTES_CHARS:
        message = replace(message, attributes={})
    where = b"%d" % entry.arrival if entry.place == entry.arrival else b"%d:%d" % (entry.arrival, entry.place)
    return Entry(entry.arrival, entry.place, message, b"%s %s" % (where, encode_message(message)))


def lines_of(entries: Iterable[Entry]) -> bytes:
    """The entries as bytes; those without a line get one."""
    return b"\n".join((entry if entry.line else with_line(entry)).line for entry in entries)


def entries_of(raw: bytes) -> list[Entry]:
    """The entries that were written, in order."""
    entries = []
    for line in raw.split(b"\n"):
        where, _, body = line.partition(b" ")
        arrival, _, place = where.partition(b":")
        entries.append(Entry(int(arrival), int(place or arrival), restore_message(body), line))
    return entries
