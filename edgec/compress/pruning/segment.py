"""Pieces of a float graph as ONNX Runtime sessions over many samples at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgec.compress.float_run import make_session
from edgec.graph.edit import constant, is_op, shape_of

BATCH = 64
"""Samples a run: enough that the cost of a call vanishes, few enough that its activations stay in the cache's reach."""

Arrays = dict[ir.Value, np.ndarray]
"""Activations by value, float32 [samples, *the value's shape without its batch axis of 1]."""


class Segment:
    """Some nodes of a graph, in order, as a model that takes and gives the values at its edges.

    Args:
        wanted: values made by the nodes that are to be given.
        batched: the nodes treat axis 0 as samples (`runs_in_batches`); else they run sample by sample.
    """

    def __init__(self, nodes: Sequence[ir.Node], wanted: Iterable[ir.Value], opset: int, *, batched: bool) -> None:
        self.batched = batched
        made = {o for n in nodes for o in n.outputs}
        copies: dict[ir.Value, ir.Value] = {}
        initializers, self.inputs = [], []
        for node in nodes:
            for value in node.inputs:
                if value is None or value in made or value in copies:
                    continue
                array = constant(value)
                copy = copies[value] = ir.Value(name=f"x{len(copies)}", type=value.type or ir.TensorType(ir.DataType.FLOAT))
                if array is None:
                    shape = shape_of(value)
                    copy.shape = ir.Shape(("N", *shape[1:]) if batched else shape)
                    self.inputs.append(value)
                    continue
                if batched and is_op(node, "Reshape") and node.inputs[1] is value and array.size and array[0] == 1 and (array > 0).all():
                    array = np.array([-1, *array[1:]])  # the batch axis may be of any size
                copy.const_value = ir.Tensor(array, name=copy.name)
                copy.shape = ir.Shape(array.shape)
                initializers.append(copy)
        for value in made:
            copies[value] = ir.Value(name=f"y{len(copies)}", type=value.type or ir.TensorType(ir.DataType.FLOAT))
        nodes = [
            ir.Node(n.domain, n.op_type, [None if v is None else copies[v] for v in n.inputs], n.attributes.values(), outputs=[copies[o] for o in n.outputs])
            for n in nodes
        ]
        self.outputs = list(wanted)
        graph = ir.Graph(
            [copies[v] for v in self.inputs], [copies[v] for v in self.outputs],
            nodes=nodes, initializers=initializers, opset_imports={"": opset}, name="segment",
        )  # fmt: skip
        self.feeds = [copies[v].name for v in self.inputs]
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
        several[v].shape == single[v].shape and np.allclose(several[v], single[v], rtol=1e-3, atol=1e-4 * np.abs(single[v]).max(initial=0.0))
        for v in model.graph.outputs
    )
