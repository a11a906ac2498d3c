"""What was found out of expressions is found out once, and a bad file is never believed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rules.known_expressions import MOST_EXPRESSIONS, KnownExpressions, Written

SAYS = {"written": ["保本", "🉐\udc80"]}


def kept(file: Path) -> KnownExpressions:
    known = KnownExpressions()
    known.take("保本")
    known.analysis("保本", lambda _: SAYS)
    assert known.keep(file)
    return known


def refuse(expression: str) -> Written:
    raise AssertionError(f"worked out again: {expression}")


def test_the_next_process_works_nothing_out_again(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "expressions.json"
    kept(file)
    known = KnownExpressions()
    assert known.restore(file)
    assert known.is_taken("保本")
    assert not known.is_taken("保息")
    assert known.analysis("保本", refuse) == SAYS
    assert [file] == list(file.parent.iterdir())


def test_what_two_processes_found_is_kept_together(tmp_path: Path) -> None:
    file = tmp_path / "expressions.json"
    kept(file)
    other = KnownExpressions()
    other.take("保息")
    assert other.restore(file)
    assert other.keep(file)
    third = KnownExpressions()
    assert third.restore(file)
    assert third.is_taken("保本")
    assert third.is_taken("保息")


def test_nothing_new_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "expressions.json"
    known = kept(file)
    file.unlink()
    assert known.keep(file)
    assert not file.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content.replace("保".encode(), "亏".encode()),
        lambda content: content[:70] + bytes([content[70] ^ 1]) + content[71:],  # written by other code
        lambda content: b"\xff" + content,
    ],
)
def test_a_file_that_is_damaged_or_foreign_counts_for_nothing(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "expressions.json"
    kept(file)
    file.write_bytes(spoil(file.read_bytes()))
    known = KnownExpressions()
    assert not known.restore(file)
    assert not known.is_taken("保本")


def test_without_a_place_to_write_all_goes_on(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    known = KnownExpressions()
    known.take("保本")
    assert not known.restore(tmp_path / "taken" / "expressions.json")
    assert not known.keep(tmp_path / "taken" / "expressions.json")
    assert known.is_taken("保本")


def test_the_oldest_are_forgotten_first() -> None:
    known = KnownExpressions()
    for number in range(MOST_EXPRESSIONS + 1):
        known.take(str(number))
    assert not known.is_taken("0")
    assert known.is_taken("1")
    assert known.is_taken(str(MOST_EXPRESSIONS))


PROGRAM = """
import sys
from hashlib import sha256
from pathlib import Path
from rules import needed_words
from rules.known_expressions import KNOWN
from rules.loader import load_pack
file, restored = Path(sys.argv[1]), sys.argv[2] == "restored"
assert KNOWN.restore(file) is restored
if restored:
    needed_words._parsed = None  # whoever analyses again stops here
expressions = sorted({
    expression
    for rule in load_pack().rules
    for matchers in (rule.hits, rule.asked, rule.unless) if matchers
    for expression in matchers.expressions
})
said = []
for expression in expressions:
    ways = needed_words.needs_of(expression)
    plain = ways and [(sorted(map(sorted, w.groups)), w.first and sorted(w.first), w.longest) for w in ways]
    said.append((expression, plain, sorted(needed_words.written_words(expression))))
assert KNOWN.keep(file)
print(len(said), sha256(repr(said).encode()).hexdigest())
"""


def test_a_restored_analysis_says_the_same_of_every_shipped_expression(tmp_path: Path) -> None:
    first, second = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "expressions.json"), how],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for how in ("new", "restored")
    )
    assert first == second
    assert int(first.split()[0]) > 1000
