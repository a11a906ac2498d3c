"""Cuts a message into pieces, marked and plain, by code-point offsets (JavaScript counts UTF-16)."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from detectors.domain import Evidence, Finding

SNIPPET_CHARS = 110
SNIPPET_LEAD_CHARS = 28
_KEPT_CONTROLS = "\n\t"
_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class Part:
    """Text as it is, or one invisible character with its name: hiding places must be seen."""

    text: str
    hidden: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the message with the labels whose evidence covers it; none for plain text."""

    labels: tuple[str, ...]
    parts: tuple[Part, ...]


def highlight(text: str, findings: Sequence[Finding]) -> tuple[Segment, ...]:
    """The whole message. Overlapping evidence is cut at every border; offsets are clamped to the text."""
    spans = [(f.label, *_clamped(e, text)) for f in findings for e in f.evidence]
    borders = sorted({0, len(text), *(s for _, s, _ in spans), *(e for _, _, e in spans)})
    segments = []
    for start, end in pairwise(borders):
        labels = dict.fromkeys(label for label, s, e in spans if s <= start and end <= e)
        segments.append(Segment(tuple(labels), _parts(text[start:end])))
    return tuple(segments)


def snippet(text: str, findings: Sequence[Finding]) -> tuple[Segment, ...]:
    """One or two lines around the first evidence, for the queue."""
    starts = [e.start for f in findings for e in f.evidence]
    begin = max(0, min(starts, default=0) - SNIPPET_LEAD_CHARS)
    begin = 0 if len(text) <= SNIPPET_CHARS else min(begin, len(text) - 1)
    end = min(len(text), begin + SNIPPET_CHARS)
    moved = [
        Finding(f.label, f.severity, f.score, f.sources, tuple(_moved(e, begin) for e in f.evidence))
        for f in findings
    ]
    window = highlight(text[begin:end].replace("\n", " "), moved)
    lead = (Segment((), (Part("…"),)),) if begin else ()
    tail = (Segment((), (Part("…"),)),) if end < len(text) else ()
    return lead + window + tail


def _moved(evidence: Evidence, by: int) -> Evidence:
    return Evidence(evidence.start - by, evidence.end - by, evidence.text)


def _clamped(evidence: Evidence, text: str) -> tuple[int, int]:
    start = min(max(evidence.start, 0), len(text))
    return start, min(max(evidence.end, start), len(text))


def _parts(text: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    plain = ""
    for index, char in enumerate(text):
        if not _is_invisible(char, text[index - 1] if index else ""):
            plain += char
            continue
        if plain:
            parts.append(Part(plain))
            plain = ""
        name = unicodedata.name(char, "CONTROL CHARACTER")
        parts.append(Part("·", hidden=f"不可见字符 U+{ord(char):04X} {name}"))
    if plain:
        parts.append(Part(plain))
    return tuple(parts)


def _is_invisible(char: str, before: str) -> bool:
    if char < "\x7f":
        return char < " " and char not in _KEPT_CONTROLS
    if char == _JOINER:  # joins emoji; anywhere else it hides
        return not before or unicodedata.category(before)[0] in "LNPZ"
    return unicodedata.category(char) in ("Cf", "Cc", "Zl", "Zp")
