"""
Self-supervised pre-training: guess masked characters, and tell a message's own context from another's.

One resumable command; it can go on from an encoder made earlier.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.domain import Turn
from detectors.tokens import MASK, SPECIAL_TOKENS, Batch, InputLimits, Vocabulary, Window, collate, windows
from feedback.corpus.dialogues import Dialogue, as_messages
from feedback.training.device import best_device, mixed_precision
from feedback.training.encoder import Encoder, EncoderShape

NO_TARGET = -100
# The CPU library prepares and keeps its kernels per shape: fewer lengths, less time and memory.
SHAPE_STEP = 16
STRANGER_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """
    Everything a pre-training run depends on, kept with the encoder.

    `masked_share` of the characters are hidden. `match_weight` scales the second
    task: half of the windows that have a context get another window's, and `[CLS]`
    has to tell which. One pass over much text cannot overfit: dropout would only cost time.
    """

    tokens_per_batch: int = 4096
    peak_rate: float = 1.5e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    passes: int = 1
    seed: int = 7
    masked_share: float = 0.25
    match_weight: float = 0.3
    dropout: float = 0.0
    least_count: int = 12
    """A character seen fewer times is unknown."""


def turns_of(dialogue: Dialogue, *, every: int, start: int) -> Iterator[Turn]:
    """Every n-th turn with those before it, so that one pass reads each character about once."""
    messages = as_messages(dialogue, "")
    for index in range(start, len(messages), every):
        yield Turn(messages[index], tuple(messages[max(0, index - every + 1) : index]))


def build_vocabulary(texts: Iterable[str], *, least_count: int) -> Vocabulary:
    """Characters seen often enough, most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Vocabulary([char for char, count in ranked if count >= least_count and char != "\n"])


def grown(encoder: Encoder, known: Vocabulary, wanted: Vocabulary) -> tuple[Encoder, Vocabulary]:
    """The encoder with the characters that it lacks added behind its own; what it learnt stays."""
    new = [char for char in wanted.characters if char not in set(known.characters)]
    vocabulary = Vocabulary([*known.characters, *new])
    larger = Encoder(replace(encoder.shape, vocabulary=len(vocabulary)))
    state = encoder.state_dict()
    table = larger.characters.weight.detach().clone()
    table[: len(known)] = state["characters.weight"]
    larger.load_state_dict({**state, "characters.weight": table})
    return larger, vocabulary


def mask(
    batch: Batch, generator: np.random.Generator, vocabulary_size: int, share: float
) -> tuple[Tensor, Tensor]:
    """Masked ids and targets. Runs of one to three characters: most Chinese words are two."""
    ids = batch.ids.copy()
    maskable = ids >= len(SPECIAL_TOKENS)
    starts = (generator.random(ids.shape) < share / 2) & maskable
    chosen = starts.copy()
    for shift, longer_share in ((1, 0.75), (2, 0.25)):
        longer = np.zeros_like(starts)
        longer[:, shift:] = starts[:, :-shift] & (
            generator.random((ids.shape[0], ids.shape[1] - shift)) < longer_share
        )
        chosen |= longer
    chosen &= maskable
    targets = np.where(chosen, ids, NO_TARGET)
    dice = generator.random(ids.shape)
    ids[chosen & (dice < 0.8)] = MASK
    other = chosen & (dice >= 0.9)
    ids[other] = generator.integers(len(SPECIAL_TOKENS), vocabulary_size, int(other.sum()))
    return torch.from_numpy(ids), torch.from_numpy(targets)


def with_strangers(
    items: Sequence[Window], generator: np.random.Generator
) -> tuple[list[Window], list[float | None]]:
    """Windows of which some have another's context; 1 for the own context, 0 for a stranger's, None without one."""
    owners = [i for i, item in enumerate(items) if len(item.ids) > item.length + 1]
    swapped = [i for i in owners if generator.random() < STRANGER_SHARE]
    own: list[float | None] = [None] * len(items)
    for index in owners:
        own[index] = 1.0
    result = list(items)
    if len(swapped) > 1:
        for index, other in zip(swapped, [*swapped[1:], swapped[0]], strict=True):
            result[index] = _with_context_of(items[index], items[other])
            own[index] = 0.0
    return result, own


