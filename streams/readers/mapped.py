"""From a source's record to a message, by its mapping."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from detectors.domain import Message, Speaker
from streams import wire
from streams.codec import decode_message
from streams.errors import InvalidMessage
from streams.identity import EVENT_ATTRIBUTE
from streams.readers.mapping import Change, FieldMapping, Target

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"[0-9]{1,18}")


def map_record(record: Mapping[str, object], mapping: FieldMapping, *, line: int | None = None) -> Message:
    """
    The message that a record is, by the mapping.

    Raises `InvalidMessage`, also for records that are no message (`not_text` and
    the mapping's `reports`): the caller tells them, it does not drop them.
    """
    try:
        _refuse_reported(record, mapping)
        wired, used = _wire_form(record, mapping)
    except InvalidMessage as error:
        raise InvalidMessage(error.reason, error.detail, field=error.field, line=line) from None
    try:
        return decode_message(wired, line=line)
    except InvalidMessage as error:
        source = used.get(error.field or "")
        if source is None or source == error.field:
            raise
        detail = f"{error.detail} (read from '{source}')"
        raise InvalidMessage(error.reason, detail, field=error.field, line=line) from None


def _refuse_reported(record: Mapping[str, object], mapping: FieldMapping) -> None:
    for report in mapping.reports:
        if all(_matches(_dig(record, path), wanted) for path, wanted in report.when.items()):
            raise InvalidMessage(report.reason, report.detail, field=next(iter(report.when)))
    if _change(record, mapping) is not None:
        return
    for path, wanted in mapping.expect.items():
        found = _dig(record, path)
        if not _matches(found, wanted):
            shown = "is not there" if found is None else f"is {wire.quoted(found)}"
            detail = f"{shown}, only '{wanted}' is a message: this record was not judged"
            raise InvalidMessage("unexpected_record", detail, field=path)


def _wire_form(
    record: Mapping[str, object], mapping: FieldMapping
) -> tuple[dict[str, object], dict[str, str]]:
    """The record in the wire's field names, and which source each field came from."""
    found: dict[str, object] = {str(target): value for target, value in mapping.constants.items()}
    used: dict[str, str] = {}
    for target, sources in mapping.fields.items():
        for source in sources:
            value = _dig(record, source)
            if value is not None and value != "":
                found[target], used[target] = value, source
                break
    change = _change(record, mapping)
    if change is not None:
        _apply(change, found, used, record)
    if change is not None and change.event == "recall":
        found["text"] = ""
        used.pop("text", None)
    elif mapping.texts is not None:
        found["text"], used["text"] = _text(record, mapping)
    if "sent_at" in used:
        found["sent_at"] = _time(found["sent_at"], mapping)
    _fill_people(found, record, mapping)
    if "speaker" in used:
        found["speaker"] = _speaker(found["speaker"], mapping)
    if isinstance(seq := found.get("seq"), str) and _WHOLE.fullmatch(seq.strip()):
        found["seq"] = int(seq)
    _refuse_missing(found, mapping)
    product = {key[8:]: found.pop(key) for key in list(found) if key.startswith("product.")}
    if product:
        found["product"] = product
    consumed = {source if source in record else source.partition(".")[0] for source in used.values()}
    skipped = (consumed | {*mapping.expect, *mapping.ignore}) - {*mapping.keep}
    if mapping.texts is not None:
        skipped.add(mapping.texts.kind)
    attributes = {
        key: wire.as_text(value, key, b"")
        for key, value in record.items()
        if key not in skipped and value is not None and value != ""
    }
    if change is not None:
        attributes[EVENT_ATTRIBUTE] = change.event
    found["attributes"] = attributes
    return found, used


def _change(record: Mapping[str, object], mapping: FieldMapping) -> Change | None:
    """How the record changes another message, where it does."""
    for change in mapping.changes:
        if all(_matches(_dig(record, path), wanted) for path, wanted in change.when.items()):
            return change
    return None


def _apply(
    change: Change, found: dict[str, object], used: dict[str, str], record: Mapping[str, object]
) -> None:
    """Put the id of the message that is changed in the place of the record's own."""
    found.pop("message_id", None)
    used.pop("message_id", None)
    for source in change.message_id:
        value = _dig(record, source)
        if value is not None and value != "":
            found["message_id"], used["message_id"] = value, source
            break


def _text(record: Mapping[str, object], mapping: FieldMapping) -> tuple[object, str]:
    assert mapping.texts is not None
    kind = _dig(record, mapping.texts.kind)
    sources = mapping.texts.fields.get(str(kind))
    if sources is None:
        advice = mapping.texts.others.get(str(kind)) or mapping.texts.others.get("*") or "it was not judged"
        detail = f"a record of kind {wire.quoted(kind)} holds no text that could be judged: {advice}"
        raise InvalidMessage("not_text", detail, field=mapping.texts.kind)
    values = [value for source in sources if (value := _dig(record, source)) is not None]
    if not values:
        detail = f"required and not there: '{sources[0]}'"
        raise InvalidMessage("missing_field", detail, field="text")
    if len(values) == 1:
        return values[0], sources[0]
    return "\n".join(wire.string(value, "text") for value in values), sources[0]


def _time(value: object, mapping: FieldMapping) -> object:
    times = mapping.times
    if times.format == "rfc3339":
        return (times.localised(value) or value.strip()) if isinstance(value, str) else value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    unit = "milliseconds" if times.format == "epoch_ms" else "seconds"
    if type(value) is not int:
        detail = f"expected {unit} since 1970 as a whole number, found {wire.kind_of(value)}"
        raise InvalidMessage("wrong_type", detail, field="sent_at")
    try:
        return (_EPOCH + timedelta(**{unit: value})).isoformat()
    except OverflowError:
        detail = f"{value} {unit} since 1970 is no date: check the unit"
        raise InvalidMessage("bad_timestamp", detail, field="sent_at") from None


def _speaker(value: object, mapping: FieldMapping) -> str:
    speaker = mapping.speakers.speaker(wire.string(value, "speaker"))
    if speaker is None:
        known = ", ".join(dict.fromkeys([*Speaker, *mapping.speakers.values]))
        detail = f"{wire.quoted(value)} is none of {known}: add it to 'speakers' in the mapping"
        raise InvalidMessage("unknown_speaker", detail, field="speaker")
    return speaker.value


def _fill_people(found: dict[str, object], record: Mapping[str, object], mapping: FieldMapping) -> None:
    """Name the conversation, the advisor and the customer after the participants, where unnamed."""
    people: list[str] = []
    for path in mapping.participants:
        value = _dig(record, path)
        people += [p for p in (value if isinstance(value, list) else [value]) if isinstance(p, str) and p]
    if not people:
        return
    if len(set(people)) > 1:
        found.setdefault("conversation_id", "|".join(sorted(set(people))))
    for target, role in (("advisor_id", Speaker.ADVISOR), ("customer_id", Speaker.CUSTOMER)):
        those = [p for p in dict.fromkeys(people) if mapping.speakers.speaker(p) is role]
        if those and (len(those) == 1 or those[0] == people[0]):
            found.setdefault(target, those[0])


def _refuse_missing(found: Mapping[str, object], mapping: FieldMapping) -> None:
    required: tuple[Target, ...] = ("message_id", "sent_at", "speaker", "conversation_id", "text")
    for target in required:
        if found.get(target) is None:
            sources = " or ".join(f"'{name}'" for name in mapping.fields.get(target, (target,)))
            raise InvalidMessage("missing_field", f"required and empty or not there: {sources}", field=target)


def _dig(record: Mapping[str, object], path: str) -> object:
    if path in record:
        return record[path]
    value: object = record
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _matches(value: object, wanted: str) -> bool:
    if wanted == "*":
        return value not in (None, "", [])
    return isinstance(value, str) and value == wanted


def header_gaps(columns: Sequence[str], mapping: FieldMapping) -> dict[str, tuple[str, ...]]:
    """The required fields for which a table has no column, with the columns that would do."""
    return {
        target: mapping.fields.get(target, (target,))
        for target in ("message_id", "conversation_id", "sent_at", "speaker", "text")
        if target not in mapping.constants
        and not (target == "conversation_id" and mapping.participants)
        and not any(name in columns for name in mapping.fields.get(target, ()))
    }
