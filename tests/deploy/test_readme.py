"""README and docs tell no lies: what they list is what there is, and what they show happens."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.main import Commands
from deploy.settings import variables
from tests.deploy.conftest import Redline

ROOT = Path(__file__).resolve().parents[2]
READMES = ["README.md", "README.zh-CN.md"]
REFERENCES = ["docs/reference.md", "docs/reference.zh-CN.md"]
PAGES = [*READMES, *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
CELL_END = re.compile(r"(?<!\\)\|")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@pytest.fixture(params=READMES)
def readme(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return (ROOT / name).read_text("utf-8")


@pytest.fixture(params=REFERENCES)
def reference(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return (ROOT / name).read_text("utf-8")


def table_under(text: str, *first_cells: str) -> list[str]:
    """The first cells of the table whose rows hold all of `first_cells`."""
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for table in tables:
        cells = [CELL_END.split(row)[1].strip() for row in table.splitlines()[2:]]
        names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
        if set(first_cells) <= set(names):
            return names
    pytest.fail(f"no table with {first_cells}")


def schema(name: str) -> set[str]:
    loaded: dict[str, Any] = json.loads((ROOT / f"streams/schemas/{name}.v1.json").read_text("utf-8"))
    return set(loaded["properties"])


def blocks(text: str, language: str, part: str) -> str:
    bodies: list[str] = [body for kind, body in BLOCK.findall(text) if kind == language]
    return next(body for body in bodies if part in body)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    outside_code = BLOCK.sub("", text)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(outside_code)]
    return {heading.replace(" ", "-") for heading in plain}


def test_every_command_is_listed_and_no_other(reference: str) -> None:
    named = [
        name.removeprefix("redline ") for name in table_under(reference, "redline score", "redline desk")
    ]

    assert {name.split()[0] for name in named} == set(Commands.lazy)


def test_commands_of_the_short_list_exist(readme: str) -> None:
    named = table_under(readme, "redline worker", "redline sink")
    commands = [name.split()[1] for name in named if name.startswith("redline ")]

    assert ["up", "scan", "worker", "sink", "desk", "retrain"] == commands
    assert set(commands) <= set(Commands.lazy)


def test_every_setting_is_listed_and_no_other(reference: str) -> None:
    named = table_under(reference, "REDLINE_DATA_DIR", "REDLINE_PORT")

    assert sorted(variables()) == sorted(named)


def test_fields_of_message_and_verdict_are_those_of_the_schemas(reference: str) -> None:
    message = table_under(reference, "message_id", "sent_at")
    assert schema("message") == set(message)

    verdict = set(table_under(reference, "outcome", "content_hash"))
    ids = {"message_id", "conversation_id", "flagged", "detected_at", "latency_ms"}  # shown in the example
    assert schema("verdict") == verdict | ids


def test_example_verdict_is_what_scan_says(reference: str, redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text(blocks(reference, "json", '"m-2"'), "utf-8")

    ended = redline("scan", "chats.jsonl", "--rules-only", REDLINE_PACK="cn")

    shown = json.loads(blocks(reference, "json", '"detected_at"'))
    found = json.loads(ended.out.splitlines()[1])
    for each in (shown, found):  # these change with every edit and every run
        each["versions"] = sorted(each["versions"])
        each["detected_at"] = each["latency_ms"] = None
    assert shown == found


def test_example_of_labelled_messages_can_be_measured(readme: str, redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "labelled.jsonl").write_text(blocks(readme, "json", '"labels"'), "utf-8")

    ended = redline("eval", "labelled.jsonl", "--rules-only")

    assert (0, "") == (ended.code, ended.err)
    assert "2 messages, 1 of them violating" in ended.out


def test_example_mapping_reads_what_it_says(readme: str, redline: Redline, tmp_path: Path) -> None:
    (tmp_path / "our-crm.yaml").write_text(blocks(readme, "yaml", "gb18030"), "utf-8")
    rows = "流水号,会话,时间,身份,内容,工号\n1,c1,2026-03-02 09:30:00,坐席,这款保本，您放心,z1\n"
    (tmp_path / "export.csv").write_bytes(rows.encode("gb18030"))

    ended = redline("scan", "export.csv", "--mapping", "our-crm.yaml", "--rules-only")

    assert "1 record: 1 judged, 1 flagged, 0 undecided, 0 not readable" == ended.err.strip()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_heading_that_a_page_links_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    missing = []
    for path, anchor in LINK.findall(text):
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            missing.append(f"{path}#{anchor}")

    assert [] == missing


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith(".zh-CN.md")])
def test_every_page_is_there_in_chinese(page: str) -> None:
    assert page.replace(".md", ".zh-CN.md") in PAGES


def test_scoring_is_asked_where_it_answers(readme: str) -> None:
    assert "/v1/score" in blocks(readme, "sh", "redline score")
