"""Narrower copies of one model: built for given widths, reconstructed, judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from edgec.compress.gradient import NoGradient
from edgec.compress.pruning.groups import Group, prunable, rank
from edgec.compress.pruning.reconstruct import Effort, reconstruct
from edgec.compress.pruning.reference import Reference, ask, judged_values
from edgec.compress.pruning.refine import refine, varied
from edgec.compress.pruning.samples import Parts
from edgec.compress.pruning.sites import find_sites
from edgec.compress.report import sqnr_db
from edgec.compress.segment import Segment, runs_in_batches
from edgec.compress.splits import FIT, REPORT, SELECT
from edgec.graph.channels import ChannelSpaces
from edgec.graph.edit import shape_of
from edgec.graph.narrow import narrow

QUICK_SAMPLES, QUICK_ROWS = 384, 12288
"""What ranks channels and measures candidates: of each of the fit and the select part, and of each site's regression."""

FINAL_ROWS = 65536
RANK_RIDGE = 1e-3

FEW = 1000
"""Samples below which a refinement that proved itself is done again with those that judged it: an eighth of them is missed (ds_cnn at 0.6, one
fold: divergence on unseen samples 0.039 with 328 samples, 0.033 with 375)."""

VARIANTS = 7
"""Of each held-out sample, which judge a refinement beside it: a few dozen samples alone have rejected what halved the loss on others."""


class Pruner:
    """Everything about a model that does not depend on the widths: sites, groups with their channels ranked, the reference's answers."""

    def __init__(self, model: ir.Model, parts: Parts, granularity: int, seed: int) -> None:
        self.model, self.parts, self.seed = model, parts, seed
        self.channels = ChannelSpaces(model.graph)
        self.sites = find_sites(model.graph)
        self.batched = runs_in_batches(model, parts.first(FIT, 3))
        self.reference = self._ask(parts.first(FIT, QUICK_SAMPLES), parts.first(SELECT, QUICK_SAMPLES), QUICK_ROWS)
        free, self.protected = prunable(self.channels)
        self.groups: list[Group] = rank(model, self.channels, free, self.sites, self.reference, granularity, RANK_RIDGE)

    def _ask(self, fit: dict[str, np.ndarray], judge: dict[str, np.ndarray], rows: int) -> Reference:
        samples = {name: np.concatenate([fit[name], judge[name]]) for name in fit}
        return ask(self.model, self.sites, samples, len(next(iter(fit.values()))), rows, batched=self.batched, seed=self.seed)

    def build(self, widths: tuple[int, ...]) -> tuple[ir.Model, list[np.ndarray], set[ir.Value]]:
        """(a copy with these widths and the old weights, by site which channels it still has, the values that shrank)."""
        copy = self.model.clone()
        channels = ChannelSpaces(copy.graph)
        twins = dict(zip(self.channels.all(), channels.all(), strict=True))
        keep = {twins[g.space]: mask for g, w in zip(self.groups, widths, strict=True) if not (mask := g.keep(w)).all()}
        kept = []
        nodes = list(copy.graph)
        for value in (nodes[s.node].outputs[0] for s in self.sites):
            layout = channels.layout.get(value)
            kept.append(np.ones(shape_of(value)[1], bool) if layout is None else layout.mask(lambda s: keep.get(s, np.ones(s.size, bool))))
        narrow(copy.graph, channels, keep)
        return copy, kept, {v for s in keep for v in s.values}

    def quick(self, widths: tuple[int, ...], effort: Effort) -> float:
        """The loss on the select part of the network with these widths, fitted to a part of the fit part."""
        model, kept, changed = self.build(widths)
        answers = reconstruct(model, self.sites, kept, self.reference, effort, changed)
        return self.reference.loss(answers, slice(self.reference.fitted, None))

    def final(
        self, widths: tuple[int, ...], effort: Effort, steps: int, fit_select: bool, progress: Callable[[float], None]
    ) -> tuple[ir.Model, str]:
        """(the network with these widths, fitted to the fit part, and to the select part if fit_select; what came of its refinement in
        `steps` steps)."""
        model, kept, changed = self.build(widths)
        if not changed:
            return model, "nothing was pruned"
        fit, select = self.parts.arrays[FIT], self.parts.arrays[SELECT]
        fit = fit if self.parts.degraded or not fit_select else {name: np.concatenate([fit[name], select[name]]) for name in fit}
        reference = self._ask(fit, {name: array[:0] for name, array in fit.items()}, FINAL_ROWS)
        reconstruct(model, self.sites, kept, reference, effort, changed)
        return self._refined(model, kept, fit, steps, progress) if steps else (model, "not asked for")

    def _refined(
        self, model: ir.Model, kept: list[np.ndarray], fit: dict[str, np.ndarray], steps: int, progress: Callable[[float], None]
    ) -> tuple[ir.Model, str]:
        """The better of model and its refinement, judged on every eighth sample, which the refinement does not see, and variants of it."""
        count = len(next(iter(fit.values())))
        held = np.arange(count) % 8 == 0

        def refined(samples: dict[str, np.ndarray]) -> ir.Model:
            reference = self._ask(samples, {n: a[:0] for n, a in samples.items()}, QUICK_ROWS)
            copy = model.clone()
            refine(copy, self.model, self.sites, kept, reference, steps=steps, seed=self.seed, progress=progress)
            return copy

        try:
            copy = refined({n: a[~held] for n, a in fit.items()})
        except NoGradient as reason:
            return model, f"left out: {reason}"
        real = {n: a[held] for n, a in fit.items()}
        variants = {n: [varied(a, np.random.default_rng([self.seed, 1, i])) for i in range(VARIANTS)] for n, a in real.items()}
        judged = {n: np.concatenate([a, *variants[n]]) for n, a in real.items()}
        reference = ask(self.model, [], judged, 0, 0, batched=self.batched)
        before, after = (reference.loss(self._answers(m, judged)) for m in (model, copy))
        text = f"{steps} steps: loss on held-out samples {before:.4f} before, {after:.4f} after"
        if after >= before:
            return model, f"not kept, {text}"
        return (refined(fit), f"{text}, then done again with them") if count < FEW else (copy, text)

    def _answers(self, model: ir.Model, samples: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        judged = [v for v, _ in judged_values(model.graph)]
        segment = Segment(list(model.graph), dict.fromkeys(judged), model.opset_imports.get("", 18), batched=self.batched)
        found = segment({v: samples[v.name] for v in model.graph.inputs})
        return [found[v] for v in judged]

    def judge(self, model: ir.Model) -> dict[str, Any]:
        """loss, agreement (None without classes) and SQNR of the judged values, on the report part."""
        samples = self.parts.arrays[REPORT]
        reference = ask(self.model, [], samples, 0, 0, batched=self.batched)
        answers = self._answers(model, samples)
        agreement = reference.agreement(answers)
        return {
            "loss": round(reference.loss(answers), 5),
            "agreement": None if agreement is None else round(agreement, 4),
            "sqnr_db": round(float(np.mean([sqnr_db(a, b) for a, b in zip(reference.outputs, answers, strict=True)])), 2),
        }
