"""to_float32: a model in float16, bfloat16 or float64 becomes one in float32, which every later step reads.

Postcondition: no tensor of another float type is left, and no Cast between float types. float16 and bfloat16 lose nothing.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import is_op

OTHER_FLOATS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


def to_float32(model: ir.Model) -> ir.Model:
    """In place, subgraphs included."""
    if not any(_is_other(v) for g in model.graphs() for v in _values(g)):
        return model
    for graph in model.graphs():
        for value in _values(graph):
            if _is_other(value):
                value.type = ir.TensorType(ir.DataType.FLOAT)
                if value.const_value is not None:
                    value.const_value = _converted(value.const_value)
        for node in graph:
            for name, attribute in list(node.attributes.items()):
                if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in OTHER_FLOATS:
                    node.attributes[name] = ir.AttrTensor(name, _converted(attribute.value))
            if is_op(node, "Cast") and node.attributes.get_int("to", 1) in OTHER_FLOATS:
                node.attributes["to"] = ir.AttrInt64("to", int(ir.DataType.FLOAT))
    return model


def _values(graph: ir.Graph):
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _is_other(value: ir.Value) -> bool:
    kind = value.const_value.dtype if value.const_value is not None else value.dtype
    return kind in OTHER_FLOATS


def _converted(tensor: ir.TensorProtocol) -> ir.Tensor:
    with np.errstate(over="ignore"):
        return ir.Tensor(tensor.numpy().astype(np.float32), name=tensor.name)
