"""Compression: a float model in, a better one out, each step ending in a standard ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from edgec.compress.quantization import Options, quantize
from edgec.compress.report import QuantizationReport

__all__ = ["Options", "QuantizationReport", "quantize", "quantize_model"]


def quantize_model(
    model: ir.Model, calibration: Any, *, options: Options = Options(), progress: Callable[[str, float], None] | None = None
) -> tuple[ir.Model, dict[str, Any]]:
    """`quantize` on calibration data as users give it (see edgec.data.Samples; "synthetic" draws noise); the report as a dict."""
    from edgec.data import SYNTHETIC, Samples, synthetic
    from edgec.graph.edit import shape_of

    shapes = {v.name: shape_of(v) for v in model.graph.inputs}
    drawn = isinstance(calibration, str) and calibration == SYNTHETIC
    samples = synthetic(shapes) if drawn else calibration if isinstance(calibration, Samples) else Samples(calibration, shapes)
    quantized, report = quantize(model, samples, options=options, progress=progress)
    report.synthetic = drawn
    return quantized, report.as_dict()
