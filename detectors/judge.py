"""
The LLM judge: a second opinion on what the cascade leaves undecided.

Pure: makes the request and checks the answer; `streams.second_opinion` asks. It can turn undecided into
flagged, and nothing into anything else: what it does not flag stays undecided, and a person looks.
The transcript and the answer are both untrusted. What somebody wrote goes out as one JSON value, and
of an answer only labels of the catalogue count whose quotes stand in the message.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic import Field as Limits

from detectors.cascade import DISMISSED_LIKE, priority_of, union
from detectors.domain import Evidence, Finding, Message, Outcome, Severity, Source, Turn, Verdict
from detectors.errors import BadAnswer
from detectors.explanation import explain, templates
from rules.catalogue import Catalogue

# A language model's own confidence is not calibrated, so none is asked for: this orders the queue only.
SCORE = 0.5
MOST_BEFORE = 12
MOST_BEFORE_CHARS = 1_000
# One character stands in any text: it proves nothing.
SHORTEST_QUOTE = 2
LONGEST_REASON = 200
PROMPT_HASH_CHARS = 12

Mask = Callable[[str], str]
Request = dict[str, object]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Item(_Strict):
    label: str
    quotes: Annotated[list[str], Limits(max_length=20)]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Answer(_Strict):
    findings: Annotated[list[_Item], Limits(max_length=20)]


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    What the judge said of one turn.

    `findings` stand on the message. `unfounded` counts what it claimed under a label that does
    not exist, or without a quote that stands in the message: that is no finding.
    """

    findings: tuple[Finding, ...]
    unfounded: int = 0


class LlmJudge:
    """
    Asks one model by one prompt, made from the risk catalogue.

    `mask` hides personal data before anything leaves the process; it keeps the length of the text,
    so that a quote has the same place in the original.
    """

    def __init__(self, catalogue: Catalogue, *, model: str, mask: Mask) -> None:
        self.catalogue = catalogue
        self._model = model
        self._mask = mask
        self._prompt = _prompt(catalogue)
        version = sha256(self._prompt.encode()).hexdigest()[:PROMPT_HASH_CHARS]
        self.source = Source("judge", model, version)

    def request(self, turn: Turn, verdict: Verdict) -> Request:
        """The body of a request for a chat completion: the prompt, and the turn as one JSON value."""
        text = self._masked(turn.message.text)
        product = turn.message.product
        asked = {
            "message": {
                "speaker": turn.message.speaker.value,
                "channel": turn.message.channel,
                "product": {"name": product.name, "kind": product.kind} if product else None,
                "text": text,
            },
            "before": [self._line(message) for message in turn.before[-MOST_BEFORE:]],
            "doubts": [
                {
                    "label": finding.label,
                    "by": sorted({source.kind for source in finding.sources}),
                    "score": round(finding.score, 2),
                    "quotes": [text[span.start : span.end] for span in finding.evidence],
                }
                for finding in verdict.findings
            ],
        }
        return {
            "model": self._model,
            "temperature": 0,
            "response_format": {"type": "json_object"},
            "messages": [
                {"role": "system", "content": self._prompt},
                {"role": "user", "content": _json(asked)},
            ],
        }

    def read(self, turn: Turn, answer: str) -> Judgement:
        """
        What of the answer holds.

        Raises BadAnswer when it is no JSON of the form that the prompt asks for.
        """
        try:
            said = _Answer.model_validate_json(answer)
        except (ValidationError, ValueError) as error:
            kinds = error.errors() if isinstance(error, ValidationError) else []
            told = ", ".join(sorted({item["type"] for item in kinds})) or type(error).__name__
            raise BadAnswer(f"no answer of the agreed form ({told})") from None
        text = self._masked(turn.message.text)
        spans: dict[str, list[Evidence]] = {}
        reasons: dict[str, str] = {}
        unfounded = 0
        for item in said.findings:
            found = [span for quote in item.quotes if (span := _find(quote, text)) is not None]
            if item.label not in self.catalogue.labels or not found:
                unfounded += 1
                continue
            spans.setdefault(item.label, []).extend(found)
            reasons.setdefault(item.label, _plain(item.reason))
        ordered = [label for label in self.catalogue.labels if label in spans]
        return Judgement(
            tuple(self._finding(turn, label, spans[label], reasons[label]) for label in ordered), unfounded
        )

    def _finding(self, turn: Turn, label: str, spans: Sequence[Evidence], reason: str) -> Finding:
        entry = self.catalogue.labels[label]
        finding = Finding(
            label=label,
            severity=Severity(entry.severity),
            score=SCORE,
            sources=(self.source,),
            evidence=union(spans, turn.message.text),
            traits=tuple(entry.traits),
            basis=tuple(entry.basis),
        )
        return replace(finding, reason=explain(finding, turn, self.catalogue, judge_reason=reason))

    def _line(self, message: Message) -> dict[str, str]:
        return {"speaker": message.speaker.value, "text": self._masked(message.text)[:MOST_BEFORE_CHARS]}

    def _masked(self, text: str) -> str:
        masked = self._mask(text)
        if len(masked) != len(text):
            raise ValueError("the mask changed the length of a text: quotes would have another place")
        # JSON in UTF-8 has no lone surrogates.
        return masked.encode("utf-8", "replace").decode()


def amend(verdict: Verdict, findings: Sequence[Finding], at: datetime) -> Verdict | None:
    """
    The verdict with what the judge found, given at this time; None where it changes nothing.

    Only an undecided verdict is ever amended, and only to flagged. As in the cascade, what other
    detectors were unsure of is no finding beside one that somebody stands for.
    """
    if verdict.outcome is not Outcome.UNDECIDED or not findings:
        return None
    reasons = ("flagged", *(reason for reason in verdict.queue_reasons if reason != "undecided"))
    return replace(
        verdict,
        outcome=Outcome.FLAGGED,
        findings=tuple(findings),
        priority=priority_of(Outcome.FLAGGED, findings, dismissed_before=DISMISSED_LIKE in reasons),
        queue_reasons=reasons,
        detected_at=at,
    )


def _prompt(catalogue: Catalogue) -> str:
    template = templates().get_template(f"judge.{catalogue.language}.j2")
    return template.render(labels=list(catalogue.labels.values()))


def _json(value: object) -> str:
    """Brackets as in <|im_end|> or [/INST] are escaped, so that no text can look like a model's own control tokens."""
    text = orjson.dumps(value).decode()
    # A bracket of the JSON itself never stands before a letter: its arrays hold strings and objects.
    text = re.sub(r"\[(?=/?[A-Za-z])", r"\\u005b", text)
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _find(quote: str, text: str) -> Evidence | None:
    if len("".join(quote.split())) < SHORTEST_QUOTE:
        return None
    start = text.find(quote)
    return None if start < 0 else Evidence(start, start + len(quote), quote)


def _plain(reason: str) -> str:
    """On one line, without control characters, and short: it is shown to reviewers."""
    flat = "".join(char if char.isprintable() else " " for char in reason)
    flat = " ".join(flat.split()) or "-"
    return flat if len(flat) <= LONGEST_REASON else flat[: LONGEST_REASON - 1] + "…"
