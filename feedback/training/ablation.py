"""What one part of the training brings: the same training without it and with it, measured alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from detectors.domain import Turn
from detectors.tokens import InputLimits
from feedback.evaluation.suite import SystemReport, measure
from feedback.labelled import LabelledTurn
from feedback.training.curve import EncoderTrainer

NONE, ALL = "none", "all"

View = Callable[[LabelledTurn], LabelledTurn]


def _as_it_is(row: LabelledTurn) -> LabelledTurn:
    return row


@dataclass(frozen=True, slots=True)
class Variant:
    """A training with some settings changed, on turns as `view` shows them."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    view: View = _as_it_is


@dataclass(frozen=True, slots=True)
class Ablation:
    """One training run of a variant, measured like the others."""

    name: str
    changes: Mapping[str, Any]
    report: SystemReport


def source_variants(sources: Sequence[str]) -> list[Variant]:
    """New samples of no source, of each alone, and of all together where there is more than one."""
    found = [Variant(NONE, {"augment": ()}), *(Variant(name, {"augment": (name,)}) for name in sources)]
    return [*found, Variant(ALL, {"augment": tuple(sources)})] if len(sources) > 1 else found


def context_variants(limits: InputLimits, longest_message: int) -> list[Variant]:
    """
    The messages before: not read; written before the message as one text; apart, with role and age of each.

    The last is how models are trained. As one text has as many characters as that, or the `longest_message`
    of the encoder; what is longer is read in windows, as every long message.
    """
    room = min(limits.message + limits.turns * (limits.context + 1), longest_message)
    return [
        Variant(NONE, {"limits": replace(limits, turns=0)}),
        Variant(
            "one text",
            {"limits": replace(limits, message=room, turns=0)},
            lambda row: as_one_text(row, limits),
        ),
        Variant("roles and ages apart", {"limits": limits}),
    ]


def as_one_text(row: LabelledTurn, limits: InputLimits) -> LabelledTurn:
    """The turn with the ends of the messages before it as the beginning of its own text; evidence moves with it."""
    before = row.turn.before[-limits.turns :] if limits.turns else ()
    lead = "".join(f"{message.text[-limits.context :]}\n" for message in before)
    message = replace(row.turn.message, text=lead + row.turn.message.text)
    evidence = tuple((start + len(lead), end + len(lead)) for start, end in row.evidence)
    return replace(row, turn=Turn(message), evidence=evidence)


def ablate(
    trainer: EncoderTrainer,
    train: Sequence[LabelledTurn],
    measured: Sequence[LabelledTurn],
    innocent: Mapping[str, Sequence[LabelledTurn]],
    variants: Sequence[Variant],
    *,
    say: Callable[[str], None] = lambda text: None,
) -> list[Ablation]:
    """
    Train once for every variant, from the same base, with the same seed, and measure each alike.

    `measured` must not be a part that the training learns from or chooses its thresholds on.
    """
    found = []
    for variant in variants:
        say(f"ablation: {variant.name}")
        view = variant.view
        system = replace(
            trainer,
            settings=trainer.settings.model_copy(update=dict(variant.changes)),
            dev=[view(row) for row in trainer.dev],
            innocent=[view(row) for row in trainer.innocent],
        )([view(row) for row in train])
        report = measure(
            [system],
            [view(row) for row in measured],
            {name: [view(row) for row in rows] for name, rows in innocent.items()},
            {},
            trainer.labels,
        )[system.name]
        found.append(Ablation(variant.name, variant.changes, report))
        say(f"ablation: {variant.name}: {report.in_short}")
    return found
