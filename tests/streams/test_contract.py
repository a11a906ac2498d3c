"""The contract for producers: its examples, and what the check says of records one by one and together."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner

import streams
from deploy.cli.contract import contract_app
from streams.codec import decode_message, encode_message
from streams.contract import ContractCheck, Remark
from streams.dead_letters import CLOCK_SKEW
from streams.errors import InvalidMessage
from streams.origin import Origin
from streams.readers.records import read_records
from streams.topic_reader import TopicRecord
from tests.stream_samples import START, message

assert streams.__file__ is not None
SCHEMAS = Path(streams.__file__).parent / "schemas"
ACCEPTED = (SCHEMAS / "examples" / "accepted.jsonl").read_text(encoding="utf-8").splitlines()
REFUSED = [
    json.loads(line)
    for line in (SCHEMAS / "examples" / "refused.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("line", ACCEPTED)
def test_accepted_examples_are(line: str) -> None:
    schema = json.loads((SCHEMAS / "message.v1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(line))
    decode_message(line)


@pytest.mark.parametrize("example", REFUSED, ids=lambda example: example["reason"])
def test_refused_examples_are_for_their_reason(example: dict[str, str]) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_message(example["record"])
    assert example["reason"] == caught.value.reason


def remarks(tmp_path: Path, lines: Iterable[str]) -> list[tuple[str, str, str]]:
    path = tmp_path / "sample.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    check = ContractCheck(datetime(2026, 1, 1, tzinfo=UTC))
    return [(each.level, each.where, each.code) for each in check.file(read_records(path, kind="jsonl"))]


def test_accepted_examples_leave_nothing_to_say(tmp_path: Path) -> None:
    assert [] == remarks(tmp_path, ACCEPTED)


def sample(**fields: object) -> str:
    return json.dumps(
        {
            "message_id": "m",
            "conversation_id": "c",
            "sent_at": "2025-03-01T09:30:00+08:00",
            "speaker": "advisor",
            "text": "您好",
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ({"text": "再见"}, "text_changed"),
        ({"message_id": "n"}, "order_unclear"),
        ({"message_id": "n", "seq": 2}, "order_unclear"),
        ({"message_id": "n", "event": "recall", "sent_at": "2025-03-02T00:00:00Z"}, "unknown_target"),
        ({"sent_at": "2026-01-01T20:00:00Z"}, "clock_ahead"),
        ({"advisorid": "x"}, "looks_like"),
    ],
)
def test_what_may_be_meant_otherwise_is_told(tmp_path: Path, second: dict[str, object], code: str) -> None:
    assert [("warning", "record 2", code)] == remarks(tmp_path, [sample(), sample(**second)])


def test_what_the_worker_takes_for_a_wrong_clock_is_an_error(tmp_path: Path) -> None:
    assert [("error", "record 1", CLOCK_SKEW)] == remarks(tmp_path, [sample(sent_at="2026-01-03T00:00:00Z")])


@pytest.mark.parametrize(
    "second",
    [{}, {"text": "再见", "event": "edit"}, {"text": "", "event": "recall"}, {"conversation_id": "d"}],
    ids=["a repeat", "an edit", "a recall", "another conversation"],
)
def test_what_is_in_order_is_not(tmp_path: Path, second: dict[str, object]) -> None:
    assert [] == remarks(tmp_path, [sample(), sample(**second)])


def test_keys_count_on_the_broker() -> None:
    said = encode_message(message(1))

    def record(offset: int, key: bytes | None, value: bytes | None) -> TopicRecord:
        return TopicRecord(Origin("t", 0, offset), key, value, START)

    records = [
        record(1, b"c1", said),
        record(2, b"m1", said),
        record(3, None, said),
        record(4, b"c1", b"{}"),
        record(5, b"c1", None),
    ]
    found: list[Remark] = list(ContractCheck(START + timedelta(days=1)).topic(records))
    assert [
        ("t:0:2", "wrong_key"),
        ("t:0:3", "wrong_key"),
        ("t:0:4", "missing_field"),
        ("t:0:5", "tombstone"),
    ] == [(each.where, each.code) for each in found]


def test_the_command_tells_and_ends_with_one(tmp_path: Path) -> None:
    path = tmp_path / "sample.jsonl"
    path.write_text(sample() + "\n" + sample(text="再见") + "\n{}\n", encoding="utf-8")
    ended = CliRunner().invoke(contract_app, ["check", str(path)])
    assert 1 == ended.exit_code
    assert "error: line 3: field 'message_id'" in ended.stderr
    assert "warning: record 2: this id was sent before" in ended.stderr
    assert "3 records: 1 errors, 1 warnings" in ended.stderr
    path.write_text(sample() + "\n" + sample(text="再见") + "\n", encoding="utf-8")
    assert 0 == CliRunner().invoke(contract_app, ["check", str(path)]).exit_code
    assert 1 == CliRunner().invoke(contract_app, ["check", str(path), "--strict"]).exit_code
    assert 2 == CliRunner().invoke(contract_app, ["check"]).exit_code


def test_schema_and_examples_are_printed() -> None:
    shown = CliRunner().invoke(contract_app, ["show", "message"])
    assert "urn:redline:schema:message:v1" == json.loads(shown.stdout)["$id"]
    assert ACCEPTED == CliRunner().invoke(contract_app, ["examples"]).stdout.splitlines()
    assert len(REFUSED) == len(
        CliRunner().invoke(contract_app, ["examples", "--refused"]).stdout.splitlines()
    )
    assert 2 == CliRunner().invoke(contract_app, ["show", "letter"]).exit_code
