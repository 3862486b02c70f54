"""Float activations from ONNX Runtime: the whole model with more outputs, or one node at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime

from edgec.errors import ModelError
from edgec.graph.edit import constant, is_op, shape_of


def make_session(model: ir.Model, plain: bool = False, arena: bool = True) -> onnxruntime.InferenceSession:
    """A session on one thread. plain: without graph optimizations; arena: whether it keeps memory between runs.

    Raises ModelError where ONNX Runtime cannot run the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one thread: sums in one order, reproducible
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = arena
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception as error:  # its exception types are not public
        raise _cannot_run(error, model.graph.name) from None


def _cannot_run(error: Exception, name: str | None) -> ModelError:
    return ModelError(
        "ONNX Runtime, which calibration uses, cannot run the model",
        where=f"model or node {name}",
        why=str(error).strip().splitlines()[0],
        fix="change the operator it names, or quantize the model elsewhere and compile the QDQ model",
    )


class ModelRunner:
    """Runs a model sample by sample and gives, beside its outputs, the values asked for.

    plain: without graph optimizations, so that a QDQ model is computed node by node in float, not by fused int8 kernels.
    """

    def __init__(self, model: ir.Model, observe: Sequence[str] = (), *, plain: bool = False) -> None:
        model = model.clone()
        inputs = {v.name for v in model.graph.inputs}
        present = {v.name for v in model.graph.outputs}
        by_name = {o.name: o for n in model.graph for o in n.outputs}
        for name in observe:
            if name not in present and name not in inputs:
                value = by_name[name]
                value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
                model.graph.outputs.append(value)
        self.names = [name for name in observe if name not in inputs] or [v.name for v in model.graph.outputs]
        self.session = make_session(model, plain)

    def __call__(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """sample: input name → float32 array of the model's shape. Returns name → array for the observed values."""
        try:
            results = self.session.run(self.names, dict(sample))
        except Exception as error:  # a rule that depends on sizes, such as a reflection beyond the input
            raise _cannot_run(error, self.session.get_modelmeta().graph_name) from None
        return dict(zip(self.names, results, strict=True))


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
        values: dict[ir.Value, ir.Value] = {}
        initializers, inputs = [], []
        self.fed: list[int] = []
        for i, value in enumerate(node.inputs):
            if value is None or value in values:
                continue
            array = constant(value)
            shape = tuple(value.shape or array.shape)
            fixed = array is not None and i not in variable
            if array is None and single:
                shape = ("N", *shape[1:])
            new = ir.Value(name=f"x{i}", shape=ir.Shape(shape), type=value.type or ir.TensorType(ir.DataType.FLOAT))
            if fixed:
                if single and i == 1 and is_op(node, "Reshape"):
                    array = np.array([-1, *shape_of(node.outputs[0])[1:]])
                new.const_value = ir.Tensor(array, name=new.name)
                new.shape = ir.Shape(array.shape)
                initializers.append(new)
            else:
                inputs.append(new)
                self.fed.append(i)
            values[value] = new
        outputs = [ir.Value(name=f"y{i}", type=o.type or ir.TensorType(ir.DataType.FLOAT)) for i, o in enumerate(node.outputs)]
        read = [None if v is None else values[v] for v in node.inputs]
        copy = ir.Node(node.domain, node.op_type, read, node.attributes.values(), outputs=outputs)
        graph = ir.Graph(inputs, outputs, nodes=[copy], initializers=initializers, opset_imports={"": opset}, name="node")
        self.session = make_session(ir.Model(graph, ir_version=10), arena=False)
        self.outputs = len(outputs)

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
            return self.session.run(None, {f"x{i}": a for i, a in zip(self.fed, (*arrays, *constants), strict=True)})
        except Exception as error:  # ONNX Runtime gives some result another shape than ONNX's rules
            raise _cannot_run(error, self.name) from None
