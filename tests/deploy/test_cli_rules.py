"""`redline rules`: look at the rules, check them, see why one matched."""

import json
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


def test_explain_joins_what_the_speaker_split(redline: Redline) -> None:
    alone = redline("rules", "explain", "本的", "--pack", SHIPPED)
    split = redline("rules", "explain", "本的", "--continuing", "这款是保", "--pack", SHIPPED)

    assert "hit " not in alone.out
    assert "hit         principal-is-safe" in split.out


def test_explain_shows_the_word_behind_a_disguise(redline: Redline) -> None:
    ended = redline("rules", "explain", "稳zhuan不赔", "--pack", SHIPPED)

    assert "read as   「稳zhuan不赔」[0:8] → 「稳赚不赔」 (letters for characters)" in ended.out


def test_explain_shows_a_dropped_blank_with_the_character_behind_it(redline: Redline) -> None:
    ended = redline("rules", "explain", "保 本", "--pack", SHIPPED)

    assert "rewritten 「 本」[1:3] → 「本」" in ended.out


def test_lock_refuses_a_change_under_the_old_version_and_bump_raises_it(redline: Redline, pack: Path) -> None:
    rule = pack / "rules" / "principal-is-safe.yaml"
    rule.write_text(rule.read_text("utf-8").replace("any:\n", "any:\n  - term: 一分不亏\n", 1), "utf-8")

    refused = redline("rules", "lock", "--pack", str(pack))
    raised = redline("rules", "lock", "--pack", str(pack), "--bump")
    after = redline("rules", "lint", "--pack", str(pack))

    assert 2 == refused.code
    assert "is still the same" in refused.err
    assert (0, 0) == (raised.code, after.code)
    assert "version raised  principal-is-safe" in raised.out


def test_diff_names_what_changed(redline: Redline, pack: Path, small_pack: Path) -> None:
    rule = pack / "rules" / "principal-is-safe.yaml"
    rule.write_text(rule.read_text("utf-8").replace("any:\n", "any:\n  - term: 一分不亏\n", 1), "utf-8")

    ended = redline("rules", "diff", str(small_pack), str(pack))
    same = redline("rules", "diff", str(pack), str(pack))

    assert 0 == ended.code
    assert "~ principal-is-safe (UNDER THE SAME VERSION): any +1 −0" in ended.out
    assert "no difference" in same.out


CHAT: list[dict[str, object]] = [
    {"message_id": "m1", "speaker": "advisor", "text": "这款保本，您放心", "labels": ["guaranteed_return"]},
    {"message_id": "m2", "speaker": "advisor", "text": "您这只一分不亏", "labels": []},
    {"message_id": "m3", "speaker": "customer", "text": "保本吗"},
]


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    lines = [{"conversation_id": "c1", "sent_at": "2026-11-20T09:00:00+08:00", **line} for line in CHAT]
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-8")
    return path


def test_backtest_shows_what_a_candidate_adds_and_whether_people_agree(
    redline: Redline, pack: Path, chat: Path, tmp_path: Path
) -> None:
    rule = pack / "rules" / "principal-is-safe.yaml"
    text = (
        rule.read_text("utf-8")
        .replace("principal-is-safe", "nothing-is-lost")
        .replace("any:\n", "any:\n  - term: 一分不亏\n", 1)
    )
    (pack / "rules" / "nothing-is-lost.yaml").write_text(text, "utf-8")
    figures = tmp_path / "figures.json"

    ended = redline("rules", "backtest", str(pack), "--on", str(chat), "--labelled", "--json", str(figures))

    assert 0 == ended.code
    assert "2 messages · running " in ended.out
    assert "+ nothing-is-lost (guaranteed_return) 「一分不亏」  people did not agree" in ended.out
    result = json.loads(figures.read_text("utf-8"))
    assert (1, 2) == (result["before"]["flagged"], result["after"]["flagged"])
    assert (1, 1) == (result["after"]["agreed"], result["before"]["agreed"])


def test_backtest_on_the_store_reads_what_was_judged(redline: Redline, pack: Path, chat: Path) -> None:
    assert 0 == redline("up", str(chat), "--no-serve", REDLINE_USE_MODEL="false").code

    ended = redline("rules", "backtest", str(pack), "--on", "store", "--until", "2026-12-01")

    assert 0 == ended.code
    assert "2 messages" in ended.out
    assert "no hit differs" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--on", "store", "--labelled"], "--labelled is for files"),
        (["--on", "store", "--forecasts", "loose"], "give standard or strict"),
    ],
)
def test_backtest_refuses_what_it_cannot_read(
    redline: Redline, pack: Path, arguments: list[str], words: str
) -> None:
    ended = redline("rules", "backtest", str(pack), *arguments)

    assert 2 == ended.code
    assert words in ended.err


def test_explain_tells_rules_that_rest(redline: Redline, pack: Path) -> None:
    rule = pack / "rules" / "principal-is-safe.yaml"
    rule.write_text("status: draft\n" + rule.read_text("utf-8"), "utf-8")

    ended = redline("rules", "explain", "這款保本", "--pack", str(pack))

    assert "not in use  principal-is-safe 「保本」[2:4]: its status is draft" in ended.out
    assert "rewritten 「這」[0:1] → 「这」" in ended.out


def test_a_shipped_pack_is_found_by_its_name(redline: Redline) -> None:
    ended = redline("rules", "explain", "Your capital is guaranteed", "--pack", "en")

    assert "capital-is-guaranteed" in ended.out
    assert "FINRA Rule 2150 (b)" in ended.out


def test_list_of_one_area_and_all_areas(redline: Redline) -> None:
    insurance = redline("rules", "list", "--area", "insurance", "--pack", SHIPPED)
    wrong = redline("rules", "list", "--area", "moon", "--pack", SHIPPED)

    assert "insurance-called-a-deposit" in insurance.out
    assert "stock-trade-instruction" not in insurance.out
    assert 2 == wrong.code
    assert "no area 'moon'; there are fund_sales" in wrong.err
