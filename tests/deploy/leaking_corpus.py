"""A small corpus of which one training message stands in the golden set too."""

from dataclasses import replace

from detectors.domain import Turn
from feedback.corpus.seed import read_corpus
from feedback.dataset import split_of
from feedback.labelled import LabelledTurn


def leaking_corpus() -> tuple[list[LabelledTurn], LabelledTurn]:
    """Rows of one writer with such a message among them, and that message."""
    rows = [row for row in read_corpus() if row.group == "w01"]
    golden = next(
        row for row in rows if split_of(row) == "test" and row.labels and len(row.turn.message.text) > 15
    )
    other = next(row for row in rows if split_of(row) == "train")
    message = replace(
        golden.turn.message,
        message_id="leak",
        conversation_id=other.turn.message.conversation_id,
    )
    leak = replace(golden, turn=Turn(message))
    return [*rows, leak], leak
