"""
Self-supervised pre-training: guess masked characters, and tell a message's own context from another's.

One resumable command; it can go on from an encoder made earlier, and uses a GPU where there is one.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.tokens import MASK, SPECIAL_TOKENS, Batch, InputLimits, Vocabulary
from feedback.training.batching import SHAPE_STEP, batches
from feedback.training.device import best_device, mixed_precision, tiny_floats_flushed
from feedback.training.encoder import Encoder, EncoderShape, TurnEncoder
from feedback.training.errors import TrainingError
from feedback.training.packed import PackedText, WindowTable, read_once

NO_TARGET = -100
STRANGER_SHARE = 0.5
STEPS_AHEAD = 8
"""How many batches are made while a step runs."""


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """
    Everything a pre-training run depends on, kept with the encoder.

    `passes` is how often all text is read, `most_steps` ends earlier (0: never).
    `masked_share` of the characters are hidden. `match_weight` scales the second
    task: half of the windows that have a context get another window's, and `[CLS]`
    has to tell which. A few passes over much text cannot overfit: dropout would only cost time.
    """

    tokens_per_batch: int = 4096
    peak_rate: float = 1.5e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    passes: int = 1
    most_steps: int = 0
    seed: int = 7
    masked_share: float = 0.25
    match_weight: float = 0.3
    dropout: float = 0.0
    least_count: int = 12
    """A character seen fewer times is unknown."""


def build_vocabulary(texts: Iterable[str], *, least_count: int) -> Vocabulary:
    """Characters seen often enough, most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Vocabulary([char for char, count in ranked if count >= least_count and char != "\n"])


def joined(known: Vocabulary, wanted: Vocabulary) -> Vocabulary:
    """The known characters in their places, behind them those that are new."""
    there = set(known.characters)
    return Vocabulary([*known.characters, *(char for char in wanted.characters if char not in there)])


def grown(encoder: TurnEncoder, known: Vocabulary, larger: Vocabulary) -> TurnEncoder:
    """
    The encoder with room for a vocabulary that begins with its own; what it learnt stays.

    One from Hugging Face keeps the characters that it has.
    """
    if larger.characters[: len(known.characters)] != known.characters:
        raise TrainingError("the packed text was made for another encoder; pack it again with --start")
    if larger.characters == known.characters:
        return encoder
    if not isinstance(encoder, Encoder):
        raise TrainingError(
            "the packed text has characters that this encoder lacks; pack it again with --start"
        )
    result = Encoder(replace(encoder.shape, vocabulary=len(larger)))
    state = encoder.state_dict()
    table = result.characters.weight.detach().clone()
    table[: len(known)] = state["characters.weight"]
    result.load_state_dict({**state, "characters.weight": table})
    return result


def mask(ids: Tensor, dice: torch.Generator, vocabulary_size: int, share: float) -> tuple[Tensor, Tensor]:
    """Masked ids and targets. Runs of one to three characters: most Chinese words are two."""

    def throw() -> Tensor:
        return torch.rand(ids.shape, generator=dice, device=ids.device)

    maskable = ids >= len(SPECIAL_TOKENS)
    starts = (throw() < share / 2) & maskable
    chosen = starts.clone()
    for shift, longer_share in ((1, 0.75), (2, 0.25)):
        longer = starts & (throw() < longer_share)
        chosen[:, shift:] |= longer[:, :-shift]
    chosen &= maskable
    fate = throw()
    others = torch.randint(
        len(SPECIAL_TOKENS), vocabulary_size, ids.shape, generator=dice, device=ids.device, dtype=ids.dtype
    )
    hidden = torch.where(chosen & (fate < 0.8), torch.full_like(ids, MASK), ids)
    hidden = torch.where(chosen & (fate >= 0.9), others, hidden)
    return hidden, torch.where(chosen, ids, torch.full_like(ids, NO_TARGET))


