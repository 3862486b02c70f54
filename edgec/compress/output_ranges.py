"""Ranges by what they do to the outputs: each activation is quantized alone, and its ends go where the outputs change least.

A histogram does not know which values matter. In front of an addition and a Relu, for one, most of the negative half never
reaches the output, so a range that cuts it off has finer steps for the rest. With one activation quantized at a time its own
error is all there is to see, so a few samples suffice, and the order of the activations does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

from edgec.compress import _hotloops
from edgec.compress.first_order import SKETCHES, FirstOrder, OutputGradients
from edgec.compress.gradient import NoGradient
from edgec.compress.layerwise import LayerwiseQuantizer, fake_quantize
from edgec.compress.placement import Group
from edgec.compress.ranges import GRID, Quantization, moved_range
from edgec.compress.weights import LayerWeights
from edgec.graph import count_macs
from edgec.graph.edit import shape_of
from edgec.progress import Progress

JUMPS = (1, 2, 4, 8)
"""Powers of ranges.GRID by which an end moves in one step: far ones because the error need not fall all the way to a better range."""

LOUDER = 3
"""The error of a range is the mean of its own and of those of the samples made louder and quieter by this power of GRID: a quarter
each, as in ranges.LOUDNESS, and for the same reason."""

FURTHEST = 24

WORTH = 0.99
"""An end moves only if the error falls at least to this fraction."""

SAMPLES = 64
CHECKED, WRONG = 24, 2.0
"""Samples on which a range that gradients chose is compared with the one before, and the ratio of errors that shows the gradients
wrong: right ones are the better judges of small differences, and a wider range for louder samples costs on these."""

ACTIVATION_BYTES = 64 * 2**20
WORK = 4.0e9
"""Multiply-accumulates of one evaluation of all samples, at most; larger networks are searched with fewer samples."""

FEWEST = 8
"""Samples below which the search is not worth its name."""


def mixed(start: Quantization, alone: Callable[[Quantization], float]) -> Callable[[tuple[int, int]], float]:
    """The error by how far the ends of start move, from that of a range: of samples as they are, louder and quieter."""
    known: dict[tuple[int, int], float] = {}
    result: dict[tuple[int, int], float] = {}

    def once(low: int, high: int) -> float:
        if (low, high) not in known:
            known[low, high] = alone(moved_range(start, low, high))
        return known[low, high]

    def error(moves: tuple[int, int]) -> float:
        """Samples louder by f in a range are the samples in a range narrower by f, with the error scaled."""
        if moves not in result:
            low, high = moves
            f = GRID ** (2 * LOUDER)
            result[moves] = 0.5 * once(low, high) + 0.25 * (f * once(low - LOUDER, high - LOUDER) + once(low + LOUDER, high + LOUDER) / f)
        return result[moves]

    return error


def best_moves(start: Quantization, error: Callable[[tuple[int, int]], float]) -> tuple[int, int]:
    """Moves one end of a range, then the other, as long as that helps."""
    best = (0, 0)
    for _ in range(2):
        for end in (0, 1):
            if abs((start.low, start.high)[end]) < start.scale / 2:
                continue
            for jump in (*JUMPS, *(-j for j in JUMPS)):
                while True:
                    moved = (best[0] + jump, best[1]) if end == 0 else (best[0], best[1] + jump)
                    if max(map(abs, moved)) > FURTHEST or not error(moved) < WORTH * error(best):
                        break
                    best = moved
    return best


Arrays = Mapping[ir.Value, np.ndarray]


class OutputRanges:
    """Searches ranges on some of a quantizer's probes, whose float activations it keeps."""

    def __init__(self, quantizer: LayerwiseQuantizer, judged: tuple[ir.Value, ...], fit: np.ndarray) -> None:
        """judged: the values whose error counts; fit: indices of the probes to use."""
        self.quantizer, self.judged = quantizer, judged
        graph = quantizer.model.graph
        kept = sum(int(np.prod(shape_of(o))) * 4 for n in graph for o in n.outputs)
        limit = int(min(SAMPLES, ACTIVATION_BYTES // max(kept, 1), WORK // max(count_macs(quantizer.model), 1)))
        self.fit = fit[np.unique(np.linspace(0, len(fit) - 1, min(limit, len(fit))).round().astype(int))] if limit >= FEWEST else fit[:0]
        self.constants = {node: quantizer.constants(node) for node in quantizer.layers}
        self.behind = {group: self._reached(group.members) for group in quantizer.placement.all_groups()}
        """The nodes that a change of a group's values reaches, in order."""
        self.exact: dict[ir.Value, np.ndarray] = {}

    @property
    def usable(self) -> bool:
        return len(self.fit) >= FEWEST

    def search(
        self, ranges: Mapping[ir.Value, Quantization], fixed: Callable[[Group], bool], progress: Progress | None = None
    ) -> dict[str, tuple[int, int]]:
        """How far the ends of each group's range are best moved, by the name of its first value.

        Not moved are groups for which fixed(group) holds, and those of judged values: their error is in the histogram already.
        """
        self._prepare()
        groups = [g for g in self.behind if not fixed(g) and not any(v in self.judged for v in g.members)]
        predicted = self._first_order(groups)
        result = {}
        few = {value: array[:CHECKED] for value, array in self.exact.items()}
        for done, group in enumerate(groups, 1):
            start = ranges[group.members[0]]
            if group in predicted:
                moves = best_moves(start, mixed(start, predicted.pop(group).finished().error))
                measured = partial(self._error, few, group)
                while moves != (0, 0) and measured(moved_range(start, *moves)) > WRONG * measured(start):
                    moves = (int(moves[0] / 2), int(moves[1] / 2))
            else:
                moves = best_moves(start, mixed(start, partial(self._error, self.exact, group)))
            if moves != (0, 0):
                result[group.members[0].name] = moves
            if progress is not None:
                progress("search ranges", done / len(groups))
        return result

    def _first_order(self, groups: Sequence[Group]) -> dict[Group, FirstOrder]:
        """Models of the error of each group; none where an operator has no gradient, or runs one sample at a time."""
        roots = {v: g for g in groups for v in g.members if v.producer() is None or v.producer() not in self.behind[g]}
        if not all(r.batched for r in self.quantizer.runners.values()):
            return {}
        try:
            gradients = OutputGradients(self.quantizer.model, self.judged, list(roots))
        except NoGradient:
            return {}
        models = {}
        for group in dict.fromkeys(roots[v] for v in gradients.wanted):
            ends = [f(self.exact[v]) for v in group.members for f in (np.min, np.max)]
            models[group] = FirstOrder(float(min(ends)), float(max(ends)), SKETCHES * len(self.fit))
        for part, found in gradients(self.exact, self.signals()):
            for value, (x, gradient) in found.items():
                models[roots[value]].add(part, x, gradient)
        return models

    def signals(self) -> list[float]:
        """The squared sum of each judged value over the samples."""
        self._prepare()
        return [max(float(np.square(self.exact[v], dtype=np.float64).sum()), 1e-30) for v in self.judged]

    def activations_alone(self, ranges: Mapping[ir.Value, Quantization]) -> dict[str, float]:
        """Noise to signal at the outputs with one group of activations quantized and nothing else, by the name of its first value."""
        self._prepare()
        return {g.members[0].name: self._error(self.exact, g, ranges[g.members[0]]) for g in self.behind}

    def weights_alone(self, weights: Mapping[ir.Node, LayerWeights]) -> dict[ir.Node, float]:
        """Noise to signal at the outputs with the weights of one layer quantized and nothing else."""
        self._prepare()
        result = {}
        for node, layer in weights.items():
            changed: dict[ir.Value, np.ndarray] = {}
            exact = self.constants[node]
            self.constants[node] = (layer.real(), exact[1])
            for behind in (node, *self._reached(node.outputs)):
                self._run(behind, changed, self.exact)
                self._correct(self.exact, behind, changed)
            self.constants[node] = exact
            result[node] = self._noise(self.exact, changed)
        return result

    def _prepare(self) -> None:
        if not self.exact:
            _hotloops.trim_heap()
            for value in self.quantizer.model.graph.inputs:
                self.exact[value] = self.quantizer.probes[value.name][self.fit]
            for node in self.quantizer.model.graph:
                self._run(node, self.exact, self.exact)

    def _reached(self, values: Iterable[ir.Value]) -> list[ir.Node]:
        """The nodes that a change of the values reaches, in order."""
        changed, nodes = set(values), []
        for node in self.quantizer.model.graph:
            if any(v in changed for v in node.inputs):
                nodes.append(node)
                changed.update(node.outputs)
        return nodes

    def _error(self, exact: Arrays, group: Group, q: Quantization) -> float:
        """Noise to signal at the outputs with the group's values quantized by q and nothing else, exact being the float activations."""
        members, behind = set(group.members), self.behind[group]
        changed = {v: fake_quantize(exact[v], q) for v in group.members if v.producer() is None or v.producer() not in behind}
        for node in behind:
            self._run(node, changed, exact)
            self._correct(exact, node, changed)
            for value in node.outputs:
                if value in members:
                    changed[value] = fake_quantize(changed[value], q)
        return self._noise(exact, changed)

    def _correct(self, exact: Arrays, node: ir.Node, changed: dict[ir.Value, np.ndarray]) -> None:
        """What the layer's bias will take away: the difference of the channels' means."""
        if node in self.constants:
            value = node.outputs[0]
            difference = exact[value] - changed[value]
            axes = tuple(i for i in range(difference.ndim) if i != 2)  # [samples, batch, channels, …]
            changed[value] = changed[value] + difference.mean(axis=axes, keepdims=True, dtype=np.float64).astype(np.float32)

    def _noise(self, exact: Arrays, changed: Mapping[ir.Value, np.ndarray]) -> float:
        """Sum over the judged values of noise to signal."""
        total = 0.0
        for value in self.judged:
            if value in changed:
                signal = float(np.square(exact[value], dtype=np.float64).sum())
                total += float(np.square(changed[value] - exact[value], dtype=np.float64).sum()) / max(signal, 1e-30)
        return total

    def _run(self, node: ir.Node, into: dict[ir.Value, np.ndarray], otherwise: Mapping[ir.Value, np.ndarray]) -> None:
        arrays = {v: into[v] if v in into else otherwise[v] for v in node.inputs if v is not None and (v in into or v in otherwise)}
        into.update(zip(node.outputs, self.quantizer.run(node, arrays, self.constants.get(node, ())), strict=True))
