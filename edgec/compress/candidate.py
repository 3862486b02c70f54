"""A float model that might become the quantized one: what calibration saw of it, ranges for it, and a judgement of them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from edgec.compress.calibrate import Observations, calibrate
from edgec.compress.layerwise import LayerOptions, LayerwiseQuantizer, Walk
from edgec.compress.observer import Histogram
from edgec.compress.placement import Group, fixed_bounds, place
from edgec.compress.ranges import NATURAL, Quantization, lattice_range, minmax_range, moved_range, mse_range
from edgec.compress.report import TensorReport, sqnr_db
from edgec.compress.splits import FIT, SELECT, Split
from edgec.compress.wide import widened
from edgec.graph.edit import is_op
from edgec.progress import Progress

Moves = Mapping[str, tuple[int, int]]
"""Name of a group's first value → how far output_ranges moved its ends."""


@dataclass(frozen=True)
class RangeOptions:
    """rule: "minmax" or "mse"; lattice: exact parameters for inputs on a grid; moves: on top of that, see output_ranges;
    wide: groups of 16 bits, by the name of their first value."""

    rule: str = "mse"
    lattice: bool = True
    moves: Moves = field(default_factory=dict)
    wide: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ranges:
    """parameters: of each value in the placement's groups; rules: the rule by which each group got its own."""

    parameters: dict[ir.Value, Quantization]
    rules: dict[Group, str]


@dataclass(frozen=True)
class Judgement:
    """sqnr_db: of the outputs, their mean; noise: float64 [values, samples], squared error over the value's whole signal.

    The values are first the outputs, so many, and then what the last layers read: a few outputs of a few samples are a noisy figure,
    and in front of them are many more numbers.
    """

    sqnr_db: float
    noise: np.ndarray
    outputs: int

    def of_outputs(self) -> Judgement:
        return replace(self, noise=self.noise[: self.outputs])

    def gain_over(self, other: Judgement) -> tuple[float, float]:
        """(dB less noise than the other, mean over the values; its standard error from the differences of the samples)."""
        if not self.noise.size:
            return 0.0, 0.0
        mine, others = (np.maximum(j.noise.sum(axis=1, keepdims=True), 1e-20) for j in (self, other))
        difference = (self.noise / mine - other.noise / others).mean(axis=0)
        return float(10 * np.log10(others / mine).mean()), float(10 / np.log(10) * np.sqrt(np.square(difference).sum()))


class Candidate:
    """model: float, not changed; probes: how many samples to keep at most.

    Raises:
        DataError: as calibrate.
    """

    def __init__(self, model: ir.Model, split: Split, probes: int, progress: Progress | None = None) -> None:
        self.model, self.progress = model, progress
        self.placement = place(model.graph)
        self.parts = (FIT,) if split.degraded else (FIT, SELECT)
        self.found: Observations = calibrate(model, self.placement, split, progress, probes)
        self.quantizer = LayerwiseQuantizer(model, self.placement, self.found.probes)
        self.judged = tuple(judged_value(v) for v in model.graph.outputs)
        self.features = tuple(v.producer().inputs[0] for v in self.judged if v.producer() in self.quantizer.layers)

    def with_sums(self, summed: frozenset[ir.Value]) -> Candidate:
        """The same model, these values of `residual_sums` left unquantized; calibration saw all that it needs."""
        other = copy(self)
        other.placement = place(self.model.graph, summed)
        other.quantizer = LayerwiseQuantizer(self.model, other.placement, self.found.probes)
        return other

    def ranges(self, options: RangeOptions, *, everything: bool = False) -> Ranges:
        """Ranges from the fit part, or for the final network from the select part too."""
        ranges = Ranges({}, {})
        for group in self.placement.all_groups():
            histogram = self.found.histogram(group.observed, self.parts if everything else (FIT,))
            chosen, rule = self._range(group, histogram, options)
            if group.members[0].name in options.wide:
                chosen, rule = widened(chosen, histogram.low, histogram.high), "16 bits"
            ranges.parameters.update((value, chosen) for value in group.members)
            ranges.rules[group] = rule
        return ranges

    def judge(self, ranges: RangeOptions, layers: LayerOptions) -> Judgement:
        """On the select part, everything being fitted to the fit part."""
        keep = tuple(dict.fromkeys((*self.judged, *self.features)))
        walk = self.quantizer.walk(self.ranges(ranges).parameters, layers, keep, self.found.fit, self.progress)
        held = self.found.select
        seen = [v for v in keep if v in walk.kept]
        figures = [sqnr_db(a[held], b[held]) for a, b in (walk.kept[v] for v in seen if v in self.judged)]
        noise = []
        for a, b in (walk.kept[v] for v in seen):
            error = np.square(a[held].astype(np.float64) - b[held]).reshape(int(held.sum()), -1).sum(axis=1)
            noise.append(error / max(float(np.square(a[held], dtype=np.float64).sum()), 1e-30))
        return Judgement(float(np.mean(figures)) if figures else 0.0, np.array(noise), len(figures))

    def final(self, ranges: Ranges, layers: LayerOptions) -> Walk:
        """The layers, fitted to both parts."""
        return self.quantizer.walk(ranges.parameters, layers, self.judged, progress=self.progress)

    def reports(self, ranges: Ranges) -> list[TensorReport]:
        return [self._report(group, ranges) for group in self.placement.all_groups()]

    def _report(self, group: Group, ranges: Ranges) -> TensorReport:
        chosen, histogram = ranges.parameters[group.members[0]], self.found.histogram(group.observed, self.parts)
        values, counts = histogram.values()
        outside = counts[(values < chosen.low - chosen.scale / 2) | (values > chosen.high + chosen.scale / 2)].sum()
        return TensorReport(
            group.members[0].name, histogram.low, histogram.high, chosen.scale, chosen.zero_point, ranges.rules[group],
            float(outside / max(histogram.count, 1)), *histogram.summary(),
        )  # fmt: skip

    def _range(self, group: Group, histogram: Histogram, options: RangeOptions) -> tuple[Quantization, str]:
        source = group.observed[0]
        if len(group.observed) == 1:
            producer = source.producer()
            if producer is not None and producer.op_type in NATURAL and producer.domain in ("", "ai.onnx"):
                return NATURAL[producer.op_type], "natural"
            distinct = self.found.distinct.get(source)
            if options.lattice and distinct is not None:
                exact = lattice_range(distinct)
                if exact is not None:
                    return exact, "lattice"
        bounds = fixed_bounds(source) if len(group.observed) == 1 else (-np.inf, np.inf)
        chosen = minmax_range(histogram) if options.rule == "minmax" else mse_range(histogram, bounds)
        moves = options.moves.get(group.members[0].name, (0, 0))
        return (chosen, options.rule) if moves == (0, 0) else (moved_range(chosen, *moves), "output error")


def judged_value(output: ir.Value) -> ir.Value:
    """The value whose error says most about an output: the logits in front of a softmax or of an index."""
    producer = output.producer()
    while output.dtype == ir.DataType.INT64 and is_op(producer, "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Identity"):
        producer = producer.inputs[0].producer()
    return producer.inputs[0] if is_op(producer, "Softmax", "Sigmoid", "ArgMax", "ArgMin") else output
