"""`redline rules`: look at the rules, check them, see why one matched."""

import shutil
from pathlib import Path

import pytest

from rules.loader import builtin_pack_path
from tests.deploy.conftest import Redline

SHIPPED = str(builtin_pack_path())


@pytest.fixture
def pack(tmp_path: Path, small_pack: Path) -> Path:
    """A small pack of its own, to break."""
    return Path(shutil.copytree(small_pack, tmp_path / "pack"))


def test_list_names_every_rule_in_full(redline: Redline) -> None:
    """Also in a pipe, where a table has no width to keep to."""
    ended = redline("rules", "list", "--pack", SHIPPED)

    assert ended.code == 0
    assert all(path.stem in ended.out for path in (builtin_pack_path() / "rules").rglob("*.yaml"))
    assert "…" not in ended.out


def test_list_of_one_label_has_no_other(redline: Redline, pack: Path) -> None:
    mine = redline("rules", "list", "--pack", str(pack), "--label", "guaranteed_return")
    other = redline("rules", "list", "--pack", str(pack), "--label", "ranking_forecast")

    assert "principal-is-safe" in mine.out
    assert "principal-is-safe" not in other.out


def test_unknown_label_is_refused_with_those_there_are(redline: Redline) -> None:
    ended = redline("rules", "list", "--label", "garanteed_return")

    assert (2, "") == (ended.code, ended.out)
    assert "no label 'garanteed_return'; there are " in ended.err
    assert "guaranteed_return" in ended.err


def test_labels_are_listed_with_their_names(redline: Redline) -> None:
    ended = redline("rules", "list", "--labels")

    assert "guaranteed_return" in ended.out
    assert "业绩保证" in ended.out


def test_lint_tells_every_problem(redline: Redline, pack: Path) -> None:
    for number in (1, 2):
        (pack / "rules" / f"broken-{number}.yaml").write_text(f"id: broken-{number}\n", "utf-8")

    ended = redline("rules", "lint", "--pack", str(pack))

    assert ended.code == 2
    assert "rules/broken-1.yaml:1: " in ended.err
    assert "rules/broken-2.yaml:1: " in ended.err
    assert "hint: " in ended.err


def test_lint_of_a_good_pack_says_so(redline: Redline, pack: Path) -> None:
    ended = redline("rules", "lint", "--pack", str(pack))

    assert ended.code == 0
    assert "1 rules, no problems" in ended.err


def test_examples_that_fail_are_named_with_file_and_line(redline: Redline, pack: Path) -> None:
    rule = pack / "rules" / "principal-is-safe.yaml"
    text = rule.read_text("utf-8")
    assert "  flagged:" in text
    rule.write_text(text.replace("  flagged:", "  flagged:\n    - 今天天气很好", 1), "utf-8")

    ended = redline("rules", "test", "--pack", str(pack))

    assert ended.code == 1
    assert "principal-is-safe.yaml:" in ended.err
    assert "flagged example is not hit: 今天天气很好" in ended.err
    assert ended.err.rstrip().endswith("1 failed")


def test_examples_of_a_good_pack_pass(redline: Redline, pack: Path) -> None:
    ended = redline("rules", "test", "--pack", str(pack))

    assert ended.code == 0
    assert ended.err.rstrip().endswith(" 0 failed")


def test_explain_shows_the_span_and_the_law(redline: Redline) -> None:
    ended = redline("rules", "explain", "这款保本，您放心")

    assert ended.code == 0
    assert "principal-is-safe" in ended.out
    assert "「保本」[2:4]" in ended.out
    assert "《" in ended.out


def test_explain_shows_what_cancelled_a_match(redline: Redline) -> None:
    ended = redline("rules", "explain", "我们不承诺保本")

    assert "hit " not in ended.out
    assert "cancelled   principal-is-safe 「" in ended.out


@pytest.mark.parametrize("text", ["", "在吗", "[/bold] :smile: [red]", "保\udcff"])
def test_explain_prints_any_text_as_it_is(redline: Redline, text: str) -> None:
    ended = redline("rules", "explain", text)

    assert ended.code == 0
    assert text.partition("\udcff")[0].strip() in ended.out


def test_explain_knows_the_customers_question(redline: Redline) -> None:
    alone = redline("rules", "explain", "可以的", "--pack", SHIPPED)
    asked = redline("rules", "explain", "可以的", "--after", "能保证年化6%吗", "--pack", SHIPPED)

    assert "hit " not in alone.out
    assert "hit " in asked.out
