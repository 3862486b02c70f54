"""fuse_matmul_add: MatMul (+ Add) with constant weights becomes Gemm with transB = 1."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import (
    add_constant,
    bypass,
    can_bypass,
    constant,
    count,
    drop_if_unused,
    has_static_shape,
    insert,
    integer,
    is_op,
    number,
    set_constant_input,
    shape_of,
    sole_consumer,
)  # fmt: skip


def fuse_matmul_add(model: ir.Model) -> ir.Model:
    """MatMul by a constant matrix and every Gemm by a constant become Gemm(alpha=1, beta=1, transA=0, transB=1) with a bias of rank 1.

    Precondition: static shapes. Postcondition: a dense layer with constant weights [out_features, in_features] is a Gemm in
    this one form; an Add of a constant bias behind it is part of it.
    """
    fused = 0
    for node in list(model.graph):
        if is_op(node, "MatMul"):
            fused += _from_matmul(node)
        elif is_op(node, "Gemm"):
            _normalize(node)
    for node in list(model.graph):
        if is_op(node, "Gemm"):
            fused += _take_bias(node)
    count(model, "dense_layers_fused", fused)
    return model


def _from_matmul(node: ir.Node) -> int:
    x, w = node.inputs
    weights = constant(w)
    if weights is None or weights.ndim != 2 or not has_static_shape(x) or len(shape_of(x)) < 2:
        return 0
    graph, old = node.graph, node.outputs[0]
    assert isinstance(graph, ir.Graph)
    if len(shape_of(x)) > 2:
        _as_rows(graph, node, weights)
        return 1
    transposed = add_constant(graph, f"{w.name}.transposed", np.ascontiguousarray(weights.T))
    gemm = ir.node("Gemm", [x, transposed], {"transB": 1}, name=node.name)
    result = gemm.outputs[0]
    result.shape, result.type = old.shape, old.type
    graph.insert_after(node, gemm)
    name = old.name
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    result.name = name
    drop_if_unused(graph, w)
    return 1


def _as_rows(graph: ir.Graph, node: ir.Node, weights: np.ndarray) -> None:
    """A product of a tensor of any rank as one of its rows, between two reshapes; a constant bias behind it goes along."""
    inner, features = weights.shape
    rows = math.prod(shape_of(node.inputs[0])[:-1])
    name, shape = node.outputs[0].name, shape_of(node.outputs[0])
    add = sole_consumer(node.outputs[0])
    other = None if not is_op(add, "Add") else constant(add.inputs[1 if add.inputs[0] is node.outputs[0] else 0])
    takes = other is not None and other.shape in ((), (1,), (features,)) and can_bypass(add, node.outputs[0])
    bias = np.broadcast_to(other, (features,)) if takes else np.zeros(features)
    flat = insert(graph, node, "Reshape", [node.inputs[0], add_constant(graph, f"{name}.rows", np.array([rows, inner]))], {}, (rows, inner))
    parts = [add_constant(graph, f"{name}.{part}", a.astype(np.float32)) for part, a in (("weights", np.ascontiguousarray(weights.T)), ("bias", bias))]
    product = insert(graph, node, "Gemm", [flat, *parts], {"transB": 1}, (rows, features))
    result = insert(graph, node, "Reshape", [product, add_constant(graph, f"{name}.shape", np.array(shape))], {}, shape)
    bypass(node, result)
    if takes:
        bypass(add, result)


def _normalize(node: ir.Node) -> None:
    weights = constant(node.inputs[1])
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(bias_value)
    if weights is None or weights.ndim != 2 or integer(node, "transA", 0) or (bias_value is not None and bias is None):
        return
    features = shape_of(node.outputs[0])[1]
    if bias is not None and (bias.size not in (1, features) or bias.ndim == 2 and bias.shape[0] != 1):
        return
    alpha, beta = number(node, "alpha", 1.0), number(node, "beta", 1.0)
    if not integer(node, "transB", 0) or alpha != 1.0:
        w = (weights if integer(node, "transB", 0) else weights.T).astype(np.float64) * alpha
        set_constant_input(node, 1, f"{node.inputs[1].name}.transposed", w)
    if bias is not None:
        row = np.broadcast_to(bias.astype(np.float64).reshape(-1) * beta, (features,))
        if beta != 1.0 or bias.shape != row.shape:
            set_constant_input(node, 2, f"{bias_value.name}.row", row)
    for name in ("alpha", "beta", "transA"):
        node.attributes.pop(name, None)
    node.attributes["transB"] = ir.AttrInt64("transB", 1)


def _take_bias(node: ir.Node) -> int:
    add = sole_consumer(node.outputs[0])
    if not is_op(add, "Add") or integer(node, "transB", 0) != 1 or number(node, "alpha", 1.0) != 1.0 or number(node, "beta", 1.0) != 1.0:
        return 0
    other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
    more, old = constant(other), node.inputs[2] if len(node.inputs) > 2 else None
    features = shape_of(node.outputs[0])[1]
    shape = shape_of(node.outputs[0])
    if more is None or more.size not in (1, features) or np.broadcast_shapes(more.shape, shape) != shape:
        return 0
    if more.size != 1 and more.shape[-1] != features:
        return 0
    before = constant(old) if old is not None else np.zeros(features)
    if before is None or before.shape != (features,) or not can_bypass(add, node.outputs[0]):
        return 0
    set_constant_input(node, 2, f"{node.inputs[1].name}.bias", before.astype(np.float64) + more.astype(np.float64).reshape(-1))
    bypass(add, node.outputs[0])
    return 1
