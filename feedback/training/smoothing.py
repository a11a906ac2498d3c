"""
Makes a network fit for eight bits: takes outliers out of what its matrix products read.

Activations are quantised with one scale for a whole window, so a few large channels, which BERT and its
like have, leave the others hardly any steps. Each input channel of a linear layer is divided by a factor
and the weights of that channel are multiplied by it: in full precision nothing changes (SmoothQuant,
Xiao et al. 2023, arXiv:2211.10438).
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detectors.tokens import Window
from feedback.training.finetune import logits_of
from feedback.training.heads import TurnClassifier

# How much of the outliers moves into the weights. Half is usual; BERT's are steep, and at half or less its
# graph still said other things than the network.
MOVED = 0.75
LEAST = 1e-5


class Smoothed(nn.Module):
    """A linear layer whose input channels are divided by `factors` first, and its weights multiplied by them."""

    def __init__(self, linear: nn.Linear, factors: Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.inverse = nn.Parameter(1 / factors, requires_grad=False)
        with torch.no_grad():
            linear.weight.mul_(factors)

    def forward(self, states: Tensor) -> Tensor:
        """As the layer alone."""
        result: Tensor = self.linear(states * self.inverse)
        return result


def smoothed(model: TurnClassifier, sample: Sequence[Window]) -> TurnClassifier:
    """
    A copy that says the same and loses less in eight bits; `sample` shows how large its activations are.

    Without a sample the model is copied as it is.
    """
    model = copy.deepcopy(model).eval()
    largest = _largest_inputs(model, sample)
    for name, seen in largest.items():
        parent, _, own = name.rpartition(".")
        holder = model.get_submodule(parent)
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        weights = linear.weight.detach().abs().amax(0)
        factors = (seen.clamp(min=LEAST) ** MOVED / weights.clamp(min=LEAST) ** (1 - MOVED)).clamp(min=LEAST)
        setattr(holder, own, Smoothed(linear, factors))
    return model


def _largest_inputs(model: TurnClassifier, sample: Sequence[Window]) -> dict[str, Tensor]:
    """For each linear layer that is used the largest absolute value of each of its input channels."""
    largest: dict[str, Tensor] = {}

    def watch(name: str) -> object:
        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen = inputs[0].detach().abs().flatten(0, -2).amax(0)
            largest[name] = torch.maximum(largest[name], seen) if name in largest else seen

        return look

    hooks = [
        module.register_forward_pre_hook(watch(name))  # type: ignore[arg-type]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    logits_of(model, sample)
    for hook in hooks:
        hook.remove()
    return largest
