"""The report: plain JSON, and one page that needs nothing from outside."""

import json
import re
from dataclasses import replace

import orjson
import pytest

from detectors.classifier import OnnxClassifier
from detectors.model_store import builtin_model_path
from feedback.evaluation.attacked import attacked
from feedback.evaluation.calibrated import FirstStageCheck, check_model
from feedback.evaluation.curve import CurvePoint, part_of
from feedback.evaluation.report import EvaluationReport, as_html, as_json
from feedback.evaluation.suite import measure
from tests.feedback.evaluation.systems import WordSystem, row

LABELS = ["a", "b"]
ODD = "<script>alert(1)</script>保本"


def make_report() -> EvaluationReport:
    sure = replace(row("保本的，放心", "a"), evidence=((0, 2),))
    rows = [row(ODD, "b", tags=("implied",)), row("好的", tags=("hard:negation",)), row("保本", "a"), sure]
    systems = measure(
        [WordSystem("保本", "cascade", marks=True), WordSystem("好", "rules")],
        rows,
        {"day": [row("吃了吗")]},
        {},
        LABELS,
    )
    curve = [CurvePoint("model", 10 * n, n, systems["cascade"]) for n in (1, 2)]
    return EvaluationReport(
        "file.jsonl",
        {"pack": "x", "model": None},
        {"a": "甲", "b": "乙"},
        systems,
        None,
        curve,
        attacked(WordSystem("放心"), [sure]),
    )


def test_json_has_every_system_and_no_odd_numbers() -> None:
    plain = as_json(make_report())
    text = orjson.dumps(plain)
    assert {"cascade", "rules"} == set(plain["systems"])
    assert plain["labelled"] == plain["systems"]["cascade"]["labelled"]
    assert 1.0 == json.loads(text)["systems"]["cascade"]["labelled"]["any_violation"]["recall"]["value"]
    assert b"NaN" not in text
    assert [1, 2] == [point["violations"] for point in plain["learning_curve"]]
    assert 0 == plain["innocent"][0]["per_1000"]["value"]
    assert (1, 1.0) == tuple(plain["evidence_overlap"][name] for name in ("messages", "marked_share"))
    assert plain["systems"]["rules"]["evidence_overlap"] is None
    assert (1, 1, 1, 0.0) == tuple(
        plain["attacked"][name] for name in ("violations", "found", "found_disguised", "lost")
    )
    (kind,) = plain["attacked"]["kinds"]
    assert (1, 1, 1.0) == (kind["violations"], kind["found_disguised"], kind["recall"]["value"])


def test_the_page_escapes_messages_and_loads_nothing() -> None:
    page = as_html(make_report())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r"(?:src|href)\s*=|url\(|@import", page)
    assert page.count("<svg") >= 3
    assert "precision at 1 %" in page
    assert "What is marked as evidence" in page
    assert "flagged in disguise" in page


def test_a_model_is_checked_on_what_it_is_asked() -> None:
    classifier = OnnxClassifier(builtin_model_path())
    promise = row("这款稳赚不赔，年化保证百分之八，您放心买就是了", "guaranteed_return")
    check = check_model(classifier, [promise, row("今天下雨，路上慢点"), row("保本吗", speaker="customer")])
    assert check is not None
    assert 2 == sum(item.count for item in check.any_violation.bins)
    assert classifier.manifest.labels == list(check.labels)
    assert check_model(classifier, [row("在吗", speaker="customer")]) is None


@pytest.mark.parametrize(("threshold", "settled", "lost"), [(float("inf"), 2, 1), (float("-inf"), 0, 0)])
def test_what_the_first_stage_costs_is_counted(threshold: float, settled: int, lost: int) -> None:
    classifier = OnnxClassifier(builtin_model_path())
    assert classifier.first_stage is not None
    classifier.first_stage = replace(classifier.first_stage, threshold=threshold)
    promise = row("这期预期年化收益率4.5%左右", "performance_forecast")
    check = check_model(classifier, [promise, row("今天下雨，路上慢点")])
    assert check is not None
    assert check.first_stage == FirstStageCheck(messages=2, settled=settled, reported=1, lost=lost)


def test_a_smaller_part_lies_in_the_larger_one() -> None:
    from feedback.corpus.seed import read_corpus

    rows = [item for item in read_corpus() if item.group == "w01"]
    small, large = ({item.turn.message.message_id for item in part_of(rows, share)} for share in (0.25, 0.5))
    assert small < large
    assert len(rows) == len(part_of(rows, 1.0))
