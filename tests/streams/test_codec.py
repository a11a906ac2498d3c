"""Messages and verdicts survive the wire exactly; anything else is refused by reason and field."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from detectors.domain import (
    Evidence,
    Finding,
    Message,
    Outcome,
    Product,
    Severity,
    Source,
    Speaker,
    Verdict,
    Versions,
)
from streams.codec import decode_message, decode_verdict, encode_message, encode_record, encode_verdict
from streams.errors import InvalidMessage
from streams.wire import MAX_RECORD_BYTES

WIRE: dict[str, Any] = {
    "message_id": "m1",
    "conversation_id": "c1",
    "sent_at": "2025-03-01T09:30:00+08:00",
    "speaker": "advisor",
    "text": "能保证6%吗",
}
MESSAGE = Message("m1", "c1", datetime(2025, 3, 1, 1, 30, tzinfo=UTC), Speaker.ADVISOR, "能保证6%吗")

# Everything that UTF-8 can carry: emoji outside the BMP, combining marks, NUL, bidi marks.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["稳💰📈", "👨‍👩‍👧‍👦", "e\u0301\u0301保\u0300本", "\x00", "\u202e保本\u200b", "\ufeff起头", "\U0010ffff"]
)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(str.strip)
optional_ids = st.none() | st.just("") | ids
# One offset has seconds in it, which RFC 3339 cannot write.
offsets = st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(minutes=-4, seconds=-7))])
moments = st.integers(1, 49_000 * 86_400 * 10**6).flatmap(
    lambda micros: offsets.map(
        lambda offset: (datetime(1971, 1, 2, tzinfo=UTC) + timedelta(microseconds=micros)).astimezone(offset)
    )
)
messages = st.builds(
    Message,
    message_id=ids,
    conversation_id=ids,
    sent_at=moments,
    speaker=st.sampled_from(Speaker),
    text=texts,
    seq=st.none() | st.integers(0, 2**63 - 1),
    channel=optional_ids,
    advisor_id=optional_ids,
    customer_id=optional_ids,
    branch=optional_ids,
    product=st.none()
    | st.builds(Product, code=st.none() | texts, name=st.none() | texts, kind=st.none() | texts),
    language=ids,
    attributes=st.dictionaries(texts, texts, max_size=4),
)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    text, start = draw(texts), draw(st.integers(0, 20_000))
    return Evidence(start, start + len(text), text)


findings = st.builds(
    Finding,
    label=ids,
    severity=st.sampled_from(Severity),
    score=st.floats(0, 1),
    sources=st.lists(
        st.builds(
            Source, kind=st.sampled_from(["rule", "model", "memory", "judge"]), id=texts, version=texts
        ),
        max_size=3,
    ).map(tuple),
    evidence=st.lists(evidences(), max_size=3).map(tuple),
    traits=st.lists(texts, max_size=2).map(tuple),
    basis=st.lists(texts, max_size=2).map(tuple),
    reason=texts,
)
verdicts = st.builds(
    Verdict,
    message_id=ids,
    conversation_id=ids,
    outcome=st.sampled_from(Outcome),
    findings=st.lists(findings, max_size=3).map(tuple),
    priority=st.integers(0, 100),
    degraded=st.booleans(),
    queue_reasons=st.lists(texts, max_size=3).map(tuple),
    versions=st.builds(
        Versions, catalogue=texts, pack=texts, model=st.none() | texts, memory=st.none() | texts, code=texts
    ),
    detected_at=moments,
    latency_ms=st.floats(0, 1e9),
)
VERDICT = Verdict(
    "m1",
    "c1",
    Outcome.FLAGGED,
    (
        Finding(
            "guaranteed_return", Severity.HIGH, 0.9, (Source("rule", "r", "1"),), (Evidence(1, 3, "保本"),)
        ),
    ),
    80,
    False,
    ("flagged",),
    Versions("1", "p", None, None, "0.1.0"),
    datetime(2025, 3, 1, tzinfo=UTC),
    1.5,
)


def refused(raw: bytes | str | dict[str, Any], line: int | None = None) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        decode_message(raw, line=line)
    return caught.value


@given(messages)
@example(replace(MESSAGE, text="x" * 20_000))
@example(replace(MESSAGE, text="😀" * 20_000))
def test_message_round_trip_is_exact(message: Message) -> None:
    assert message == decode_message(encode_message(message))


@given(messages)
def test_three_forms_of_one_record_give_one_message(message: Message) -> None:
    raw = encode_message(message)
    assert decode_message(raw) == decode_message(raw.decode()) == decode_message(json.loads(raw))


@given(verdicts)
def test_verdict_round_trip_is_exact(verdict: Verdict) -> None:
    assert verdict == decode_verdict(encode_verdict(verdict))


@given(st.binary(max_size=200) | st.text(st.characters(), max_size=100))
def test_any_input_gives_a_message_or_invalid_message(raw: bytes | str) -> None:
    for decode in (decode_message, decode_verdict):
        with pytest.raises(InvalidMessage):
            decode(raw)


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from([*WIRE, "seq", "product", "attributes", "language", "x"]), JSON_VALUES)
)
def test_any_value_in_any_field_gives_a_message_or_invalid_message(changes: dict[str, Any]) -> None:
    try:
        message = decode_message({**WIRE, **changes})
    except InvalidMessage as error:
        explained = bool(error.reason and error.detail)
    else:
        explained = message == decode_message(encode_message(message))
    assert explained


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"text": None}, "missing_field", "text"),
        ({"text": 5}, "wrong_type", "text"),
        ({"text": ["a"]}, "wrong_type", "text"),
        ({"text": "长" * 20_001}, "too_large", "text"),
        ({"text": "\ud83d"}, "lone_surrogate", "text"),
        ({"speaker": "Advisor"}, "unknown_speaker", "speaker"),
        ({"speaker": True}, "wrong_type", "speaker"),
        ({"message_id": 17}, "wrong_type", "message_id"),
        ({"message_id": ""}, "bad_value", "message_id"),
        ({"message_id": "  "}, "bad_value", "message_id"),
        ({"message_id": "m" * 513}, "bad_value", "message_id"),
        ({"message_id": "m\x001"}, "control_character", "message_id"),
        ({"conversation_id": "c\n1"}, "control_character", "conversation_id"),
        ({"advisor_id": "a\x00"}, "control_character", "advisor_id"),
        ({"sent_at": "2025-03-01T09:30:00"}, "naive_timestamp", "sent_at"),
        ({"sent_at": datetime(2025, 3, 1)}, "naive_timestamp", "sent_at"),  # noqa: DTZ001
        ({"sent_at": "2025-02-30T09:30:00Z"}, "bad_timestamp", "sent_at"),
        ({"sent_at": "2025-03-01"}, "bad_timestamp", "sent_at"),
        ({"sent_at": "20250301T093000Z"}, "bad_timestamp", "sent_at"),
        ({"sent_at": "2025-03-01T09:30:00Z\n"}, "bad_timestamp", "sent_at"),
        ({"sent_at": "9999-12-31T23:59:59Z"}, "bad_timestamp", "sent_at"),
        ({"sent_at": 1740792600000}, "wrong_type", "sent_at"),
        ({"seq": "3"}, "wrong_type", "seq"),
        ({"seq": True}, "wrong_type", "seq"),
        ({"seq": 1.5}, "wrong_type", "seq"),
        ({"seq": -1}, "bad_value", "seq"),
        ({"seq": 2**63}, "bad_value", "seq"),
        ({"product": "F001"}, "wrong_type", "product"),
        ({"product": {"code": 1}}, "wrong_type", "product.code"),
        ({"attributes": {"a": 1}}, "wrong_type", "attributes.a"),
        ({"attributes": []}, "wrong_type", "attributes"),
        ({"attributes": {"desk": "1"}, "desk": "2"}, "conflicting_field", "desk"),
        ({"price": math.nan}, "bad_value", "price"),
        ({"price": [{"deep": math.inf}]}, "bad_value", "price"),
    ],
)
def test_refusal_names_reason_field_and_line(change: dict[str, Any], reason: str, field: str) -> None:
    error = refused({**WIRE, **change}, line=7)
    assert (reason, field, 7) == (error.reason, error.field, error.line)
    assert str(error).startswith(f"line 7: field '{field}': ")


@pytest.mark.parametrize(
    ("raw", "reason", "words"),
    [
        (b"", "bad_json", "empty"),
        (b'{"text": "a', "bad_json", "cut off"),
        (b"[{}]", "not_an_object", "a list"),
        (b'"x"', "not_an_object", "a string"),
        (b"{'a': 1}", "bad_json", "double quotes"),
        (b'{"a": NaN}', "bad_json", "NaN and Infinity are not JSON"),
        (b'{"a": 1e400}', "bad_json", "NaN and Infinity are not JSON"),
        (b'{"a": "x\x00"}', "bad_json", "control characters"),
        ('{"text": "保"}'.encode("gb18030"), "invalid_utf8", "gb18030"),
        (b'{"a": "\\ud83d"}', "lone_surrogate", "cut an emoji in two"),
        ('{"a": "\ud83d"}', "lone_surrogate", "cut an emoji in two"),
        (b'{"message_id":"1","message_id":"2"}', "duplicate_key", "'message_id' occurs twice"),
        (b'{"message_id":"1","message_id" : "1"}', "duplicate_key", "'message_id' occurs twice"),
        (b'{"x":[{"a":1,"a":1}]}', "duplicate_key", "'a' occurs twice"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "too_deep", "32 levels"),
        (b"[" * 3000 + b"]" * 3000, "too_deep", "32 levels"),
        (b'{"x":"' + b"a" * MAX_RECORD_BYTES + b'"}', "too_large", "1,048,576"),
        (b"{}", "missing_field", "'message_id', 'conversation_id', 'sent_at', 'speaker', 'text'"),
    ],
)
def test_broken_json_says_what_to_mend(raw: bytes | str, reason: str, words: str) -> None:
    error = refused(raw)
    assert reason == error.reason
    assert words in error.detail


def test_text_that_looks_like_a_repeated_key_is_no_repeated_key() -> None:
    text = '{"text":"a","text":"b"} 他说"text":'
    assert text == decode_message(json.dumps({**WIRE, "text": text})).text


def test_nul_and_control_characters_in_text_are_kept() -> None:
    assert decode_message({**WIRE, "text": "保\x00本\r\n\t"}).text == "保\x00本\r\n\t"


def test_empty_text_is_a_message() -> None:
    assert decode_message({**WIRE, "text": ""}).text == ""


def test_byte_order_mark_is_passed_over() -> None:
    raw = json.dumps(WIRE)
    assert MESSAGE == decode_message(b"\xef\xbb\xbf" + raw.encode()) == decode_message("\ufeff" + raw)


def test_null_counts_as_absent() -> None:
    changes = dict.fromkeys(["seq", "channel", "product", "language", "attributes", "unknown"])
    assert decode_message({**WIRE, **changes}) == MESSAGE


def test_unknown_fields_become_attributes() -> None:
    raw = {**WIRE, "desk": "上海", "score": 1.5, "tags": ["a", {"b": None}], "attributes": {"os": "ios"}}
    expected = {"os": "ios", "desk": "上海", "score": "1.5", "tags": '["a",{"b":null}]'}
    assert expected == decode_message(raw).attributes


def test_unknown_product_fields_become_attributes() -> None:
    message = decode_message({**WIRE, "product": {"code": "F1", "risk": "R3", "days": 7}})
    assert Product("F1") == message.product
    assert message.attributes == {"product.risk": "R3", "product.days": "7"}


def test_huge_numbers_keep_every_digit() -> None:
    raw = json.dumps({**WIRE, "serial": 123456789012345678901234567890})
    assert decode_message(raw).attributes == {"serial": "123456789012345678901234567890"}


def test_errors_do_not_quote_what_was_said() -> None:
    for change in ({"text": "机密" * 20_000}, {"speaker": 1, "text": "机密"}, {"attributes": "机密"}):
        assert "机密" not in str(refused({**WIRE, **change}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sent_at": datetime(2025, 3, 1)}, "naive_timestamp"),  # noqa: DTZ001
        ({"text": "\udc00"}, "lone_surrogate"),
        ({"text": "x" * 20_001}, "too_large"),
        ({"attributes": {"a": "x" * MAX_RECORD_BYTES}}, "too_large"),
    ],
)
def test_what_decoding_would_refuse_is_not_sent(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        encode_record(replace(MESSAGE, **change))
    assert reason == caught.value.reason


def test_score_that_is_no_number_is_not_written() -> None:
    finding = replace(VERDICT.findings[0], score=math.nan)
    with pytest.raises(InvalidMessage):
        encode_verdict(replace(VERDICT, findings=(finding,)))


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("flagged",), False, "flagged"),
        (("outcome",), "fine", "outcome"),
        (("priority",), 101, "priority"),
        (("latency_ms",), "1", "latency_ms"),
        (("versions", "pack"), None, "versions.pack"),
        (("findings", 0, "score"), 1.5, "findings[0].score"),
        (("findings", 0, "severity"), "grave", "findings[0].severity"),
        (("findings", 0, "sources", 0, "kind"), "oracle", "findings[0].sources[0].kind"),
        (("findings", 0, "evidence", 0, "end"), 9, "findings[0].evidence[0]"),
        (("findings", 0, "traits"), "hint", "findings[0].traits"),
    ],
)
def test_wrong_verdict_names_the_field(path: tuple[str | int, ...], value: object, field: str) -> None:
    record: Any = json.loads(encode_verdict(VERDICT))
    inner = record
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(InvalidMessage) as caught:
        decode_verdict(json.dumps(record))
    assert field == caught.value.field


def test_newer_verdict_fields_are_passed_over() -> None:
    record = {**json.loads(encode_verdict(VERDICT)), "later": 1}
    assert decode_verdict(json.dumps(record)) == VERDICT


def test_record_of_a_later_schema_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(InvalidMessage, match="upgrade redline, then replay") as refused:
        decode_message({**WIRE, "schema": "redline.message.v2"})
    assert ("unknown_schema", "schema") == (refused.value.reason, refused.value.field)
    assert decode_message({**WIRE, "schema": "redline.message.v1"}).text == MESSAGE.text
