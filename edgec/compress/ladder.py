"""The ladder of quantization: what may help is tried in order, cheapest first, and kept if it helps on samples it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgec.compress.calibrate import channel_reach
from edgec.compress.candidate import Candidate, Judgement, RangeOptions, Ranges
from edgec.compress.equalize import equalize
from edgec.compress.layerwise import LayerOptions, Walk
from edgec.compress.output_metrics import output_metrics
from edgec.compress.output_ranges import OutputRanges
from edgec.compress.placement import is_depthwise, residual_sums
from edgec.compress.report import Rung
from edgec.compress.splits import Split
from edgec.compress.wide import asked_for, can_be_wide, nearly_free
from edgec.progress import Progress

WORTH_DB = 0.1
"""What a rung that asks for other kernels must gain at the outputs."""

CHEAP_TENSORS = 3
"""Judgements that tensors whose 16 bits cost next to nothing are worth."""

STRONGER = 1.4
"""Factor on the exponent of equalization for dense layers, tried after the given one."""


@dataclass(frozen=True)
class Choice:
    """A float model and everything needed to quantize it."""

    candidate: Candidate
    ranges: RangeOptions
    layers: LayerOptions

    def judge(self) -> Judgement:
        return self.candidate.judge(self.ranges, self.layers)

    def final(self) -> tuple[Ranges, Walk]:
        ranges = self.candidate.ranges(self.ranges, everything=True)
        return ranges, self.candidate.final(ranges, self.layers)


@dataclass(frozen=True)
class Bar:
    """What a rung must show: its gain less `errors` standard errors above `db`, at the outputs alone or in front of the last layers too."""

    db: float
    errors: float
    outputs_alone: bool

    def gain(self, judged: Judgement, before: Judgement) -> tuple[float, float]:
        """(dB, its standard error)."""
        return judged.of_outputs().gain_over(before.of_outputs()) if self.outputs_alone else judged.gain_over(before)

    def cleared_by(self, gain: float, chance: float) -> bool:
        return gain - self.errors * chance > self.db


HARMLESS = Bar(0.0, -1.0, outputs_alone=False)
"""For what changes numbers alone. Each such rung has been worth something on most networks, so a loss that chance explains does not
speak against it."""

OTHER_CODE = Bar(WORTH_DB, 0.0, outputs_alone=True)
"""For other kernels in place of those there were."""

MORE_CODE = Bar(WORTH_DB, 1.0, outputs_alone=True)
"""For kernels beside those there were: of what nobody can be sure the smaller program is better."""

Attempt = Callable[[Choice], Choice | None]
"""From the best so far to what may be better, or None where it does not apply."""


class Ladder:
    """options: compress.Options; bits: layer name → bits of its weights; probes: how many samples to keep at most.

    Raises:
        DataError: as calibrate.
    """

    def __init__(self, model: ir.Model, split: Split, options, bits: dict[str, int], probes: int, progress: Progress | None) -> None:
        self.model, self.split, self.options, self.probes, self.progress = model, split, options, probes, progress
        self.low = any(b < 8 for b in bits.values())
        self.bits = bits
        self.rungs: list[Rung] = []

    def climb(self) -> Choice:
        """Every rung that options allow is judged; where no samples are held out, each is taken, and none that needs more code is tried."""
        best, figure = self._start(), None
        for name, attempt in self._attempts():
            tried = attempt(best)
            if tried is not None:
                best, figure = self._better(name, best, figure, tried, MORE_CODE if attempt == self._summed else HARMLESS)
        return self._widened(best, figure) if self.options.wide_where_cheap else best

    def _widened(self, best: Choice, figure: Judgement) -> Choice:
        """16 bits for the few tensors where they cost next to nothing: a kernel of 8 bits goes, a smaller one comes."""
        placement = best.candidate.placement
        narrow = frozenset(n for n in placement.layers if best.layers.bits_of(n) < 8)
        for name in nearly_free(best.candidate.model.graph, placement, narrow)[:CHEAP_TENSORS]:
            if name in best.ranges.wide:
                continue
            tried = replace(best, ranges=replace(best.ranges, wide=best.ranges.wide | {name}))
            best, figure = self._better(f"16 bits for {name}", best, figure, tried, OTHER_CODE)
        return best

    def _better(self, rung: str, best: Choice, figure: Judgement | None, tried: Choice, bar: Bar) -> tuple[Choice, Judgement]:
        """The better of two choices and its judgement; the first rung has nothing before it."""
        judged = tried.judge()
        gain, chance = (0.0, 0.0) if figure is None else bar.gain(judged, figure)
        kept = figure is None or bool(self.split.degraded) or bar.cleared_by(gain, chance)
        self.rungs.append(Rung(rung, judged.sqnr_db, gain, chance, kept))
        return (tried, judged) if kept else (best, figure)

    def _start(self) -> Choice:
        o = self.options
        self._base = candidate = Candidate(self.model, self.split, self.probes, self.progress)
        if self.low:  # neither min-max nor rounding to nearest say anything about what 4 bits can do
            layers = LayerOptions(o.rounding, o.weight_search, o.bias_correction, self.bits)
            return Choice(candidate, RangeOptions("minmax" if o.ranges == "minmax" else "mse", o.lattice), layers)
        return Choice(candidate, RangeOptions("minmax", o.lattice), LayerOptions("nearest", False, False, self.bits))

    def _attempts(self) -> Iterator[tuple[str, Attempt]]:
        o = self.options
        if self.low:
            ranges = "minmax" if o.ranges == "minmax" else "MSE"
            yield f"{ranges} ranges" + (", bias correction" if o.bias_correction else ""), lambda best: best
        else:
            yield "minmax ranges", lambda best: best
            if o.bias_correction:
                yield "bias correction", lambda best: replace(best, layers=replace(best.layers, bias_correction=True))
            if o.ranges != "minmax":
                yield "MSE ranges", self._least_squares_ranges
            elif o.weight_search:
                yield "MSE weight scales", lambda best: replace(best, layers=replace(best.layers, search=True))
        dense, depthwise = o.equalize
        if self.low:  # small channels cost dense layers of 16 levels more than they gain; depthwise ones have scales for each
            dense = 0.0
            if depthwise and any(is_depthwise(n) for n in self._base.placement.layers):
                yield "equalization before depthwise layers", self._equalized(dense, depthwise)
        elif dense or depthwise:
            yield "equalization", self._equalized(dense, depthwise)
        if o.rounding == "second_order" and self.low:
            yield "rows rounded together", self._together
        if o.rounding == "second_order" and not self.low:
            yield "second-order rounding", lambda best: replace(best, layers=replace(best.layers, rounding="second_order"))
        if 0 < dense < 1:
            yield "stronger equalization", self._equalized(min(dense * STRONGER, 1.0), depthwise)
        if o.residual_sums and not self.split.degraded:
            yield "residuals added before rounding", self._summed
        if o.output_ranges and o.ranges != "minmax":
            yield "ranges by output error", self._by_output_error
        if o.activation_bits != 8:
            yield "16-bit activations asked for", self._asked_for
        if o.wide_tensors:
            yield "16-bit activations", self._widest_gain

    def _least_squares_ranges(self, best: Choice) -> Choice:
        """Of activations, and of weights."""
        return replace(best, ranges=replace(best.ranges, rule="mse"), layers=replace(best.layers, search=self.options.weight_search))

    def _equalized(self, dense: float, depthwise: float) -> Attempt:
        def attempt(best: Choice) -> Choice:
            base = self._base
            model = self.model.clone()
            probes = {name: array[base.found.fit] for name, array in base.found.probes.items()}
            equalize(model, channel_reach(self.model, base.placement, probes), dense=dense, depthwise=depthwise)
            return replace(best, candidate=Candidate(model, self.split, self.probes, self.progress))

        return attempt

    def _together(self, best: Choice) -> Choice | None:
        c = best.candidate
        narrow = [n for n in c.placement.layers if best.layers.bits_of(n) < 8]
        metrics = output_metrics(c.quantizer, c.judged, narrow, np.flatnonzero(c.found.fit))
        return replace(best, layers=replace(best.layers, metrics=metrics)) if metrics else None

    def _summed(self, best: Choice) -> Choice | None:
        candidate = best.candidate
        able = frozenset(v for v in residual_sums(candidate.model.graph) if best.layers.bits_of(v.producer()) == 8)
        return replace(best, candidate=candidate.with_sums(able)) if able else None

    def _asked_for(self, best: Choice) -> Choice:
        wide = asked_for(self.options.activation_bits, best.candidate.placement)
        return replace(best, ranges=replace(best.ranges, wide=wide))

    def _widest_gain(self, best: Choice) -> Choice | None:
        """The tensors that gain most by 16 bits, each tried alone, added one after another while the next one helps."""
        placement, base = best.candidate.placement, best.judge().sqnr_db
        with_wide = lambda names: replace(best, ranges=replace(best.ranges, wide=best.ranges.wide | names))  # noqa: E731
        able = [g.members[0].name for g in placement.all_groups() if can_be_wide(g, placement) and g.members[0].name not in best.ranges.wide]
        gains = {name: with_wide(frozenset([name])).judge().sqnr_db - base for name in able}
        chosen, figure = frozenset(), base
        for name in sorted(able, key=lambda n: -gains[n])[: 2 * self.options.wide_tensors]:
            if len(chosen) == self.options.wide_tensors or gains[name] < WORTH_DB:
                break
            tried = with_wide(chosen | {name}).judge().sqnr_db
            if tried > figure + WORTH_DB:
                chosen, figure = chosen | {name}, tried
        return with_wide(chosen) if chosen else None

    def _by_output_error(self, best: Choice) -> Choice | None:
        c = best.candidate
        ranges = c.ranges(best.ranges)
        search = OutputRanges(c.quantizer, c.judged, np.flatnonzero(c.found.fit))
        if not search.usable:
            return None
        moves = search.search(ranges.parameters, lambda group: ranges.rules[group] in ("natural", "lattice"), self.progress)
        return replace(best, ranges=replace(best.ranges, moves=moves))
