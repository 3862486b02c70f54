"""quantize: float model and calibration data in, QDQ model and report out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.calibrate import Calibration, calibrate, channel_reach
from edgec.compress.equalize import equalize
from edgec.compress.layerwise import LayerOptions, LayerwiseQuantizer, ensure_bias
from edgec.compress.observer import Histogram
from edgec.compress.placement import Group, Placement, fixed_bounds, place
from edgec.compress.qdq import insert_qdq
from edgec.compress.ranges import NATURAL, Quantization, lattice_range, minmax_range, mse_range
from edgec.compress.report import QuantizationReport, TensorReport, sqnr_db
from edgec.errors import UsageError
from edgec.graph.edit import is_op

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Options:
    """How far up the ladder to go.

    ranges: "mse" or "minmax"; rounding: "second_order" or "nearest"; bias_correction, weight_search: see
    LayerOptions; equalize: exponents for activations that dense and that only depthwise layers read, (0, 0) for none; lattice: exact parameters for inputs whose values lie on a grid of at most 256 steps.
    """

    ranges: str = "mse"
    rounding: str = "second_order"
    bias_correction: bool = True
    weight_search: bool = True
    lattice: bool = True
    equalize: tuple[float, float] = (0.5, 1.0)

    def __post_init__(self) -> None:
        for name, value, known in (("ranges", self.ranges, ("mse", "minmax")), ("rounding", self.rounding, ("second_order", "nearest"))):
            if value not in known:
                raise UsageError(f"unknown {name} {value!r}", where=f"quantize options, {name}", why=f"known are {', '.join(known)}", fix=f"use {known[0]!r}")


def quantize(
    model: ir.Model, calibration: Iterable[dict[str, np.ndarray]], *, options: Options = Options(), progress: Progress | None = None
) -> tuple[ir.Model, QuantizationReport]:
    """Quantize a float model to int8.

    Args:
        model: static shapes, after `edgec.graph.optimize`; it is not changed.
        calibration: batches, input name → float32, samples of the input's shape one after another along axis 0
            (`edgec.data.Samples`); walked once.

    Returns: the QDQ model, which ONNX Runtime runs, and what was chosen.

    Raises:
        DataError: no samples, or activations that are not finite.
    """
    model = model.clone()
    placement = place(model.graph)
    ensure_bias(model, placement.layers)
    found = calibrate(model, placement, calibration, progress)
    if options.equalize != (0.0, 0.0):
        dense, depthwise = options.equalize
        equalize(model, channel_reach(model, placement, found.probes), dense=dense, depthwise=depthwise)
        placement = place(model.graph)
        found = calibrate(model, placement, calibration, progress)
    report = QuantizationReport(samples=found.samples, probes=len(next(iter(found.probes.values()))))
    parameters = _choose_ranges(placement, found, options, report)
    layer_options = LayerOptions(options.rounding, options.weight_search, options.bias_correction)
    judged = tuple(_judged(v) for v in model.graph.outputs)
    walk = LayerwiseQuantizer(model, placement, found.probes).walk(parameters, layer_options, judged)
    report.layers = walk.layers
    report.output_sqnr_db = {v.name: sqnr_db(*walk.kept[j]) for v, j in zip(model.graph.outputs, judged, strict=True) if j in walk.kept}
    insert_qdq(model, placement, parameters, walk.weights)
    return model, report


def _judged(output: ir.Value) -> ir.Value:
    """The value whose error says most about an output: the logits in front of a softmax."""
    producer = output.producer()
    return producer.inputs[0] if is_op(producer, "Softmax", "Sigmoid") else output


def _choose_ranges(placement: Placement, found: Calibration, options: Options, report: QuantizationReport) -> dict[ir.Value, Quantization]:
    parameters: dict[ir.Value, Quantization] = {}
    for group in placement.all_groups():
        histogram = Histogram()
        for value in group.observed:
            histogram.merge(found.histograms[value])
        chosen, rule = _range(group, histogram, found, options)
        parameters.update((value, chosen) for value in group.members)
        values, counts = histogram.values()
        outside = counts[(values < chosen.low - chosen.scale / 2) | (values > chosen.high + chosen.scale / 2)].sum()
        report.tensors.append(
            TensorReport(
                group.members[0].name, histogram.low, histogram.high, chosen.scale, chosen.zero_point, rule,
                float(outside / max(histogram.count, 1)), *histogram.summary(),
            )  # fmt: skip
        )
    return parameters


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
