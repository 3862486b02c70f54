"""Float activations from ONNX Runtime: the whole model with more outputs, or one node at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime

from edgec.errors import ModelError
from edgec.graph.edit import constant


def make_session(model: ir.Model, plain: bool = False) -> onnxruntime.InferenceSession:
    """A session on one thread. plain: without graph optimizations. Raises ModelError where ONNX Runtime cannot run the model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one thread: sums in one order, reproducible
    options.log_severity_level = 3
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


class NodeRunner:
    """One node as a model of its own. Weights and bias of a layer are inputs, so that they can change between runs."""

    def __init__(self, node: ir.Node, opset: int, variable: Sequence[int] = ()) -> None:
        self.name = node.name
        values: dict[ir.Value, ir.Value] = {}
        initializers, inputs = [], []
        self.fed: list[int] = []
        for i, value in enumerate(node.inputs):
            if value is None or value in values:
                continue
            array = constant(value)
            new = ir.Value(name=f"x{i}", shape=ir.Shape(value.shape or array.shape), type=value.type or ir.TensorType(ir.DataType.FLOAT))
            if array is not None and i not in variable:
                new.const_value = ir.Tensor(array, name=new.name)
                initializers.append(new)
            else:
                inputs.append(new)
                self.fed.append(i)
            values[value] = new
        outputs = [ir.Value(name=f"y{i}", type=o.type or ir.TensorType(ir.DataType.FLOAT)) for i, o in enumerate(node.outputs)]
        read = [None if v is None else values[v] for v in node.inputs]
        copy = ir.Node(node.domain, node.op_type, read, node.attributes.values(), outputs=outputs)
        graph = ir.Graph(inputs, outputs, nodes=[copy], initializers=initializers, opset_imports={"": opset}, name="node")
        self.session = make_session(ir.Model(graph, ir_version=10))
        self.outputs = len(outputs)

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """arrays: one for each fed input, in order. Returns all outputs."""
        try:
            return self.session.run(None, {f"x{i}": a for i, a in zip(self.fed, arrays, strict=True)})
        except Exception as error:  # ONNX Runtime gives some result another shape than ONNX's rules
            raise _cannot_run(error, self.name) from None
