"""Taking channels out of a graph: weights, parameters and shapes shrink together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgec.graph.channel_affine import weights_and_bias
from edgec.graph.channels import ChannelSpaces, Space
from edgec.graph.edit import constant, integer, is_op, set_constant_input, set_integer, shape_of


def narrow(graph: ir.Graph, channels: ChannelSpaces, keep: Mapping[Space, np.ndarray]) -> None:
    """Keeps the channels marked in keep, bool [channels] for each space of `channels` that shrinks, and takes out the others, in place.

    Precondition: none of the spaces is protected, and each keeps at least one channel. Postcondition: a valid graph; what the removed
    channels gave to the layers that read them is gone. The analysis in `channels` no longer holds.
    """
    touched = dict.fromkeys(v for space in keep for v in space.values)
    mask = {v: channels.layout[v].mask(lambda s: keep.get(s, np.ones(s.size, bool))) for v in touched}
    for node in dict.fromkeys(n for space in keep for n in (*space.producers, *space.depthwise, *space.readers)):
        weights, bias = weights_and_bias(node)
        rows = mask.get(node.outputs[0])
        depthwise = not is_op(node, "Gemm") and integer(node, "group", 1) > 1
        if not depthwise and node.inputs[0] in mask:
            weights = weights[:, mask[node.inputs[0]]]
        if rows is not None:
            weights, bias = weights[rows], bias[rows]
        set_constant_input(node, 1, node.inputs[1].name, weights)
        if rows is not None and len(node.inputs) > 2 and node.inputs[2] is not None:
            set_constant_input(node, 2, node.inputs[2].name, bias)
        if depthwise:
            set_integer(node, "group", int(rows.sum()))
    for node, index in dict.fromkeys(p for space in keep for p in space.parameters):
        value = node.inputs[index]
        array = constant(value)
        axis = int(np.argmax(np.array(array.shape) > 1))
        set_constant_input(node, index, value.name, array.compress(mask[node.outputs[0]], axis=axis))
    for value in touched:
        _shrink(value, channels.layout[value].axis, int(mask[value].sum()))


def _shrink(value: ir.Value, axis: int, entries: int) -> None:
    shape = list(shape_of(value))
    shape[axis] = entries
    value.shape = ir.Shape(shape)
    node = value.producer()
    if is_op(node, "Reshape"):
        target = np.array(shape, np.int64)
        node.attributes.pop("allowzero", None)
        set_constant_input(node, 1, f"{node.inputs[1].name}", target)