def _with_context_of(item: Window, other: Window) -> Window:
    here, there = item.length + 1, other.length + 1
    return replace(
        item,
        ids=item.ids[:here] + other.ids[there:],
        roles=item.roles[:here] + other.roles[there:],
        ages=item.ages[:here] + other.ages[there:],
        places=item.places[:here] + other.places[there:],
    )


class MaskedCharacters(nn.Module):
    """The encoder with an output layer tied to its characters, and one that judges the context."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Linear(encoder.shape.width, encoder.shape.width)
        self.norm = nn.LayerNorm(encoder.shape.width)
        self.bias = nn.Parameter(torch.zeros(encoder.shape.vocabulary))
        self.match = nn.Linear(encoder.shape.width, 1)

    def losses(
        self, ids: Tensor, batch: Batch, targets: Tensor, own: Sequence[float | None]
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy at masked positions only (the output layer is the costly part), and of the context."""
        device = ids.device
        rest = (torch.from_numpy(part).to(device) for part in (batch.roles, batch.ages, batch.places))
        states = self.encoder(ids, *rest)
        where = targets != NO_TARGET
        hidden = self.norm(functional.gelu(self.dense(states[where])))
        logits = hidden @ self.encoder.characters.weight.T + self.bias
        characters = functional.cross_entropy(logits.float(), targets[where])
        asked = [row for row, value in enumerate(own) if value is not None]
        if not asked:
            return characters, characters.new_zeros(())
        answers = torch.tensor([value for value in own if value is not None], device=device)
        said = self.match(states[asked, 0]).float()[:, 0]
        return characters, functional.binary_cross_entropy_with_logits(said, answers)


def batches(items: list[Window], *, tokens: int, seed: int) -> list[list[int]]:
    """Indices grouped by similar length, in random order, about `tokens` tokens each."""
    order = random.Random(seed)
    noisy = sorted(range(len(items)), key=lambda i: len(items[i].ids) + order.random() * 8)
    groups: list[list[int]] = []
    current: list[int] = []
    for index in noisy:
        if current and len(items[index].ids) * (len(current) + 1) > tokens:
            groups.append(current)
            current = []
        current.append(index)
    if current:
        groups.append(current)
    order.shuffle(groups)
    return groups


def rate(step: int, total: int, settings: PretrainSettings) -> float:
    """Linear warm-up, then a cosine down to a tenth."""
    if step < settings.warmup_steps:
        return settings.peak_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, total - settings.warmup_steps)
    return settings.peak_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * min(done, 1.0))))


def pretrain(
    items: list[Window],
    shape: EncoderShape,
    settings: PretrainSettings,
    *,
    checkpoint: Path,
    on_step: Callable[[int, int, float], None],
    save_every: int = 200,
    start: Encoder | None = None,
) -> Encoder:
    """
    Train the encoder on windows; continue from `checkpoint` where it exists.

    `start` is an encoder of this shape to go on from. `on_step` hears step, total
    and the loss of the characters. A GPU is used where there is one.
    """
    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)  # without it fp32 backward is 6–8 times slower
    device = best_device()
    model = MaskedCharacters(start if start is not None else Encoder(shape)).to(device)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = settings.dropout
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay, fused=True
    )
    plan = [
        group
        for lap in range(settings.passes)
        for group in batches(items, tokens=settings.tokens_per_batch, seed=settings.seed + lap)
    ]
    step = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    model.train()
    while step < len(plan):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, len(plan), settings)
        generator = np.random.default_rng((settings.seed, step))
        chosen, own = with_strangers([items[index] for index in plan[step]], generator)
        batch = collate(chosen, multiple=SHAPE_STEP)
        ids, targets = mask(batch, generator, shape.vocabulary, settings.masked_share)
        with mixed_precision(device):
            characters, match = model.losses(ids.to(device), batch, targets.to(device), own)
        loss = characters + settings.match_weight * match
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        on_step(step, len(plan), float(characters.detach()))
        if step % save_every == 0 or step == len(plan):
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
    return model.encoder.cpu().eval()


def prepare(
    dialogues: Iterable[Dialogue], vocabulary: Vocabulary, limits: InputLimits, *, seed: int
) -> list[Window]:
    """All windows of one pass over the dialogues."""
    order = random.Random(seed)
    items: list[Window] = []
    every = limits.turns + 1
    for dialogue in dialogues:
        start = order.randrange(min(every, len(dialogue)))
        for turn in turns_of(dialogue, every=every, start=start):
            items.extend(windows(turn, vocabulary, limits)[1])
    return items
