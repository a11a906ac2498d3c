"""Rewrites a labelled turn and keeps its evidence where it was."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from detectors.domain import Turn
from feedback.labelled import LabelledTurn

PARENT_TAG = "parent:"
SOURCE_TAG = "augment:"
# Tags that say how a message was written; a rewrite may have changed that.
STYLE_TAGS = frozenset({"formal", "slangy"})
# Tags of messages that mean what they mean only after others.
NEEDS_OTHERS = frozenset({"context", "multi_message"})


@dataclass(frozen=True, slots=True)
class Edit:
    """Puts `text` in the place of `[start, end)`; `start == end` inserts."""

    start: int
    end: int
    text: str


def rewritten(row: LabelledTurn, edits: Sequence[Edit], *, source: str, number: int) -> LabelledTurn:
    """
    The turn with its message edited, as a child of `row`.

    Evidence moves with the text: an edit inside a span changes its length, one at its edge
    stays outside. Edits must not overlap. The child stays in its parent's conversation, so
    that no split ever parts them.
    """
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    text, parts, at = row.turn.message.text, [], 0
    for edit in ordered:
        if edit.start < at or edit.end > len(text):
            msg = f"edits overlap or lie outside at {edit.start}"
            raise ValueError(msg)
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    new = "".join([*parts, text[at:]])
    spans = tuple(
        (_moved(start, ordered, end=False), _moved(end, ordered, end=True)) for start, end in row.evidence
    )
    return child(row, new, spans, source=source, number=number)


def child(
    row: LabelledTurn,
    text: str,
    evidence: Sequence[tuple[int, int]],
    *,
    source: str,
    number: int,
    labels: frozenset[str] | None = None,
    tags: tuple[str, ...] | None = None,
) -> LabelledTurn:
    """A new turn that says which one it was made of, and by what."""
    parent = row.turn.message
    message = replace(parent, message_id=f"{parent.message_id}~{source}{number}", text=text)
    kept = tuple(tag for tag in row.tags if tag not in STYLE_TAGS) if tags is None else tags
    return replace(
        row,
        turn=Turn(message, row.turn.before),
        labels=row.labels if labels is None else labels,
        evidence=tuple(evidence),
        tags=(*kept, f"{SOURCE_TAG}{source}", f"{PARENT_TAG}{parent.message_id}"),
    )


def _moved(place: int, edits: Sequence[Edit], *, end: bool) -> int:
    moved = place
    for edit in edits:
        inserted_at_start = edit.start == edit.end == place and not end
        if edit.end <= place and not (edit.start == edit.end == place and end):
            moved += len(edit.text) - (edit.end - edit.start)
        elif edit.start < place < edit.end:
            # The edge of the span lies in what was replaced: the span takes the whole replacement.
            moved += (edit.start + len(edit.text) if end else edit.start) - place
            break
        elif inserted_at_start:
            moved += len(edit.text)
    return moved


def source_of(row: LabelledTurn) -> str | None:
    """What a turn was made by, as samples are counted; None for a turn of the corpus."""
    return next((tag.removeprefix(SOURCE_TAG) for tag in row.tags if tag.startswith(SOURCE_TAG)), None)


def parent_of(row: LabelledTurn) -> str | None:
    """Message id of the turn that this one was made of; None for a turn of the corpus."""
    return next((tag.removeprefix(PARENT_TAG) for tag in row.tags if tag.startswith(PARENT_TAG)), None)
