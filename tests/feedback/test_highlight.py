"""Evidence becomes marks at code points, and what hides is shown."""

import pytest

from detectors.domain import Evidence, Finding, Severity
from feedback.web.highlight import SNIPPET_CHARS, Segment, highlight, snippet


def _finding(label: str, *spans: tuple[int, int]) -> Finding:
    return Finding(label, Severity.HIGH, 0.9, (), tuple(Evidence(s, e, "") for s, e in spans))


def _shown(segments: tuple[Segment, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [("".join(part.text for part in segment.parts), segment.labels) for segment in segments]


@pytest.mark.parametrize(
    ("text", "findings", "expected"),
    [
        ("您好", [], [("您好", ())]),
        ("", [], []),
        ("这款保本", [_finding("a", (2, 4))], [("这款", ()), ("保本", ("a",))]),
        ("💰💰保本吗", [_finding("a", (2, 4))], [("💰💰", ()), ("保本", ("a",)), ("吗", ())]),
        ("e\u0301保本", [_finding("a", (2, 4))], [("e\u0301", ()), ("保本", ("a",))]),
        (
            "零一二三四五",
            [_finding("a", (1, 4)), _finding("b", (3, 6))],
            [("零", ()), ("一二", ("a",)), ("三", ("a", "b")), ("四五", ("b",))],
        ),
        ("保本", [_finding("a", (0, 99)), _finding("b", (-5, 1))], [("保", ("a", "b")), ("本", ("a",))]),
    ],
)
def test_evidence_is_marked(
    text: str, findings: list[Finding], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert expected == _shown(highlight(text, findings))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("保\u200b本", ["U+200B"]),
        ("\u202e本保", ["U+202E"]),
        ("保\x00本", ["U+0000"]),
        ("保\u200d本", ["U+200D"]),
        ("👨\u200d👩\u200d👧 一家", []),
        ("第一行\n\t第二行", []),
    ],
)
def test_invisible_characters_are_shown(text: str, hidden: list[str]) -> None:
    parts = [part for segment in highlight(text, []) for part in segment.parts]
    assert hidden == [part.hidden.split()[1] for part in parts if part.hidden]


def test_a_snippet_stays_short_and_keeps_the_first_evidence() -> None:
    text = "前" * 5000 + "保本" + "后" * 5000
    segments = _shown(snippet(text, [_finding("a", (5000, 5002))]))
    assert ("保本", ("a",)) in segments
    assert sum(len(shown) for shown, _ in segments) == SNIPPET_CHARS + 2
    assert ("…", ()) == segments[0] == segments[-1]
