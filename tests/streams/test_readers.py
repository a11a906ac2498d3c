"""Every line of a file gives a message or a bad record; the rest of the file goes on."""

import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from detectors.domain import Message, Speaker
from streams.readers.base import BadRecord
from streams.readers.errors import MappingError, UnreadableSource
from streams.readers.mapping import bundled_mapping, load_mapping
from streams.readers.records import read_records

WIRE: dict[str, Any] = {
    "message_id": "m1",
    "conversation_id": "c1",
    "sent_at": "2025-03-01T09:30:00+08:00",
    "speaker": "advisor",
    "text": "稳💰",
}


def line(**changes: Any) -> bytes:
    return json.dumps({**WIRE, **changes}, ensure_ascii=False).encode()


def read(path: Path, data: bytes, **options: Any) -> list[tuple[object, ...]]:
    """(id,) of each message; (line, reason, field) of each bad record."""
    path.write_bytes(data)
    return [
        (r.message_id,) if isinstance(r, Message) else (r.line, r.reason, r.field)
        for r in read_records(path, **options)
    ]


def test_bad_lines_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [
        line(),
        b'{"message_id": ',
        b"",
        line(text=None),
        line(speaker="boss"),
        line(sent_at="2025-03-01T09:30:00"),
        b'{"message_id":"1","message_id":"2"}',
        line(message_id="a\x00b"),
        '{"text":"保"}'.encode("gb18030"),
        line(price=0).replace(b": 0}", b": NaN}"),
        line(x="-").replace(b'"-"', b'{"a":' * 50 + b"1" + b"}" * 50),
        line(),
        line(message_id="last"),
    ]
    expected = [
        ("m1",),
        (2, "bad_json", "message_id"),
        (3, "blank_line", None),
        (4, "missing_field", "text"),
        (5, "unknown_speaker", "speaker"),
        (6, "naive_timestamp", "sent_at"),
        (7, "duplicate_key", "message_id"),
        (8, "control_character", "message_id"),
        (9, "invalid_utf8", "text"),
        (10, "bad_json", "price"),
        (11, "too_deep", None),
        ("m1",),  # sent twice: read twice, the pipeline says so
        ("last",),
    ]
    assert expected == read(tmp_path / "a.jsonl", b"\n".join(lines))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n \n\n"])
def test_line_ends_byte_order_mark_and_blank_tail_are_no_errors(
    tmp_path: Path, start: bytes, end: bytes, tail: bytes
) -> None:
    data = start + line() + end + line(message_id="m2") + tail
    assert read(tmp_path / "a.jsonl", data) == [("m1",), ("m2",)]


