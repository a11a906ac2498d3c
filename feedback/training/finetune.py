"""Fine-tunes the encoder on labelled turns."""

import copy
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.tokens import Window, collate
from feedback.training.device import mixed_precision
from feedback.training.encoder import TurnEncoder
from feedback.training.examples import Example, TargetBatch, batch_of
from feedback.training.heads import TurnClassifier
from feedback.training.pretrain import SHAPE_STEP, batches
from feedback.training.settings import FinetuneSettings

OnStep = Callable[[int, int, float], None]


def finetune(
    encoder: TurnEncoder,
    corpus: Sequence[Example],
    innocent: Sequence[Example],
    labels: int,
    settings: FinetuneSettings,
    *,
    on_step: OnStep,
    start: TurnClassifier | None = None,
) -> TurnClassifier:
    """
    Train for `settings.epochs` over the corpus, each time with a fresh sample of innocent turns.

    Returns the averaged weights, in evaluation mode. The same inputs and settings
    give the same model on the same machine.
    """
    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)
    dice = random.Random(settings.seed)
    model = start if start is not None else TurnClassifier(copy.deepcopy(encoder), labels)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = settings.dropout
    model.train()
    average = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(_groups(model, settings), lr=settings.rate)
    step, total = 0, 0
    hardest: Sequence[int] = ()
    for epoch in range(settings.epochs):
        examples = [*corpus, *_quiet(innocent, round(settings.innocent_share * len(corpus)), hardest, dice)]
        items = [example.item for example in examples]
        groups = batches(items, tokens=settings.tokens_per_batch, seed=settings.seed + epoch)
        total = total or len(groups) * settings.epochs
        for group in groups:
            for part in optimiser.param_groups:
                part["lr"] = part["peak"] * _schedule(min(step / total, 1.0), settings.warmup_share)
            batch = batch_of(
                [examples[i] for i in group],
                labels=labels,
                dice=dice,
                character_dropout=settings.character_dropout,
                context_dropout=settings.context_dropout,
                noise=model.encoder.noise_id,
            )
            loss = _loss(model, batch, settings)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            _move_average(average, model, min(settings.weight_average, step / (step + 10)))
            on_step(min(step, total), total, float(loss.detach()))
        if epoch + 1 == settings.epochs // 2:
            hardest = _hardest(average, innocent)
    return average


def _quiet(
    innocent: Sequence[Example], count: int, hardest: Sequence[int], dice: random.Random
) -> list[Example]:
    """
    The innocent turns of one epoch: at first any, later half of them from the hardest.

    Of all that people write in a day nearly everything is far from the line and
    teaches nothing; what decides how often the model cries wolf are the few turns
    that look like a promise.
    """
    count = min(count, len(innocent))
    hard = list(hardest[: count // 2])
    taken = set(hard)
    rest = [index for index in range(len(innocent)) if index not in taken]
    return [innocent[index] for index in (*hard, *dice.sample(rest, min(count - len(hard), len(rest))))]


def _hardest(model: TurnClassifier, innocent: Sequence[Example]) -> Sequence[int]:
    """Innocent turns by their highest logit, the worst first."""
    if not innocent:
        return ()
    worst = logits_of(model, [example.item for example in innocent]).max(axis=1)
    return [int(index) for index in np.argsort(-worst, kind="stable")]


def _groups(model: TurnClassifier, settings: FinetuneSettings) -> list[dict[str, object]]:
    """The fresh heads learn three times as fast as the pre-trained encoder."""
    body = list(model.encoder.parameters())
    known = {id(parameter) for parameter in body}
    heads = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": body, "peak": settings.rate, "weight_decay": settings.weight_decay},
        {"params": heads, "peak": 3 * settings.rate, "weight_decay": settings.weight_decay},
    ]


def _schedule(done: float, warmup: float) -> float:
    if done < warmup:
        return done / warmup
    return 0.02 + 0.49 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def _loss(model: TurnClassifier, batch: TargetBatch, settings: FinetuneSettings) -> Tensor:
    feed = {name: torch.from_numpy(value) for name, value in batch.inputs.feed().items()}
    with mixed_precision(torch.device("cpu")):
        logits, votes = model(**feed)
    logits, votes = logits.float(), votes.float()
    weight = 1 + (settings.positive_weight - 1) * batch.targets
    smooth = (
        batch.targets * (1 - settings.label_smoothing) + (1 - batch.targets) * settings.label_smoothing / 10
    )
    turn_loss = (
        (functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none") * weight).sum(1).mean()
    )
    mark_weight = batch.mark_mask[:, :, None] * (1 + 4 * batch.marks)
    mark_loss = (
        functional.binary_cross_entropy_with_logits(votes, batch.marks, reduction="none") * mark_weight
    )
    return turn_loss + settings.evidence_weight * mark_loss.sum() / batch.mark_mask.sum().clamp(min=1)


@torch.no_grad()
def _move_average(average: nn.Module, model: nn.Module, keep: float) -> None:
    for mean, current in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(current, 1 - keep)


@torch.no_grad()
def logits_of(model: TurnClassifier, items: Sequence[Window], *, rows: int = 64) -> npt.NDArray[np.float32]:
    """Turn logits of many windows, in order, in full precision."""
    order = sorted(range(len(items)), key=lambda index: len(items[index].ids))
    result = np.zeros((len(items), model.labels), dtype=np.float32)
    model.eval()
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        feed = {
            name: torch.from_numpy(value)
            for name, value in collate([items[i] for i in chosen], multiple=SHAPE_STEP).feed().items()
        }
        result[chosen] = model(**feed)[0].numpy()
    return result
