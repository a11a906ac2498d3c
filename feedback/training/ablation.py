"""What each source of new samples brings: the same training without it, with it, and with all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from feedback.evaluation.suite import SystemReport, measure
from feedback.labelled import LabelledTurn
from feedback.training.curve import EncoderTrainer

NONE, ALL = "none", "all"


@dataclass(frozen=True, slots=True)
class Ablation:
    """One training run with these sources, measured like the others."""

    name: str
    sources: tuple[str, ...]
    report: SystemReport


def variants(sources: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """None, each alone, and all together where there is more than one."""
    found: dict[str, tuple[str, ...]] = {NONE: (), **{name: (name,) for name in sources}}
    return {**found, ALL: tuple(sources)} if len(sources) > 1 else found


def ablate(
    trainer: EncoderTrainer,
    train: Sequence[LabelledTurn],
    measured: Sequence[LabelledTurn],
    innocent: Mapping[str, Sequence[LabelledTurn]],
    sources: Sequence[str],
    *,
    say: Callable[[str], None] = lambda text: None,
) -> list[Ablation]:
    """
    Train once for every variant, from the same base, with the same seed, and measure each alike.

    `measured` must not be a part that the training learns from or chooses its thresholds on.
    """
    found = []
    for name, chosen in variants(sources).items():
        say(f"ablation: {name}")
        settings = trainer.settings.model_copy(update={"augment": chosen})
        system = replace(trainer, settings=settings)(train)
        report = measure([system], measured, innocent, {}, trainer.labels)[system.name]
        found.append(Ablation(name, chosen, report))
    return found
