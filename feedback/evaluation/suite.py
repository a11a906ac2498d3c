"""One run: every system on the labelled messages, the innocent sets and the probes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feedback.corpus.dialogues import Dialogue
from feedback.evaluation.innocent import FalseFlags, count_false_flags, pooled
from feedback.evaluation.metrics import Estimate, Evaluation, Judgement, evaluate
from feedback.evaluation.probe import Probe, probe
from feedback.evaluation.rates import BASE_RATES, AtBaseRate, at_base_rate
from feedback.evaluation.systems import System, asked, batches
from feedback.labelled import LabelledTurn

OnProgress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Missed:
    """A message on which a system and people disagree, to read."""

    text: str
    gold: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemReport:
    """
    All figures of one system.

    `false_flags` pools the innocent sets; without any it counts the compliant messages of
    the labelled file, which are far closer to the line (`on_own_text` is then true).
    """

    name: str
    evaluation: Evaluation
    innocent: tuple[FalseFlags, ...]
    probes: tuple[Probe, ...]
    base_rates: tuple[AtBaseRate, ...]
    false_flags: Estimate
    on_own_text: bool
    wrong: tuple[Missed, ...] = field(default=())

    @property
    def in_short(self) -> str:
        """One line for the log of a long run, so that what is known is not lost when it is cut off."""
        score = self.evaluation.any_violation
        return (
            f"precision {score.precision.value:.3f}, recall {score.recall.value:.3f}, F1 {score.f1.value:.3f}, "
            f"macro F1 {self.evaluation.macro_f1:.3f}, {self.false_flags.value:.2f} false flags per 1,000 "
            f"{'compliant messages of the same text' if self.on_own_text else 'innocent messages'}"
        )


def measure(
    systems: Sequence[System],
    labelled: Sequence[LabelledTurn],
    innocent: Mapping[str, Iterable[LabelledTurn]],
    probes: Mapping[str, Iterable[Dialogue]],
    labels: Sequence[str],
    *,
    on_progress: OnProgress = lambda done, note: None,
) -> dict[str, SystemReport]:
    """
    Measure every system on the same turns; the result is in the order of `systems`.

    Raises ValueError when no labelled message is left to measure on.
    """
    rows = asked(labelled)
    judgements = _judge(systems, rows, on_progress)
    flags: dict[str, list[FalseFlags]] = {system.name: [] for system in systems}
    for name, turns in innocent.items():
        on_progress(0, f"innocent: {name}")
        for key, counted in count_false_flags(systems, turns, name).items():
            flags[key].append(counted)
    calls: dict[str, list[Probe]] = {system.name: [] for system in systems}
    for name, dialogues in probes.items():
        on_progress(0, f"probe: {name}")
        for key, probed in probe(systems, dialogues, name).items():
            calls[key].append(probed)
    return {
        system.name: _report(
            system.name,
            evaluate(judgements[system.name], labels),
            flags[system.name],
            calls[system.name],
            _wrong(rows, judgements[system.name]),
        )
        for system in systems
    }


def _judge(
    systems: Sequence[System], rows: Sequence[LabelledTurn], on_progress: OnProgress
) -> dict[str, list[Judgement]]:
    judgements: dict[str, list[Judgement]] = {system.name: [] for system in systems}
    done = 0
    for part in batches(rows):
        turns = [row.turn for row in part]
        for system in systems:
            judgements[system.name] += [
                Judgement(
                    row.turn.message.conversation_id, row.labels, found.labels, found.undecided, row.tags
                )
                for row, found in zip(part, system.find(turns), strict=True)
            ]
        done += len(part)
        on_progress(done, "")
    return judgements


def _report(
    name: str,
    evaluation: Evaluation,
    flags: Sequence[FalseFlags],
    probes: Sequence[Probe],
    wrong: tuple[Missed, ...],
) -> SystemReport:
    rate = pooled(flags).per_1000 if flags else evaluation.false_flags_per_1000
    share = Estimate(rate.value / 1000, rate.low / 1000, rate.high / 1000)
    return SystemReport(
        name,
        evaluation,
        tuple(flags),
        tuple(probes),
        tuple(at_base_rate(evaluation.any_violation.recall, share, rate_) for rate_ in BASE_RATES),
        rate,
        not flags,
        wrong,
    )


def _wrong(rows: Sequence[LabelledTurn], judgements: Sequence[Judgement]) -> tuple[Missed, ...]:
    return tuple(
        Missed(row.turn.message.text, tuple(sorted(said.gold)), tuple(sorted(said.found)))
        for row, said in zip(rows, judgements, strict=True)
        if said.gold != said.found
    )
