"""Guards: why a match does not count. They look at the clause and the sentence around it."""

import re
from bisect import bisect_left

from rules.expressions import CLAUSE_MARKS, SENTENCE_MARKS
from rules.model import CompiledGuard
from rules.searching import Span, Subject

LONGEST_STRETCH = 120

_CHINESE = "[\u4e00-\u9fff]"
# A full stop of the Latin script, and not the point of a number.
_FULL_STOP = r"(?<=[a-z)])\.(?=\s|$)"
# A blank between two Chinese characters ends a clause too: many people write it instead of a comma.
_CLAUSE_ENDS = re.compile(rf"[{re.escape(CLAUSE_MARKS)}]|(?<={_CHINESE}) (?={_CHINESE})|{_FULL_STOP}")
_SENTENCE_ENDS = re.compile(f"[{re.escape(SENTENCE_MARKS)}]|{_FULL_STOP}")


def guard_words(guard: CompiledGuard, span: Span, subject: Subject) -> str | None:
    """The words by which a guard cancels the match at `span`, or None."""
    if not any(map(subject.may_match, (guard.before, guard.after, guard.around, guard.sentence))):
        return None
    clause = _stretch(subject, span, _CLAUSE_ENDS)
    sentence = _stretch(subject, span, _SENTENCE_ENDS)
    before = subject.inside(guard.before, (clause[0], span[0]))
    after = subject.inside(guard.after, (span[1], clause[1]))
    candidates = [
        *(found for found in before if span[0] - found[1] <= guard.within),
        *(found for found in after if found[0] - span[1] <= guard.within),
        *(found for found in subject.inside(guard.around, sentence) if overlap(found, span)),
        *subject.inside(guard.sentence, sentence),
    ]
    for start, end in candidates:
        if not any(overlap(never, (start, end)) for never in subject.inside(guard.never, sentence)):
            return subject.text[start:end]
    return None


def overlap(one: Span, other: Span) -> bool:
    """True when two spans share a character."""
    return one[0] < other[1] and other[0] < one[1]


def _stretch(subject: Subject, span: Span, ends: re.Pattern[str]) -> Span:
    """
    The clause or sentence around a span, at most `LONGEST_STRETCH` either way.

    With its closing mark, since a question mark tells a question; not with a blank that stands for a comma.
    """
    marks = subject.marks(ends)
    start = max(0, span[0] - LONGEST_STRETCH)
    before = bisect_left(marks, span[0])
    if before:
        start = max(start, marks[before - 1] + 1)
    end = min(len(subject.text), span[1] + LONGEST_STRETCH)
    after = bisect_left(marks, span[1])
    if after < len(marks):
        mark = marks[after]
        end = min(end, mark + (subject.text[mark] != " "))
    return start, end
