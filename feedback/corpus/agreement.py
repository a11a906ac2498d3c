"""The second, blind reading of a part of the corpus, and how far two readers agree."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from feedback.corpus.errors import CorpusError

SECOND_READING = Path(__file__).with_name("second_reading.jsonl")
"""Whole conversations chosen by a hash: how clear the guide is."""
LADDER_READING = Path(__file__).with_name("ladder_reading.jsonl")
"""Messages chosen because they carried a label of the guide's ladder, with compliant ones among them: where it is not."""
COMPLIANT_READING = Path(__file__).with_name("compliant_reading.jsonl")
"""Messages of the development part and of held-out writers, nearly all without a label: what writers overlooked."""

TurnLabels = Mapping[str, list[str]]
"""Turn number to labels; a turn that is not there has none."""


class SecondReading(BaseModel):
    """
    One conversation, read twice.

    `first` are the writer's labels as they were when the reader, who did not see
    them, gave `second`. `judged` are the numbers of the turns that both read: in `SECOND_READING` all
    that could carry a label. The corpus itself has the settled labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    reader: str
    judged: list[int]
    first: dict[str, list[str]]
    second: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two readers on one question: how often each says yes, how often both, and Cohen's κ."""

    messages: int
    first: int
    second: int
    both: int

    @property
    def observed(self) -> float:
        """Share of messages on which they say the same."""
        return (self.messages - self.first - self.second + 2 * self.both) / self.messages

    @property
    def kappa(self) -> float:
        """
        Agreement beyond chance: 1 is full, 0 is chance. NaN when both always say the same one thing.

        J. Cohen, A coefficient of agreement for nominal scales, 1960.
        """
        p, q = self.first / self.messages, self.second / self.messages
        chance = p * q + (1 - p) * (1 - q)
        return (self.observed - chance) / (1 - chance) if chance < 1 else float("nan")


def read_second_readings(path: Path = SECOND_READING) -> Iterator[SecondReading]:
    """Every conversation of a second reading. Raises CorpusError naming the line of the first broken one."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield SecondReading.model_validate(orjson.loads(line))
            except (orjson.JSONDecodeError, ValidationError) as error:
                raise CorpusError(f"{path.name}:{number}: {error}") from error


def agreement(readings: Iterable[SecondReading], labels: Sequence[str]) -> dict[str, Agreement]:
    """Agreement on any violation (key `any`) and on each label, over all judged messages. Raises CorpusError for none."""
    pairs = [
        (set(reading.first.get(str(turn), ())), set(reading.second.get(str(turn), ())))
        for reading in readings
        for turn in reading.judged
    ]
    if not pairs:
        raise CorpusError("no message has been read twice")
    any_label = _count([(bool(one), bool(other)) for one, other in pairs])
    return {"any": any_label} | {
        label: _count([(label in one, label in other) for one, other in pairs]) for label in labels
    }


def _count(answers: Sequence[tuple[bool, bool]]) -> Agreement:
    return Agreement(
        messages=len(answers),
        first=sum(one for one, _ in answers),
        second=sum(other for _, other in answers),
        both=sum(one and other for one, other in answers),
    )
