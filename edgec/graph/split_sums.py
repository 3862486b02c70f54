"""split_sums: Sum and Mean of any number of tensors, and Max and Min of more than two, become nodes of two."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import add_constant, bypass, can_bypass, count, insert, is_op, shape_of

PAIRED = {"Sum": "Add", "Mean": "Add", "Max": "Max", "Min": "Min"}


def split_sums(model: ir.Model) -> ir.Model:
    """Precondition: static shapes. Postcondition: no Sum or Mean is left, and Max and Min have two inputs; one of a single tensor is an Identity.

    Pairs of neighbours are joined first, then pairs of those: fewer roundings for each term than in a chain.
    """
    graph, split = model.graph, 0
    for node in list(graph):
        if is_op(node, *PAIRED) and len(node.inputs) == 1:
            node.op_type = "Identity"
        if not is_op(node, *PAIRED) or len(node.inputs) == 2 and is_op(node, "Max", "Min"):
            continue
        values = list(node.inputs)
        while len(values) > 1:
            joined = []
            for a, b in zip(values[::2], values[1::2], strict=False):
                shape = np.broadcast_shapes(shape_of(a), shape_of(b))
                joined.append(insert(graph, node, PAIRED[node.op_type], [a, b], {}, shape))
            values = joined + values[len(values) // 2 * 2 :]
        if is_op(node, "Mean"):
            factor = add_constant(graph, f"{node.outputs[0].name}.factor", np.float32(1 / len(node.inputs)))
            values = [insert(graph, node, "Mul", [values[0], factor], {}, shape_of(values[0]))]
        assert can_bypass(node, values[0])
        bypass(node, values[0])
        split += 1
    count(model, "sums_split", split)
    return model
