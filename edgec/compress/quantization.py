"""quantize: float model and calibration data in, QDQ model and report out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from edgec.compress import low_bits
from edgec.compress.adaround import learn_rounding
from edgec.compress.calibrate import PROBES
from edgec.compress.distillation import require_torch
from edgec.compress.evidence import evidence, name_behind
from edgec.compress.ladder import Ladder
from edgec.compress.layerwise import ensure_bias
from edgec.compress.mixed_precision import bits_within
from edgec.compress.placement import place
from edgec.compress.qdq import insert_qdq
from edgec.compress.report import QuantizationReport
from edgec.compress.splits import Split
from edgec.compress.weight_bytes import check_weight_bits, layer_bits, weight_bytes
from edgec.compress.wide import check_activation_bits
from edgec.data import is_synthetic, samples_of
from edgec.errors import UsageError
from edgec.graph.edit import shape_of
from edgec.progress import Progress


@dataclass(frozen=True)
class Options:
    """How far up the ladder to go.

    ranges: "mse" or "minmax"; output_ranges: search them further by the error of the outputs (not with "minmax");
    rounding: "second_order", "nearest", or "adaround": second order, then learned (`adaround`, with torch; minutes); bias_correction, weight_search: see LayerOptions;
    equalize: exponents for activations that dense layers and that only depthwise layers read, (0, 0) for none;
    lattice: exact parameters for inputs whose values lie on a grid of at most 256 steps.
    weight_bits: 4 or 8 for all layers, or layer name → 4 or 8 (layers not named have 8). Layers of kinds that have no 4-bit
    form, such as transposed convolutions, stay at 8 unless named.
    weight_bytes: instead of weight_bits, the most that weights, biases and multipliers of all layers may take, as
    `compress.weight_bytes` counts them: which layers get 4 bits is then chosen by what that costs (`mixed_precision`).
    residual_sums: a rung that rounds a convolution and the residual added to it once, together (`conv2d_add`);
    activation_bits: 16 for every tensor that can have 16 bits, or tensor name → 8 or 16;
    wide_tensors: a rung that gives 16 bits to at most so many tensors, those that gain most;
    wide_where_cheap: try 16 bits for tensors inside the network to which they cost next to nothing, such as logits.
    """

    ranges: str = "mse"
    rounding: str = "second_order"
    bias_correction: bool = True
    weight_search: bool = True
    lattice: bool = True
    equalize: tuple[float, float] = (0.5, 1.0)
    output_ranges: bool = True
    weight_bits: int | Mapping[str, int] = 8
    weight_bytes: int | None = None
    residual_sums: bool = True
    activation_bits: int | Mapping[str, int] = 8
    wide_tensors: int = 0
    wide_where_cheap: bool = True

    def __post_init__(self) -> None:
        for name, value, known in (("ranges", self.ranges, ("mse", "minmax")), ("rounding", self.rounding, ("second_order", "nearest", "adaround"))):
            if value not in known:
                why = f"known are {', '.join(known)}"
                raise UsageError(f"unknown {name} {value!r}", where=f"quantize options, {name}", why=why, fix=f"use {known[0]!r}")
        check_weight_bits(self.weight_bits)
        check_activation_bits(self.activation_bits)
        if self.weight_bytes is not None and self.weight_bits != 8:
            why = "weight_bits fixes what weight_bytes lets edgec choose"
            raise UsageError("both weight_bits and weight_bytes are given", where="quantize options", why=why, fix="give one of them")


def quantize(
    model: ir.Model, calibration: Any, *, options: Options = Options(), progress: Progress | None = None
) -> tuple[ir.Model, QuantizationReport]:
    """Quantize a float model to int8.

    The data is split by hash (`splits`). The rungs that options allow (`ladder`) are fitted to the fit part and kept if they help
    on the select part; what is kept is then fitted to both. The report part has no say in anything: the report's outputs are
    measured on it. An `edgec.Calibration` brings a report part of its own.

    Args:
        model: static shapes, after `edgec.graph.optimize`; it is not changed.
        calibration: data as `edgec.data.Samples` takes it, or a Samples; "synthetic" draws noise. It is walked a few times.

    Returns: the QDQ model, which ONNX Runtime runs, and what was chosen.

    Raises:
        DataError: no samples, a wrong shape, NaN or infinite values, in the data or in an activation.
        UsageError: weight_bits names a layer that the model does not have, or one that must have 8 bits.
        FitError: weight_bytes is less than 4 bits everywhere take. ToolError: rounding is "adaround" and torch is not installed.
    """
    learned = options.rounding == "adaround"
    if learned:
        require_torch("quantize options, rounding", 'leave rounding at "second_order", or pip install torch==2.13.0')
        options = replace(options, rounding="second_order")
    split = Split(samples_of(calibration, {v.name: shape_of(v) for v in model.graph.inputs}))
    exact, model = model, model.clone()
    layers = place(model.graph).layers
    bits, sensitivities = layer_bits(layers, options.weight_bits), []
    ensure_bias(model, layers)
    if options.weight_bytes is not None and weight_bytes(model) > options.weight_bytes:
        bits, sensitivities = bits_within(model, split, options, low_bits.PROBES, progress)
    ladder = Ladder(model, split, options, bits, low_bits.PROBES if any(b < 8 for b in bits.values()) else PROBES, progress)
    chosen = ladder.climb()
    ranges, walk = chosen.final()
    c = chosen.candidate
    report = QuantizationReport(
        samples=split.samples, probes=len(c.found.fit), parts=split.counts, degraded=split.degraded, held_out=split.held_out is not None,
        left_out=split.left_out, synthetic=is_synthetic(calibration),
        rungs=ladder.rungs, tensors=c.reports(ranges), layers=walk.layers,
        weight_bits=bits, weight_bytes=weight_bytes(model, bits), sensitivities=sensitivities,
    )  # fmt: skip
    judged = {v.name: (j.name, j) for v, j in zip(c.model.graph.outputs, c.judged, strict=True)}
    smooth = c.model.clone() if learned else None
    insert_qdq(c.model, c.placement, ranges.parameters, walk.weights)
    quantized = c.model
    if learned:
        quantized, rung = learn_rounding(c.model, smooth, split, progress)
        report.rungs.append(rung)
    names = {output: (name, name_behind(value)) for output, (name, value) in judged.items()}
    report.outputs = evidence(exact, quantized, names, split, progress)
    report.output_sqnr_db = {o.name: o.sqnr_db for o in report.outputs}
    return quantized, report
