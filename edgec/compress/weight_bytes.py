"""Bytes of the constants of layers with weights, at 8 and at 4 bits. All sizes that compression speaks of are counted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from edgec.compress.layerwise import layer_name
from edgec.compress.placement import is_depthwise, place
from edgec.errors import UsageError
from edgec.graph.channel_affine import channels_of
from edgec.graph.edit import constant, is_op

KNOWN = (4, 8)
CHANNEL_BYTES = {8: 8, 4: 6}
"""Bits of weights → bytes of an output channel's bias and multiplier: int32 both, or an int16 bias beside weights of 4 bits."""


def check_weight_bits(chosen: int | Mapping[str, int]) -> None:
    """Raises UsageError unless all are 4 or 8."""
    for name, bits in chosen.items() if isinstance(chosen, Mapping) else (("", chosen),):
        if isinstance(bits, bool) or bits not in KNOWN:
            where = f"quantize options, weight_bits{f' of {name}' if name else ''}"
            raise UsageError(f"weights cannot have {bits!r} bits", where=where, why="kernels read 4 or 8", fix="use 4 or 8, or a dict layer name → 4 or 8")


def layer_bits(layers: Sequence[ir.Node], chosen: int | Mapping[str, int]) -> dict[str, int]:
    """Layer name → bits, for every layer.

    Raises:
        UsageError: a name that no layer has, or 4 bits for a layer that cannot have them.
    """
    if not isinstance(chosen, Mapping):
        return {layer_name(n): chosen if can_be_narrow(n) else 8 for n in layers}
    known = {layer_name(n): n for n in layers}
    for name, bits in chosen.items():
        if name not in known:
            names = ", ".join(repr(n) for n in known)
            raise UsageError(f"no layer is called {name!r}", where="quantize options, weight_bits", why=f"the layers are {names}", fix="use these names")
        if bits < 8 and not can_be_narrow(known[name]):
            why = f"{known[name].op_type} has no kernels for weights of {bits} bits"
            raise UsageError(f"layer {name!r} cannot have {bits} bits", where="quantize options, weight_bits", why=why, fix="leave it at 8")
    return {name: chosen.get(name, 8) for name in known}


def can_be_narrow(node: ir.Node) -> bool:
    """Whether a linear layer can have weights of 4 bits."""
    return not is_op(node, "ConvTranspose")


def weight_bytes(model: ir.Model, bits: int | Mapping[str, int] = 8) -> int:
    """Bytes of the constants of all layers in a generic artifact: weights, biases, multipliers.

    Args:
        model: float, after `edgec.graph.optimize`. bits: as `Options.weight_bits`.

    Raises:
        UsageError: as layer_bits.
    """
    layers = place(model.graph).layers
    found = layer_bits(layers, bits)
    return sum(layer_bytes(n, found[layer_name(n)]) for n in layers)


def layer_bytes(node: ir.Node, bits: int) -> int:
    """Of one layer. At 4 bits each row begins at a byte: a row is what makes one output channel; of a depthwise layer, all channels of a tap."""
    shape = constant(node.inputs[1]).shape
    channels, size = channels_of(node.outputs[0]), 1
    for n in shape:
        size *= n
    rows = size // channels if is_depthwise(node) else channels
    return rows * -(-(size // rows) * bits // 8) + CHANNEL_BYTES[bits] * channels
