"""`redline up`: judged first, told what could not be, and a desk that opens or says why not."""

import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from deploy.clock import utc_now
from feedback.cases import CaseFilter, list_cases
from feedback.intake import pull_cases
from feedback.store.desk_store import open_desk_store
from streams.store.sqlite import SqliteEventStore
from tests.deploy.chats import SMALL_TALK, lines, record
from tests.deploy.conftest import REDLINE, Redline

DEADLINE_S = 60
RULES_ALONE = {"REDLINE_USE_MODEL": "false"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_what_was_not_readable_or_came_twice_is_told_and_counted(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_bytes(
        lines([record(1), record(1)]) + b"{broken\n" + lines([record(4, text=SMALL_TALK)])
    )

    ended = redline("up", "chats.jsonl", "--no-serve", **RULES_ALONE)

    assert ended.code == 0
    assert "conversations: 1, messages: 3" in ended.out
    assert "2 flagged · 0 undecided · 1 clean · 1 of them repeats · 1 not readable" in ended.out
    repeat, broken = ended.err.splitlines()
    assert repeat.startswith("redline: line 2: field 'message_id': 'm1' came before")
    assert broken.startswith("redline: line 3: not valid JSON")


def test_the_desk_is_told_to_read_all_verdicts_again_and_opens_nothing_twice(
    redline: Redline, tmp_path: Path
) -> None:
    (tmp_path / "chats.jsonl").write_bytes(lines([record(1)]))
    assert 0 == redline("up", "chats.jsonl", "--no-serve", **RULES_ALONE).code
    ended = redline("desk", "--pull-again")
    assert (0, True) == (ended.code, "reads all stored verdicts again" in ended.err)
    with closing(open_desk_store(f"sqlite:///{tmp_path / 'data' / 'desk.sqlite'}")) as desk:
        with closing(SqliteEventStore(tmp_path / "data" / "events.sqlite")) as events:
            assert 0 == pull_cases(events, desk, clock=utc_now).opened
        assert 1 == len(list_cases(desk, CaseFilter()))


def test_export_of_another_crm_is_read_by_its_mapping(redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "crm.yaml").write_text(
        "version: 1\nkind: csv\nencoding: gb18030\nfields: {message_id: 号, conversation_id: 会话, "
        "sent_at: 时间, speaker: 身份, text: 内容}\ntimes: {offset: '+08:00'}\nspeakers: {values: {坐席: advisor}}\n"
    )
    (tmp_path / "export.csv").write_bytes(
        "号,会话,时间,身份,内容\n1,c1,2026-03-02 09:30:00,坐席,这款保本，您放心\n".encode("gb18030")
    )

    ended = redline("up", "export.csv", "--mapping", "crm.yaml", "--no-serve", **RULES_ALONE)

    assert (0, "") == (ended.code, ended.err)
    assert "1 flagged" in ended.out


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."], ids=["missing", "folder"])
def test_file_that_cannot_be_read_ends_with_two_and_leaves_no_store(
    redline: Redline, tmp_path: Path, name: str
) -> None:
    ended = redline("up", name, "--no-serve", **RULES_ALONE)

    assert (2, "") == (ended.code, ended.out)
    assert f"redline: {name}: cannot be read" in ended.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["up", "desk"])
def test_address_that_is_taken_is_told_before_anything_is_judged(redline: Redline, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = redline(command, "--port", port, **RULES_ALONE)

    assert (1, "") == (ended.code, ended.out)
    assert f"redline: cannot serve on 127.0.0.1:{port}: Address already in use" in ended.err
    assert "--port" in ended.err


@pytest.mark.parametrize("port", ["0", "99999", "web"])
def test_port_that_is_none_is_bad_usage(redline: Redline, port: str) -> None:
    assert 2 == redline("up", "--port", port).code


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_desk_ends_well_by_a_signal(
    environment: dict[str, str], tmp_path: Path, ending: signal.Signals
) -> None:
    """Stores are closed and the exit code is 0, however the service is stopped."""
    (tmp_path / "chats.jsonl").write_bytes(lines([record(1)]))
    port = free_port()
    command = [str(REDLINE), "up", "chats.jsonl", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment | RULES_ALONE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as desk:
        try:
            answers(f"http://127.0.0.1:{port}/healthz", desk)
            desk.send_signal(ending)
            _, err = desk.communicate(timeout=DEADLINE_S)
        finally:
            desk.kill()

    assert 0 == desk.returncode
    assert b"Traceback" not in err
    assert not (
        tmp_path / "data" / "desk.sqlite-wal"
    ).exists()  # SQLite's own sign of a store that was closed


def answers(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the desk answers."""
    for _ in range(DEADLINE_S * 10):
        assert process.poll() is None, "the desk ended by itself"
        try:
            with urlopen(url, timeout=5) as response:
                assert response.status == 200
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the desk did not start")
