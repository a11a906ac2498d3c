"""How well the marked evidence fits what people marked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from feedback.evaluation.metrics import Estimate, Sampler
from feedback.evaluation.systems import Found
from feedback.labelled import LabelledTurn


@dataclass(frozen=True, slots=True)
class EvidenceOverlap:
    """
    Agreement of a system's evidence with the gold evidence, by characters, as the token F1 of ERASER.

    Counted are the `messages` with gold evidence that the system flags with at least one right label.
    Marked is every character in the evidence of a right label; evidence of wrong labels does
    not count, for a gold span does not say which label it is of. `precision` is the share of the
    marked characters that lie in the gold evidence, `recall` the share of the gold evidence
    that is marked, `f1` their harmonic mean, each of one message first and then the mean over
    messages; where nothing is marked all three are 0. `marked_share` and `gold_share`
    are medians over the same messages of how much of the text is marked, and how much is gold, 0–1.

    It says whether people would mark the same, not whether the model decides by it
    (`faithfulness`). DeYoung et al. 2020, arXiv:1911.03429, section 4.1.
    """

    messages: int
    precision: Estimate
    recall: Estimate
    f1: Estimate
    marked_share: float
    gold_share: float


def evidence_overlap(rows: Sequence[LabelledTurn], found: Sequence[Found]) -> EvidenceOverlap | None:
    """
    Compare what a system found in each row with the row's evidence.

    None where no message counts: the system marks nothing at all, or no found violation has gold evidence.
    """
    conversations: list[str] = []
    sizes: list[tuple[int, int, int, int]] = []
    for row, said in zip(rows, found, strict=True):
        right = row.labels & said.labels
        text = row.turn.message.text
        gold = _characters(row.evidence, len(text))
        if said.evidence is None or not right or not gold:
            continue
        spans = [span for label in right for span in said.evidence.get(label, ())]
        marked = _characters(spans, len(text))
        conversations.append(row.turn.message.conversation_id)
        sizes.append((len(marked & gold), len(marked), len(gold), len(text)))
    if not sizes:
        return None
    both, marked_size, gold_size, length = np.array(sizes, dtype=np.float64).T
    sampler = Sampler(conversations)
    return EvidenceOverlap(
        messages=len(sizes),
        precision=sampler.mean(both / np.maximum(marked_size, 1)),
        recall=sampler.mean(both / gold_size),
        f1=sampler.mean(2 * both / (marked_size + gold_size)),
        marked_share=float(np.median(marked_size / length)),
        gold_share=float(np.median(gold_size / length)),
    )


def _characters(spans: Iterable[tuple[int, int]], length: int) -> set[int]:
    return {place for start, end in spans for place in range(max(start, 0), min(end, length))}
