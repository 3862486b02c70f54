"""Compression: a float model in, a better one out, each step ending in a standard ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import onnx_ir as ir

from edgec.compress.quantization import Options, quantize
from edgec.compress.report import QuantizationReport
from edgec.errors import UsageError
from edgec.progress import Progress

__all__ = ["Options", "QuantizationReport", "options_by_name", "quantize", "quantize_model"]


def quantize_model(
    model: ir.Model, calibration: Any, *, options: Options = Options(), progress: Progress | None = None
) -> tuple[ir.Model, dict[str, Any]]:
    """`quantize`, with the report as a dict."""
    quantized, report = quantize(model, calibration, options=options, progress=progress)
    return quantized, report.as_dict()


def options_by_name(chosen: Mapping[str, Any]) -> Options:
    """Options from a mapping; an unknown name is a UsageError."""
    try:
        return Options(**dict(chosen))
    except TypeError:
        raise UsageError(
            f"unknown quantization option in {sorted(map(str, chosen))}",
            where="quantize",
            why=f"the options are {', '.join(f.name for f in fields(Options))}",
            fix="use these names",
        ) from None
