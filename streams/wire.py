"""
JSON objects from untrusted producers: parsed once, checked field by field.

Everything here raises `InvalidMessage` whose words tell the producer what to mend.
They quote ids, field names and the kind of a value, never what a customer said.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NoReturn, cast

import orjson

from streams.errors import InvalidMessage

MAX_RECORD_BYTES = 1024 * 1024
MAX_ID_CHARS = 512
MAX_DEPTH = 32
MAX_SEQ = 2**63 - 1
QUOTED_CHARS = 40
# ClickHouse's DateTime ends in 2106 and starts in 1970; a year's margin covers every offset.
MIN_YEAR, MAX_YEAR = 1971, 2105

_KEY_END = re.compile(rb'"[ \t\r\n]*:')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(Z|z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
_KIND_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true/false",
    type(None): "null",
}


def parse_object(raw: bytes | str, *, max_bytes: int | None = MAX_RECORD_BYTES) -> dict[str, object]:
    """
    Parse one JSON object.

    Refuses what a parser would quietly bend: repeated keys, invalid UTF-8, lone
    surrogates, NaN, more than `MAX_DEPTH` levels, more than `max_bytes` (None: any size, for
    what redline itself wrote). A leading byte order mark is passed over.
    """
    data = _to_bytes(raw)
    if max_bytes is not None and len(data) > max_bytes:
        raise InvalidMessage(
            "too_large",
            f"the record has {len(data):,} bytes, the limit is {max_bytes:,}: "
            "split the text into several messages or send fewer attributes",
        )
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _unparsable(data, error) from None
    if type(record) is not dict:
        raise InvalidMessage("not_an_object", f"expected one JSON object, found {kind_of(record)}")
    keys = len(record)
    for value in record.values():
        if type(value) is dict or type(value) is list:
            keys += _count_keys(record)
            break
    if len(_KEY_END.findall(data)) != keys:
        _refuse_repeated_keys(data)
    return record


def kind_of(value: object) -> str:
    """How to name a value's type to a producer, without showing the value."""
    return _KIND_NAMES.get(type(value), type(value).__name__)


def quoted(value: object) -> str:
    """A short, printable form of an id or code for an error message; never used on text."""
    shown = str(value)
    return repr(shown if len(shown) <= QUOTED_CHARS else shown[:QUOTED_CHARS] + "…")


def refuse_missing(record: Mapping[str, object], required: tuple[str, ...]) -> NoReturn:
    """Name every required field that is absent or null."""
    missing = [name for name in required if record.get(name) is None]
    names = ", ".join(f"'{name}'" for name in missing)
    raise InvalidMessage("missing_field", f"required and not there: {names}", field=missing[0])


def string(value: object, field: str) -> str:
    """The value, if it is a string."""
    if type(value) is not str:
        raise InvalidMessage("wrong_type", f"expected a string, found {kind_of(value)}", field=field)
    return value


def optional_string(value: object, field: str) -> str | None:
    """The value, if it is a string or null."""
    return None if value is None else string(value, field)


def identifier(value: object, field: str) -> str:
    """The value, if it can serve as a key: 1 to 512 printable characters, not only spaces."""
    text = string(value, field)
    if len(text) > MAX_ID_CHARS:
        detail = f"has {len(text):,} characters, an id may have {MAX_ID_CHARS}"
        raise InvalidMessage("bad_value", detail, field=field)
    if text.isprintable() and text and not text.isspace():
        return text
    if not text or text.isspace():
        raise InvalidMessage("bad_value", "is empty: every record needs its id", field=field)
    found = _CONTROL.search(text)
    if found:
        code = f"U+{ord(found.group()):04X}"
        detail = f"has the control character {code} at position {found.start()}: send the id without it"
        raise InvalidMessage("control_character", detail, field=field)
    return text


def optional_identifier(value: object, field: str) -> str | None:
    """Like `identifier`, or null. The empty string is allowed and kept."""
    return None if value is None else ("" if value == "" else identifier(value, field))


