"""Whatever is accepted as a message can be stored, kept as context and shown to a reviewer, however long it gets."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.domain import Message
from feedback.snapshot import Snapshot, decode_snapshot, encode_snapshot
from streams.codec import decode_message, decode_verdict, encode_message, encode_verdict
from streams.conversation import Entry
from streams.conversation_lines import entries_of, lines_of
from streams.errors import InvalidMessage
from streams.store.base import StoredMessage
from streams.store.clickhouse.rows import message_from, message_row
from streams.store.clickhouse.tables import MESSAGES, TABLES
from streams.store.sqlite import SqliteEventStore
from streams.wire import MAX_RECORD_BYTES
from tests.stream_samples import verdict

FIELDS: dict[str, Any] = {
    "message_id": "m1",
    "conversation_id": "c1",
    "sent_at": "2025-03-01T09:30:00+08:00",
    "speaker": "advisor",
    "text": "您好",
}
COLUMNS = list(TABLES[MESSAGES])
# What becomes longer when it is written as a string, or does not.
PARTS: st.SearchStrategy[Any] = st.sampled_from(["", '"', "\\", "\x01", "保", "ab"]) | st.sampled_from(
    [0, 1e15, None, {"": ""}, [[]]]
)


def record(place: str, parts: list[Any], size: int) -> bytes:
    """A record of about `size` bytes, filled with the parts at this place."""
    once = len(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()) - 1
    many = (parts * (size // once + 1))[: max(1, size * len(parts) // once)]
    filling: Any = {"parts": many} if place == "raw" else "".join(map(str, many))
    inside = {place: filling} if place == "raw" else {place: {"name": filling}}
    return json.dumps({**FIELDS, **inside}, ensure_ascii=False, separators=(",", ":")).encode()


def accepted(raw: bytes) -> Message | None:
    try:
        return decode_message(raw)
    except InvalidMessage:
        return None


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["raw", "product", "attributes"]),
    st.lists(PARTS, min_size=1, max_size=4),
    st.sampled_from([1, 40, 500_000, 750_000, MAX_RECORD_BYTES - 200]),
)
@example("raw", [""], 750_000)
@example("raw", [1e15], 1_000_000)
@example("product", ["a"], MAX_RECORD_BYTES - 150)
def test_every_message_that_is_accepted_comes_back_from_where_it_is_kept(
    place: str, parts: list[Any], size: int
) -> None:
    said = accepted(record(place, parts, size))
    if said is None:
        return
    stored = StoredMessage(said)
    row = message_row(stored, 1)
    assert said == message_from(row[COLUMNS.index("text")], row[COLUMNS.index("rest")])
    sqlite = SqliteEventStore(":memory:")
    sqlite.write_messages([stored])
    assert ([said], said) == (sqlite.conversation("c1"), sqlite.message("c1", "m1"))
    sqlite.close()
    snapshot = Snapshot(said, (said,), verdict("m1"))
    assert snapshot == decode_snapshot(encode_snapshot(snapshot))
    (entry,) = entries_of(lines_of([Entry(1, 1, said)]))
    assert (said.text, said.product) == (entry.message.text, entry.message.product)


def test_a_record_that_fits_may_be_longer_when_it_is_written_anew() -> None:
    """The example of the property above that stopped the sink."""
    raw = record("raw", [""], 750_000)
    assert len(raw) < MAX_RECORD_BYTES < len(encode_message(decode_message(raw)))


def test_verdict_longer_than_a_record_may_be_is_read() -> None:
    """It quotes the text once for each finding; the worker sends what its topic takes."""
    told = orjson.loads(encode_verdict(verdict()))
    told["queue_reasons"] = ["x" * MAX_RECORD_BYTES]
    assert MAX_RECORD_BYTES == len(decode_verdict(orjson.dumps(told)).queue_reasons[0])


@pytest.mark.parametrize("size", [MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1])
def test_the_limit_holds_where_a_record_comes_in(size: int) -> None:
    frame = len(json.dumps({**FIELDS, "raw": ""}, ensure_ascii=False).encode())
    raw = json.dumps({**FIELDS, "raw": "x" * (size - frame)}, ensure_ascii=False).encode()
    assert size == len(raw)
    assert (size <= MAX_RECORD_BYTES) == (accepted(raw) is not None)
