"""Settings and rule packs that cannot be used are refused at start, with the way out."""

import shutil
from pathlib import Path

import pytest

from tests.deploy.chats import lines, record
from tests.deploy.conftest import Redline


@pytest.fixture
def chats(tmp_path: Path) -> str:
    path = tmp_path / "chats.jsonl"
    path.write_bytes(lines([record()]))
    return str(path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("REDLINE_PORT", "abc", "REDLINE_PORT=abc: Input should be a valid integer"),
        ("REDLINE_PORT", "70000", "REDLINE_PORT=70000: Input should be less than or equal to 65535"),
        ("REDLINE_USE_MODEL", "perhaps", "REDLINE_USE_MODEL=perhaps: Input should be a valid boolean"),
        ("REDLINE_KAFKA", "broker", "REDLINE_KAFKA=broker: not host:port (expected: bootstrap servers"),
        ("REDLINE_KAFKA", "a:9092,b:99999", "REDLINE_KAFKA=a:9092,b:99999: a port is 1 to 65535"),
        ("REDLINE_KAFKA", "me:hunter2@broker:9092", "REDLINE_KAFKA: not host:port"),
        ("REDLINE_STATUS", "127.0.0.1:99999", "REDLINE_STATUS=127.0.0.1:99999: a port is 1 to 65535"),
        ("REDLINE_STATUS", "a:1,b:2", "REDLINE_STATUS=a:1,b:2: not host:port (expected: host:port where"),
        ("REDLINE_KAFAK", "broker:9092", "REDLINE_KAFAK: no such setting; did you mean REDLINE_KAFKA?"),
        ("REDLINE_XQZW", "1", "REDLINE_XQZW: no such setting; there are REDLINE_DATA_DIR, "),
        ("REDLINE_KAFKA_SECURITY", "SASL_SSL", "SASL_SSL needs a user and a password"),
        ("REDLINE_KAFKA_PASSWORD", "hunter2", "PLAINTEXT uses none"),
        ("REDLINE_JUDGE_URL", "judge:8000/v1", "REDLINE_JUDGE_URL: no http:// or https:// address"),
        ("REDLINE_JUDGE_URL", "http://judge/v1", "REDLINE_JUDGE_MODEL: set REDLINE_JUDGE_URL and"),
        ("REDLINE_JUDGE_MODEL", "qwen", "REDLINE_JUDGE_MODEL=qwen: set REDLINE_JUDGE_URL and"),
        ("REDLINE_JUDGE_QUEUE", "0", "REDLINE_JUDGE_QUEUE=0: Input should be greater"),
        ("REDLINE_PORT", "tcp://10.0.0.7:8000", "set enableServiceLinks: false in the pod"),
    ],
)
def test_wrong_setting_is_refused(redline: Redline, chats: str, name: str, value: str, told: str) -> None:
    ended = redline("scan", chats, "--rules-only", **{name: value})

    assert (2, "") == (ended.code, ended.out)
    assert ended.err.startswith("redline: wrong settings:\n")
    assert told in ended.err


def test_all_wrong_settings_are_told_at_once(redline: Redline) -> None:
    ended = redline("rules", "lint", REDLINE_PORT="abc", REDLINE_PAKC="x", REDLINE_MODEL_CHECK_S="0")

    assert all(name in ended.err for name in ("REDLINE_PORT", "REDLINE_PAKC", "REDLINE_MODEL_CHECK_S"))


def test_secrets_are_not_printed(redline: Redline) -> None:
    ended = redline(
        "rules",
        "lint",
        REDLINE_CLICKHOUSE="http://me:hunter2@host/x",
        REDLINE_SCORE_TOKEN="hunter2",
        REDLINE_JUDGE_URL="http://me:hunter2@host/v1",
    )

    assert ended.code == 2
    assert "REDLINE_CLICKHOUSE: no URL of a ClickHouse server" in ended.err
    assert "REDLINE_SCORE_TOKEN: Value should have at least 16" in ended.err
    assert "REDLINE_JUDGE_URL: give the key in REDLINE_JUDGE_KEY" in ended.err
    assert "hunter2" not in ended.err


