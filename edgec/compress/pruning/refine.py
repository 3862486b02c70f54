"""Refinement: all layers together, a few hundred steps down the gradient of the loss at the outputs.

Closed-form reconstruction serves each site by itself; what a site's error does to the outputs it cannot know. Here every layer is
moved at once, in coordinates in which its inputs are white (uncorrelated, of mean 0 and variance 1: the input half of K-FAC, Martens
and Grosse 2015, arXiv:1503.05671), by Adam with a step that shrinks to nothing along a cosine. Without the whitening, and above all
without steps relative to each layer's output, networks whose inputs are 0…255 diverge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.augment import Augment, suited
from edgec.compress.augment import features as features_moved
from edgec.compress.float_run import make_session
from edgec.compress.gradient import NoGradient, Tape, backward
from edgec.compress.pruning.reference import Reference, judged_values
from edgec.compress.pruning.regression import Normal
from edgec.compress.pruning.rows import patches_at
from edgec.compress.pruning.sites import Site
from edgec.compress.pruning.walk import walk
from edgec.compress.segment import copy_nodes
from edgec.graph.channel_affine import set_weights_and_bias, weights_and_bias
from edgec.graph.edit import shape_of

BATCH = 32
BETAS = (0.9, 0.99)
RIDGE = 1e-2
RATE, MIX = 0.01, 0.5
FEATURES, FEATURES_OF_MOVED = 30.0, 0.5
"""Weight of the error at the sites. Blends alone say little that is new; samples moved along time need it less (ds_cnn at 0.6, two folds:
divergence on unseen samples 0.039 and 0.056 with 30, 0.034 and 0.043 with 2, 0.030 and 0.038 with 0.5)."""


@dataclass
class White:
    """A layer's parameters in white coordinates: y = w·(L⁻¹(x − mean)) + b, the covariance of x being L·Lᵀ. By group."""

    node: ir.Node
    mean: np.ndarray
    inverse: np.ndarray  # L⁻¹, [groups, entries, entries]
    w: np.ndarray  # [groups, outputs, entries]
    b: np.ndarray  # [groups, outputs]

    @staticmethod
    def of(node: ir.Node, x: np.ndarray) -> White:
        """x: rows of its inputs, float32 [groups, rows, entries]."""
        normal = Normal.of(x)
        groups, entries = normal.mean.shape
        power = np.trace(normal.covariance, axis1=1, axis2=2) / entries
        damping = RIDGE * np.maximum(power, 1e-3 * power.mean() or 1.0)  # a silent input must not get large weights
        root = np.linalg.cholesky(normal.covariance + damping[:, None, None] * np.eye(entries))
        weights, bias = weights_and_bias(node)
        rows = weights.reshape(groups, len(weights) // groups, entries)
        b = bias.reshape(groups, -1) + (rows @ normal.mean[:, :, None])[:, :, 0]
        return White(node, normal.mean, np.linalg.inv(root), rows @ root, b)

    def parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights and bias as the node has them, float64."""
        rows = self.w @ self.inverse
        bias = self.b - (rows @ self.mean[:, :, None])[:, :, 0]
        weights, _ = weights_and_bias(self.node)
        return rows.reshape(weights.shape), bias.reshape(-1)

    def gradient(self, dw: np.ndarray, db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From the gradients of weights and bias to those of w and b."""
        db = db.reshape(self.b.shape).astype(np.float64)
        dw = dw.reshape(self.w.shape) - db[:, :, None] * self.mean[:, None]
        return dw @ self.inverse.transpose(0, 2, 1), db

    def unit(self) -> np.ndarray:
        """The size of a step of 1: the standard deviation of each output, [groups, outputs], none far below their mean."""
        size = np.linalg.norm(self.w, axis=2)
        return np.maximum(size, 0.1 * size.mean()) + 1e-12


def varied(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples with an axis of time as `augment.features` has them; all others blended in pairs, the second's part being at most MIX."""
    if _moves(batch.shape[1:]):
        return features_moved(batch, rng)
    part = rng.uniform(0, MIX, (len(batch), *(1,) * (batch.ndim - 1))).astype(np.float32)
    return batch + part * (batch[::-1] - batch)


def _moves(shape: tuple[int, ...]) -> bool:
    return suited(shape) == "features"


def refine(
    model: ir.Model,
    teacher: ir.Model,
    sites: Sequence[Site],
    kept: Sequence[np.ndarray],
    reference: Reference,
    *,
    steps: int,
    features: float | None = None,
    rate: float = RATE,
    augment: Augment = varied,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> None:
    """Moves all layers of model, in place; the reference's fitted samples are what it learns from.

    The loss is the divergence of the outputs (`Reference.loss`), and `features` times the squared error at every site, as a fraction
    of its variance, behind its Relu or Clip: without it a few thousand samples are learnt by heart.

    Args:
        teacher: the float network. kept: by site, bool [channels], the teacher's channels that model still has.
        features: None is FEATURES, or FEATURES_OF_MOVED where `varied` moves all inputs along time.
        rate: largest step, in units of an output's standard deviation.
        augment: what is done to a batch of an input before the step; the teacher is asked about the result.

    Raises:
        NoGradient: an operator has no gradient; the model is then as it was.
    """
    if not reference.batched:
        raise NoGradient("the model takes one sample at a time")
    nodes = list(model.graph)
    layers = [nodes[i] for site in sites for i in site.layers]
    for node in layers:  # every layer gets weights and a bias of its own
        set_weights_and_bias(node, *weights_and_bias(node))
    if features is None:
        features = FEATURES_OF_MOVED if augment is varied and all(_moves(shape_of(v)) for v in model.graph.inputs) else FEATURES
    step = _Step(model, teacher, sites, kept, layers, reference, features)
    white = _whiten(model, sites, reference)
    flat = [a for layer in white for a in (layer.w, layer.b)]
    units = [u for layer in white for u in (layer.unit()[:, :, None] / np.sqrt(layer.w.shape[2]), layer.unit())]
    first, second = [np.zeros_like(a) for a in flat], [np.zeros_like(a) for a in flat]
    rng = np.random.default_rng(seed)
    order = np.empty(0, int)
    for k in range(steps):
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(reference.fitted)])
        batch, order = order[:BATCH], order[BATCH:]  # fewer than BATCH where there are no more
        taken = {name: array[batch] for name, array in reference.samples.items()}
        taken = {name: augment(a, np.random.default_rng([seed, k])) for name, a in taken.items()}
        gradients = step(taken, [layer.parameters() for layer in white])
        flat_gradients = [g for layer, (dw, db) in zip(white, gradients, strict=True) for g in layer.gradient(dw, db)]
        scale = rate * min(1.0, (k + 1) / 20) * 0.5 * (1 + np.cos(np.pi * k / steps))
        for a, g, u, m, v in zip(flat, flat_gradients, units, first, second, strict=True):
            m += (1 - BETAS[0]) * (g - m)
            v += (1 - BETAS[1]) * (g * g - v)
            a -= scale * u * (m / (1 - BETAS[0] ** (k + 1))) / (np.sqrt(v / (1 - BETAS[1] ** (k + 1))) + 1e-30)
        progress((k + 1) / steps)
    for layer in white:
        set_weights_and_bias(layer.node, *layer.parameters())


def _whiten(model: ir.Model, sites: Sequence[Site], reference: Reference) -> list[White]:
    nodes = list(model.graph)
    white: list[White] = []

    def before(site: Site, arrays: dict[ir.Value, np.ndarray]) -> None:
        white.extend(
            White.of(nodes[i], patches_at(arrays[nodes[i].inputs[0]][: reference.fitted], nodes[i], reference.picks)) for i in site.layers
        )

    walk(model, sites, reference.samples, before, batched=reference.batched)
    return white


class _Step:
    """Gradients of the loss on a batch, with respect to the weights and bias of each layer. The float network runs beside."""

    def __init__(
        self,
        model: ir.Model,
        teacher: ir.Model,
        sites: Sequence[Site],
        kept: Sequence[np.ndarray],
        layers: list[ir.Node],
        reference: Reference,
        features: float,
    ) -> None:
        nodes, others = list(model.graph), list(teacher.graph)
        free = [v for n in layers for v in n.inputs[1:3]]
        copy, exact = copy_nodes(nodes, batched=True, free=set(free)), copy_nodes(others, batched=True, prefix="t")
        tape = Tape(copy)
        tape.nodes = [*exact.nodes, *tape.nodes]
        tape.initializers += exact.initializers
        starts: dict[ir.Value, ir.Value] = {}
        for (value, kind), (target, _), seen in zip(
            judged_values(model.graph), judged_values(teacher.graph), reference.outputs, strict=True
        ):
            a, b = tape.of(value), exact.copies[target]
            if kind == "classes":
                a, b = (tape.add("Softmax", v, axis=-1) for v in (a, b))
            start = tape.add("Sub", a, b)
            starts[value] = (
                start if kind == "classes" else tape.add("Div", start, np.array([max(seen.var(), 1e-30) * seen[0].size], np.float32))
            )
        for site, mask, seen in zip(sites, kept, reference.targets, strict=True):
            value, target = nodes[site.node].outputs[0], others[site.node].outputs[0]
            if value in starts or not features:
                continue
            if np.isfinite(site.bounds).any():
                value, target = (next(iter(v.uses()))[0].outputs[0] for v in (value, target))
            weight = features / (np.clip(seen, *site.bounds).var() * np.prod(shape_of(value)))
            of_kept = tape.add("Gather", exact.copies[target], np.flatnonzero(mask), axis=1)
            starts[value] = tape.add("Mul", tape.add("Sub", tape.of(value), of_kept), np.array([weight], np.float32))
        found = backward(tape, nodes, starts, free)
        self.feeds = [(copy.copies[v].name, v.name) for v in copy.inputs if v not in free] + [
            (exact.copies[v].name, v.name) for v in exact.inputs
        ]
        self.free = [copy.copies[v].name for v in free]
        graph = ir.Graph(
            [*(copy.copies[v] for v in copy.inputs), *(exact.copies[v] for v in exact.inputs)], [found[v] for v in free],
            nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": max(model.opset_imports.get("", 18), 18)}, name="step",
        )  # fmt: skip
        self.session = make_session(ir.Model(graph, ir_version=10))

    def __call__(
        self, samples: dict[str, np.ndarray], parameters: list[tuple[np.ndarray, np.ndarray]]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """samples: input name → float32 [batch, …]."""
        feed = {name: samples[given] for name, given in self.feeds}
        feed |= dict(zip(self.free, (a.astype(np.float32) for pair in parameters for a in pair), strict=True))
        found = self.session.run(None, feed)
        return list(zip(found[::2], found[1::2], strict=True))
