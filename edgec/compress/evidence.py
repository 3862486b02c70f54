"""What quantization cost, on the report part of the data: float model and QDQ model side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from edgec.comparison import is_class_vector, wilson
from edgec.compress.calibrate import not_finite
from edgec.compress.float_run import ModelRunner
from edgec.compress.report import OutputReport, decibels
from edgec.compress.splits import REPORT, Split
from edgec.graph.edit import is_op
from edgec.progress import Progress

MOST = 1024
"""Samples to measure; of more, evenly spread ones are taken. The interval of 99.5 % is then 98.9 to 99.8."""


def evidence(
    exact: ir.Model,
    quantized: ir.Model,
    names: Mapping[str, tuple[str, str]],
    split: Split,
    progress: Progress | None = None,
) -> list[OutputReport]:
    """One row for each output.

    Args:
        names: output → (value in exact, value in quantized) to compare. The QDQ model runs node by node, in float.

    Raises:
        DataError: a float value is not finite.
    """
    runs = ModelRunner(exact, [a for a, _ in names.values()]), ModelRunner(quantized, [b for _, b in names.values()], plain=True)
    total = split.counts[REPORT] if split.held_out or not split.degraded else split.samples
    stride = -(-total // MOST)
    sums = {name: {"signal": 0.0, "noise": 0.0, "same": 0, "classes": False} for name in names}
    count = seen = 0
    for index, (sample, parts) in enumerate(split.walk()):
        if REPORT not in parts:
            continue
        seen += 1
        if (seen - 1) % stride:
            continue
        wanted, given = runs[0](sample) | sample, runs[1](sample) | sample
        for name, (a, b) in names.items():
            x, y = np.asarray(wanted[a], np.float64), np.asarray(given[b], np.float64)
            bad = x.size - int(np.isfinite(x).sum())
            if bad:
                raise not_finite(a, index, bad, x.size)
            s = sums[name]
            s["signal"] += float(np.square(x).sum())
            s["noise"] += float(np.square(x - y).sum())
            s["classes"] = is_class_vector(x.shape)
            s["same"] += int(x.argmax() == y.argmax())
        count += 1
        if progress is not None and count % 16 == 0:
            progress("measure quantization", seen / total)
    return [_row(name, s, count) for name, s in sums.items()]


def _row(name: str, s: Mapping[str, float], count: int) -> OutputReport:
    found = OutputReport(name, count, decibels(s["signal"], s["noise"]))
    if not s["classes"]:
        return found
    same = int(s["same"])
    return replace(found, agreement=round(100 * same / count, 2), agreement_interval=wilson(same, count))


def name_behind(value: ir.Value) -> str:
    """The name of value in a QDQ model, after rounding if it is rounded."""
    for node, _ in value.uses():
        if is_op(node, "QuantizeLinear"):
            return next(iter(node.outputs[0].uses()))[0].outputs[0].name
    return value.name
