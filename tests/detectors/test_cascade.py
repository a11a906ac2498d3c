"""The cascade: one verdict per turn, and nothing fails into "clean"."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from detectors.base import Opinion
from detectors.cascade import STANDS_FROM, Cascade
from detectors.domain import Evidence, Finding, Outcome, Severity, Source, SourceKind, Turn
from rules.loader import load_pack
from tests.detectors.samples import AT, VERSIONS, turn

CATALOGUE = load_pack().catalogue


@dataclass
class Fixed:
    """Says the same of every turn."""

    opinion: Opinion = field(default_factory=Opinion)
    name: str = "fixed"
    version: str = "1"

    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        return [self.opinion] * len(turns)


class Broken(Fixed):
    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        raise RuntimeError("out of memory")


class Forgetful(Fixed):
    def detect(self, turns: Sequence[Turn]) -> list[Opinion]:
        return []


def finding(
    kind: SourceKind = "rule",
    label: str = "guaranteed_return",
    score: float = 0.9,
    span: tuple[int, int] = (0, 2),
) -> Finding:
    return Finding(
        label=label,
        severity=Severity.CRITICAL,
        score=score,
        sources=(Source(kind, f"{kind}-1", "1"),),
        evidence=(Evidence(*span, "保本的吗"[span[0] : span[1]]),),
        reason="承诺本金安全。" if kind == "rule" else "",
    )


def cascade(*detectors: Fixed) -> Cascade:
    return Cascade(detectors, CATALOGUE, VERSIONS, lambda: AT)


def test_nothing_found_is_clean() -> None:
    (verdict,) = cascade(Fixed()).judge([turn("保本的吗")])
    assert (Outcome.CLEAN, (), 0, False, ()) == (
        verdict.outcome,
        verdict.findings,
        verdict.priority,
        verdict.degraded,
        verdict.queue_reasons,
    )


def test_two_detectors_that_agree_give_one_finding_with_both_sources() -> None:
    (verdict,) = cascade(
        Fixed(Opinion((finding(),))), Fixed(Opinion((finding("model", score=0.97, span=(0, 4)),)))
    ).judge([turn("保本的吗")])
    (found,) = verdict.findings
    assert [source.kind for source in found.sources] == ["model", "rule"]
    assert 0.97 == found.score
    assert (Evidence(0, 2, "保本"),) == found.evidence  # the rule's span is exact
    assert found.reason == "承诺本金安全。（模型同样认为属于「业绩保证」，置信度 97%。）"
    assert verdict.queue_reasons == ("flagged",)


def test_a_detector_that_sees_nothing_where_another_flags_is_a_disagreement() -> None:
    (verdict,) = cascade(Fixed(Opinion((finding(),))), Fixed()).judge([turn("保本的吗")])
    assert verdict.queue_reasons == ("flagged", "disagreement")


@pytest.mark.parametrize("broken", [Broken(), Forgetful(), Fixed(Opinion(failure="too late"))])
def test_a_detector_that_fails_leaves_the_message_undecided(broken: Fixed) -> None:
    (verdict,) = cascade(Fixed(), broken).judge([turn("您好")])
    assert (Outcome.UNDECIDED, True, ("degraded",)) == (
        verdict.outcome,
        verdict.degraded,
        verdict.queue_reasons,
    )
    assert verdict.priority > 0


def test_what_one_detector_flags_stays_flagged_when_another_fails() -> None:
    (verdict,) = cascade(Fixed(Opinion((finding(),))), Broken()).judge([turn("保本的吗")])
    assert verdict.flagged
    assert verdict.degraded
    assert "degraded" in verdict.queue_reasons


def test_an_uncertain_finding_is_undecided_and_says_so() -> None:
    (verdict,) = cascade(Fixed(Opinion(uncertain=(finding("model", score=0.4),)))).judge([turn("保本的吗")])
    assert verdict.outcome is Outcome.UNDECIDED
    assert not verdict.flagged
    assert verdict.findings[0].reason.endswith("置信度不足，请人工判断。")
    assert 0 < verdict.priority < 50


DENIED = Fixed(Opinion(denies=True))


def test_what_only_a_rule_finds_and_the_model_denies_is_for_a_person() -> None:
    (verdict,) = cascade(Fixed(Opinion((finding(),))), DENIED).judge([turn("保本的吗")])
    assert (Outcome.UNDECIDED, ("undecided", "disagreement")) == (verdict.outcome, verdict.queue_reasons)
    (doubt,) = verdict.findings
    assert "承诺本金安全。规则命中，但模型认为几乎不可能违规，请人工判断。" == doubt.reason
    (flagged,) = cascade(Fixed(Opinion((finding(),))), Fixed()).judge([turn("保本的吗")])
    assert 0 < verdict.priority < flagged.priority


def test_a_rule_that_its_author_is_sure_of_stands_against_a_denial() -> None:
    for score, outcome in ((STANDS_FROM, Outcome.FLAGGED), (STANDS_FROM - 0.01, Outcome.UNDECIDED)):
        (verdict,) = cascade(Fixed(Opinion((finding(score=score),))), DENIED).judge([turn("保本的吗")])
        assert outcome is verdict.outcome
        assert "disagreement" in verdict.queue_reasons


def test_a_denial_heals_nothing_that_another_than_a_rule_finds() -> None:
    for kind in ("memory", "model"):
        seen = Fixed(Opinion((finding(kind),)))
        (verdict,) = cascade(Fixed(Opinion((finding(),))), seen, DENIED).judge([turn("保本的吗")])
        assert verdict.flagged
    (verdict,) = cascade(Fixed(Opinion((finding(),))), DENIED, Broken()).judge([turn("保本的吗")])
    assert ("undecided", "disagreement", "degraded") == verdict.queue_reasons


def test_a_denial_alone_is_clean() -> None:
    (verdict,) = cascade(Fixed(), DENIED).judge([turn("您好")])
    assert verdict.outcome is Outcome.CLEAN


def test_a_customer_is_never_judged_even_when_a_detector_fails() -> None:
    (verdict,) = cascade(Broken()).judge([turn("保本的吗", speaker="customer")])
    assert verdict.outcome is Outcome.CLEAN


def test_a_short_reply_is_explained_with_the_question_before_it() -> None:
    reply = Finding(
        label="guaranteed_return",
        severity=Severity.CRITICAL,
        score=0.93,
        sources=(Source("model", "m", "1"),),
        evidence=(Evidence(0, 3, "没问题"),),
    )
    (verdict,) = cascade(Fixed(Opinion((reply,)))).judge([turn("没问题", ("customer", "能保证6%吗"))])
    assert verdict.findings[0].reason.startswith(
        "模型认为「没问题」属于「业绩保证」，置信度 93%，结合客户此前所说「能保证6%吗」来看。"
    )


def test_graver_findings_come_first_in_the_queue() -> None:
    grave = cascade(Fixed(Opinion((finding(),)))).judge([turn("保本的吗")])[0].priority
    light = cascade(
        Fixed(Opinion((Finding("forbidden_term", Severity.MEDIUM, 0.9, (Source("rule", "r", "1"),), ()),)))
    ).judge([turn("x")])
    assert grave > light[0].priority


def test_no_turns_give_no_verdicts() -> None:
    assert [] == cascade(Broken()).judge([])