@pytest.mark.parametrize("data", [b"", b"\n\n \r\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_empty_file_is_told(tmp_path: Path, name: str, data: bytes) -> None:
    assert read(tmp_path / name, data) == [(1, "empty_file", None)]


def test_ten_megabytes_in_one_line_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(text="x" * 10_000_000) + b"\n" + line() + b"\n" + b"\x00" * 10_000_000)
    tracemalloc.start()
    try:
        records = list(read_records(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    first, second, third = records
    assert isinstance(first, BadRecord)
    assert first.reason == "too_large"
    assert len(first.raw) <= 500
    assert isinstance(second, Message)
    assert isinstance(third, BadRecord)
    assert peak < 6_000_000, peak


def test_array_of_messages_says_one_per_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[\n" + line() + b",\n" + line() + b"\n]")
    records = list(read_records(path))
    assert isinstance(records[0], BadRecord)
    assert "one JSON object per line" in records[0].detail


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (line().decode().encode("utf-16"), "iconv"),
        (b"\x1f\x8b\x08rest", "gunzip"),
        (b"PK\x03\x04rest", "CSV UTF-8"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(UnreadableSource, match=words):
        read(tmp_path / "a.jsonl", data)


def test_missing_file_and_unknown_kind_fail_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match="No such file"):
        read_records(tmp_path / "none.jsonl")
    with pytest.raises(UnreadableSource, match="directory"):
        read_records(tmp_path)
    (tmp_path / "a").touch()
    with pytest.raises(UnreadableSource, match="jsonl, csv, wecom"):
        read_records(tmp_path / "a", kind="xml")
    with pytest.raises(UnreadableSource, match="gb18030"):
        read_records(tmp_path / "a", encoding="klingon")


WECOM_LINE = json.dumps(
    {
        "msgid": "w1",
        "action": "send",
        "from": "zw",
        "tolist": ["wmErxtDgAA9AW32YyyuYRimKr7D1KWlw"],
        "msgtime": 1740792600000,
        "msgtype": "text",
        "text": {"content": "您好"},
    }
).encode()
CSV_TEXT = b"message_id,conversation_id,sent_at,speaker,text\nm1,c1,2025-03-01T09:30:00Z,advisor,hi\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (line(), "m1"),
        (WECOM_LINE, "w1"),
        (CSV_TEXT, "m1"),
        (b"\n" + line(), None),
        (b"garbage, with a comma\n" + line(), None),
    ],
)
def test_kind_of_standard_input_is_guessed(
    monkeypatch: pytest.MonkeyPatch, data: bytes, expected: str | None
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    records = list(read_records("-"))
    if expected is None:
        assert isinstance(records.pop(0), BadRecord)
        expected = "m1"
    assert [expected] == [r.message_id for r in records if isinstance(r, Message)]


def test_jsonl_in_another_encoding_can_be_named(tmp_path: Path) -> None:
    data = line(text="保本").decode().encode("gb18030")
    assert read(tmp_path / "a.jsonl", data) == [(1, "invalid_utf8", "text")]
    assert read(tmp_path / "a.jsonl", data, encoding="gb18030") == [("m1",)]


def test_json_of_another_crm_is_read_by_its_mapping(tmp_path: Path) -> None:
    mapping = tmp_path / "crm.yaml"
    mapping.write_text(
        """
version: 1
kind: jsonl
fields: {message_id: id, conversation_id: chat.id, sent_at: at, speaker: who, text: [body, subject]}
constants: {channel: app}
times: {offset: '+08:00'}
speakers: {values: {staff: advisor}, patterns: [{pattern: 'k\\d+', speaker: customer}]}
""",
        encoding="utf-8",
    )
    good = {
        "id": "1",
        "chat": {"id": "c"},
        "at": "2025-03-01 09:30:00",
        "who": "Staff",
        "subject": "您好",
        "x": 1,
    }
    data = [good, {**good, "who": "k12"}, {**good, "who": "?"}, {**good, "chat": {}}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, data)), encoding="utf-8")
    first, second, third, fourth = read_records(path, mapping=mapping)
    assert isinstance(first, Message)
    assert (
        first.conversation_id,
        first.channel,
        first.text,
        first.attributes,
    ) == ("c", "app", "您好", {"x": "1"})
    assert first.sent_at.isoformat() == "2025-03-01T09:30:00+08:00"
    assert isinstance(second, Message)
    assert second.speaker is Speaker.CUSTOMER
    assert isinstance(third, BadRecord)
    assert (third.line, third.reason, third.field) == (3, "unknown_speaker", "speaker")
    assert isinstance(fourth, BadRecord)
    assert (fourth.reason, fourth.field) == ("missing_field", "conversation_id")
    assert "'chat.id'" in fourth.detail


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("version: 1\nversion: 1", "'version' occurs twice"),
        ("version: 2", "version"),
        ("{", "no readable YAML"),
        ("version: 1\nkind: csv\nfields: {massage_id: a}", "massage_id"),
        ("version: 1\nkind: csv\nfields: {}\nencoding: utf-16", "cannot be read line by line"),
        ("version: 1\nkind: csv\nfields: {}\nencodign: utf-8", "encodign"),
        (
            "version: 1\nkind: csv\nfields: {}\nspeakers: {patterns: [{pattern: '(', speaker: bot}]}",
            "no regular expression",
        ),
    ],
)
def test_wrong_mapping_is_refused_with_its_entry(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MappingError, match=words) as caught:
        load_mapping(path)
    assert caught.value.source == str(path)


def test_mapping_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("version: 1\nkind: csv\nfields: {}", encoding="utf-8")
    with pytest.raises(MappingError, match="for csv, not for wecom"):
        read_records("-", kind="wecom", mapping=path)


def test_shipped_mappings_load() -> None:
    assert (bundled_mapping("csv").kind, bundled_mapping("wecom").kind) == ("csv", "wecom")