def integer(value: object, field: str, *, maximum: int = MAX_SEQ) -> int:
    """The value, if it is a whole number from 0 to `maximum`. JSON's 3.0 is 3."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise InvalidMessage("wrong_type", f"expected a whole number, found {kind_of(value)}", field=field)
    if not 0 <= value <= maximum:
        raise InvalidMessage("bad_value", f"must lie between 0 and {maximum}", field=field)
    return value


def number(value: object, field: str, *, maximum: float = math.inf) -> float:
    """The value, if it is a finite number from 0 to `maximum`."""
    if type(value) is not float and type(value) is not int:
        raise InvalidMessage("wrong_type", f"expected a number, found {kind_of(value)}", field=field)
    if not (0 <= value <= maximum and math.isfinite(value)):
        raise InvalidMessage("bad_value", f"must be a number from 0 to {maximum}", field=field)
    return float(value)


def boolean(value: object, field: str) -> bool:
    """The value, if it is true or false."""
    if type(value) is not bool:
        raise InvalidMessage("wrong_type", f"expected true or false, found {kind_of(value)}", field=field)
    return value


def mapping(value: object, field: str) -> dict[str, object]:
    """The value, if it is an object."""
    if type(value) is not dict:
        raise InvalidMessage("wrong_type", f"expected an object, found {kind_of(value)}", field=field)
    return value


def sequence(value: object, field: str) -> list[object]:
    """The value, if it is a list."""
    if type(value) is not list:
        raise InvalidMessage("wrong_type", f"expected a list, found {kind_of(value)}", field=field)
    return value


def timestamp(value: object, field: str) -> datetime:
    """
    An RFC 3339 time with its offset, from 1971 to 2105.

    Kept to the microsecond; further digits are cut. A time without an offset is
    refused, because guessing it would order a conversation wrongly.
    """
    text = string(value, field)
    shape = _RFC3339.fullmatch(text)
    if shape is None:
        detail = f"{quoted(text)} is no RFC 3339 time: write it like 2025-03-01T09:30:00+08:00"
        raise InvalidMessage("bad_timestamp", detail, field=field)
    if shape.group(1) is None:
        detail = f"{quoted(text)} has no UTC offset: add it, as in {text[:19]}+08:00"
        raise InvalidMessage("naive_timestamp", detail, field=field)
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise InvalidMessage("bad_timestamp", f"{quoted(text)}: {error}", field=field) from None
    if not MIN_YEAR <= moment.year <= MAX_YEAR:
        detail = f"{quoted(text)} lies outside {MIN_YEAR} to {MAX_YEAR}: check the unit of the clock"
        raise InvalidMessage("bad_timestamp", detail, field=field)
    return moment


def as_text(value: object, field: str, raw: bytes | str) -> str:
    """
    A string as it is, anything else as compact JSON.

    Whole numbers past 64 bits keep every digit: they are read again from `raw`,
    since the fast parser would have rounded them.
    """
    if type(value) is str:
        return value
    if any_float(value, lambda number: abs(number) >= MAX_SEQ):
        try:
            exact = json.loads(_to_bytes(raw).decode("utf-8-sig"))[field]
            return json.dumps(exact, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except (ValueError, KeyError):
            detail = "has a number too long to keep: send it as a string"
            raise InvalidMessage("bad_value", detail, field=field) from None
    return orjson.dumps(value).decode()


def any_float(value: object, test: Callable[[float], bool]) -> bool:
    """Whether some float inside the JSON value passes the test."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, float) and test(item):
            return True
        if isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return False


def refuse_lone_surrogates(text: str, field: str | None = None) -> None:
    """Raise where the text cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage("lone_surrogate", _surrogate_detail(error.start), field=field) from None


def _to_bytes(raw: bytes | str) -> bytes:
    if isinstance(raw, bytes):
        return raw
    raw = raw.removeprefix("\ufeff")
    refuse_lone_surrogates(raw)
    return raw.encode()


def _surrogate_detail(position: int) -> str:
    return (
        f"half of a surrogate pair at position {position}: the producer cut an emoji in two; "
        "send whole characters as UTF-8"
    )


def _unparsable(data: bytes, error: orjson.JSONDecodeError) -> InvalidMessage:
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        detail = (
            f"byte {bad.start + 1} (0x{data[bad.start]:02X}) is not UTF-8: "
            "convert the file to UTF-8, or name its encoding (GBK exports: gb18030)"
        )
        return InvalidMessage("invalid_utf8", detail)
    if "surrogate" in error.msg:
        return InvalidMessage("lone_surrogate", _surrogate_detail(error.pos))
    if "depth limit" in error.msg:
        return _too_deep()
    detail = f"not valid JSON, column {error.pos + 1}: {error.msg}{_hint(data, error)}"
    return InvalidMessage("bad_json", detail)


def _hint(data: bytes, error: orjson.JSONDecodeError) -> str:
    rest = data.decode()[error.pos : error.pos + 9]
    if rest.startswith(("NaN", "Infinity", "-Infinity")) or "infinity" in error.msg:
        return "; NaN and Infinity are not JSON: leave the field out"
    if rest.startswith("'"):
        return "; keys and strings need double quotes"
    if data.lstrip()[:1] == b"[":
        return "; write one JSON object per line, not one array"
    if "end of data" in error.msg:
        return "; the record is cut off, or holds a raw line break: write one object per line"
    if "control character" in error.msg:
        return "; write control characters in strings as \\u00XX"
    return ""


def _too_deep() -> InvalidMessage:
    return InvalidMessage("too_deep", f"nested more than {MAX_DEPTH} levels: send the inner part as a string")


def _count_keys(record: dict[str, object]) -> int:
    """Count the keys of nested objects; refuse what is nested too deeply."""
    count, level = 0, [v for v in record.values() if isinstance(v, dict | list)]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                count += len(value)
                below.extend(value.values())
            else:
                below.extend(cast(list[object], value))
        level = [v for v in below if isinstance(v, dict | list)]
        if not level:
            return count
    raise _too_deep()


def _refuse_repeated_keys(data: bytes) -> None:
    """The exact but slow look, for records whose colons do not add up."""

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        built = dict(items)
        if len(built) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            detail = f"the key {quoted(twice)} occurs twice in one object: send it once"
            raise InvalidMessage("duplicate_key", detail, field=twice[:QUOTED_CHARS])
        return built

    json.loads(data, object_pairs_hook=pairs, parse_int=str, parse_float=str)
