"""One run: every system on the labelled messages, the innocent sets and the probes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feedback.corpus.dialogues import Dialogue
from feedback.evaluation.evidence_overlap import EvidenceOverlap, evidence_overlap
from feedback.evaluation.innocent import FalseFlags, count_false_flags, pooled
from feedback.evaluation.metrics import Estimate, Evaluation, Judgement, evaluate
from feedback.evaluation.probe import Probe, probe
from feedback.evaluation.rates import BASE_RATES, AtBaseRate, at_base_rate
from feedback.evaluation.systems import Found, System, asked, batches
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
    the labelled file, which are far closer to the line (`on_own_text` is then true). `evidence` is None
    for a system that marks none, and where no found violation has gold evidence.
    """

    name: str
    evaluation: Evaluation
    innocent: tuple[FalseFlags, ...]
    probes: tuple[Probe, ...]
    base_rates: tuple[AtBaseRate, ...]
    false_flags: Estimate
    on_own_text: bool
    wrong: tuple[Missed, ...] = field(default=())
    evidence: EvidenceOverlap | None = None

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
    found = _ask(systems, rows, on_progress)
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
            rows,
            found[system.name],
            labels,
            flags[system.name],
            calls[system.name],
        )
        for system in systems
    }


def _ask(
    systems: Sequence[System], rows: Sequence[LabelledTurn], on_progress: OnProgress
) -> dict[str, list[Found]]:
    found: dict[str, list[Found]] = {system.name: [] for system in systems}
    done = 0
    for part in batches(rows):
        turns = [row.turn for row in part]
        for system in systems:
            found[system.name] += system.find(turns)
        done += len(part)
        on_progress(done, "")
    return found


def _report(
    name: str,
    rows: Sequence[LabelledTurn],
    found: Sequence[Found],
    labels: Sequence[str],
    flags: Sequence[FalseFlags],
    probes: Sequence[Probe],
) -> SystemReport:
    judgements = [
        Judgement(row.turn.message.conversation_id, row.labels, said.labels, said.undecided, row.tags)
        for row, said in zip(rows, found, strict=True)
    ]
    evaluation = evaluate(judgements, labels)
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
        _wrong(rows, judgements),
        evidence_overlap(rows, found),
    )


def _wrong(rows: Sequence[LabelledTurn], judgements: Sequence[Judgement]) -> tuple[Missed, ...]:
    return tuple(
        Missed(row.turn.message.text, tuple(sorted(said.gold)), tuple(sorted(said.found)))
        for row, said in zip(rows, judgements, strict=True)
        if said.gold != said.found
    )
