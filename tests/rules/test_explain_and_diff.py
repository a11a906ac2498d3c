"""What a rule author is told: why a message is hit or not, and what changed between two packs."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from rules.diff import diff_packs
from rules.explain import explain
from rules.loader import load_pack
from rules.model import Line, Pack, Scene

RULE_FILE = "rules/principal-is-safe.yaml"


@pytest.fixture
def pack(write_pack: Callable[..., Path]) -> Pack:
    return load_pack(write_pack())


def test_rewritten_stretches_point_into_the_original(pack: Pack) -> None:
    told = explain(pack, Scene(Line("advisor", "這款保*本，有８％")))
    pieces = {(piece.original, piece.normalised) for piece in told.rewritings}
    assert {("這", "这"), ("８％", "8%")} <= pieces
    assert all(told.seen.text.original[slice(*piece.span)] == piece.original for piece in told.rewritings)


def test_plain_text_is_not_rewritten(pack: Pack) -> None:
    assert () == explain(pack, Scene(Line("advisor", "这款保本"))).rewritings


@pytest.mark.parametrize(
    ("changes", "scene", "why"),
    [
        ({"status": "draft"}, {}, "its status is draft"),
        ({"reading": "strict"}, {}, "reads forecasts as standard"),
        ({"since": date(2026, 9, 30)}, {"on": date(2026, 1, 1)}, "in force only from 2026-09-30"),
        ({"until": date(2025, 9, 30)}, {"on": date(2026, 1, 1)}, "in force only until 2025-09-30"),
        (
            {"product_kinds": frozenset({"fund"})},
            {"product_kind": "deposit"},
            "only for products of kind fund",
        ),
        ({"channels": frozenset({"group"})}, {"channel": "wecom"}, "only on channel group"),
        ({"jurisdictions": frozenset({"us"})}, {"jurisdiction": "uk"}, "only in us"),
        ({"speakers": frozenset({"bot"})}, {}, "the speaker is advisor"),
    ],
)
def test_a_rule_that_rests_says_why(
    pack: Pack, changes: dict[str, object], scene: dict[str, object], why: str
) -> None:
    resting = replace(pack, rules=tuple(replace(rule, **changes) for rule in pack.rules))  # type: ignore[arg-type]
    told = explain(resting, Scene(Line("advisor", "这款保本"), **scene))  # type: ignore[arg-type]
    assert () == told.seen.hits
    (unused,) = told.unused
    assert why in unused.why
    assert ((2, 4),) == unused.spans


def test_a_pack_does_not_differ_from_itself(pack: Pack) -> None:
    assert diff_packs(pack, pack).empty


def test_every_difference_is_named(pack: Pack, tmp_path: Path) -> None:
    assert pack.root is not None
    other = Path(shutil.copytree(pack.root, tmp_path / "other"))
    text = (other / RULE_FILE).read_text("utf-8")
    second = text.replace("principal-is-safe", "capital-is-safe")
    (other / "rules" / "capital-is-safe.yaml").write_text(second, "utf-8")
    changed = text.replace("term: 保本", "term: 保底\n  - lexicon: certainty").replace(
        "label:", "status: shadow\nlabel:"
    )
    (other / RULE_FILE).write_text(changed, "utf-8")
    lexicon = other / "lexicons" / "certainty.yaml"
    lexicon.write_text(lexicon.read_text("utf-8").replace("肯定", "铁定"), "utf-8")
    diff = diff_packs(pack, load_pack(other))
    assert ["capital-is-safe"] == [rule.id for rule in diff.added]
    assert () == diff.removed
    (change,) = diff.changed
    assert ("status live → shadow", "any +2 −1") == change.fields
    assert change.same_version
    assert ("~ lexicons/certainty.yaml",) == diff.files
    assert ["capital-is-safe"] == [rule.id for rule in diff_packs(load_pack(other), pack).removed]


def test_a_rule_that_changed_through_a_word_list_is_marked(
    write_pack: Callable[..., Path], tmp_path: Path
) -> None:
    by_list = (
        "id: principal-is-safe\nlabel: guaranteed_return\nany: [{lexicon: certainty}]\nbasis: ['LAW:1']\n"
        "reason: 理由\nexamples: {flagged: [甲, 乙], allowed: [丙, 丁]}\n"
    )
    root = write_pack({RULE_FILE: by_list})
    other = Path(shutil.copytree(root, tmp_path / "other"))
    (other / "lexicons" / "certainty.yaml").write_text("description: 确定\nwords: [铁定]\n", "utf-8")
    (change,) = diff_packs(load_pack(root), load_pack(other)).changed
    assert (True, False) == (change.through_lists, change.same_version)
