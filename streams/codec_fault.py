"""Which field a record broke in, where it could not be parsed at all."""

import re
from collections.abc import Callable

import orjson

from streams import wire
from streams.errors import InvalidMessage

SHOWN_LEVELS = 3

# A string, which may be cut off, or a mark of JSON's structure.
_PART = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\],:]', re.DOTALL)


def parse_record(raw: bytes | str) -> dict[str, object]:
    """
    `wire.parse_object`, whose refusal also names the field that the record broke in.

    Without a field where it broke outside any, or is no object.
    """
    try:
        return wire.parse_object(raw)
    except InvalidMessage as error:
        place = _PLACES.get(error.reason)
        if error.field is not None or place is None:
            raise
        data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
        raise InvalidMessage(error.reason, error.detail, field=field_under_way(place(data))) from None


def field_under_way(text: str) -> str | None:
    """The path of the field whose value is being written where `text`, the beginning of a record, ends."""
    keys: list[str | None] = []  # one for each object or list that is open
    objects: list[bool] = []
    key_comes = False
    for match in _PART.finditer(text):
        part = match.group()
        if part in ("{", "["):
            keys.append(None)
            objects.append(part == "{")
            key_comes = objects[-1]
        elif not keys:
            return None
        elif part in ("}", "]"):
            keys.pop()
            objects.pop()
            key_comes = False
        elif part == ",":
            key_comes = objects[-1]
            if key_comes:
                keys[-1] = None
        elif part == ":":
            key_comes = False
        elif key_comes:
            keys[-1] = part[1:-1] if part.endswith('"') else None
    path = ".".join([key for key in keys if key][:SHOWN_LEVELS])[: wire.QUOTED_CHARS]
    return path if path.isprintable() and path else None


def _before_wrong_byte(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start].decode()


def _before_wrong_character(data: bytes) -> str:
    text = _before_wrong_byte(data.removeprefix(b"\xef\xbb\xbf"))
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return text[: error.pos]
    return text


def _before_limit(data: bytes) -> str:
    return data[: wire.MAX_RECORD_BYTES].decode(errors="replace")


_PLACES: dict[str, Callable[[bytes], str]] = {
    "bad_json": _before_wrong_character,
    "invalid_utf8": _before_wrong_byte,
    "lone_surrogate": _before_wrong_character,
    "too_large": _before_limit,
}
