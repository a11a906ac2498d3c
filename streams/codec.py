"""
Messages and verdicts on the wire: JSON objects in UTF-8, as published in `streams/schemas/`.

Decoding refuses what it does not understand and never repairs: a bent message would be
judged wrongly and look clean. What is decoded and encoded again is the same value.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeVar

import orjson

from detectors.domain import (
    Evidence,
    Finding,
    Message,
    Outcome,
    Product,
    Severity,
    Source,
    SourceKind,
    Speaker,
    Verdict,
    Versions,
)
from streams import wire
from streams.codec_fault import parse_record
from streams.errors import InvalidMessage

MAX_TEXT_CHARS = 20_000
# A record may name its schema. What a later one means is not for this version to guess.
SCHEMA_FAMILY = "redline.message."
SCHEMA = f"{SCHEMA_FAMILY}v1"
MAX_PRIORITY = 100

_REQUIRED = ("message_id", "conversation_id", "sent_at", "speaker", "text")
_PRODUCT_KEYS = frozenset({"code", "name", "kind"})
_KNOWN = frozenset(
    {*_REQUIRED, "seq", "channel", "advisor_id", "customer_id", "branch", "product", "language", "attributes"}
)
E = TypeVar("E", Outcome, Severity)

_SPEAKERS: dict[object, Speaker] = {speaker.value: speaker for speaker in Speaker}
_SOURCE_KINDS: dict[str, SourceKind] = {
    "rule": "rule",
    "model": "model",
    "memory": "memory",
    "judge": "judge",
}


def decode_message(raw: bytes | str | Mapping[str, object], *, line: int | None = None) -> Message:
    """
    One message from its JSON, or from an object already parsed.

    Null counts as absent. Fields that the schema does not know are kept in
    `attributes`, as JSON where they are not strings. Text is kept exactly, also
    NUL and control characters; ids with control characters are refused.
    Raises `InvalidMessage` with the reason, the field and `line`.
    """
    try:
        data = raw if isinstance(raw, bytes | str) else _dump_mapping(raw)
        return _message(parse_record(data), data)
    except InvalidMessage as error:
        if line is None:
            raise
        raise InvalidMessage(error.reason, error.detail, field=error.field, line=line) from None


def restore_message(raw: bytes | str | Mapping[str, object]) -> Message:
    """
    The inverse of `encode_message`, for what redline itself kept: of any size.

    The limit on a record holds where it comes in. Written anew it may be longer: fields
    that the schema does not know have become strings by then.
    """
    data = raw if isinstance(raw, bytes | str) else _dump_mapping(raw)
    return _message(wire.parse_object(data, max_bytes=None), data)


def encode_record(message: Message) -> bytes:
    """The message as a record to send. Raises `InvalidMessage` for what no reader would accept back."""
    data = encode_message(message)
    if len(data) > wire.MAX_RECORD_BYTES:
        detail = (
            f"written as a record it has {len(data):,} bytes, the limit is {wire.MAX_RECORD_BYTES:,}: send fewer "
            "or shorter fields that the schema does not know, they become strings"
        )
        raise InvalidMessage("too_large", detail)
    return data


def encode_message(message: Message) -> bytes:
    """
    The message as compact JSON, to keep or to show; see `encode_record` for what is sent.

    Raises `InvalidMessage` for what cannot be read back.
    """
    record: dict[str, object] = {
        "message_id": message.message_id,
        "conversation_id": message.conversation_id,
        "sent_at": _rfc3339(message.sent_at, "sent_at"),
        "speaker": message.speaker.value,
        "text": message.text,
        "language": message.language,
    }
    for name in ("seq", "channel", "advisor_id", "customer_id", "branch"):
        value = getattr(message, name)
        if value is not None:
            record[name] = value
    if message.product is not None:
        record["product"] = {k: v for k, v in asdict(message.product).items() if v is not None}
    if message.attributes:
        record["attributes"] = dict(message.attributes)
    if len(message.text) > MAX_TEXT_CHARS:
        detail = f"has {len(message.text):,} characters, the limit is {MAX_TEXT_CHARS:,}"
        raise InvalidMessage("too_large", detail, field="text")
    return _dump(record)


def encode_verdict(verdict: Verdict) -> bytes:
    """The verdict as compact JSON: a Kafka value, or one line of `redline scan`."""
    numbers = [verdict.latency_ms, *(finding.score for finding in (*verdict.findings, *verdict.shadow))]
    if not all(math.isfinite(n) for n in numbers):
        raise InvalidMessage("bad_value", "a score or latency is NaN or infinite", field="findings")
    on_trial = {"shadow": [asdict(finding) for finding in verdict.shadow]} if verdict.shadow else {}
    return _dump(
        {
            "message_id": verdict.message_id,
            "conversation_id": verdict.conversation_id,
            "outcome": verdict.outcome.value,
            "flagged": verdict.flagged,
            "findings": [asdict(finding) for finding in verdict.findings],
            "priority": verdict.priority,
            "degraded": verdict.degraded,
            "queue_reasons": verdict.queue_reasons,
            "versions": asdict(verdict.versions),
            "detected_at": _rfc3339(verdict.detected_at, "detected_at"),
            "latency_ms": verdict.latency_ms,
            "content_hash": verdict.content_hash,
            **on_trial,
        }
    )


def decode_verdict(raw: bytes | str) -> Verdict:
    """
    One verdict from its JSON; unknown fields are passed over, so that older readers go on.

    Of any size: it quotes the message, and its topic bounds it.
    Raises `InvalidMessage`, also when `flagged` contradicts `outcome` or an
    evidence text is not as long as its span.
    """
    record = wire.parse_object(raw, max_bytes=None)
    outcome = _choice(Outcome, record.get("outcome"), "outcome")
    if wire.boolean(record.get("flagged"), "flagged") != (outcome is Outcome.FLAGGED):
        raise InvalidMessage("bad_value", f"contradicts outcome '{outcome.value}'", field="flagged")
    findings = wire.sequence(record.get("findings"), "findings")
    return Verdict(
        message_id=wire.identifier(record.get("message_id"), "message_id"),
        conversation_id=wire.identifier(record.get("conversation_id"), "conversation_id"),
        outcome=outcome,
        findings=tuple(_finding(item, f"findings[{i}]") for i, item in enumerate(findings)),
        priority=wire.integer(record.get("priority"), "priority", maximum=MAX_PRIORITY),
        degraded=wire.boolean(record.get("degraded"), "degraded"),
        queue_reasons=_strings(record.get("queue_reasons"), "queue_reasons"),
        versions=_versions(record.get("versions")),
        detected_at=wire.timestamp(record.get("detected_at"), "detected_at"),
        latency_ms=wire.number(record.get("latency_ms"), "latency_ms"),
        content_hash=_content_hash(record.get("content_hash")),
        shadow=tuple(
            _finding(item, f"shadow[{i}]")
            for i, item in enumerate(wire.sequence(record.get("shadow", []), "shadow"))
        ),
    )


def _content_hash(value: object) -> str:
    """Absent or empty in verdicts of redline 0.1."""
    return wire.optional_identifier(value, "content_hash") or ""


def _message(record: dict[str, object], raw: bytes | str) -> Message:
    get = record.get
    schema = get("schema")
    if schema is not None and type(schema) is str and schema.startswith(SCHEMA_FAMILY) and schema != SCHEMA:
        detail = f"{wire.quoted(schema)} is not {SCHEMA}: upgrade redline, then replay the dead letters"
        raise InvalidMessage("unknown_schema", detail, field="schema")
    message_id, conversation_id, sent_at = get("message_id"), get("conversation_id"), get("sent_at")
    text, spoken_by = get("text"), get("speaker")
    if message_id is None or conversation_id is None or sent_at is None or text is None or spoken_by is None:
        wire.refuse_missing(record, _REQUIRED)
    speaker = _SPEAKERS.get(wire.string(spoken_by, "speaker"))
    if speaker is None:
        detail = f"{wire.quoted(spoken_by)} is none of {', '.join(Speaker)}"
        raise InvalidMessage("unknown_speaker", detail, field="speaker")
    if type(text) is not str or len(text) > MAX_TEXT_CHARS:
        found = len(wire.string(text, "text"))
        detail = f"has {found:,} characters, the limit is {MAX_TEXT_CHARS:,}: split it into several messages"
        raise InvalidMessage("too_large", detail, field="text")
    seq, language = get("seq"), get("language")
    extra: dict[str, object] = {key: record[key] for key in record if key not in _KNOWN}
    product = _product(get("product"), extra)
    return Message(
        message_id=wire.identifier(message_id, "message_id"),
        conversation_id=wire.identifier(conversation_id, "conversation_id"),
        sent_at=wire.timestamp(sent_at, "sent_at"),
        speaker=speaker,
        text=text,
        seq=None if seq is None else wire.integer(seq, "seq"),
        channel=wire.optional_identifier(get("channel"), "channel"),
        advisor_id=wire.optional_identifier(get("advisor_id"), "advisor_id"),
        customer_id=wire.optional_identifier(get("customer_id"), "customer_id"),
        branch=wire.optional_identifier(get("branch"), "branch"),
        product=product,
        language="zh" if language is None else wire.identifier(language, "language"),
        attributes=_attributes(get("attributes"), extra, raw),
    )


def _product(value: object, extra: dict[str, object]) -> Product | None:
    if value is None:
        return None
    record = wire.mapping(value, "product")
    if not record.keys() <= _PRODUCT_KEYS:
        for key in record.keys() - _PRODUCT_KEYS:
            _keep(extra, f"product.{key}", record[key])
    return Product(
        code=wire.optional_string(record.get("code"), "product.code"),
        name=wire.optional_string(record.get("name"), "product.name"),
        kind=wire.optional_string(record.get("kind"), "product.kind"),
    )


def _attributes(value: object, extra: dict[str, object], raw: bytes | str) -> dict[str, str]:
    declared = {} if value is None else wire.mapping(value, "attributes")
    kept = {key: wire.string(item, f"attributes.{key}") for key, item in declared.items()}
    for key, item in extra.items():
        if item is None:
            continue
        text = wire.as_text(item, key, raw)
        if kept.setdefault(key, text) != text:
            _refuse_conflict(key)
    return kept


def _keep(extra: dict[str, object], key: str, value: object) -> None:
    if extra.setdefault(key, value) != value:
        _refuse_conflict(key)


def _refuse_conflict(key: str) -> None:
    detail = "occurs both as a field of its own and among the attributes, with different values: send one"
    raise InvalidMessage("conflicting_field", detail, field=key)


def _finding(value: object, at: str) -> Finding:
    record = wire.mapping(value, at)
    sources = wire.sequence(record.get("sources"), f"{at}.sources")
    evidence = wire.sequence(record.get("evidence"), f"{at}.evidence")
    return Finding(
        label=wire.identifier(record.get("label"), f"{at}.label"),
        severity=_choice(Severity, record.get("severity"), f"{at}.severity"),
        score=wire.number(record.get("score"), f"{at}.score", maximum=1.0),
        sources=tuple(_source(item, f"{at}.sources[{i}]") for i, item in enumerate(sources)),
        evidence=tuple(_evidence(item, f"{at}.evidence[{i}]") for i, item in enumerate(evidence)),
        traits=_strings(record.get("traits"), f"{at}.traits"),
        basis=_strings(record.get("basis"), f"{at}.basis"),
        reason=wire.string(record.get("reason"), f"{at}.reason"),
    )


def _source(value: object, at: str) -> Source:
    record = wire.mapping(value, at)
    kind = _SOURCE_KINDS.get(wire.string(record.get("kind"), f"{at}.kind"))
    if kind is None:
        raise InvalidMessage("bad_value", f"is none of {', '.join(_SOURCE_KINDS)}", field=f"{at}.kind")
    version = wire.string(record.get("version"), f"{at}.version")
    return Source(kind, wire.string(record.get("id"), f"{at}.id"), version)


def _evidence(value: object, at: str) -> Evidence:
    record = wire.mapping(value, at)
    start = wire.integer(record.get("start"), f"{at}.start")
    end = wire.integer(record.get("end"), f"{at}.end")
    text = wire.string(record.get("text"), f"{at}.text")
    if end - start != len(text):
        detail = f"spans {end - start} characters, its text has {len(text)}: offsets count code points"
        raise InvalidMessage("bad_value", detail, field=at)
    return Evidence(start, end, text)


def _versions(value: object) -> Versions:
    record = wire.mapping(value, "versions")
    return Versions(
        catalogue=wire.string(record.get("catalogue"), "versions.catalogue"),
        pack=wire.string(record.get("pack"), "versions.pack"),
        model=wire.optional_string(record.get("model"), "versions.model"),
        memory=wire.optional_string(record.get("memory"), "versions.memory"),
        code=wire.string(record.get("code"), "versions.code"),
    )


def _strings(value: object, at: str) -> tuple[str, ...]:
    return tuple(wire.string(item, f"{at}[{i}]") for i, item in enumerate(wire.sequence(value, at)))


def _choice(kind: type[E], value: object, at: str) -> E:
    try:
        return kind(wire.string(value, at))
    except ValueError:
        detail = f"{wire.quoted(value)} is none of {', '.join(kind)}"
        raise InvalidMessage("bad_value", detail, field=at) from None


def _rfc3339(moment: datetime, field: str) -> str:
    offset = moment.utcoffset()
    if offset is None:
        raise InvalidMessage("naive_timestamp", "has no UTC offset", field=field)
    if offset.microseconds or offset.seconds % 60:
        moment = moment.astimezone(UTC)  # RFC 3339 offsets have whole minutes; the instant stays
    return moment.isoformat()


def _dump(record: object) -> bytes:
    try:
        return orjson.dumps(record)
    except TypeError as error:
        if "surrogate" in str(error):
            detail = "a text holds half of a surrogate pair: send whole characters"
            raise InvalidMessage("lone_surrogate", detail) from None
        raise InvalidMessage("wrong_type", f"cannot be written as JSON: {error}") from None


def _dump_mapping(record: Mapping[str, object]) -> bytes:
    """JSON of an object from Python, so that one path checks everything."""
    for key, value in record.items():
        if type(value) is str and not value.isascii():
            wire.refuse_lone_surrogates(value, str(key))
        elif type(value) is not str and wire.any_float(value, lambda number: not math.isfinite(number)):
            raise InvalidMessage("bad_value", "is NaN or infinite: leave the field out", field=str(key))
    return _dump(dict(record))
