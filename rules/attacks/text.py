"""A text with marked stretches that survive editing."""

from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]
Edit = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Marked:
    """
    A text and the stretches of it that matter: evidence, as code-point offsets.

    No stretch is empty. Editing keeps every stretch on what it pointed at, however long that became.
    """

    text: str
    spans: tuple[Span, ...]

    def quotes(self) -> list[str]:
        """The marked stretches."""
        return [self.text[start:end] for start, end in self.spans]

    def edited(self, edits: Sequence[Edit]) -> "Marked":
        """
        Replace stretches of the text. Edits are in order, not empty, and do not overlap.

        A mark that begins or ends inside an edit takes all of what replaced it. Raises
        ValueError for edits that break these rules.
        """
        pieces: list[str] = []
        moved_starts: list[int] = []
        moved_ends: list[int] = []
        position = length = 0
        for start, end, replacement in edits:
            if not position <= start < end <= len(self.text):
                raise ValueError(
                    f"edit {start}:{end} is empty, out of order or outside of {len(self.text)} characters"
                )
            kept = range(length, length + start - position)
            after = length + len(kept) + len(replacement)
            moved_starts += [*kept, *[length + len(kept)] * (end - start)]
            moved_ends += [*(index + 1 for index in kept), *[after] * (end - start)]
            pieces += [self.text[position:start], replacement]
            position, length = end, after
        rest = range(length, length + len(self.text) - position)
        moved_starts += rest
        moved_ends += [index + 1 for index in rest]
        pieces.append(self.text[position:])
        spans = tuple((moved_starts[start], moved_ends[end - 1]) for start, end in self.spans)
        return Marked("".join(pieces), spans)