@pytest.mark.parametrize(
    ("name", "scheme"), [("REDLINE_CLICKHOUSE", "clickhouse"), ("REDLINE_JUDGE_URL", "http")]
)
@pytest.mark.parametrize(
    "rest",
    [
        "me:hunter2/w0rd@host:9000/x",
        "me:4711/hunter2@host",
        "me:12#hunter2@host/x",
        "me:4711?hunter2@host",
        "me:[hunter2@host",
        "me:hunter2\N{ACCOUNT OF}@host",
        "host:99999/hunter2",
        "host:0/hunter2",
    ],
)
def test_address_with_a_stray_password_or_port_is_refused_and_not_printed(
    redline: Redline, name: str, scheme: str, rest: str
) -> None:
    ended = redline("rules", "lint", **{name: f"{scheme}://{rest}"})

    assert ended.code == 2
    assert f"{name}: " in ended.err
    assert "percent-encode / : # ? @" in ended.err or "a port is 1 to 65535" in ended.err
    assert not any(part in ended.err for part in ("hunter2", "4711", "Traceback"))


def test_a_password_that_is_percent_encoded_is_taken(redline: Redline) -> None:
    ended = redline("rules", "lint", REDLINE_CLICKHOUSE="clickhouse://me:a%2Fb%23c%3Fd%40e@host:9000/x")

    assert ended.code == 0


@pytest.mark.parametrize(
    "rest", ["me:p@hunter2@host/x", "me:p@a:hunter2@host", "m/e:hunter2@host", "h:99999/x"]
)
def test_desk_url_with_a_stray_password_or_port_is_refused_and_not_printed(
    redline: Redline, rest: str
) -> None:
    ended = redline("desk", REDLINE_DESK_URL=f"postgresql://{rest}")

    assert ended.code == 1
    assert "desk store URL" in ended.err
    assert not any(part in ended.err for part in ("hunter2", "Traceback"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("worker", "--score", "127.0.0.1:99999"),
        ("worker", "--score", "a:1,b:2"),
        ("score", "--port", "99999"),
        ("score", "--port", "0"),
    ],
)
def test_port_that_is_none_is_bad_usage(redline: Redline, arguments: tuple[str, ...]) -> None:
    ended = redline(*arguments, REDLINE_USE_MODEL="false")

    assert (2, "") == (ended.code, ended.out)
    assert arguments[1] in ended.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDLINE_DESK_SERVICE_HOST", "10.0.0.7"),
        ("REDLINE_DESK_PORT", "tcp://10.0.0.7:80"),
        ("REDLINE_DESK_PORT_80_TCP_ADDR", "10.0.0.7"),
        ("REDLINE_PORT", ""),
    ],
)
def test_what_nobody_meant_as_a_setting_is_let_be(redline: Redline, name: str, value: str) -> None:
    assert redline("rules", "lint", **{name: value}).code == 0


def test_broken_pack_is_refused_with_file_line_and_hint(
    redline: Redline, chats: str, tmp_path: Path, small_pack: Path
) -> None:
    pack = shutil.copytree(small_pack, tmp_path / "pack")
    rule = pack / "rules" / "principal-is-safe.yaml"
    found = rule.read_text("utf-8").splitlines()
    line = next(number for number, text in enumerate(found, start=1) if text.startswith("label:"))
    found[line - 1] = "labbel: guaranteed_return"
    rule.write_text("\n".join(found) + "\n", "utf-8")

    ended = redline("scan", chats, "--rules-only", REDLINE_PACK=str(pack))

    assert (2, "") == (ended.code, ended.out)
    assert f"rules/principal-is-safe.yaml:{line}: unknown key 'labbel'" in ended.err
    assert "hint: " in ended.err


def test_missing_pack_is_refused(redline: Redline) -> None:
    ended = redline("rules", "lint", "--pack", "nowhere")

    assert ended.code == 2
    assert "nowhere:1: no such pack folder" in ended.err
