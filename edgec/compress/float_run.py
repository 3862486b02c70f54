"""Float activations from ONNX Runtime: the whole model, with more outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime

from edgec.errors import ModelError


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
        raise cannot_run(error, model.graph.name) from None


def cannot_run(error: Exception, name: str | None) -> ModelError:
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
            raise cannot_run(error, self.session.get_modelmeta().graph_name) from None
        return dict(zip(self.names, results, strict=True))
