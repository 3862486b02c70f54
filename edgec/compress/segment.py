"""Pieces of a float graph as ONNX Runtime sessions over many samples at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.float_run import make_session
from edgec.graph.edit import constant, is_op, shape_of

BATCH = 64
"""Samples a run: enough that the cost of a call vanishes, few enough that its activations stay in the cache's reach."""

Arrays = dict[ir.Value, np.ndarray]
"""Activations by value, float32 [samples, *the value's shape without its batch axis of 1]."""


@dataclass
class Copy:
    """Nodes with values of their own: copies maps the old values to them; inputs are the old values that nobody of the nodes makes."""

    copies: dict[ir.Value, ir.Value]
    nodes: list[ir.Node]
    initializers: list[ir.Value]
    inputs: list[ir.Value]


def copy_nodes(nodes: Sequence[ir.Node], *, batched: bool, free: Collection[ir.Value] = (), prefix: str = "") -> Copy:
    """Copy nodes so that axis 0 may be of any size if batched. free: constants that become inputs. prefix: of all names."""
    copies: dict[ir.Value, ir.Value] = {}
    initializers, inputs, new = [], [], []

    def initializer(array: np.ndarray) -> ir.Value:
        copy = ir.Value(name=f"{prefix}c{len(initializers)}", shape=ir.Shape(array.shape))
        copy.const_value = ir.Tensor(array, name=copy.name)
        copy.type = ir.TensorType(copy.const_value.dtype)
        initializers.append(copy)
        return copy

    def copy_of(node: ir.Node, index: int, value: ir.Value) -> ir.Value:
        array = constant(value)
        if batched and index == 1 and is_op(node, "Reshape") and array is not None and shape_of(node.outputs[0])[:1] == (1,):
            return initializer(np.array([-1, *shape_of(node.outputs[0])[1:]]))  # the batch axis may be of any size
        if value not in copies:
            if array is not None and value not in free:
                copies[value] = initializer(array)
            else:
                shape = shape_of(value) if array is None else array.shape
                shape = ir.Shape(("N", *shape[1:]) if batched and array is None else shape)
                copies[value] = ir.Value(name=f"{prefix}x{len(inputs)}", shape=shape, type=value.type or ir.TensorType(ir.DataType.FLOAT))
                inputs.append(value)
        return copies[value]

    for node in nodes:
        read = [None if v is None else copy_of(node, i, v) for i, v in enumerate(node.inputs)]
        for value in node.outputs:
            copies[value] = ir.Value(name=f"{prefix}y{len(copies)}", type=value.type or ir.TensorType(ir.DataType.FLOAT))
        new.append(ir.Node(node.domain, node.op_type, read, node.attributes.values(), outputs=[copies[o] for o in node.outputs]))
    return Copy(copies, new, initializers, inputs)


class Segment:
    """Some nodes of a graph, in order, as a model that takes and gives the values at its edges.

    Args:
        wanted: values made by the nodes that are to be given.
        batched: the nodes treat axis 0 as samples (`runs_in_batches`); else they run sample by sample.
    """

    def __init__(self, nodes: Sequence[ir.Node], wanted: Iterable[ir.Value], opset: int, *, batched: bool) -> None:
        self.batched, self.outputs = batched, list(wanted)
        copy = copy_nodes(nodes, batched=batched)
        self.inputs = copy.inputs
        graph = ir.Graph(
            [copy.copies[v] for v in self.inputs], [copy.copies[v] for v in self.outputs],
            nodes=copy.nodes, initializers=copy.initializers, opset_imports={"": opset}, name="segment",
        )  # fmt: skip
        self.feeds = [copy.copies[v].name for v in self.inputs]
        self.session = make_session(ir.Model(graph, ir_version=10))

    def __call__(self, arrays: Mapping[ir.Value, np.ndarray]) -> Arrays:
        """The wanted values for all samples of arrays."""
        count = len(arrays[self.inputs[0]])
        step = BATCH if self.batched else 1
        results: list[np.ndarray] = []
        for start in range(0, count, step):
            feed = {name: arrays[v][start : start + step] for name, v in zip(self.feeds, self.inputs, strict=True)}
            found = self.session.run(None, feed)
            if not results:
                results = [np.empty((count, *f.shape[1:]), f.dtype) for f in found]
            for result, part in zip(results, found, strict=True):
                result[start : start + step] = part
        return dict(zip(self.outputs, results, strict=True))


def runs_in_batches(model: ir.Model, samples: Mapping[str, np.ndarray]) -> bool:
    """True if the model, written for one sample, gives the same for several at once. samples: input name → [few, …]."""
    nodes, opset = list(model.graph), model.opset_imports.get("", 18)
    arrays = {v: samples[v.name] for v in model.graph.inputs}
    single = Segment(nodes, model.graph.outputs, opset, batched=False)(arrays)
    try:
        several = Segment(nodes, model.graph.outputs, opset, batched=True)(arrays)
    except Exception:  # a constant with one sample's batch axis in it; ONNX Runtime's exception types are not public
        return False
    return all(
        several[v].shape == single[v].shape
        and np.allclose(several[v], single[v], rtol=1e-3, atol=1e-4 * np.abs(single[v]).max(initial=0.0))
        for v in model.graph.outputs
    )
