"""What the desk decided becomes the case memory: within seconds, before any retraining."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import func, select

from detectors.case_file import MOST_CONTEXT, RememberedCase, read_cases, that_fit, write_cases
from detectors.errors import CaseMemoryError
from feedback.decided import DecidedCase
from feedback.decisions import latest_decided
from feedback.masking import mask
from feedback.store.desk_store import DeskStore
from feedback.store.tables import decisions


class CaseMemoryWriter:
    """
    Keeps the file of the case memory as the decisions are.

    Call it as often as you like: it writes only when a decision was made or withdrawn.
    Of the same words decided twice the later decision stands. As many of the latest as one
    file holds are remembered; phone, identity and account numbers are masked.
    """

    def __init__(self, store: DeskStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._seen: tuple[int, int] | None = None

    def __call__(self) -> bool:
        """Write what changed; True when the file is another one now."""
        state = self._state()
        if state == self._seen:
            return False
        with latest_decided(self._store) as decided:
            cases = remembered(decided)
        changed = write_if_other(self._path, cases)
        self._seen = state
        return changed

    def _state(self) -> tuple[int, int]:
        query = select(
            func.coalesce(func.max(decisions.c.decision_id), 0), func.count(decisions.c.withdrawn_at)
        )
        with self._store.read() as connection:
            latest, withdrawn = connection.execute(query).one()
        return int(latest), int(withdrawn)


def write_if_other(path: Path, cases: list[RememberedCase]) -> bool:
    """Write the file unless it holds these cases already. Where there is nothing to remember no file is made."""
    try:
        if list(read_cases(path).cases) == cases:
            return False
    except CaseMemoryError:
        if not path.exists() and not cases:
            return False
    write_cases(path, cases)
    return True


def remembered(decided: Iterable[DecidedCase]) -> list[RememberedCase]:
    """Of decisions, the newest first, the latest that one file holds, one for each words in their context; oldest first."""
    return that_fit(_distinct(decided))


def _distinct(decided: Iterable[DecidedCase]) -> Iterator[RememberedCase]:
    seen = set()
    for case in decided:
        entry = remembered_case(case)
        if entry.said not in seen:
            seen.add(entry.said)
            yield entry


def remembered_case(case: DecidedCase) -> RememberedCase:
    """One decision, masked. Masking keeps lengths, so the evidence stays true."""
    said = (*case.before[-MOST_CONTEXT:], case.message)
    spans = {
        (item.start, item.end)
        for finding in case.verdict.findings
        if finding.label in case.labels
        for item in finding.evidence
    }
    return RememberedCase(
        case_id=case.case_id,
        action="confirmed" if case.labels else "dismissed",
        labels=tuple(sorted(case.labels)),
        decided_at=case.decided_at,
        said=tuple((message.speaker, mask(message.text)) for message in said),
        evidence=tuple(sorted(spans)),
    )
