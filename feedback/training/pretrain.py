"""Self-supervised pre-training: guess masked characters of real conversations. One resumable command."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.domain import Turn
from detectors.tokens import MASK, SPECIAL_TOKENS, Batch, InputLimits, Vocabulary, Window, collate, windows
from feedback.corpus.dialogues import Dialogue, as_messages
from feedback.training.encoder import Encoder, EncoderShape

NO_TARGET = -100
# The CPU library prepares and keeps its kernels per shape: fewer lengths, less time and memory.
SHAPE_STEP = 16
MASKED_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """Everything a pre-training run depends on, kept with the encoder."""

    tokens_per_batch: int = 4096
    peak_rate: float = 1.5e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    passes: int = 1
    seed: int = 7
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


def mask(batch: Batch, generator: np.random.Generator, vocabulary_size: int) -> tuple[Tensor, Tensor]:
    """Masked ids and targets. Runs of one to three characters: most Chinese words are two."""
    ids = batch.ids.copy()
    maskable = ids >= len(SPECIAL_TOKENS)
    starts = (generator.random(ids.shape) < MASKED_SHARE / 2) & maskable
    chosen = starts.copy()
    for shift, share in ((1, 0.75), (2, 0.25)):
        longer = np.zeros_like(starts)
        longer[:, shift:] = starts[:, :-shift] & (
            generator.random((ids.shape[0], ids.shape[1] - shift)) < share
        )
        chosen |= longer
    chosen &= maskable
    targets = np.where(chosen, ids, NO_TARGET)
    dice = generator.random(ids.shape)
    ids[chosen & (dice < 0.8)] = MASK
    other = chosen & (dice >= 0.9)
    ids[other] = generator.integers(len(SPECIAL_TOKENS), vocabulary_size, int(other.sum()))
    return torch.from_numpy(ids), torch.from_numpy(targets)


class MaskedCharacters(nn.Module):
    """The encoder with an output layer tied to its characters."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Linear(encoder.shape.width, encoder.shape.width)
        self.norm = nn.LayerNorm(encoder.shape.width)
        self.bias = nn.Parameter(torch.zeros(encoder.shape.vocabulary))

    def loss(self, ids: Tensor, batch: Batch, targets: Tensor) -> Tensor:
        """Cross entropy at masked positions only; the output layer is the costly part."""
        device = ids.device
        rest = (torch.from_numpy(part).to(device) for part in (batch.roles, batch.ages, batch.places))
        states = self.encoder(ids, *rest)
        where = targets != NO_TARGET
        hidden = self.norm(functional.gelu(self.dense(states[where])))
        logits = hidden @ self.encoder.characters.weight.T + self.bias
        return functional.cross_entropy(logits.float(), targets[where])


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
) -> Encoder:
    """
    Train the encoder on windows; continue from `checkpoint` where it exists.

    `on_step` hears step, total and loss. On a GPU it uses it; on a CPU it uses
    bfloat16 where the hardware multiplies it fast.
    """
    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)  # without it fp32 backward is 6–8 times slower
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = MaskedCharacters(Encoder(shape)).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay
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
        batch = collate([items[index] for index in plan[step]], multiple=SHAPE_STEP)
        ids, targets = mask(batch, np.random.default_rng((settings.seed, step)), shape.vocabulary)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = model.loss(ids.to(device), batch, targets.to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        on_step(step, len(plan), float(loss.detach()))
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
