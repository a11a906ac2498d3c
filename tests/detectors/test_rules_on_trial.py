"""Shadow rules: evaluated and recorded, and nothing else."""

from dataclasses import replace

import pytest

from detectors.cascade import Cascade
from detectors.domain import Outcome, Verdict
from detectors.rule_detector import RuleDetector
from rules.engine import Engine
from rules.loader import builtin_pack_path, load_pack, with_rules
from rules.schema import RuleStatus
from streams.codec import decode_verdict, encode_verdict
from streams.store.base import needs_review
from tests.detectors.samples import AT, VERSIONS, turn

PACK = load_pack()
TEXT = "这款保本，您放心"


def judged(status: RuleStatus, speaker: str = "advisor") -> Verdict:
    rule = replace(PACK.rule("principal-is-safe"), status=status)
    detector = RuleDetector(Engine(with_rules(PACK, [rule])))
    (verdict,) = Cascade([detector], PACK.catalogue, VERSIONS, lambda: AT).judge(
        [turn(TEXT, speaker=speaker)]
    )
    return verdict


def test_a_shadow_hit_is_recorded_and_opens_no_case() -> None:
    verdict = judged("shadow")
    assert (Outcome.CLEAN, (), 0) == (verdict.outcome, verdict.findings, verdict.priority)
    assert not needs_review(verdict)
    (finding,) = verdict.shadow
    assert "principal-is-safe" == finding.sources[0].id
    assert "保本" == finding.evidence[0].text


def test_a_shadow_hit_survives_the_wire_and_the_stores() -> None:
    verdict = judged("shadow")
    assert verdict == decode_verdict(encode_verdict(verdict))


@pytest.mark.parametrize(("status", "flagged"), [("live", True), ("draft", False), ("retired", False)])
def test_other_statuses_leave_no_shadow(status: RuleStatus, flagged: bool) -> None:
    verdict = judged(status)
    assert (flagged, ()) == (verdict.flagged, verdict.shadow)
    assert b"shadow" not in encode_verdict(verdict)


def test_a_customer_is_not_tried() -> None:
    assert () == judged("shadow", speaker="customer").shadow


def test_an_english_pack_gives_english_reasons_and_citations() -> None:
    pack = load_pack(builtin_pack_path("en"))
    cascade = Cascade([RuleDetector(Engine(pack))], pack.catalogue, VERSIONS, lambda: AT)
    (verdict,) = cascade.judge([turn("Honestly, you can't lose money on this one")])
    (finding,) = verdict.findings
    assert "guaranteed_return" == finding.label
    assert finding.reason.startswith("Promises that the capital is safe")
    assert "FINRA Rule 2150 (b)" == pack.catalogue.reference(finding.basis[0]).citation
