"""quantize: float model and calibration data in, QDQ model and report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from edgec.compress.calibrate import PROBES, Calibration, calibrate, channel_reach
from edgec.compress.equalize import equalize
from edgec.compress.layerwise import LayerOptions, LayerwiseQuantizer, ensure_bias
from edgec.compress.mixed_precision import check_weight_bits, layer_bits, weight_bytes
from edgec.compress.observer import Histogram
from edgec.compress.placement import Group, Placement, fixed_bounds, place
from edgec.compress.qdq import insert_qdq
from edgec.compress.ranges import NATURAL, Quantization, lattice_range, minmax_range, mse_range
from edgec.compress.report import QuantizationReport, Rung, TensorReport, sqnr_db
from edgec.data import SYNTHETIC, Samples, synthetic
from edgec.errors import UsageError
from edgec.graph.edit import is_op, shape_of

Progress = Callable[[str, float], None]

LOW_BIT_PROBES = 512
"""At 4 bits layers are solved anew, which takes more samples than rounding does: 256 lose 0.5 dB on unseen CIFAR-10 images."""

JUDGED_FROM = 16
"""Probes below which a quarter of them says nothing; every rung that options allow is then taken."""


@dataclass(frozen=True)
class Options:
    """How far up the ladder to go.

    ranges: "mse" or "minmax"; rounding: "second_order" or "nearest"; bias_correction, weight_search: see LayerOptions;
    equalize: exponents for activations that dense layers and that only depthwise layers read, (0, 0) for none;
    lattice: exact parameters for inputs whose values lie on a grid of at most 256 steps.
    weight_bits: 4 or 8 for all layers, or layer name → 4 or 8 (layers not named have 8). Layers of kinds that have no 4-bit
    form, such as transposed convolutions, stay at 8 unless named.
    """

    ranges: str = "mse"
    rounding: str = "second_order"
    bias_correction: bool = True
    weight_search: bool = True
    lattice: bool = True
    equalize: tuple[float, float] = (0.5, 1.0)
    weight_bits: int | Mapping[str, int] = 8

    def __post_init__(self) -> None:
        for name, value, known in (("ranges", self.ranges, ("mse", "minmax")), ("rounding", self.rounding, ("second_order", "nearest"))):
            if value not in known:
                why = f"known are {', '.join(known)}"
                raise UsageError(f"unknown {name} {value!r}", where=f"quantize options, {name}", why=why, fix=f"use {known[0]!r}")
        check_weight_bits(self.weight_bits)


def quantize(
    model: ir.Model, calibration: Any, *, options: Options = Options(), progress: Progress | None = None
) -> tuple[ir.Model, QuantizationReport]:
    """Quantize a float model to int8.

    The rungs of the ladder that options allow are tried in order: MSE ranges with bias correction, equalization, second-order
    rounding. Each is fitted to three quarters of the probes and kept if it helps on the last quarter; what is kept is then
    fitted to all of them.

    Args:
        model: static shapes, after `edgec.graph.optimize`; it is not changed.
        calibration: data as `edgec.data.Samples` takes it, or a Samples; "synthetic" draws noise. It is walked at most twice.

    Returns: the QDQ model, which ONNX Runtime runs, and what was chosen.

    Raises:
        DataError: no samples, a wrong shape, NaN or infinite values, in the data or in an activation.
        UsageError: weight_bits names a layer that the model does not have, or one that must have 8 bits.
    """
    shapes = {v.name: shape_of(v) for v in model.graph.inputs}
    drawn = isinstance(calibration, str) and calibration == SYNTHETIC
    samples = synthetic(shapes) if drawn else calibration if isinstance(calibration, Samples) else Samples(calibration, shapes)
    model = model.clone()
    layers = place(model.graph).layers
    bits = layer_bits(layers, options.weight_bits)
    ensure_bias(model, layers)
    low = any(b < 8 for b in bits.values())
    best = _Candidate(model, samples, options, progress, LOW_BIT_PROBES if low else PROBES)
    report = QuantizationReport(samples=best.found.samples, probes=best.probes, synthetic=drawn)
    nearest = LayerOptions("nearest", options.weight_search, options.bias_correction, bits)
    if low:  # rounding to nearest says nothing about what 4 bits can do
        nearest = replace(nearest, rounding=options.rounding)
    judges = best.probes >= JUDGED_FROM
    figure = best.judge(nearest) if judges else -np.inf
    report.rungs.append(Rung(f"{options.ranges} ranges" + (", bias correction" if options.bias_correction else ""), figure, True))
    dense, depthwise = options.equalize
    if dense or depthwise:
        equalized = model.clone()
        equalize(equalized, channel_reach(model, best.placement, best.found.probes), dense=dense, depthwise=depthwise)
        candidate = _Candidate(equalized, samples, options, progress, LOW_BIT_PROBES if low else PROBES)
        tried = candidate.judge(nearest) if judges else np.inf
        report.rungs.append(Rung("equalization", tried, tried > figure))
        if tried > figure:
            best, figure = candidate, tried
    layer_options = nearest
    if options.rounding == "second_order" and not low:
        second = replace(nearest, rounding="second_order")
        tried = best.judge(second) if judges else np.inf
        report.rungs.append(Rung("second-order rounding", tried, tried > figure))
        if tried > figure:
            layer_options = second
    walk = best.quantizer.walk(best.parameters, layer_options, best.judged, progress=progress)
    report.tensors, report.layers, report.weight_bits = best.tensors, walk.layers, bits
    report.weight_bytes = weight_bytes(model, bits)
    judged = zip(best.model.graph.outputs, best.judged, strict=True)
    report.output_sqnr_db = {v.name: sqnr_db(*walk.kept[j]) for v, j in judged if j in walk.kept}
    insert_qdq(best.model, best.placement, best.parameters, walk.weights)
    return best.model, report


class _Candidate:
    """A float model with ranges chosen for it, ready to be quantized and judged."""

    def __init__(self, model: ir.Model, samples: Samples, options: Options, progress: Progress | None, probes: int) -> None:
        self.model, self.progress = model, progress
        self.placement = place(model.graph)
        self.found = calibrate(model, self.placement, samples, progress, probes)
        self.parameters, self.tensors = _choose_ranges(self.placement, self.found, options)
        self.quantizer = LayerwiseQuantizer(model, self.placement, self.found.probes)
        self.judged = tuple(_judged(v) for v in model.graph.outputs)
        self.probes = len(next(iter(self.found.probes.values())))

    def judge(self, options: LayerOptions) -> float:
        """Mean SQNR in dB of the outputs on every fourth probe, the network being fitted to the others."""
        held = np.arange(self.probes) % 4 == 3
        walk = self.quantizer.walk(self.parameters, options, self.judged, ~held, self.progress)
        return float(np.mean([sqnr_db(a[held], b[held]) for a, b in walk.kept.values()])) if walk.kept else 0.0


def _judged(output: ir.Value) -> ir.Value:
    """The value whose error says most about an output: the logits in front of a softmax or of an index."""
    producer = output.producer()
    while output.dtype == ir.DataType.INT64 and is_op(producer, "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Identity"):
        producer = producer.inputs[0].producer()
    return producer.inputs[0] if is_op(producer, "Softmax", "Sigmoid", "ArgMax", "ArgMin") else output


def _choose_ranges(placement: Placement, found: Calibration, options: Options) -> tuple[dict[ir.Value, Quantization], list[TensorReport]]:
    reports: list[TensorReport] = []
    parameters: dict[ir.Value, Quantization] = {}
    for group in placement.all_groups():
        histogram = Histogram()
        for value in group.observed:
            histogram.merge(found.histograms[value])
        chosen, rule = _range(group, histogram, found, options)
        parameters.update((value, chosen) for value in group.members)
        values, counts = histogram.values()
        outside = counts[(values < chosen.low - chosen.scale / 2) | (values > chosen.high + chosen.scale / 2)].sum()
        reports.append(
            TensorReport(
                group.members[0].name, histogram.low, histogram.high, chosen.scale, chosen.zero_point, rule,
                float(outside / max(histogram.count, 1)), *histogram.summary(),
            )  # fmt: skip
        )
    return parameters, reports


def _range(group: Group, histogram: Histogram, found: Calibration, options: Options) -> tuple[Quantization, str]:
    source = group.observed[0]
    if len(group.observed) == 1:
        producer = source.producer()
        if producer is not None and producer.op_type in NATURAL and producer.domain in ("", "ai.onnx"):
            return NATURAL[producer.op_type], "natural"
        distinct = found.distinct.get(source)
        if options.lattice and distinct is not None:
            exact = lattice_range(distinct)
            if exact is not None:
                return exact, "lattice"
    bounds = fixed_bounds(source) if len(group.observed) == 1 else (-np.inf, np.inf)
    return (minmax_range(histogram), "minmax") if options.ranges == "minmax" else (mse_range(histogram, bounds), "mse")
