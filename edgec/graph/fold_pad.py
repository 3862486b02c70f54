"""fold_pad: an explicit Pad with zeros becomes the padding of the convolution or pooling behind it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import (
    bypass,
    constant,
    count,
    has_static_shape,
    integer,
    ints,
    is_op,
    number,
    pads_of,
    set_integer,
    set_ints,
    shape_of,
    sole_consumer,
    string,
)  # fmt: skip


def fold_pad(model: ir.Model) -> ir.Model:
    """Folds Pad(mode = constant, value 0, spatial axes, nothing cut off) into its only reader where the result is the same.

    Conv: always. AveragePool and MaxPool: if they have no padding of their own; MaxPool only behind a Relu or Clip at ≥ 0,
    where a zero never changes a maximum.

    Precondition: static shapes. Postcondition: the remaining Pad nodes cannot be expressed as padding.
    """
    folded = 0
    for node in list(model.graph):
        if not is_op(node, "Pad") or not has_static_shape(node.inputs[0]) or not has_static_shape(node.outputs[0]):
            continue
        reader, pads = sole_consumer(node.outputs[0]), _zero_pads(node)
        if reader is None or pads is None or reader.inputs[0] is not node.outputs[0] or not _takes(reader, node):
            continue
        spatial = len(pads) // 2
        kernel = ints(reader, "kernel_shape", constant(reader.inputs[1]).shape[2:] if is_op(reader, "Conv") else ())
        own = pads_of(reader, kernel, shape_of(node.outputs[0])[2:])
        reader.attributes.pop("auto_pad", None)
        set_ints(reader, "pads", [a + b for a, b in zip(own, pads, strict=True)])
        set_ints(reader, "kernel_shape", kernel)
        if is_op(reader, "AveragePool"):
            set_integer(reader, "count_include_pad", 1)
        assert spatial == len(kernel)
        bypass(node, node.inputs[0])
        folded += 1
    count(model, "pads_folded", folded)
    return model


def _zero_pads(node: ir.Node) -> list[int] | None:
    """Spatial (begin…, end…) amounts of a Pad that only adds zeros around the spatial axes."""
    if string(node, "mode", "constant") != "constant":
        return None
    rank = len(shape_of(node.inputs[0]))
    if len(node.inputs) > 1:
        amounts, value = constant(node.inputs[1]), node.inputs[2] if len(node.inputs) > 2 else None
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else np.arange(rank)
        fill = np.zeros(1) if value is None else constant(value)
        if amounts is None or axes is None or fill is None or np.any(fill != 0):
            return None
    else:  # before opset 11
        amounts, axes = np.array(ints(node, "pads", ())), np.arange(rank)
        if number(node, "value", 0.0) != 0.0:
            return None
    begin, end = [0] * rank, [0] * rank
    for i, axis in enumerate(int(a) % rank for a in axes):
        begin[axis], end[axis] = int(amounts[i]), int(amounts[len(axes) + i])
    if rank < 3 or min(begin + end) < 0 or any(begin[:2] + end[:2]):
        return None
    return begin[2:] + end[2:]


def _takes(reader: ir.Node, pad: ir.Node) -> bool:
    if is_op(reader, "Conv"):
        return constant(reader.inputs[1]) is not None
    if integer(reader, "ceil_mode", 0):
        return False
    has_pads = any(ints(reader, "pads", ())) or string(reader, "auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    window, pads = ints(reader, "kernel_shape", ()), _zero_pads(pad)
    if pads is None or len(pads) != 2 * len(window) or any(p >= w for p, w in zip(pads, (*window, *window), strict=True)):
        return False  # a window wholly in the padding
    if is_op(reader, "AveragePool"):
        return not has_pads
    if is_op(reader, "MaxPool"):
        return not has_pads and len(reader.outputs) == 1 and _not_negative(pad.inputs[0].producer())
    return False


def _not_negative(node: ir.Node | None) -> bool:
    if is_op(node, "Relu", "Sigmoid", "Softmax", "HardSigmoid"):
        return True
    if not is_op(node, "Clip"):
        return False
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        low = constant(node.inputs[1])
        return low is not None and float(low.reshape(-1)[0]) >= 0.0
    return number(node, "min", -np.inf) >= 0.0
