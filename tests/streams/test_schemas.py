"""The published schemas and the codec accept and refuse the same records."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import streams
from streams.codec import decode_message, decode_verdict, encode_message, encode_verdict
from streams.errors import InvalidMessage

assert streams.__file__ is not None
FOLDER = Path(streams.__file__).parent / "schemas"


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.v1.json").read_text(encoding="utf-8"))


MESSAGE_SCHEMA, VERDICT_SCHEMA = load("message"), load("verdict")
MESSAGES = jsonschema.Draft202012Validator(MESSAGE_SCHEMA)
VERDICTS = jsonschema.Draft202012Validator(VERDICT_SCHEMA)

strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", " ", "a\nb", "\x00"]
)
odd: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**64 - 1)
    | st.floats(-2, 9, width=16)
    | strings
    | st.lists(strings, max_size=2)
    | st.dictionaries(strings, strings, max_size=2)
)
times = st.sampled_from(
    [
        "2025-03-01T09:30:00+08:00",
        "2025-03-01 09:30:00.123456789Z",
        "2025-03-01t09:30:00z",
        "1971-01-01T00:00:00-00:00",
        "1970-12-31T23:59:59Z",
        "2105-12-31T23:59:59+23:59",
        "2106-01-01T00:00:00Z",
        "2025-03-01T09:30:00",
        "2025-03-01T24:00:00Z",
        "2025-03-01T09:30:60Z",
        "2025-13-01T09:30:00Z",
        "2025-03-01T09:30:00+24:00",
        "2025-03-01T09:30:00Z\n",
        "2025-03-01T09:30Z",
        "２025-03-01T09:30:00Z",
    ]
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "message_id": strings | odd | st.sampled_from(["x" * 512, "x" * 513, "\x85", "\xa0", "id\n"]),
    "conversation_id": strings,
    "sent_at": times | odd,
    "speaker": st.sampled_from(["advisor", "customer", "bot", "other", "ADVISOR", ""]) | odd,
    "text": strings | odd | st.sampled_from(["长" * 20_000, "😀" * 20_001]),
    "seq": odd | st.sampled_from([2**63 - 1, 2**63, 3.0, -0.0]),
    "channel": strings | odd,
    "advisor_id": odd,
    "product": st.dictionaries(st.sampled_from(["code", "name", "kind", "risk"]), odd, max_size=3) | odd,
    "language": strings | odd,
    "attributes": st.dictionaries(strings, strings, max_size=2) | odd,
    "schema": odd
    | st.sampled_from(["redline.message.v1", "redline.message.v1\n", "redline.message.v2", "their.own.v7"]),
    "else": odd,
}
GOOD = MESSAGE_SCHEMA["examples"][1]


@pytest.mark.parametrize("schema", [MESSAGE_SCHEMA, VERDICT_SCHEMA], ids=["message", "verdict"])
def test_schema_is_valid_and_documented(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"]
    assert all(part.get("title") for part in schema["properties"].values())


def test_examples_are_accepted_by_schema_and_codec() -> None:
    for example in MESSAGE_SCHEMA["examples"]:
        MESSAGES.validate(example)
        MESSAGES.validate(json.loads(encode_message(decode_message(example))))
    for example in VERDICT_SCHEMA["examples"]:
        VERDICTS.validate(example)
        assert example == json.loads(encode_verdict(decode_verdict(json.dumps(example))))


@settings(
    max_examples=600,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
    deadline=None,
)
@given(
    st.fixed_dictionaries({}, optional=fields),
    st.sets(st.sampled_from(["message_id", "sent_at", "text", "seq", "product"]), max_size=1),
)
def test_schema_and_codec_agree_on_messages(changes: dict[str, Any], absent: set[str]) -> None:
    record = {key: value for key, value in {**GOOD, **changes}.items() if key not in absent}
    try:
        decode_message(record)
    except InvalidMessage as error:
        # What no schema can say: contradictions between two parts of one record.
        accepted = error.reason == "conflicting_field"
    else:
        accepted = True
    assert accepted == MESSAGES.is_valid(record)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(sorted(VERDICT_SCHEMA["properties"])), min_size=1, max_size=2),
    odd | times | st.sampled_from(["clean", "flagged", "undecided", 0, 100, 101, 1e9]),
)
def test_schema_and_codec_agree_on_verdicts(names: list[str], value: Any) -> None:
    record = {**VERDICT_SCHEMA["examples"][0], **dict.fromkeys(names, value)}
    try:
        decode_verdict(json.dumps(record))
    except InvalidMessage:
        assert not VERDICTS.is_valid(record)
    else:
        assert VERDICTS.is_valid(record)
