"""decompose_lrn: local response normalization becomes a pooling over channels, two functions of single values and a product.

y = x · (bias + alpha · mean of x² over `size` neighbouring channels)^(−beta), the mean counting absent channels as zeros.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import add_constant, bypass, count, insert, integer, is_op, number, shape_of


def decompose_lrn(model: ir.Model) -> ir.Model:
    """Precondition: static shapes. Postcondition: no LRN is left.

    With channels last the transposes move no byte: the pooling runs over rows of channels as a picture of one channel.
    """
    graph, done = model.graph, 0
    for node in list(graph):
        if not is_op(node, "LRN"):
            continue
        x, shape = node.inputs[0], shape_of(node.inputs[0])
        rank, size = len(shape), integer(node, "size", 1)
        last = (0, *range(2, rank), 1)
        moved = tuple(shape[a] for a in last)
        flat = (1, 1, math.prod(moved[:-1]), shape[1])

        def put(kind, inputs, attributes, result, node=node):
            return insert(graph, node, kind, inputs, attributes, result)

        def known(name, value, node=node):
            return add_constant(graph, f"{node.outputs[0].name}.{name}", np.asarray(value))

        squares = put("Transpose", [put("Mul", [x, x], {}, shape)], {"perm": list(last)}, moved)
        squares = put("Reshape", [squares, known("flat", np.array(flat, np.int64))], {}, flat)
        before = (size - 1) // 2
        pads = [0, before, 0, size - 1 - before]
        mean = put("AveragePool", [squares], {"kernel_shape": [1, size], "pads": pads, "count_include_pad": 1}, flat)
        scaled = put("Mul", [mean, known("alpha", np.float32(number(node, "alpha", 1e-4)))], {}, flat)
        base = put("Add", [scaled, known("bias", np.float32(number(node, "bias", 1.0)))], {}, flat)
        gain = put("Pow", [base, known("exponent", np.float32(-number(node, "beta", 0.75)))], {}, flat)
        gain = put("Reshape", [gain, known("moved", np.array(moved, np.int64))], {}, moved)
        gain = put("Transpose", [gain], {"perm": [0, rank - 1, *range(1, rank - 1)]}, shape)
        bypass(node, put("Mul", [x, gain], {}, shape))
        done += 1
    count(model, "lrn_decomposed", done)
    return model
