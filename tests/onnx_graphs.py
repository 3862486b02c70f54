"""Float ONNX models written by hand, for tests of the front end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    inputs: Mapping[str, Sequence[int | str] | None],
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 18,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of these nodes; inputs: name → shape; constants that no node reads are left out."""
    read = {name for n in nodes for name in n.input} | {name for n in nodes for a in n.attribute for m in a.g.node for name in m.input}
    graph = helper.make_graph(
        list(nodes),
        "hand",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items() if name in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run_float(proto: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs by ONNX Runtime."""
    return ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, dict(feeds))


def sqnr_db(want: np.ndarray, got: np.ndarray) -> float:
    """Signal to quantization noise, 10·log10(Σ want² / Σ (want − got)²)."""
    noise = float(np.square(want - got, dtype=np.float64).sum())
    return float("inf") if noise == 0 else 10 * np.log10(float(np.square(want, dtype=np.float64).sum()) / noise)