class MaskedCharacters(nn.Module):
    """The encoder with an output layer tied to its characters, and one that judges the context."""

    def __init__(self, encoder: TurnEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Linear(encoder.shape.width, encoder.shape.width)
        self.norm = nn.LayerNorm(encoder.shape.width)
        self.bias = nn.Parameter(torch.zeros(encoder.shape.vocabulary))
        self.match = nn.Linear(encoder.shape.width, 1)

    def losses(
        self, ids: Tensor, rest: Iterable[Tensor], targets: Tensor, own: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy at masked positions only (the output layer is the costly part), and of the context."""
        states = self.encoder(ids, *rest)
        where = targets != NO_TARGET
        hidden = self.norm(functional.gelu(self.dense(states[where])))
        logits = hidden @ self.encoder.token_table.weight.T + self.bias
        characters = functional.cross_entropy(logits.float(), targets[where])
        asked = ~torch.isnan(own)
        said = self.match(states[:, 0]).float()[:, 0]
        each = functional.binary_cross_entropy_with_logits(said, own.nan_to_num(), reduction="none")
        return characters, (each * asked).sum() / asked.sum().clamp(min=1)


def rate(step: int, total: int, settings: PretrainSettings) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    if step < settings.warmup_steps:
        return settings.peak_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, total - settings.warmup_steps)
    return settings.peak_rate * (0.02 + 0.49 * (1 + math.cos(math.pi * min(done, 1.0))))


@dataclass(frozen=True, slots=True)
class _Step:
    inputs: Batch
    own: npt.NDArray[np.float32]


class _Plan:
    """Which windows each step reads, over all passes."""

    def __init__(self, text: PackedText, limits: InputLimits, settings: PretrainSettings) -> None:
        self._text = text
        self._limits = limits
        self._settings = settings
        self._lap = -1
        self._table: WindowTable | None = None
        self._groups: list[list[npt.NDArray[np.int64]]] = [
            batches(
                read_once(text, limits, seed=settings.seed + lap).sizes,
                tokens=settings.tokens_per_batch,
                seed=settings.seed + lap,
            )
            for lap in range(settings.passes)
        ]
        self._order = [
            (lap, index) for lap, groups in enumerate(self._groups) for index in range(len(groups))
        ]
        if settings.most_steps:
            del self._order[settings.most_steps :]

    def __len__(self) -> int:
        return len(self._order)

    def steps(self, first: int) -> Iterator[_Step]:
        """The inputs of each step from the given one on, made a few steps ahead in another thread."""
        with ThreadPoolExecutor(1) as maker:
            waiting: deque[Future[_Step]] = deque()
            for number in range(first, len(self)):
                waiting.append(maker.submit(self._make, number))
                if len(waiting) > STEPS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _make(self, number: int) -> _Step:
        lap, index = self._order[number]
        if lap != self._lap or self._table is None:
            self._table = read_once(self._text, self._limits, seed=self._settings.seed + lap)
            self._lap = lap
        dice = np.random.default_rng((self._settings.seed, number))
        table, own = self._table.of(self._groups[lap][index]).with_strangers(dice, STRANGER_SHARE)
        return _Step(table.batch(self._text, multiple=SHAPE_STEP), own)


@tiny_floats_flushed()
def pretrain(
    text: PackedText,
    shape: EncoderShape,
    limits: InputLimits,
    settings: PretrainSettings,
    *,
    checkpoint: Path,
    on_step: Callable[[int, int, float], None],
    save_every: int = 200,
    tell_every: int = 1,
    start: TurnEncoder | None = None,
) -> TurnEncoder:
    """
    Train the encoder on packed text; continue from `checkpoint` where it exists.

    `start` is an encoder of this shape to go on from, ours or one from Hugging Face. `on_step` hears step, total
    and the loss of the characters every `tell_every` steps (asking a GPU for it makes it wait).

    Raises TrainingError where `checkpoint` is of another run: other text, shape, limits or settings.
    """
    run = _run(text, shape, limits, settings)
    torch.manual_seed(settings.seed)
    device = best_device()
    model = MaskedCharacters(start if start is not None else Encoder(shape)).to(device)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = settings.dropout
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay, fused=True
    )
    plan = _Plan(text, limits, settings)
    step = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        _check_same_run(checkpoint, saved.get("run", {}), run)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    model.train()
    for made in plan.steps(step):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, len(plan), settings)
        dice = torch.Generator(device).manual_seed(settings.seed * 1_000_003 + step)
        ids, *rest = (torch.from_numpy(part).to(device) for part in made.inputs.feed().values())
        ids, targets = mask(ids, dice, shape.vocabulary, settings.masked_share)
        with mixed_precision(device):
            characters, match = model.losses(ids, rest, targets, torch.from_numpy(made.own).to(device))
        loss = characters + settings.match_weight * match
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % tell_every == 0 or step == len(plan):
            on_step(step, len(plan), float(characters.detach()))
        if step % save_every == 0 or step == len(plan):
            state = {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "run": run,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
    return model.encoder.cpu().eval()


def _run(
    text: PackedText, shape: EncoderShape, limits: InputLimits, settings: PretrainSettings
) -> dict[str, Any]:
    """What a run depends on, by name: a checkpoint goes on only where all of it is the same."""
    parts = {"settings": asdict(settings), "shape": asdict(shape), "limits": asdict(limits)}
    named = {f"{part} {name}": value for part, of in parts.items() for name, value in of.items()}
    return {"text": text.digest, **named}


def _check_same_run(checkpoint: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise TrainingError where a checkpoint was made by another run; one that does not say is not trusted."""
    changed = [
        "the text" if name == "text" else f"{name} ({before.get(name, 'not said')}, now {value})"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if not before or changed:
        why = f"differs in {', '.join(changed)}" if before else "does not say with what it was made"
        raise TrainingError(
            f"{checkpoint} is of another run: it {why}; start the command as it was begun, or remove the file to begin anew"
        )
