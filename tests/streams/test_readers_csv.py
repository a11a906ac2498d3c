"""CSV: a broken row costs that row; a broken header says what it lacks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.domain import Message
from streams.readers.base import BadRecord
from streams.readers.csv_file import read_csv
from streams.readers.errors import UnreadableSource
from streams.readers.lines import Line
from streams.readers.mapping import bundled_mapping
from streams.readers.records import read_records

HEADER = "message_id,conversation_id,sent_at,speaker,text,备注\n"
ROW = "{id},c1,2025-03-01T09:30:00+08:00,客户经理,{text},\n"


def read(path: Path, text: str, encoding: str = "utf-8") -> list[Message | BadRecord]:
    path.write_bytes(text.encode(encoding))
    return list(read_records(path))


def row(number: int, text: str = "您好") -> str:
    return ROW.format(id=f"m{number}", text=text)


def short(records: list[Message | BadRecord]) -> list[tuple[object, ...]]:
    return [(r.text,) if isinstance(r, Message) else (r.line, r.reason, r.field) for r in records]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (row(1, '"a,""b""\nc"') + row(2), [('a,"b"\nc',), ("您好",)]),
        (row(1, '5" 屏') + row(2), [('5" 屏',), ("您好",)]),
        (row(1, '"never closed') + row(2) + row(3), [(2, "bad_csv", "text"), ("您好",), ("您好",)]),
        ('m1,"never closed\n' + row(2), [(2, "bad_csv", "conversation_id"), ("您好",)]),
        (
            row(1, '"a"b"') + row(2, '"c"d"') + row(3),
            [(2, "bad_csv", "text"), (3, "bad_csv", "text"), ("您好",)],
        ),
        (row(1, "a,b") + row(2), [(2, "extra_cells", None), ("您好",)]),
        ("m1,c1\n" + row(2), [(2, "missing_cells", "sent_at"), ("您好",)]),
        (row(1, "") + row(2), [(2, "missing_field", "text"), ("您好",)]),
        ("\n" + row(2) + "\n\n", [(2, "blank_line", None), ("您好",)]),
        (row(1).replace("客户经理", "路人"), [(2, "unknown_speaker", "speaker")]),
        (row(1).replace("+08:00", ""), [(2, "naive_timestamp", "sent_at")]),
        (row(1).replace("m1", "m\x001"), [(2, "control_character", "message_id")]),
        (row(1, "长" * 20_001) + row(2), [(2, "too_large", "text"), ("您好",)]),
        (row(1, "x" * 2_000_000) + row(2), [(2, "too_large", "text"), ("您好",)]),
        ("", [(1, "empty_file", None)]),
    ],
)
def test_each_row_gives_its_own_result(tmp_path: Path, body: str, expected: list[tuple[object, ...]]) -> None:
    assert expected == short(read(tmp_path / "a.csv", HEADER + body))
    assert expected == short(read(tmp_path / "b.csv", ("\ufeff" + HEADER + body).replace("\n", "\r\n")))


def test_other_columns_become_attributes_and_tabs_are_read(tmp_path: Path) -> None:
    text = (HEADER + row(1).replace(",\n", ",重要\n")).replace(",", "\t")
    (message,) = read(tmp_path / "a.tsv", text)
    assert isinstance(message, Message)
    assert message.attributes == {"备注": "重要"}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            "message_id,speaker,text\n",
            "lacks conversation_id .*会话ID.*sent_at.*It has: message_id, speaker, text",
        ),
        ("message_id,text,text\n", "columns occur twice: 'text'"),
        ("message_id;conversation_id;sent_at;speaker;text\n", "check the delimiter ','"),
        ('"message_id\n', "line 1: the header row is no CSV"),
    ],
)
def test_header_that_cannot_be_used_ends_the_reading(tmp_path: Path, header: str, words: str) -> None:
    with pytest.raises(UnreadableSource, match=words):
        read(tmp_path / "a.csv", header)


def test_gbk_says_convert_or_name_the_encoding(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match=r"line 1: byte .* is not utf-8: convert .*gb18030"):
        read(tmp_path / "a.csv", HEADER + row(1), "gb18030")
    (bad,) = read(tmp_path / "b.csv", HEADER.replace("备注", "x") + row(1), "gb18030")
    assert isinstance(bad, BadRecord)
    assert (bad.line, bad.reason) == (2, "invalid_utf8")
    assert "gb18030" in bad.detail
    assert short(list(read_records(tmp_path / "b.csv", encoding="gb18030"))) == [("您好",)]


@given(st.lists(st.text('",\n\rab', max_size=25), max_size=8))
def test_every_line_of_any_table_is_accounted_for(rows: list[str]) -> None:
    """Rows of quotes and commas: no crash, lines only rise, and the good row at the end is read."""
    body = [*"\n".join(rows).split("\n"), row(9).rstrip("\n")]
    data = [HEADER.rstrip("\n"), *body]
    lines = (Line(i, text.encode(), len(text.encode())) for i, text in enumerate(data, 1))
    records = [record.content for record in read_csv(lines, bundled_mapping("csv"), "x")]
    numbers = [r.line for r in records if isinstance(r, BadRecord)]
    assert numbers == sorted(set(numbers))
    assert isinstance(records[-1], Message)
