"""Adam with steps relative to what they change, a schedule, and an average over the last steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from edgec.compress.distillation.network import Trainable
from edgec.compress.distillation.white import White

BETAS = (0.9, 0.99)
SMALLEST_CHANNEL = 0.1
"""A channel's unit is at least this part of its layer's."""


class RelativeAdam:
    """Adam whose steps are relative to what they change.

    Adam moves every parameter by about the learning rate, whatever its size. Where inputs are 0…255 the first weights are a
    thousandth of the others, and one rate for all either tears them up or leaves the others where they are. So a learning rate of 1 is
    a unit of each channel, taken once, from the weights at the start (Kingma and Ba 2015, arXiv:1412.6980; the idea of trust ratios:
    You et al. 2020, arXiv:1904.00962). A float layer is moved in white coordinates (`White`), the unit being the standard deviation of
    each output; where it has none, by the root mean square of the channel's weights, a bias by that of the layer's outputs. Integer
    weights move by learning_rate times an eighth of that, but at least one step of their grid, and biases in proportion.
    """

    def __init__(self, layers: Sequence[Trainable]) -> None:
        self.parameters: list[Tensor] = []
        self.units: list[Tensor] = []
        self.whites: list[tuple[White, int, int | None]] = []
        """Coordinates, and which parameters are the layer's weights and bias."""
        for layer in layers:
            unit, of_bias = _units(layer)
            at = len(self.parameters)
            trained = [(p, u) for p, u in ((layer.weights, unit), (layer.bias, of_bias)) if p is not None and p.requires_grad]
            self.parameters += [p for p, _ in trained]
            self.units += [u for _, u in trained]
            if layer.white is not None:
                self.whites.append((layer.white, at, None if layer.bias is None else at + 1))
        self.mean = [torch.zeros_like(g) for g in self._gradients()]
        self.square = [torch.zeros_like(g) for g in self.mean]
        self.steps = 0

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One step along the gradients that the parameters hold, which are forgotten."""
        self.steps += 1
        gradients = self._gradients()
        torch._foreach_lerp_(self.mean, gradients, 1 - BETAS[0])
        torch._foreach_mul_(self.square, BETAS[1])
        torch._foreach_addcmul_(self.square, gradients, gradients, 1 - BETAS[1])
        root = torch._foreach_sqrt(self.square)
        torch._foreach_add_(root, 1e-20)  # no more than a guard against 0 / 0: gradients have any size
        torch._foreach_div_(root, math.sqrt(1 - BETAS[1] ** self.steps))
        change = list(torch._foreach_div(self.mean, root))
        torch._foreach_mul_(change, self.units)
        for white, weights, bias in self.whites:
            of_weights, of_bias = white.change(change[weights], None if bias is None else change[bias], self.parameters[weights])
            change[weights] = of_weights
            if bias is not None:
                change[bias] = of_bias
        torch._foreach_add_(self.parameters, change, alpha=-learning_rate / (1 - BETAS[0] ** self.steps))
        for parameter in self.parameters:
            parameter.grad = None

    def _gradients(self) -> list[Tensor]:
        """Of the parameters, in the coordinates they are moved in."""
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        for white, weights, bias in self.whites:
            of_weights, of_bias = white.gradient(gradients[weights], None if bias is None else gradients[bias])
            gradients[weights] = of_weights
            if bias is not None:
                gradients[bias] = of_bias
        return gradients

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "square": self.square, "units": self.units, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean, self.square, self.units, self.steps = state["mean"], state["square"], state["units"], state["steps"]


class Average:
    """Exponential average of the parameters. Its memory grows with the steps, so that the start is soon forgotten."""

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.decay = decay
        self.parameters = list(parameters)
        self.values = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the parameters and their averages: once before looking at the average, once after."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


def rate_at(fraction: float, peak: float, warmup: float) -> float:
    """Linear up to peak over the first `warmup` of the run, then half a cosine down to 0."""
    if fraction < warmup:
        return peak * (fraction + 1e-3) / (warmup + 1e-3)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warmup) / (1 - warmup))))


def _units(layer: Trainable) -> tuple[Tensor, Tensor]:
    """What a learning rate of 1 moves the weights and the bias by."""
    if layer.white is not None:
        return layer.white.units()
    weights, dtype = layer.weights.detach(), torch.float32 if layer.bias is None else layer.bias.dtype
    if not layer.integers:
        return _channel_units(weights, layer.axis), torch.tensor(layer.outputs, dtype=dtype)
    size = max(float(weights.double().square().mean().sqrt()), 1.0)
    unit = max(1.0, size / 8)
    return torch.tensor(unit * layer.stride), torch.tensor(layer.outputs * unit / size, dtype=dtype)


def _channel_units(weights: Tensor, axis: int) -> Tensor:
    """Root mean square of each output channel's weights, broadcastable to them."""
    axes = [a for a in range(weights.ndim) if a != axis % weights.ndim]
    square = weights.double().square()
    unit, layer = square.mean(axes, keepdim=True).sqrt(), square.mean().sqrt()
    return torch.clamp(unit, min=SMALLEST_CHANNEL * float(layer)).to(weights.dtype)
