"""Learned rounding: weights are real numbers at first and settle on integers one after another, while those still free make up for it.

With 16 levels a weight, straight-through gradients do not end: weights near an edge jump back and forth to the last step (Nagel et al.
2022, arXiv:2203.11086), and a layer rounded to second order loses more by that than it learns. Here a weight that has settled is a
constant, and the network that is trained has ever less that is not rounded yet. It begins at the integers that are there; what the
loss does not move settles first, where it was. After AdaRound (Nagel et al. 2020, arXiv:2004.10568), with the order of hardening in
place of its penalty (Li et al. 2024, arXiv:2410.19103), and any integer instead of two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SETTLED_AT = 0.95
"""Part of the run after which all are settled; biases, and weights of 8 bits, are trained to the end."""

POWER = 3.0
STRIDE = 3.0
"""How much farther than a straight-through weight a step takes a free one: it has to cross half a step of the grid in time."""


def share_settled(fraction: float) -> float:
    """Of a layer's weights, after that part of the run: the last ones, which lie between two integers, settle slowly."""
    return 1.0 - max(0.0, 1.0 - fraction / SETTLED_AT) ** POWER


class Settling:
    """The weights of one layer on their way. settled: bool, the shape of weights; free ones stay within limits."""

    def __init__(self, weights: nn.Parameter, limits: tuple[int, int]) -> None:
        self.weights, self.limits = weights, limits
        self.settled = torch.zeros(tuple(weights.shape), dtype=torch.bool)

    def values(self) -> Tensor:
        """The weights of a training step: integers without gradient where settled."""
        return torch.where(self.settled, torch.round(self.weights.detach()), self.weights)

    @torch.no_grad()
    def settle(self, fraction: float) -> None:
        """Let settle what has to be by then, nearest to an integer first."""
        self.weights.clamp_(*self.limits)
        missing = round(share_settled(fraction) * self.settled.numel()) - int(self.settled.sum())
        if missing <= 0:
            return
        distance = (self.weights - torch.round(self.weights)).abs().masked_fill_(self.settled, 1.0)
        nearest = torch.topk(distance.reshape(-1), missing, largest=False).indices
        self.settled.view(-1)[nearest] = True
        self.weights.copy_(torch.where(self.settled, torch.round(self.weights), self.weights))
