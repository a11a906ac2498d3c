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

from detectors.tokens import Batch, Window, collate
from feedback.training.batching import SHAPE_STEP, batches
from feedback.training.device import best_device, mixed_precision, tiny_floats_flushed
from feedback.training.encoder import TurnEncoder
from feedback.training.examples import Example, TargetBatch, batch_of
from feedback.training.heads import TurnClassifier, own_tokens
from feedback.training.selection import Selection
from feedback.training.settings import FinetuneSettings

OnStep = Callable[[int, int, float], None]
# A large model reads all innocent turns slowly; those which a small one is sure of do not become its worst.
MOST_RANKED_AGAIN = 10_000


@tiny_floats_flushed()
def finetune(
    encoder: TurnEncoder,
    corpus: Sequence[Example],
    innocent: Sequence[Example],
    labels: int,
    settings: FinetuneSettings,
    *,
    on_step: OnStep,
    start: TurnClassifier | None = None,
    teachers: Sequence[TurnClassifier] = (),
    selection: Selection | None = None,
) -> TurnClassifier:
    """
    Train for `settings.epochs` over the corpus, each time with a fresh sample of innocent turns.

    `teachers` are larger trained models with the same vocabulary: what they say on average of
    each input, as it is seen with its noise, is the target beside the labels (knowledge
    distillation, Hinton et al. 2015, arXiv:1503.02531). A `selection` leaves out of each epoch
    most of what another model settles rightly by itself. What needs no gradient stays as it is.
    Returns the averaged weights, in evaluation mode. The same inputs and settings give the same model on the same machine.
    A GPU is used where there is one.
    """
    torch.manual_seed(settings.seed)
    device = best_device()
    dice = random.Random(settings.seed)
    model = (start if start is not None else TurnClassifier(copy.deepcopy(encoder), labels)).to(device)
    teachers = [teacher.to(device).eval() for teacher in teachers]
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = settings.dropout
    model.train()
    average = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(_groups(model, settings), lr=settings.rate)
    step, total = 0, 0
    hardest: Sequence[int] = selection.innocent if selection is not None else ()
    for epoch in range(settings.epochs):
        quiet = _quiet(innocent, round(settings.innocent_share * len(corpus)), hardest, dice)
        examples = [*_needed(corpus, selection, settings, dice), *quiet]
        sizes = [len(example.item.ids) for example in examples]
        groups = batches(sizes, tokens=settings.tokens_per_batch, seed=settings.seed + epoch)
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
            loss = _loss(model, batch, settings, teachers)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            _move_average(average, model, min(settings.weight_average, step / (step + 10)))
            on_step(min(step, total), total, float(loss.detach()))
        if epoch + 1 == settings.epochs // 2:
            among = hardest[:MOST_RANKED_AGAIN] if selection is not None else range(len(innocent))
            hardest = _hardest(average, innocent, among)
    return average.requires_grad_(True).cpu()


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


def _needed(
    corpus: Sequence[Example], selection: Selection | None, settings: FinetuneSettings, dice: random.Random
) -> Sequence[Example]:
    """The corpus turns of one epoch."""
    if selection is None:
        return corpus
    return [
        example
        for example, sure in zip(corpus, selection.sure, strict=True)
        if not sure or dice.random() < settings.sure_share
    ]


def _hardest(model: TurnClassifier, innocent: Sequence[Example], among: Sequence[int]) -> Sequence[int]:
    """The innocent turns of these numbers by their highest logit, the worst first."""
    if not among:
        return ()
    worst = logits_of(model, [innocent[index].item for index in among]).max(axis=1)
    return [among[index] for index in np.argsort(-worst, kind="stable").tolist()]


def _groups(model: TurnClassifier, settings: FinetuneSettings) -> list[dict[str, object]]:
    """The fresh heads learn three times as fast as the pre-trained encoder."""
    body = list(model.encoder.parameters())
    known = {id(parameter) for parameter in body}
    body = [parameter for parameter in body if parameter.requires_grad]
    heads = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": body, "peak": settings.rate, "weight_decay": settings.weight_decay},
        {"params": heads, "peak": 3 * settings.rate, "weight_decay": settings.weight_decay},
    ]


def _schedule(done: float, warmup: float) -> float:
    if done < warmup:
        return done / warmup
    return 0.02 + 0.49 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def _loss(
    model: TurnClassifier, batch: TargetBatch, settings: FinetuneSettings, teachers: Sequence[TurnClassifier]
) -> Tensor:
    device = device_of(model)
    feed = _feed(batch.inputs, device)
    targets, marks, known = (part.to(device) for part in (batch.targets, batch.marks, batch.mark_mask))
    with mixed_precision(device):
        logits, votes = model(**feed)
    logits, votes = logits.float(), votes.float()
    weight = 1 + (settings.positive_weight - 1) * targets
    smooth = targets * (1 - settings.label_smoothing) + (1 - targets) * settings.label_smoothing / 10
    turn_loss = (
        (functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none") * weight).sum(1).mean()
    )
    mark_weight = known[:, :, None] * (1 + 4 * marks)
    mark_loss = functional.binary_cross_entropy_with_logits(votes, marks, reduction="none") * mark_weight
    loss = turn_loss + settings.evidence_weight * mark_loss.sum() / known.sum().clamp(min=1)
    if not teachers:
        return loss
    with torch.no_grad(), mixed_precision(device):
        said = [teacher(**feed) for teacher in teachers]
    turn = torch.stack([logit.float() for logit, _ in said]).mean(0).sigmoid()
    token = torch.stack([vote.float() for _, vote in said]).mean(0).sigmoid()
    own = own_tokens(feed["roles"], feed["ages"], feed["places"]).to(votes.dtype)[:, :, None]
    soft = functional.binary_cross_entropy_with_logits(logits, turn, reduction="none").sum(1).mean()
    apart = functional.binary_cross_entropy_with_logits(votes, token, reduction="none") * own
    soft = soft + settings.evidence_weight * apart.sum() / own.sum().clamp(min=1)
    return (1 - settings.teacher_weight) * loss + settings.teacher_weight * settings.positive_weight * soft


def _feed(inputs: Batch, device: torch.device) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value).to(device) for name, value in inputs.feed().items()}


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


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
        feed = _feed(collate([items[i] for i in chosen], multiple=SHAPE_STEP), device_of(model))
        result[chosen] = model(**feed)[0].cpu().numpy()
    return result
