"""What quantizing one activation does to the outputs' error, to first order: from gradients, without running the network again.

The error at an output is Σ g·δ over the activation's values, g the gradient and δ what rounding or clipping does to the value.
Rounding errors are as good as independent, so their squares add up, weighted by g²: a histogram of the values, weighted so, gives
their sum for any range. What clipping does has one sign in every value, so there the sum is squared, sample by sample, less the
mean of each channel, which the biases behind take away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgec.compress import _hotloops
from edgec.compress.float_run import make_session
from edgec.compress.gradient import Tape, backward
from edgec.compress.ranges import Quantization
from edgec.compress.segment import copy_nodes
from edgec.graph.edit import shape_of

BINS = 2048
WIDE_BINS = BINS // 4
SKETCHES = 4
"""Gradients of each sample: of sums of the outputs with random signs, whose mean square is the sum of the squares."""

CHUNK_BYTES = 24 * 2**20


class OutputGradients:
    """Gradients of the judged values by others, for many samples.

    Raises:
        NoGradient: an operator between has no rule.
    """

    def __init__(self, model: ir.Model, judged: Sequence[ir.Value], wanted: Sequence[ir.Value]) -> None:
        nodes = _before(model.graph, judged)
        copy = copy_nodes(nodes, batched=True)
        tape = Tape(copy)
        self.judged, self.inputs = list(judged), copy.inputs
        self.starts = {
            v: ir.Value(name=f"start{i}", shape=ir.Shape(("N", *shape_of(v)[1:])), type=ir.TensorType(ir.DataType.FLOAT)) for i, v in enumerate(judged)
        }
        found = backward(tape, nodes, self.starts, wanted)
        self.wanted = list(found)
        self.pairs = [(copy.copies[v], found[v]) for v in found]
        self.names = {v: copy.copies[v].name for v in self.inputs}
        fed = {*self.names.values(), *(s.name for s in self.starts.values())}
        outputs = list(dict.fromkeys(v for pair in self.pairs for v in pair if v.name not in fed))
        self.given = [v.name for v in outputs]
        graph = ir.Graph(
            [*(copy.copies[v] for v in self.inputs), *self.starts.values()], outputs, nodes=tape.nodes, initializers=tape.initializers,
            opset_imports={"": max(model.opset_imports.get("", 18), 18)}, name="gradients",
        )  # fmt: skip
        self.session = make_session(ir.Model(graph, ir_version=10), arena=False)
        self.bytes = 8 * sum(int(np.prod(shape_of(o))) for n in nodes for o in n.outputs)

    def __call__(self, samples: Mapping[ir.Value, np.ndarray], signals: Sequence[float]) -> Iterator[tuple[slice, dict[ir.Value, tuple[np.ndarray, np.ndarray]]]]:
        """Rows, and (value, gradient) [rows, …] of each wanted value in them; SKETCHES rows for each of samples [samples, 1, …].

        signals: what the squared error of each judged value is divided by.
        """
        count = SKETCHES * len(samples[self.inputs[0]])
        rng = np.random.default_rng(0)
        step = max(1, CHUNK_BYTES // self.bytes)
        for start in range(0, count, step):
            part = slice(start, min(start + step, count))
            taken = np.arange(part.start, part.stop) // SKETCHES
            feed = {self.names[v]: samples[v][taken, 0] for v in self.inputs}
            for value, signal in zip(self.judged, signals, strict=True):
                signs = 2 * rng.integers(0, 2, (len(taken), *shape_of(value)[1:])) - 1
                feed[self.starts[value].name] = (signs / np.sqrt(signal * SKETCHES)).astype(np.float32)
            results = feed | (dict(zip(self.given, self.session.run(self.given, feed), strict=True)) if self.given else {})
            yield part, {v: (results[a.name], results[b.name]) for v, (a, b) in zip(self.wanted, self.pairs, strict=True)}


class FirstOrder:
    """The error of one group of activations, for any range.

    low, high: of its values; rows: of gradients.
    """

    def __init__(self, low: float, high: float, rows: int) -> None:
        self.low, self.width = low, max((high - low) / BINS, 1e-30)
        self.weight, self.weighted = np.zeros(BINS), np.zeros(BINS)
        self.rows, self.sums = np.zeros((rows, WIDE_BINS), np.float32), np.zeros((rows, 0))
        self.seen, self.active = np.zeros((0, WIDE_BINS), np.float32), np.zeros(0)

    def add(self, part: slice, x: np.ndarray, gradients: np.ndarray) -> None:
        """x, gradients: float32 [rows of part, channels, …]."""
        shape = (len(x), x.shape[1] if x.ndim > 1 else 1, -1)
        channels = shape[1]
        if len(self.active) < channels:  # members of a group may have different numbers
            more = channels - len(self.active)
            self.seen = np.pad(self.seen, ((0, more), (0, 0)))
            self.active, self.sums = np.pad(self.active, (0, more)), np.pad(self.sums, ((0, 0), (0, more)))
        _hotloops.spread_gradients(
            np.ascontiguousarray(x).reshape(shape), np.ascontiguousarray(gradients).reshape(shape), self.low, self.width,
            self.rows[part], self.weight, self.weighted, self.seen, self.active, self.sums[part],
        )  # fmt: skip

    def finished(self) -> FirstOrder:
        """self, after the last add."""
        used = np.flatnonzero(self.weight)
        self.values, self.weights = self.weighted[used] / self.weight[used], self.weight[used]
        self.means = self.seen / np.maximum(self.active, 1)[:, None]
        self.parts = [(_before_each(a), _before_each(a * self._middles())) for a in (self.rows, self.means)]
        self.known: dict[tuple[float, bool], np.ndarray] = {}
        return self

    def error(self, q: Quantization) -> float:
        """Of the outputs, squared, over their signal."""
        inside = np.clip(self.values, q.low, q.high)
        return _hotloops.rounding_error(inside, self.weights, q.scale, q.zero_point) + float(
            np.square(self._clipping(q.high, True) + self._clipping(q.low, False)).sum()
        )

    def _middles(self) -> np.ndarray:
        return self.low + 4 * self.width * (np.arange(WIDE_BINS) + 0.5)

    def _clipping(self, end: float, above: bool) -> np.ndarray:
        """Σ g·δ of the values beyond an end, less what the biases take: float64 [rows]."""
        if (end, above) not in self.known:
            of_rows, of_means = (self._beyond(a, *p, end, above) for a, p in zip((self.rows, self.means), self.parts, strict=True))
            self.known[end, above] = of_rows - (self.sums * of_means).sum(axis=1)
        return self.known[end, above]

    def _beyond(self, a: np.ndarray, count: np.ndarray, moment: np.ndarray, end: float, above: bool) -> np.ndarray:
        """Σ of a [any, bins] times how far its bins are beyond the end; the values of a bin lie evenly in it."""
        width = 4 * self.width
        k = int(np.clip(np.floor((end - self.low) / width), 0, WIDE_BINS - 1))
        left = self.low + k * width
        if above:
            split = a[:, k] * (np.clip(left + width - end, 0, width) ** 2 / (2 * width))
            return -(moment[:, -1] - moment[:, k + 1] - end * (count[:, -1] - count[:, k + 1]) + split)
        split = a[:, k] * (np.clip(end - left, 0, width) ** 2 / (2 * width))
        return end * count[:, k] - moment[:, k] + split


def _before_each(a: np.ndarray) -> np.ndarray:
    """Sums of the bins before each, and of all: float64 [any, bins + 1]."""
    return np.pad(np.cumsum(a, axis=1, dtype=np.float64), ((0, 0), (1, 0)))


def _before(graph: ir.Graph, values: Sequence[ir.Value]) -> list[ir.Node]:
    needed, nodes = set(values), []
    for node in reversed(list(graph)):
        if any(o in needed for o in node.outputs):
            needed.update(v for v in node.inputs if v is not None)
            nodes.append(node)
    return nodes[::-1]
