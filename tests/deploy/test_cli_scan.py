"""What `redline scan` promises: one verdict per message in order, and every bad line told."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.deploy.chats import PROMISE, SMALL_TALK, lines, record
from tests.deploy.conftest import REDLINE, Redline

BAD_LINES = [
    pytest.param(b'{"message_id": "x', "message_id", "bad_json", id="malformed JSON"),
    pytest.param(b"[1, 2]", "", "not_an_object", id="not an object"),
    pytest.param(b"\0\0\0", "", "bad_json", id="only NUL bytes"),
    pytest.param(lines([record(text=None)]).strip(), "text", "missing_field", id="missing field"),
    pytest.param(lines([record(seq="first")]).strip(), "seq", "wrong_type", id="wrong type"),
    pytest.param(lines([record(text=5)]).strip(), "text", "wrong_type", id="text is a number"),
    pytest.param(
        lines([record(sent_at="2026-03-02T09:00:00")]).strip(), "sent_at", "naive_timestamp", id="naive time"
    ),
    pytest.param(lines([record(sent_at="yesterday")]).strip(), "sent_at", "bad_timestamp", id="no time"),
    pytest.param(lines([record(speaker="boss")]).strip(), "speaker", "unknown_speaker", id="unknown speaker"),
    pytest.param(
        lines([record(message_id="a\0b")]).strip(), "message_id", "control_character", id="NUL in an id"
    ),
    pytest.param(lines([record(text="长" * 20_001)]).strip(), "text", "too_large", id="long text"),
    pytest.param(lines([record(text="a" * 10_000_000)]).strip(), "text", "too_large", id="10 MB of text"),
    pytest.param(
        lines([record()]).strip().replace(PROMISE.encode(), b"a\0b"),
        "text",
        "bad_json",
        id="raw NUL in a text",
    ),
    pytest.param(
        lines([record()]).strip().replace(PROMISE.encode(), b"\xb1\xa3\xb1\xbe"),
        "text",
        "invalid_utf8",
        id="GBK",
    ),
    pytest.param(b"", "", "blank_line", id="blank line"),
]


def verdicts(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("bad", "field", "reason"), BAD_LINES)
def test_bad_line_is_told_with_line_and_field_and_the_rest_goes_on(
    redline: Redline, tmp_path: Path, bad: bytes, field: str, reason: str
) -> None:
    chats = tmp_path / "chats.jsonl"
    chats.write_bytes(lines([record(1)]) + bad + b"\n" + lines([record(3)]))

    ended = redline("scan", str(chats), "--rules-only")

    assert ended.code == 0
    assert [verdict["message_id"] for verdict in verdicts(ended.out)] == ["m1", "m3"]
    complaint, total = ended.err.splitlines()
    assert complaint.startswith(f"redline: line 2: field '{field}': " if field else "redline: line 2: ")
    assert complaint.endswith(f"[{reason}]")
    assert total == "3 records: 2 judged, 2 flagged, 0 undecided, 1 not readable"


def test_one_verdict_per_message_in_order(redline_process: Redline, tmp_path: Path) -> None:
    """As a process, over more than one batch, with evidence that is the very words."""
    texts = [PROMISE if number % 3 else SMALL_TALK for number in range(150)]
    chats = tmp_path / "chats.jsonl"
    chats.write_bytes(lines(record(n, conversation_id=f"c{n}", text=text) for n, text in enumerate(texts)))

    ended = redline_process("scan", "chats.jsonl", "--rules-only")

    found = verdicts(ended.out)
    assert ended.code == 0
    assert [f"m{number}" for number in range(150)] == [verdict["message_id"] for verdict in found]
    assert [text == PROMISE for text in texts] == [verdict["flagged"] for verdict in found]
    for verdict, text in zip(found, texts, strict=True):
        for finding in verdict["findings"]:
            for item in finding["evidence"]:
                assert text[item["start"] : item["end"]] == item["text"]


def test_nul_bytes_inside_a_text_are_judged(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(lines([record(text="这款\0保本，您放心")]))

    ended = redline("scan", "chats.jsonl", "--rules-only")

    assert [True] == [verdict["flagged"] for verdict in verdicts(ended.out)]


def test_repeats_are_judged_counted_and_told_with_their_line(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(lines([record(1), record(1), record(2)]))

    ended = redline("scan", "chats.jsonl", "--rules-only")

    assert ["m1", "m1", "m2"] == [verdict["message_id"] for verdict in verdicts(ended.out)]
    told, total = ended.err.splitlines()
    assert told.startswith("redline: line 2: field 'message_id': 'm1' came before in this conversation")
    assert "3 judged, 1 of them repeats" in total


def test_repeat_in_a_table_is_told_with_the_line_its_row_starts_on(redline: Redline, tmp_path: Path) -> None:
    row = 'm1,c1,2026-03-02T09:30:00+08:00,advisor,"first line\nsecond line"\n'
    (tmp_path / "chats.csv").write_text("message_id,conversation_id,sent_at,speaker,text\n" + row + row)

    ended = redline("scan", "chats.csv", "--rules-only")

    assert ended.err.startswith("redline: line 4: field 'message_id': 'm1' came before")


@pytest.mark.parametrize("event", ["edit", "recall"])
def test_edit_and_recall_are_no_repeats(redline: Redline, tmp_path: Path, event: str) -> None:
    (tmp_path / "chats.jsonl").write_bytes(lines([record(1), record(1, event=event, text="改过的话")]))

    ended = redline("scan", "chats.jsonl", "--rules-only")

    assert "2 records: 2 judged, 1 flagged, 0 undecided, 0 not readable" == ended.err.strip()


def test_report_names_every_record_that_the_terminal_only_counts(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(
        lines(record(n, text=None) for n in range(60)) + lines(record(60) for _ in range(3))
    )

    ended = redline("scan", "chats.jsonl", "--rules-only", "--report", "report.jsonl")

    assert "more bad records follow; the report names them all" in ended.err
    told = [orjson.loads(line) for line in (tmp_path / "report.jsonl").read_bytes().splitlines()]
    bad = [(line, "unreadable", "missing_field", "text") for line in range(1, 61)]
    repeated = [(line, "repeated", "repeated_id", "message_id") for line in (62, 63)]
    assert bad + repeated == [(t["line"], t["status"], t["reason"], t["field"]) for t in told]
    assert all(t["detail"] for t in told)


@pytest.mark.parametrize("target", ["chats.jsonl", "verdicts.jsonl"], ids=["the input", "the output"])
def test_report_replaces_neither_input_nor_output(redline: Redline, tmp_path: Path, target: str) -> None:
    chats = tmp_path / "chats.jsonl"
    chats.write_bytes(lines([record(1)]))

    ended = redline("scan", "chats.jsonl", "-o", "verdicts.jsonl", "--report", target, "--rules-only")

    assert ended.code == 2
    assert lines([record(1)]) == chats.read_bytes()


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_empty_file_is_told(redline: Redline, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chats.jsonl").write_bytes(content)

    ended = redline("scan", "chats.jsonl", "--rules-only")

    assert (0, "") == (ended.code, ended.out)
    assert "[empty_file]" in ended.err


@pytest.mark.parametrize(
    ("name", "what"),
    [("nowhere.jsonl", "No such file"), (".", "Is a directory")],
    ids=["missing", "directory"],
)
def test_file_that_cannot_be_read_ends_with_two(redline: Redline, name: str, what: str) -> None:
    ended = redline("scan", name, "--rules-only")

    assert (2, "") == (ended.code, ended.out)
    assert f"redline: {name}: cannot be read: {what}" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [("--kind", "excel"), ("--encoding", "klingon"), ("--mapping", "nowhere.yaml"), ("--colour", "red")],
)
def test_bad_usage_ends_with_two(redline: Redline, tmp_path: Path, arguments: tuple[str, str]) -> None:
    (tmp_path / "chats.jsonl").write_bytes(lines([record()]))

    ended = redline("scan", "chats.jsonl", "--rules-only", *arguments)

    assert (2, "") == (ended.code, ended.out)
    assert arguments[0] in ended.err or arguments[1] in ended.err


def test_standard_input_is_judged_as_it_comes(environment: dict[str, str]) -> None:
    """The verdict of a line is there before the next line is sent."""
    with subprocess.Popen(
        [str(REDLINE), "scan", "-", "--rules-only"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for number in range(3):
            process.stdin.write(lines([record(number)]))
            process.stdin.flush()
            assert f"m{number}" == orjson.loads(process.stdout.readline())["message_id"]
        process.stdin.close()
        assert "3 records: 3 judged" in process.stderr.read().decode()
        assert process.wait(timeout=30) == 0


def test_reader_that_leaves_ends_it_quietly(environment: dict[str, str], tmp_path: Path) -> None:
    """`redline scan … | head -1` is no failure."""
    (tmp_path / "chats.jsonl").write_bytes(lines(record(number) for number in range(500)))

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {REDLINE} scan chats.jsonl --rules-only | head -1"],
        capture_output=True,
        env=environment,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0
    assert "m0" == orjson.loads(done.stdout)["message_id"]
    assert b"" == done.stderr


def test_full_disk_is_told_and_ends_with_one(environment: dict[str, str], tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "chats.jsonl").write_bytes(lines([record()]))

    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(REDLINE), "scan", "chats.jsonl", "--rules-only"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=tmp_path,
            timeout=120,
            check=False,
        )

    assert done.returncode == 1
    assert b"redline: standard output: No space left on device\n" == done.stderr


def test_output_file_gets_the_verdicts(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(lines([record(1), record(2)]))

    ended = redline("scan", "chats.jsonl", "--rules-only", "--output", "verdicts.jsonl")

    assert (0, "") == (ended.code, ended.out)
    assert ["m1", "m2"] == [v["message_id"] for v in verdicts((tmp_path / "verdicts.jsonl").read_text())]


@pytest.mark.parametrize("target", [".", "nowhere/verdicts.jsonl", "chats.jsonl", "same.jsonl"])
def test_output_that_cannot_or_must_not_be_written_is_refused_first(
    redline: Redline, tmp_path: Path, target: str
) -> None:
    chats = tmp_path / "chats.jsonl"
    chats.write_bytes(lines([record()]))
    os.link(chats, tmp_path / "same.jsonl")

    ended = redline("scan", "chats.jsonl", "--rules-only", "-o", target)

    assert ended.code == 2
    assert ended.err.startswith(f"redline: {target}: ")
    assert lines([record()]) == chats.read_bytes()


def test_unreadable_input_leaves_an_old_output_alone(redline: Redline, tmp_path: Path) -> None:
    old = tmp_path / "verdicts.jsonl"
    old.write_text("yesterday's")

    assert redline("scan", "nowhere.jsonl", "--rules-only", "-o", "verdicts.jsonl").code == 2
    assert "yesterday's" == old.read_text()


def _as_from_a_terminal() -> None:
    """Where the tests run in the background the shell has SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_tells_how_far_it_came(environment: dict[str, str], tmp_path: Path) -> None:
    """As behind `tail -f`: the input has no end."""
    command = [str(REDLINE), "scan", "-", "--rules-only"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        preexec_fn=_as_from_a_terminal,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines([record(1)]))
        process.stdin.flush()
        assert orjson.loads(process.stdout.readline())["flagged"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert b"stopped; 1 record: 1 judged, 1 flagged, 0 undecided, 0 not readable" in err
    assert b"Traceback" not in err
