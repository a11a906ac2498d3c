"""Message lines for tests of the command."""

from collections.abc import Iterable

import orjson

PROMISE = "这款保本，您放心"
SMALL_TALK = "好的，明天下午见"


def record(number: int = 1, **changes: object) -> dict[str, object]:
    """A good message record; a change to None takes the field out."""
    fields: dict[str, object] = {
        "message_id": f"m{number}",
        "conversation_id": "c1",
        "sent_at": f"2026-03-02T09:{number % 60:02d}:00+08:00",
        "speaker": "advisor",
        "text": PROMISE,
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def lines(records: Iterable[dict[str, object]]) -> bytes:
    """The records as JSON lines."""
    return b"".join(orjson.dumps(item) + b"\n" for item in records)
