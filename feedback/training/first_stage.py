"""Trains the first stage, which knows character runs only."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.decision import any_violation
from detectors.domain import Turn
from detectors.first_stage import SECTIONS, FirstStage, features, length_of
from detectors.tokens import InputLimits, Tokeniser, Window, windows
from feedback.augment.expand import expanded
from feedback.labelled import LabelledTurn
from feedback.training.calibration import probabilities
from feedback.training.examples import judged
from feedback.training.ranking import worth
from feedback.training.thresholds import Points

Floats = npt.NDArray[np.float64]
# What encoder and first stage together say of windows, each with its turn.
Logits = Callable[[Sequence[Window], Sequence[Turn]], Floats]

BUCKETS = 1 << 15
WIDTH = 16
HIDDEN = 32
EPOCHS = 6
BATCH = 256
RATE = 3e-3
# Runs that one look at a turn leaves out: the stage must not hang on one word.
LEFT_OUT = 0.3
# A missed violation costs more than a turn that is read for nothing.
VIOLATION_WEIGHT = 8.0
LABEL_WEIGHT = 4.0
# How much of the network joins the encoder is tried in these steps.
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
# Violations are also shown, and the threshold is tried on them, as evaders write them.
DISGUISES = ("attacks", "register")
DISGUISED_SHARE = 0.5
LEAST_TO_KEEP = 20


def with_disguises(rows: Sequence[LabelledTurn], *, seed: int) -> list[LabelledTurn]:
    """The firm's turns, and disguised ones made of them."""
    plain = judged(rows)
    return [*plain, *expanded(plain, DISGUISES, share=DISGUISED_SHARE, seed=seed)]


def reported(
    rows: Sequence[LabelledTurn], logits: Logits, points: Points, vocabulary: Tokeniser, limits: InputLimits
) -> list[Turn]:
    """Violating turns of one window that would be reported, flagged or doubtful: what the first stage may not settle."""
    single = [
        (row.turn, found[0])
        for row in rows
        if row.labels and len(found := windows(row.turn, vocabulary, limits)[1]) == 1
    ]
    if not single:
        return []
    near = nearness(logits([item for _, item in single], [turn for turn, _ in single]), points)
    return [turn for (turn, _), value in zip(single, near, strict=True) if value >= 1]


def nearness(logits: Floats, points: Points) -> Floats:
    """How near each turn comes to being reported, by its label nearest to its point of doubt; 1 and above is reported."""
    items = list(points.labels.values())
    found = probabilities(logits, [(item.scale, item.shift) for item in items])
    alone = (found / np.array([item.doubt for item in items])).max(axis=1)
    return np.asarray(np.maximum(alone, any_violation(found.astype(np.float32)) / points.any_violation.doubt))


class _Network(nn.Module):
    def __init__(self, labels: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(BUCKETS, WIDTH, mode="mean")
        self.hidden = nn.Linear(SECTIONS * WIDTH + 1, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1 + labels)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, sections: Sequence[tuple[Tensor, Tensor]], lengths: Tensor) -> Tensor:
        means = [self.table(ids, offsets) for ids, offsets in sections]
        seen = torch.cat([*means, lengths[:, None]], dim=1)
        return torch.as_tensor(self.out(functional.relu(self.hidden(seen))))


def train_first_stage(
    learn: Sequence[LabelledTurn], labels: Sequence[str], limits: InputLimits, *, seed: int
) -> FirstStage:
    """
    A first stage that tells violations, and each label, from all else in `learn`.

    It settles nothing and adds nothing yet: see `with_threshold` and `with_weights`.
    """
    torch.manual_seed(seed)
    dice = np.random.default_rng(seed)
    network = _Network(len(labels))
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    seen = [features(row.turn, limits, BUCKETS) for row in learn]
    lengths = torch.tensor([length_of(row.turn) for row in learn])
    targets = torch.tensor(
        [[bool(row.labels), *(label in row.labels for label in labels)] for row in learn], dtype=torch.float32
    )
    positive = torch.tensor([VIOLATION_WEIGHT] + [LABEL_WEIGHT] * len(labels))
    steps = EPOCHS * -(-len(learn) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=max(steps, 2))
    for _ in range(EPOCHS):
        for rows in _batches(dice.permutation(len(learn))):
            found = network(_sections([seen[i] for i in rows], dice), lengths[rows])
            weight = 1 + (positive - 1) * targets[rows]
            each = functional.binary_cross_entropy_with_logits(
                found, targets[rows], weight=weight, reduction="none"
            )
            loss = each[:, 0].mean() + each[:, 1:].sum(1).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return _as_served(network, limits)


def with_weights(stage: FirstStage, turns: Sequence[Turn], encoder: Floats, targets: Floats) -> FirstStage:
    """
    The same network with the weights under which it and the encoder together rank development turns best.

    `encoder` has the encoder's logits of the turns, `targets` their labels; best is by `ranking.worth`.
    """
    looks = np.stack([stage.look(turn) for turn in turns]).astype(np.float64)

    def together(weights: tuple[float, float]) -> Floats:
        return np.asarray(encoder + weights[0] * looks[:, 1:] + weights[1] * looks[:, :1])

    if not targets.any():
        return stage
    label_weight, any_weight = max(
        ((one, other) for one in WEIGHTS for other in WEIGHTS),
        key=lambda weights: worth(together(weights), targets),
    )
    return replace(stage, label_weight=label_weight, any_weight=any_weight)


def with_threshold(stage: FirstStage, keep: Sequence[Turn], *, kept: float) -> FirstStage:
    """
    The same network, settling as much as it may: of `keep` at most what the share `kept` leaves.

    Nothing where `keep` has fewer than `LEAST_TO_KEEP` turns: a threshold by guess hides violations.
    """
    if len(keep) < LEAST_TO_KEEP:
        return replace(stage, threshold=-math.inf)
    scores = np.array([stage.score(turn) for turn in keep])
    return replace(stage, threshold=float(np.quantile(scores, 1 - kept, method="lower")))


def _as_served(network: _Network, limits: InputLimits) -> FirstStage:
    table, hidden, hidden_bias, out, out_bias = (
        value.detach().numpy()
        for value in (
            network.table.weight,
            network.hidden.weight,
            network.hidden.bias,
            network.out.weight,
            network.out.bias,
        )
    )
    # As it will be read back from its file.
    table = table.astype(np.float16).astype(np.float32)
    return FirstStage(table, hidden, hidden_bias, out, out_bias, -math.inf, 0.0, 0.0, limits)


def _batches(order: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


def _sections(
    seen: Sequence[tuple[npt.NDArray[np.int64], ...]], dice: np.random.Generator
) -> list[tuple[Tensor, Tensor]]:
    sections = []
    for section in range(SECTIONS):
        ids = np.concatenate([turn[section] for turn in seen])
        starts = np.cumsum([0, *(len(turn[section]) for turn in seen[:-1])])
        stays = dice.random(len(ids)) >= LEFT_OUT
        before = np.concatenate([[0], np.cumsum(stays)])
        sections.append((torch.from_numpy(ids[stays]), torch.from_numpy(before[starts])))
    return sections
