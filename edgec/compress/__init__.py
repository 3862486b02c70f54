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
    """`quantize`, with the report as a dict."""
    quantized, report = quantize(model, calibration, options=options, progress=progress)
    return quantized, report.as_dict()
