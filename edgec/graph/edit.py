"""How the passes read and change an onnx_ir graph: constants, attributes, and replacing values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

NOTE = "edgec."  # prefix of the metadata_props in which passes say what they did


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """True for a node of the default ONNX domain with one of these operator types."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The array behind a value known at compile time, else None. An initializer that is also a graph input may change: None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """Static shape. Precondition of every pass: the importer has made all shapes static."""
    if value.shape is None or not value.shape.is_static():
        raise ValueError(f"value {value.name!r} has no static shape")
    return tuple(int(d) for d in value.shape)  # type: ignore[arg-type]


def has_static_shape(value: ir.Value | None) -> bool:
    return value is not None and value.shape is not None and value.shape.is_static()


def ints(node: ir.Node, name: str, default: Sequence[int]) -> tuple[int, ...]:
    attribute = node.attributes.get(name)
    return tuple(int(v) for v in (default if attribute is None else attribute.as_ints()))


def integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else int(attribute.as_int())


def number(node: ir.Node, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.as_float())


def string(node: ir.Node, name: str, default: str) -> str:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def set_ints(node: ir.Node, name: str, values: Sequence[int]) -> None:
    node.attributes[name] = ir.AttrInt64s(name, [int(v) for v in values])


def set_integer(node: ir.Node, name: str, value: int) -> None:
    node.attributes[name] = ir.AttrInt64(name, int(value))


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """The one node that reads value, once, if nothing else (not the caller either) sees it."""
    uses = list(value.uses())
    return uses[0][0] if len(uses) == 1 and not value.is_graph_output() else None


def unused_name(graph: ir.Graph, wanted: str) -> str:
    """wanted, or wanted_1, wanted_2 … : a name no value of the graph has."""
    taken = set(graph.initializers) | {v.name for v in graph.inputs} | {o.name for n in graph for o in n.outputs}
    name, i = wanted, 0
    while name in taken:
        i += 1
        name = f"{wanted}_{i}"
    return name


def add_constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """A new initializer; float64 arrays are stored as float32, all others as they are."""
    # not ascontiguousarray: it would make scalars one-dimensional
    array = np.asarray(array, np.float32 if array.dtype == np.float64 else array.dtype, order="C")
    name = unused_name(graph, name)
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def set_constant_input(node: ir.Node, index: int, name: str, array: np.ndarray) -> None:
    """Gives node a new initializer as input `index`; the old one goes when nothing reads it any more."""
    assert node.graph is not None
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    value = add_constant(graph, name, array)
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    old = node.inputs[index]
    node.replace_input_with(index, value)
    drop_if_unused(graph, old)


def drop_if_unused(graph: ir.Graph, value: ir.Value | None) -> None:
    if value is not None and value.name in graph.initializers and not list(value.uses()) and not value.is_graph_output():
        if not value.is_graph_input():
            graph.initializers.pop(value.name)


def insert(graph: ir.Graph, before: ir.Node, kind: str, inputs: Sequence[ir.Value], attributes: dict, shape: Sequence[int]) -> ir.Value:
    """A new float node in front of `before`, named after it. Returns its output."""
    name = unused_name(graph, f"{before.outputs[0].name}.{kind.lower()}")
    node = ir.node(kind, inputs, attributes, name=name)
    value = node.outputs[0]
    value.name, value.shape, value.type = name, ir.Shape([int(d) for d in shape]), ir.TensorType(ir.DataType.FLOAT)
    graph.insert_before(before, node)
    return value


def bypass(node: ir.Node, source: ir.Value) -> None:
    """Removes a node of one output; its readers read `source` instead. A graph output keeps its name, shape and type."""
    graph, old = node.graph, node.outputs[0]
    assert isinstance(graph, ir.Graph)
    inputs = list(node.inputs)
    was_output = old.is_graph_output()
    name, shape, kind = old.name, old.shape, old.type
    old.replace_all_uses_with(source, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if was_output:
        source.name, source.shape = name, shape
        source.type = kind or source.type
    for value in inputs:
        drop_if_unused(graph, value)


def can_bypass(node: ir.Node, source: ir.Value) -> bool:
    """False where the graph output would lose its own value: the source is a graph input or another output, or a constant."""
    output = node.outputs[0]
    return not output.is_graph_output() or not (source.is_graph_input() or source.is_graph_output() or source.is_initializer())


def pads_of(node: ir.Node, kernel: Sequence[int], in_size: Sequence[int]) -> tuple[int, ...]:
    """Explicit (begin…, end…) pads of a Conv or pooling node, auto_pad resolved."""
    rank = len(kernel)
    mode = string(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        return ints(node, "pads", (0,) * (2 * rank))
    if mode == "VALID":
        return (0,) * (2 * rank)
    strides, dilations = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank)
    begin, end = [], []
    for k, s, d, n in zip(kernel, strides, dilations, in_size, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        small, large = total // 2, total - total // 2
        begin.append(small if mode == "SAME_UPPER" else large)
        end.append(large if mode == "SAME_UPPER" else small)
    return (*begin, *end)


def note(model: ir.Model, key: str, value: object) -> None:
    """Leaves a line about what a pass did in the model's metadata (it travels with the ONNX file)."""
    model.metadata_props[NOTE + key] = str(value)


def count(model: ir.Model, key: str, more: int) -> None:
    """Adds to a counter in the model's metadata; writes nothing while it is zero."""
    if more:
        note(model, key, int(model.metadata_props.get(NOTE + key, "0")) + more)
