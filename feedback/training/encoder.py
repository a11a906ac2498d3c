"""The compact character encoder: a small pre-norm transformer over a turn and what came before it."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.tokens import UNKNOWN, InputLimits
from feedback.training.errors import TrainingError

MOST_TURNS = 8
ROLE_COUNT = 5


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """Size of the encoder. `places` is the longest message window, in tokens."""

    vocabulary: int
    width: int = 192
    layers: int = 3
    heads: int = 6
    places: int = 128
    dropout: float = 0.1


class ChannelDropout(nn.Dropout):
    """
    Dropout of whole channels, the same for every token of a window.

    One random number per channel instead of per value: on a CPU the random numbers
    of ordinary dropout cost a third of a step.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        kept = x.new_empty((x.shape[0], 1, x.shape[2])).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p))


class Attention(nn.Module):
    """Multi-head self-attention written out, so that its export quantises to integer products."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.joint = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        rows, length, width = x.shape
        query, key, value = (
            part.view(rows, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.joint(x).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.heads) + bias
        # No dropout on the weights: on a CPU it costs a quarter of a step, and the residual has its own.
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(rows, length, width)
        return torch.as_tensor(self.out(mixed))


class Neighbours(nn.Module):
    """
    Each token mixed with the two on either side, channel by channel.

    Most Chinese words are two characters; without this a small model needs
    thousands of steps before attention finds the character next door. Trained as
    shifted products because a depthwise convolution trains slowly on CPUs; served as
    a convolution because there it is one node instead of twenty.
    """

    REACH = 2

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(2 * self.REACH + 1, width) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            kernel = self.weights.t()[:, None, :]
            across = functional.conv1d(x.transpose(1, 2), kernel, padding=self.REACH, groups=x.shape[2])
            return across.transpose(1, 2)
        length = x.shape[1]
        padded = functional.pad(x, (0, 0, self.REACH, self.REACH))
        parts = [
            padded[:, shift : shift + length] * weight for shift, weight in enumerate(self.weights.unbind(0))
        ]
        return torch.as_tensor(sum(parts[1:], start=parts[0]))


class Block(nn.Module):
    """One pre-norm transformer layer, after a look at the neighbouring characters."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.before_neighbours = nn.LayerNorm(shape.width)
        self.neighbours = Neighbours(shape.width)
        self.before_attention = nn.LayerNorm(shape.width)
        self.attention = Attention(shape.width, shape.heads)
        self.before_feed = nn.LayerNorm(shape.width)
        self.wide = nn.Linear(shape.width, 4 * shape.width)
        self.narrow = nn.Linear(4 * shape.width, shape.width)
        self.dropout = ChannelDropout(shape.dropout)

    def forward(self, x: Tensor, bias: Tensor, kept: Tensor) -> Tensor:
        x = x + self.dropout(self.neighbours(self.before_neighbours(x) * kept))
        x = x + self.dropout(self.attention(self.before_attention(x), bias))
        fed: Tensor = self.narrow(functional.gelu(self.wide(self.before_feed(x))))
        return torch.add(x, self.dropout(fed))


class TurnEncoder(nn.Module, ABC):
    """
    What the heads stand on: states of shape (windows, tokens, width) for a batch of windows.

    `longest` is how many tokens a window may have; `noise_id` takes a token's place when
    training hides it.
    """

    shape: EncoderShape
    longest: int = 4096
    noise_id: int = UNKNOWN

    @property
    def longest_message(self) -> int:
        """How many tokens of a message it can read at once where nothing stands before it."""
        return min(self.shape.places, self.longest) - 1

    @property
    @abstractmethod
    def token_table(self) -> nn.Embedding:
        """The embedding of each token id."""

    @property
    @abstractmethod
    def layers(self) -> nn.ModuleList:
        """The transformer layers, the lowest first."""

    def keep_still(self, lowest: int) -> None:
        """
        Let only the layers above the `lowest` learn, and nothing that stands before them; 0: all learns.

        Raises TrainingError where no layer would be left.
        """
        if not lowest:
            return
        if lowest >= len(self.layers):
            raise TrainingError(
                f"still_layers {lowest}: the encoder has {len(self.layers)} layers, and at least one must learn"
            )
        upper = {id(parameter) for layer in self.layers[lowest:] for parameter in layer.parameters()}
        for parameter in self.parameters():
            if id(parameter) not in upper:
                parameter.requires_grad_(False)

    def check(self, limits: InputLimits) -> None:
        """Raise TrainingError where a window of these limits is longer than what it can read."""
        window = 1 + limits.message + limits.turns * (limits.context + 1)
        allowed = {
            f"message {limits.message}: at most {self.longest_message}": limits.message
            <= self.longest_message,
            f"context {limits.context}: at most {self.shape.places - 1}": limits.context < self.shape.places,
            f"turns {limits.turns}: at most {MOST_TURNS - 1}": limits.turns < MOST_TURNS,
            f"{window} tokens in all: at most {self.longest}": window <= self.longest,
        }
        broken = [text for text, kept in allowed.items() if not kept]
        if broken:
            raise TrainingError(
                f"the encoder cannot read such limits: {', '.join(broken)}; "
                "give smaller 'limits' in the --config of 'redline train', or another encoder"
            )

    def settle(self) -> None:
        """Called once after training: what was learnt beside the weights moves into them."""


class Encoder(TurnEncoder):
    """
    Token states for a batch of windows (see `detectors.tokens.Window`).

    Role (who spoke), age (how many messages ago) and place (where in its own
    message) are embedded apart from the character, so that "没问题" by the
    advisor after a customer's question is another input than the same words alone.
    """

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.characters = nn.Embedding(shape.vocabulary, shape.width, padding_idx=0)
        self.roles = nn.Embedding(ROLE_COUNT, shape.width)
        self.ages = nn.Embedding(MOST_TURNS, shape.width)
        self.places = nn.Embedding(shape.places, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.dropout = ChannelDropout(shape.dropout)
        for table in (self.characters, self.roles, self.ages, self.places):
            nn.init.normal_(table.weight, std=0.02)

    @property
    def token_table(self) -> nn.Embedding:
        return self.characters

    @property
    def layers(self) -> nn.ModuleList:
        return self.blocks

    def forward(self, ids: Tensor, roles: Tensor, ages: Tensor, places: Tensor) -> Tensor:
        """States of shape (windows, tokens, width)."""
        x = self.characters(ids) + self.roles(roles) + self.ages(ages) + self.places(places)
        x = self.dropout(x)
        kept = (ids != 0).to(x.dtype)
        bias = (1 - kept)[:, None, None, :] * -1e4
        for block in self.blocks:
            x = block(x, bias, kept[:, :, None])
        return torch.as_tensor(self.norm(x))
