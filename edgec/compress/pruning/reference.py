"""What the float network answers: targets of every site at picked positions, and its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.pruning.rows import Picks, values_at
from edgec.compress.pruning.sites import Site
from edgec.compress.segment import BATCH, Segment
from edgec.errors import DataError
from edgec.graph.edit import integer, is_op, shape_of

Samples = Mapping[str, np.ndarray]

LARGEST = 1e15
"""Beyond it the sums of squares of a float32 regression overflow."""


@dataclass
class Reference:
    """samples: input name → float32 [samples, …], those that are fitted to first, `fitted` of them; the others only judge.

    targets: by site, float32 [rows, channels]; outputs: of each judged value, [samples, …]; kinds: "classes" where a Softmax
    follows, else "numbers".
    """

    samples: Samples
    fitted: int
    picks: Picks
    targets: list[np.ndarray]
    outputs: list[np.ndarray]
    kinds: list[str]
    batched: bool

    def loss(self, answers: Sequence[np.ndarray], part: slice | None = None) -> float:
        """How far answers, the judged values of another network, are from this one's: mean over them of the Kullback-Leibler divergence
        (nats) of classes, and of the squared error as a fraction of the variance for numbers. part: samples that count."""
        part = slice(None) if part is None else part
        return float(np.mean([_distance(a[part], b[part], kind) for a, b, kind in zip(self.outputs, answers, self.kinds, strict=True)]))

    def agreement(self, answers: Sequence[np.ndarray], part: slice | None = None) -> float | None:
        """Fraction of samples with the same greatest class, None without classes."""
        part = slice(None) if part is None else part
        same = [
            a[part].argmax(-1) == b[part].argmax(-1)
            for a, b, kind in zip(self.outputs, answers, self.kinds, strict=True)
            if kind == "classes"
        ]
        return float(np.mean([s.mean() for s in same])) if same else None


def judged_values(graph: ir.Graph) -> list[tuple[ir.Value, str]]:
    """The values whose error says most about each output, and their kind: the logits in front of a softmax."""
    found = []
    for output in graph.outputs:
        producer = output.producer()
        if producer is None:  # an input handed through
            continue
        last = is_op(producer, "Softmax") and integer(producer, "axis", -1) in (-1, len(shape_of(output)) - 1)
        found.append((producer.inputs[0], "classes") if last and producer.inputs[0].producer() is not None else (output, "numbers"))
    return found


def ask(model: ir.Model, sites: Sequence[Site], samples: Samples, fitted: int, rows: int, *, batched: bool, seed: int = 0) -> Reference:
    """The reference of model. rows: of each site's regression, shared out over the fitted samples."""
    nodes = list(model.graph)
    judged = judged_values(model.graph)
    ends = [nodes[s.node].outputs[0] for s in sites]
    segment = Segment(nodes, dict.fromkeys([*ends, *(v for v, _ in judged)]), model.opset_imports.get("", 18), batched=batched)
    picks = Picks(fitted, rows, seed)
    count = len(next(iter(samples.values())))
    targets: list[list[np.ndarray]] = [[] for _ in sites]
    outputs: list[list[np.ndarray]] = [[] for _ in judged]
    for start in range(0, count, BATCH):
        stop = min(start + BATCH, fitted) if start < fitted else min(start + BATCH, count)
        for first, last in ((start, stop), (stop, min(start + BATCH, count))):
            if first == last:
                continue
            found = segment({v: samples[v.name][first:last] for v in model.graph.inputs})
            for kept, (value, _) in zip(outputs, judged, strict=True):
                kept.append(found[value])
            for kept, value in zip(targets, ends, strict=True):
                if first < fitted:
                    kept.append(values_at(found[value], picks, first))
    for value, parts in zip([*ends, *(v for v, _ in judged)], [*targets, *outputs], strict=True):
        if not all((np.abs(part) < LARGEST).all() for part in parts):  # not true of NaN either
            raise DataError(
                f"activation {value.name!r} is not finite",
                where="pruning data",
                why=f"for some samples it holds NaN, or values beyond {LARGEST:g}, though the inputs are finite",
                fix="check the samples' scale (are they preprocessed as in training?), or the model's weights",
            )
    return Reference(
        samples,
        fitted,
        picks,
        [np.concatenate(t) for t in targets],
        [np.concatenate(o) for o in outputs],
        [kind for _, kind in judged],
        batched,
    )


def _distance(a: np.ndarray, b: np.ndarray, kind: str) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    if kind == "numbers":
        return float(np.square(a - b).mean() / max(a.var(), 1e-30))
    p, q = (v - v.max(axis=-1, keepdims=True) for v in (a, b))
    p, q = (v - np.log(np.exp(v).sum(axis=-1, keepdims=True)) for v in (p, q))
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())
