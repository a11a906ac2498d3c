"""Says in plain words why a message was flagged."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from detectors.domain import Finding, Speaker, Turn
from rules.catalogue import Catalogue

LONGEST_QUOTE = 40
MOST_QUOTES = 3
# A short message takes its meaning from the question before it, so the reason shows the question.
SHORT_MESSAGE = 14


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The texts of this folder. The output is plain text; the desk's own templates escape it."""
    return Environment(
        loader=PackageLoader("detectors"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
    )


def shorten(text: str) -> str:
    """A quote that fits into a sentence."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_QUOTE else flat[: LONGEST_QUOTE - 1] + "…"


def explain_likeness(
    label: str, catalogue: Catalogue, *, case_id: str, similarity: float, decided_on: date
) -> str:
    """The memory's reason: which confirmed case a message is like, in the language of the catalogue."""
    return (
        templates()
        .get_template(f"like_case.{catalogue.language}.j2")
        .render(
            label=catalogue.labels[label],
            case_id=case_id,
            similarity=f"{similarity:.2f}",
            decided_on=decided_on.isoformat(),
        )
        .strip()
    )


def explain(
    finding: Finding,
    turn: Turn,
    catalogue: Catalogue,
    *,
    rule_reasons: Sequence[str] = (),
    memory_reasons: Sequence[str] = (),
    judge_reason: str | None = None,
    model_score: float | None = None,
    uncertain: bool = False,
    denied: bool = False,
) -> str:
    """The reason of a merged finding, in the language of the catalogue. `denied`: only rules found it, against the model."""
    asked = [message for message in turn.before if message.speaker is Speaker.CUSTOMER]
    short = len(turn.message.text) <= SHORT_MESSAGE
    return (
        templates()
        .get_template(f"reason.{catalogue.language}.j2")
        .render(
            label=catalogue.labels[finding.label],
            rule_reasons=list(dict.fromkeys(rule_reasons)),
            memory_reasons=list(dict.fromkeys(memory_reasons)),
            judge_reason=judge_reason,
            model_score=model_score,
            evidence=[shorten(item.text) for item in finding.evidence[:MOST_QUOTES]],
            question=shorten(asked[-1].text) if asked and short else None,
            uncertain=uncertain,
            denied=denied,
        )
        .strip()
    )
