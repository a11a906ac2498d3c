"""A broken pack is refused as a whole, with every problem at its file and line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rules.errors import PackError
from rules.loader import load_pack

RULE_FILE = "rules/principal-is-safe.yaml"


def problems_of(path: Path) -> list[str]:
    with pytest.raises(PackError) as caught:
        load_pack(path)
    return [str(problem) for problem in caught.value.problems]


def rule(**changes: str) -> str:
    parts = {
        "id": "principal-is-safe",
        "label": "guaranteed_return",
        "any": "[{term: 保本}]",
        "basis": "['LAW:1']",
        "reason": "承诺本金安全。",
        "examples": "{flagged: [这款保本, 保*本], allowed: [不保本, 天气好]}",
        **changes,
    }
    return "\n".join(f"{key}: {value}" for key, value in parts.items() if value)


def test_a_valid_pack_loads(write_pack: Callable[..., Path]) -> None:
    pack = load_pack(write_pack())
    assert ["principal-is-safe"] == [rule.id for rule in pack.rules]
    assert 16 == len(pack.hash)


def test_the_hash_follows_every_file(write_pack: Callable[..., Path]) -> None:
    first = load_pack(write_pack()).hash
    assert first != load_pack(write_pack({RULE_FILE: rule(reason="另一个理由")})).hash


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            rule(any="[{term: 保本, pattern: 保}]"),
            "give exactly one of term, pattern, lexicon, figure, near, sequence, reply, tokens",
        ),
        (rule(any="[{pattern: '(?<=保)本'}]"), "not a linear-time pattern"),
        (rule(any="[{pattern: '保*'}]"), "matches the empty text"),
        (rule(any="[{pattern: '{certanty}保本'}]"), "unknown lexicon 'certanty'"),
        (rule(label="guarantee"), "unknown label 'guarantee'"),
        (rule(basis="['LAW:9']"), "unknown legal reference 'LAW:9'"),
        (rule(reason=""), "'reason' is missing"),
        (rule(speker="[advisor]"), "unknown key 'speker'"),
        (rule(severity="huge"), "'huge' is not allowed here"),
        (rule(guards="[negatoin]"), "unknown guard 'negatoin'"),
        (rule(traits="[mood]"), "unknown trait 'mood'"),
        (rule(effective="{since: 2026-05-01, until: 2026-01-01}"), "the rule ends before it begins"),
        (rule(id="another-id"), "differs from the file name"),
        (rule() + "\nid: principal-is-safe", "'id' is given twice"),
        ("id: [", "no valid YAML"),
        ("", "the file is empty"),
        ("a: &x {b: *x}", "an anchor refers to itself"),
    ],
)
def test_a_broken_rule_is_told_with_file_and_line(
    write_pack: Callable[..., Path], text: str, expected: str
) -> None:
    found = problems_of(write_pack({RULE_FILE: text}))
    matching = [problem for problem in found if expected in problem]
    assert matching, found
    assert matching[0].startswith(f"{RULE_FILE}:")


def test_all_problems_come_at_once(write_pack: Callable[..., Path]) -> None:
    broken = {
        RULE_FILE: rule(label="nope", basis="['LAW:9']"),
        "rules/second.yaml": rule(id="third", any="[{pattern: '('}]"),
    }
    assert 4 <= len(problems_of(write_pack(broken)))


def test_the_line_is_that_of_the_mistake(write_pack: Callable[..., Path]) -> None:
    (problem,) = problems_of(write_pack({RULE_FILE: rule(basis="['LAW:1', 'LAW:9']")}))
    assert problem.startswith(f"{RULE_FILE}:4: ")


def test_lexicons_that_refer_to_each_other_are_refused(write_pack: Callable[..., Path]) -> None:
    cycle = {
        "lexicons/one.yaml": "description: 一\npatterns: ['{two}']\n",
        "lexicons/two.yaml": "description: 二\npatterns: ['{one}']\n",
        RULE_FILE: rule(any="[{lexicon: one}]"),
    }
    assert any("lexicon cycle: one → two → one" in problem for problem in problems_of(write_pack(cycle)))


def test_a_retired_id_is_never_used_again(write_pack: Callable[..., Path]) -> None:
    found = problems_of(write_pack({"retired.txt": "principal-is-safe\n"}))
    assert "was retired" in found[0]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "no such pack folder" in problems_of(tmp_path / "nowhere")[0]


def test_a_file_that_is_not_utf8_is_told(write_pack: Callable[..., Path]) -> None:
    root = write_pack()
    (root / RULE_FILE).write_bytes("id: 保本".encode("gbk"))
    assert "not UTF-8" in problems_of(root)[0]


def test_the_wording_for_rule_authors(write_pack: Callable[..., Path]) -> None:
    """Golden: what an author reads who made four mistakes."""
    text = rule(label="guarantee", any="[{pattern: '(?<=保)本'}]", basis="['LAW:9']", speker="[advisor]")
    with pytest.raises(PackError) as first:
        load_pack(write_pack({RULE_FILE: text}))
    with pytest.raises(PackError) as second:
        load_pack(write_pack({RULE_FILE: text.replace("\nspeker: [advisor]", "")}))
    golden = Path(__file__).parent / "golden" / "pack_errors.txt"
    assert golden.read_text("utf-8") == f"{first.value}\n\n{second.value}\n"
