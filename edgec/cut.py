"""Cutting a model at named tensors: what edgec compiles, and what is left to the caller."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from edgec.errors import ModelError


def cut(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, list[str]]:
    """Make `inputs` and `outputs` (names of tensors) the graph's inputs and outputs, in place; empty sequences keep its own.

    Returns: {"before": …, "after": …}, the nodes left to the caller, "name (type)" each.

    Raises:
        ModelError: a name that no tensor has, a constant, or an output that needs something besides the inputs.
    """
    values = {v.name: v for node in model.graph for v in node.outputs if v.name} | {v.name: v for v in model.graph.inputs if v.name}
    for name in (*inputs, *outputs):
        if name not in values:
            near = [known for known in values if known and name.lower() in known.lower()][:5]
            raise ModelError(
                f"no tensor is called {name!r}",
                where="inputs" if name in inputs else "outputs",
                why=f"the graph has {len(values)} tensors; similar: {', '.join(near) or 'none'}",
                fix="use a tensor's name as the ONNX file has it (not a node's)",
            )
    nodes = list(model.graph)
    if outputs:
        model.graph.outputs[:] = [values[name] for name in outputs]
        common.RemoveUnusedNodesPass()(model)
    kept = set(model.graph)
    after = [node for node in nodes if node not in kept]
    before: list[ir.Node] = []
    if inputs:
        for name in inputs:
            old = values[name]
            if old.is_graph_input():
                continue
            new = ir.Value(name=name, shape=old.shape, type=old.type)
            old.name = f"{name}.replaced"
            for use in list(old.uses()):
                use.node.replace_input_with(use.idx, new)
            model.graph.inputs.append(new)
            values[name] = new
        common.RemoveUnusedNodesPass()(model)
        before = [node for node in nodes if node not in set(model.graph) and node not in after]
        for value in [v for v in model.graph.inputs if v.name not in inputs]:
            if value.uses():
                raise ModelError(
                    "the cut leaves an input open",
                    where=f"input {value.name!r}",
                    why=f"{', '.join(u.node.name or u.node.op_type for u in value.uses())} still reads it",
                    fix="name it among inputs, or cut further down",
                )
            model.graph.inputs.remove(value)
    return {"before": [_said(n) for n in before], "after": [_said(n) for n in after]}


def _said(node: ir.Node) -> str:
    return f"{node.name} ({node.op_type})"
