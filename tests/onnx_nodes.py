"""ONNX's own backend node tests, each to one of three ends: a right result, a clear error, or a defect.

Right means: the int8 network compiled from the node is within 3 % of the output's range of the float node on the same inputs
after their own rounding to int8 (values beyond int8's dynamic range cannot come back, and are not the operator's fault).
Integer outputs must be exact.
"""

from __future__ import annotations

import collections
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import edgec
from edgec.errors import EdgecError

TOLERANCE = 0.03
PARAMETERS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "PRelu", "Resize", "Upsample", "Pad", "Clip", "QLinearConv"}
"""Operators whose inputs after the first are weights and the like, which the tests feed as inputs and networks hold as constants."""
FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True)
class Outcome:
    """kind: "right", "error" or "defect"; what: the error's first line, or what is wrong."""

    name: str
    kind: str
    what: str = ""


@cache
def cases() -> tuple:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(sorted(load_model_tests(kind="node"), key=lambda case: case.name))


def outcome(case) -> Outcome:
    """Compile the node with its inputs as calibration and run it on the interpreter."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = [np.asarray(x) if isinstance(x, np.ndarray) or np.isscalar(x) else None for x in case.data_sets[0][0]]
    if any(x is None for x in inputs):
        return _compile_only(case.name, model)
    samples = {}
    parameters = {name for node in model.graph.node if node.op_type in PARAMETERS for name in node.input[1:]}
    for port, x in zip(list(model.graph.input), inputs, strict=False):
        if x.dtype in FLOATS and x.ndim > 0 and port.name not in parameters:
            samples[port.name] = x.astype(np.float32)
        else:  # shapes, axes, conditions: what a network has as constants
            model.graph.initializer.append(numpy_helper.from_array(x, port.name))
            model.graph.input.remove(port)
    try:
        artifact = edgec.compile(model, "generic-c", calibration=samples or None)
        # Rounded inputs can reach further inside the network than the float ones: calibrate on what it will see.
        rounded = {name: artifact.dequantize_input(artifact.quantize_input(x, name), name) for name, x in samples.items()}
        artifact = edgec.compile(model, "generic-c", calibration=rounded)
        outputs = artifact.run(rounded, on="interpreter")
    except EdgecError as error:
        return Outcome(case.name, "error", error.what)
    except Exception as error:
        return Outcome(case.name, "defect", f"{type(error).__name__}: {error}")
    outputs = outputs if isinstance(outputs, dict) else {artifact.program.outputs[0].name: outputs}
    return _compare(case.name, outputs, _float(model, rounded, list(outputs)))


def _compile_only(name: str, model: onnx.ModelProto) -> Outcome:
    """Optional, sequence and map inputs: nothing edgec can run; it must say so."""
    try:
        edgec.compile(model, "generic-c", calibration="synthetic")
    except EdgecError as error:
        return Outcome(name, "error", error.what)
    except Exception as error:
        return Outcome(name, "defect", f"{type(error).__name__}: {error}")
    return Outcome(name, "right", "compiled; its inputs are no tensors")


def _float(model: onnx.ModelProto, inputs: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    kinds = {port.name: onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type) for port in model.graph.input}
    inputs = {name: x.astype(kinds[name]) for name, x in inputs.items()}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return dict(zip(names, ReferenceEvaluator(model).run(names, inputs), strict=True))


def _compare(name: str, got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> Outcome:
    for port, value in got.items():
        expected = np.asarray(want[port], np.float64)
        finite = np.isfinite(expected)
        if not finite.any():
            continue
        reach = max(float(np.ptp(np.append(expected[finite], 0.0))), 1e-6)
        worst = float(np.abs(value.reshape(expected.shape) - expected)[finite].max() / reach)
        if worst > TOLERANCE:
            return Outcome(name, "defect", f"output {port} is off by {100 * worst:.1f} % of its range")
    return Outcome(name, "right")


def table(outcomes: list[Outcome]) -> str:
    """Markdown: the three counts, and the reasons of clear errors by number."""
    kinds = collections.Counter(o.kind for o in outcomes)
    reasons = collections.Counter(o.what for o in outcomes if o.kind == "error")
    lines = [
        f"onnx {onnx.__version__}: {len(outcomes)} node tests. Right result: {kinds['right']}. Clear error: {kinds['error']}. Anything else: {kinds['defect']}.",
        "",
        "| tests | what edgec says |",
        "|---|---|",
        *(f"| {n} | {what} |" for what, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:40]),
    ]
    return "\n".join(lines) + "\n"
