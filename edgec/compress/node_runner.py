"""One node of a float graph, run by ONNX Runtime for many samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.compress.float_run import cannot_run, make_session
from edgec.compress.segment import copy_nodes
from edgec.errors import ModelError
from edgec.graph.edit import constant, shape_of

TRIED = 3
"""Samples that show whether a node can run in batches."""

AT_ONCE = 2**19
"""Numbers of a node's largest activation in one run: enough that the cost of a call vanishes, few enough for the caches."""


class NodeRunner:
    """One node as a model of its own, for stacks of samples. Weights and bias of a layer are inputs, so that they can change between runs."""

    def __init__(self, node: ir.Node, opset: int, variable: Sequence[int] = ()) -> None:
        self.name = node.name
        activations = [v for v in (*node.inputs, *node.outputs) if v is not None and constant(v) is None]
        single = all(v.shape is not None and tuple(v.shape)[:1] == (1,) for v in activations)
        self.batched: bool | None = None if single else False
        """Whether several samples along axis 0 give what each gives alone; None until it was tried."""
        self.largest = max((int(np.prod(shape_of(v))) for v in activations if v.shape is not None), default=1)
        copy = copy_nodes([node], batched=single, free={node.inputs[i] for i in variable})
        self.fed = copy.inputs
        """What a run is given, in order; a value that node reads twice is given once."""
        self.names = [copy.copies[v].name for v in copy.inputs]
        inputs, outputs = ([copy.copies[v] for v in values] for values in (copy.inputs, node.outputs))
        graph = ir.Graph(inputs, outputs, nodes=copy.nodes, initializers=copy.initializers, opset_imports={"": opset}, name="node")
        self.session = make_session(ir.Model(graph, ir_version=10), arena=False)

    def __call__(self, stacks: Sequence[np.ndarray], constants: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
        """All outputs, stacked, of stacks [samples, *shape] of the fed activations and of constants, which come after them."""
        count = len(stacks[0])
        if self.batched is None and count > 1:
            self.batched = self._same_in_batches([s[:TRIED] for s in stacks], constants)
        if not self.batched:
            return self._one_by_one(stacks, constants)
        step = max(1, AT_ONCE // self.largest)
        outputs: list[np.ndarray] = []
        for start in range(0, count, step):
            results = self._run([s[start : start + step].reshape(-1, *s.shape[2:]) for s in stacks], constants)
            if not outputs:
                if count <= step:
                    return [r.reshape(count, 1, *r.shape[1:]) for r in results]
                outputs = [np.empty((count, 1, *r.shape[1:]), r.dtype) for r in results]
            for stack, r in zip(outputs, results, strict=True):
                stack[start : start + step, 0] = r
        return outputs

    def _one_by_one(self, stacks: Sequence[np.ndarray], constants: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs: list[np.ndarray] = []
        for i in range(len(stacks[0])):
            results = self._run([s[i] for s in stacks], constants)
            if not outputs:
                outputs = [np.empty((len(stacks[0]), *r.shape), r.dtype) for r in results]
            for stack, r in zip(outputs, results, strict=True):
                stack[i] = r
        return outputs

    def _same_in_batches(self, stacks: Sequence[np.ndarray], constants: Sequence[np.ndarray]) -> bool:
        alone = self._one_by_one(stacks, constants)
        try:
            together = self._run([s.reshape(-1, *s.shape[2:]) for s in stacks], constants)
        except ModelError:  # a constant with one sample's batch axis in it
            return False
        return all(
            b.shape == (a.shape[0] * a.shape[1], *a.shape[2:]) and np.allclose(a.reshape(b.shape), b, rtol=1e-3, atol=1e-4 * np.abs(a).max(initial=0.0))
            for a, b in zip(alone, together, strict=True)
        )

    def _run(self, arrays: Sequence[np.ndarray], constants: Sequence[np.ndarray]) -> list[np.ndarray]:
        try:
            return self.session.run(None, dict(zip(self.names, (*arrays, *constants), strict=True)))
        except Exception as error:  # ONNX Runtime gives some result another shape than ONNX's rules
            raise cannot_run(error, self.name) from None
