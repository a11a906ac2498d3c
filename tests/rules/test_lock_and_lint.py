"""What a pack owes beyond loading: versions that follow content, examples, law in force."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rules.errors import PackError
from rules.lint import lint_pack
from rules.loader import load_pack
from rules.lock import LOCK_FILE, lock_problems, update_lock

WritePack = Callable[..., Path]
RULE_FILE = "rules/principal-is-safe.yaml"
GOOD = """
id: principal-is-safe
label: guaranteed_return
any:
  - term: 保本
basis: ['LAW:1']
reason: 承诺本金安全。
examples:
  flagged: [这款保本, 一定保本, 保本的]
  allowed: [我们不保本, 今天天气好, 明天见]
  evasive: [保*本, 保 本 的]
"""


@pytest.fixture
def locked(write_pack: WritePack) -> Path:
    root = write_pack({RULE_FILE: GOOD})
    update_lock(load_pack(root))
    return root


def edit(root: Path, old: str, new: str) -> None:
    text = (root / RULE_FILE).read_text("utf-8")
    assert old in text
    (root / RULE_FILE).write_text(text.replace(old, new, 1), "utf-8")


def told(root: Path) -> list[str]:
    return [problem.what for problem in lock_problems(load_pack(root))]


def test_a_locked_pack_has_no_problems(locked: Path) -> None:
    assert "principal-is-safe" == lint_pack(locked).rules[0].id


def test_changed_content_needs_a_higher_version(locked: Path) -> None:
    edit(locked, "term: 保本", "term: 保底")
    assert ["the content changed, but version 1 is still the same"] == told(locked)
    with pytest.raises(PackError, match="version 1 is still the same"):
        update_lock(load_pack(locked))
    edit(locked, "id: principal-is-safe", "id: principal-is-safe\nversion: 2")
    assert ["version 2 is not in rules.lock, which has 1"] == told(locked)
    assert ("principal-is-safe",) == update_lock(load_pack(locked)).changed
    assert [] == told(locked)


def test_bump_raises_the_version_in_the_file(locked: Path) -> None:
    edit(locked, "term: 保本", "term: 保底")
    assert ("principal-is-safe",) == update_lock(load_pack(locked), bump=True).raised
    assert 2 == load_pack(locked).rules[0].version
    edit(locked, "term: 保底", "term: 兜底")
    update_lock(load_pack(locked), bump=True)
    assert 3 == load_pack(locked).rules[0].version
    assert [] == told(locked)


@pytest.mark.parametrize(
    ("old", "new"),
    [("我们不保本", "我们从不保本"), ("label:", "status: shadow\nlabel:")],
    ids=["examples", "status"],
)
def test_examples_and_status_need_no_new_version(locked: Path, old: str, new: str) -> None:
    edit(locked, old, new)
    assert [] == told(locked)


def test_versions_never_fall(locked: Path) -> None:
    edit(locked, "id: principal-is-safe", "id: principal-is-safe\nversion: 3")
    update_lock(load_pack(locked))
    edit(locked, "version: 3", "version: 2")
    assert ["version 2 is older than the locked version 3"] == told(locked)
    with pytest.raises(PackError, match="older than"):
        update_lock(load_pack(locked), bump=True)


def test_a_rule_that_left_is_retired(locked: Path) -> None:
    (locked / RULE_FILE).rename(locked / "rules" / "capital-is-safe.yaml")
    new = locked / "rules" / "capital-is-safe.yaml"
    new.write_text(new.read_text("utf-8").replace("principal-is-safe", "capital-is-safe"), "utf-8")
    with pytest.raises(PackError, match="'principal-is-safe' is no longer in the pack"):
        update_lock(load_pack(locked))
    (locked / "retired.txt").write_text("principal-is-safe  # renamed\n", "utf-8")
    changes = update_lock(load_pack(locked))
    assert (("capital-is-safe",), ("principal-is-safe",)) == (changes.added, changes.retired)


def test_writing_the_lock_again_changes_nothing(locked: Path) -> None:
    before = (locked / LOCK_FILE).read_bytes()
    update_lock(load_pack(locked))
    assert before == (locked / LOCK_FILE).read_bytes()


@pytest.mark.parametrize(
    ("line", "words"), [("principal-is-safe one", "not 'id version hash'"), ("a 1 b\na 1 b", "given twice")]
)
def test_a_broken_lock_file_is_told(locked: Path, line: str, words: str) -> None:
    (locked / LOCK_FILE).write_text(line, "utf-8")
    assert any(words in what for what in told(locked))


LAW = (
    "instruments:\n  LAW: {title: 某, issuer: 某, in_force: 2026-09-30, "
    "articles: {'1': {says: 不得, mark: A}, '2(三)': {says: 不得, mark: B}}}\n"
)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({RULE_FILE: GOOD.replace(", 保本的]", "]")}, "2 flagged examples, at least 3 are needed"),
        ({RULE_FILE: GOOD.replace(", 明天见]", "]")}, "2 allowed examples, at least 3"),
        ({RULE_FILE: GOOD.replace(", 保 本 的]", "]")}, "1 evasive example, at least 2"),
        ({RULE_FILE: GOOD.replace("basis: ['LAW:1']\n", "")}, "'basis' is missing"),
        (
            {RULE_FILE: GOOD + "effective: {since: 2026-01-01}\n", "legal.yaml": LAW},
            "begins on 2026-01-01, before the first law it cites is in force (2026-09-30)",
        ),
        (
            {RULE_FILE: GOOD + "effective: {until: 2026-01-01}\n", "legal.yaml": LAW},
            "ends on 2026-01-01, before the first law",
        ),
    ],
)
def test_what_a_rule_owes(write_pack: WritePack, files: dict[str, str], words: str) -> None:
    root = write_pack(files)
    with pytest.raises(PackError) as caught:
        lint_pack(root)
    assert words in str(caught.value)


def test_a_rule_needs_an_area_where_the_catalogue_has_areas(write_pack: WritePack) -> None:
    root = write_pack({RULE_FILE: GOOD})
    catalogue = root / "catalogue.yaml"
    catalogue.write_text(catalogue.read_text("utf-8") + "areas: {fund_sales: 基金销售}\n", "utf-8")
    with pytest.raises(PackError, match="'areas' is missing"):
        lint_pack(root)


def test_word_lists_are_checked_where_they_stand(write_pack: WritePack) -> None:
    broken = {
        "lexicons/one.yaml": "description: 一\nwords: [甲]\npatterns: ['{two}']\n",
        "lexicons/two.yaml": "description: 二\npatterns:\n  - '{one}'\n",
        "lexicons/three.yaml": "description: 三\nwords: [甲, 乙, 甲]\n",
        "lexicons/sub/certainty.yaml": "description: 又\nwords: [准]\n",
    }
    with pytest.raises(PackError) as caught:
        load_pack(write_pack(broken))
    problems = [str(problem) for problem in caught.value.problems]
    assert any(
        problem.startswith("lexicons/two.yaml:3: lexicon cycle: two → one → two") for problem in problems
    )
    assert any(problem.startswith("lexicons/three.yaml:2: '甲' is given twice") for problem in problems)
    assert any("lexicon 'certainty' is given twice" in problem for problem in problems)
