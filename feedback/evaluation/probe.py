"""A probe: calls of which at least one message should be flagged, though nobody labelled which."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detectors.domain import Speaker, Turn
from feedback.corpus.dialogues import MOST_BEFORE, Dialogue, as_messages
from feedback.evaluation.metrics import Estimate
from feedback.evaluation.rates import wilson
from feedback.evaluation.systems import System

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Probe:
    """
    How many calls one system flagged at least once.

    `messages` and `flags` count what the callers said; `missed` has the openings of the
    first calls without a flag, to read.
    """

    name: str
    calls: int
    flagged: int
    messages: int
    flags: int
    missed: tuple[str, ...]

    @property
    def share(self) -> Estimate:
        """Calls flagged at least once, 0–1, with a 95 % Wilson interval."""
        return wilson(self.flagged, self.calls)


def probe(systems: Sequence[System], dialogues: Iterable[Dialogue], name: str) -> dict[str, Probe]:
    """
    Ask every system about the messages of whoever opened each call, with all that was said before.

    The one who is called is the customer: what the victim asks does not count as found.
    """
    calls = messages = 0
    hits = {system.name: 0 for system in systems}
    flags = dict(hits)
    missed: dict[str, list[str]] = {system.name: [] for system in systems}
    for number, dialogue in enumerate(dialogues):
        turns = _pitch(dialogue, f"{name}-{number}")
        if not turns:
            continue
        calls += 1
        messages += len(turns)
        for system in systems:
            count = sum(bool(found.labels) for found in system.find(turns))
            flags[system.name] += count
            hits[system.name] += count > 0
            if not count and len(missed[system.name]) < SHOWN:
                missed[system.name].append(turns[0].message.text)
    return {key: Probe(name, calls, hits[key], messages, flags[key], tuple(missed[key])) for key in hits}


def _pitch(dialogue: Dialogue, name: str) -> list[Turn]:
    opener = dialogue[0][0]
    heard = [(Speaker.ADVISOR if speaker is opener else Speaker.CUSTOMER, text) for speaker, text in dialogue]
    said = as_messages(heard, name)
    return [
        Turn(message, tuple(said[max(0, index - MOST_BEFORE) : index]))
        for index, message in enumerate(said)
        if message.speaker is Speaker.ADVISOR
    ]
