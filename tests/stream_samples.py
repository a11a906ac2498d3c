"""Messages and verdicts for the tests of streams; every word is invented."""

from datetime import UTC, datetime, timedelta

from detectors.domain import (
    Evidence,
    Finding,
    Message,
    Outcome,
    Product,
    Severity,
    Source,
    SourceKind,
    Speaker,
    Verdict,
    Versions,
)

START = datetime(2025, 3, 1, 1, 30, tzinfo=UTC)
VERSIONS = Versions(catalogue="cn-1", pack="abc", model="m1", memory=None, code="0.1.0")


def message(number: int, conversation: str = "c1", *, text: str = "您好", seq: int | None = None) -> Message:
    return Message(
        message_id=f"{conversation}-m{number}",
        conversation_id=conversation,
        sent_at=START + timedelta(seconds=number),
        speaker=Speaker.ADVISOR if number % 2 else Speaker.CUSTOMER,
        text=text,
        seq=seq,
    )


def rich_message() -> Message:
    """Every optional field, an offset of its own, characters outside the BMP, a NUL."""
    return Message(
        message_id="c1-rich",
        conversation_id="c1",
        sent_at=datetime.fromisoformat("2025-03-01T09:30:00.123456+08:00"),
        speaker=Speaker.ADVISOR,
        text="保本💰的\x00，您放心'\\",
        seq=3,
        channel="wecom",
        advisor_id="a1",
        customer_id="k1",
        branch="b1",
        product=Product(code="P1", name="稳稳", kind=None),
        attributes={"原": "值", "n": "1"},
    )


def verdict(
    message_id: str = "c1-m1",
    *,
    outcome: Outcome = Outcome.CLEAN,
    second: int = 0,
    queue_reasons: tuple[str, ...] = (),
    conversation: str = "c1",
    by: SourceKind = "rule",
) -> Verdict:
    findings: tuple[Finding, ...] = ()
    if outcome is Outcome.FLAGGED:
        findings = (
            Finding(
                label="guaranteed_return",
                severity=Severity.HIGH,
                score=0.97,
                sources=(Source(by, "principal-is-safe", "1"),),
                evidence=(Evidence(0, 2, "保本"),),
                traits=("return",),
                basis=("cn-1",),
                reason="承诺保本",
            ),
        )
    return Verdict(
        message_id=message_id,
        conversation_id=conversation,
        outcome=outcome,
        findings=findings,
        priority=80 if findings else 0,
        degraded=False,
        queue_reasons=queue_reasons,
        versions=VERSIONS,
        detected_at=START + timedelta(seconds=second, microseconds=123456),
        latency_ms=1.25,
    )
