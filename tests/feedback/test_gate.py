"""The gate refuses a model that loses something, and says what."""

import pytest

from feedback.evaluation.metrics import Evaluation, Judgement, evaluate
from feedback.gate import GatePolicy, decide

LABELS = ["a", "b"]


def judged(right: int, wrong: int, false: int, quiet: int = 200) -> Evaluation:
    gold = frozenset("a")
    none = frozenset[str]()
    rows = [Judgement(str(n), gold, gold if n < right else none) for n in range(right + wrong)]
    rows += [Judgement(f"q{n}", none, gold if n < false else none) for n in range(quiet)]
    return evaluate(rows, LABELS)


def test_an_equal_model_passes_and_says_the_figures() -> None:
    decision = decide(
        judged(16, 4, 0), judged(16, 4, 0), cases_candidate=1, cases_serving=0.9, policy=GatePolicy()
    )
    assert decision.promoted
    assert "agreement with reviewers 90.0% → 100.0%" in decision.reasons


@pytest.mark.parametrize(
    ("candidate", "cases", "words"),
    [
        (judged(12, 8, 0), 1.0, "recall of a falls from 0.80 to 0.60"),
        (judged(16, 4, 4), 1.0, "false flags per 1,000"),
        (judged(16, 4, 0), 0.5, "agreement with reviewers falls"),
    ],
)
def test_a_worse_model_is_refused_with_the_reason(candidate: Evaluation, cases: float, words: str) -> None:
    decision = decide(
        candidate, judged(16, 4, 0), cases_candidate=cases, cases_serving=1.0, policy=GatePolicy()
    )
    assert not decision.promoted
    assert any(words in reason for reason in decision.reasons)
