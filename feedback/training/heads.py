"""The classifier on top of the encoder: every character votes for every label."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from feedback.training.encoder import TurnEncoder

SHARPNESS = 4.0


class TurnClassifier(nn.Module):
    """
    Label logits of a turn and of each of its characters.

    A turn's logit is a soft maximum over the characters of its own message plus
    the view from `[CLS]`; the votes are the model's evidence, so the explanation
    and the decision are one thing.
    """

    def __init__(self, encoder: TurnEncoder, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.labels = labels
        width = encoder.shape.width
        self.hidden = nn.Linear(2 * width, width)
        self.votes = nn.Linear(width, labels)
        self.whole = nn.Linear(width, labels)
        nn.init.constant_(self.whole.bias, -2.0)
        self.dropout = nn.Dropout(encoder.shape.dropout)

    def forward(self, ids: Tensor, roles: Tensor, ages: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of shape (windows, labels) and (windows, tokens, labels)."""
        return self.judge(self.encoder(ids, roles, ages, places), roles, ages, places)

    def judge(self, states: Tensor, roles: Tensor, ages: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, from the encoder's states."""
        overview = states[:, :1].expand(-1, states.shape[1], -1)
        seen = functional.gelu(self.hidden(torch.cat([states, overview], dim=-1)))
        votes = self.votes(self.dropout(seen))
        own = own_tokens(roles, ages, places).to(votes.dtype)[:, :, None]
        masked = votes * own - (1 - own) * 1e4
        soft_maximum = torch.logsumexp(masked * SHARPNESS, dim=1) / SHARPNESS
        logits = soft_maximum + self.whole(self.dropout(states[:, 0]))
        return logits, votes


def own_tokens(roles: Tensor, ages: Tensor, places: Tensor) -> Tensor:
    """True for the tokens of the judged message itself: no `[CLS]`, no earlier message, no padding."""
    return (roles != 0) & (ages == 0) & (places > 0)


def embedding(states: Tensor, own: Tensor) -> Tensor:
    """
    Where a window stands in the encoder's space, for finding its like: (windows, 2 × width).

    The view from `[CLS]`, which has read the context, beside the mean over the message's
    own tokens, which keeps its words; each of length 1.
    """
    weight = own.to(states.dtype)[:, :, None]
    mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
    parts = [functional.normalize(part, dim=-1) for part in (states[:, 0], mean)]
    return torch.cat(parts, dim=-1)
