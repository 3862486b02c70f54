"""An integer program as a torch module: the device's arithmetic with gradients, for training at the program's rounding points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from edgec.compress.distillation.integer_operators import FUNCTIONS, LAYERS, Function, Layer, Site, limits_of, sites
from edgec.compress.distillation.network import Trainable
from edgec.compress.distillation.settling import STRIDE
from edgec.errors import ModelError
from edgec.ir.core import DTYPES, Program


class IntegerNetwork(nn.Module):
    """What the program computes on a device. Weights and biases of its layers are parameters, its scales are fixed.

    Args:
        program: from edgec.lower.
        limits: layer name → least and greatest weight that training may choose; otherwise those of the weights' type.

    With `exact` the outputs are the bytes of the compiled artifact, always. Without it they are within about 1e−5 of a rounding
    step in front of each rounding, so now and then one step apart.

    Raises:
        ModelError: an operator of the program has no counterpart here (all of them listed).
    """

    def __init__(self, program: Program, limits: Mapping[str, tuple[int, int]] | None = None) -> None:
        super().__init__()
        self.program = program
        self.exact = False
        self.layers: dict[str, Layer] = {}
        self._steps: list[tuple[Site, Function]] = []
        refused = []
        for i, site in enumerate(sites(self.program)):
            opcode = site.op.opcode
            try:
                if opcode in LAYERS:
                    function, layer = LAYERS[opcode](site, (limits or {}).get(site.op.name) or _limits(site))
                    self.add_module(f"layer{i}", layer)
                    self.layers[site.op.name] = layer
                else:
                    function = FUNCTIONS[opcode](site)
            except (KeyError, ValueError) as error:
                refused.append(f"{site.op.name} ({opcode}: {error})")
                continue
            self._steps.append((site, function))
        if refused:
            raise ModelError(
                f"{len(refused)} operators cannot be trained with quantization",
                where="; ".join(refused),
                why=f"torch counterparts exist for {', '.join(sorted({*LAYERS, *FUNCTIONS}))}, transposed convolutions without groups",
                fix="distill the float model, then quantize it",
            )
        self.inputs = {port.name: port for port in self.program.inputs}
        self.last = {name: i for i, (site, _) in enumerate(self._steps) for name in site.op.inputs}

    def forward(self, inputs: Mapping[str, Tensor], wanted: tuple[str, ...]) -> dict[str, Tensor]:
        """inputs: name → float32 [samples, *model's shape]. Returns program tensor → real values [samples, *physical shape]."""
        values = {port.tensor: self._quantized(inputs[port.name], port) for port in self.program.inputs}
        keep = {*wanted}
        for i, (site, function) in enumerate(self._steps):
            values[site.op.outputs[0]] = function([values[name] for name in site.op.inputs], self.exact)
            for name in site.op.inputs:
                if self.last[name] == i and name not in keep:
                    values.pop(name, None)
        tensors = self.program.tensors
        return {name: values[name].reshape(-1, *tensors[name].shape) * tensors[name].scale for name in wanted}

    def trainables(self, inputs: Mapping[str, Tensor]) -> list[Trainable]:
        """Every layer's parameters, and how large its outputs are for these inputs, in steps of the output."""
        layers = list(self.layers.values())
        for layer in layers:
            layer.observing = True
        with torch.no_grad():
            self(inputs, ())
        for layer in layers:
            layer.observing = False
        return [Trainable(layer.weights, layer.axis, layer.bias, layer.outputs, True, 1.0 if layer.settling is None else STRIDE) for layer in layers]

    def integers(self, inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Output name → int8 or int16 [samples, *physical shape], by the exact form."""
        before, self.exact = self.exact, True
        with torch.no_grad():
            real = self(inputs, tuple(port.tensor for port in self.program.outputs))
        self.exact = before
        tensors = self.program.tensors
        return {
            port.name: (torch.round(real[port.tensor] / tensors[port.tensor].scale).numpy() + tensors[port.tensor].zero_point).astype(DTYPES[tensors[port.tensor].dtype])
            for port in self.program.outputs
        }

    def _quantized(self, x: Tensor, port) -> Tensor:
        tensor = self.program.tensors[port.tensor]
        if port.order is not None:
            x = x.permute(0, *(a + 1 for a in port.order))
        # rint(x / s) + z, saturated, then minus z: the division in float32 as the device's caller does it
        return torch.clamp(torch.round(x / np.float32(tensor.scale)), *limits_of(tensor))


def _limits(site: Site) -> tuple[int, int]:
    reach = 2 ** (site.op.attrs.get("weight_bits", 8) - 1)
    return -reach, reach - 1
