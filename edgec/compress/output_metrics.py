"""How errors of a layer's channels meet at the network's outputs, which says how its rows are best rounded together.

A channel's error can be made up for by another channel's where the layers behind read both. To second order the outputs' error is
Σ over positions of δᵀ G δ, δ the error of the layer's channels there and G the mean of g gᵀ, g the gradient of the outputs by them.
With the covariance H of the layer's inputs this is trace(G Δ H Δᵀ) for weights changed by Δ: one matrix more than a layer's own
error has (K-FAC: Martens and Grosse 2015, arXiv:1503.05671; for rounding: YAQA, Tseng et al. 2025, arXiv:2505.22988).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.compress.first_order import OutputGradients
from edgec.compress.gradient import NoGradient
from edgec.compress.layerwise import LayerwiseQuantizer, layer_name
from edgec.compress.output_ranges import OutputRanges
from edgec.compress.sums import rows_product
from edgec.graph import count_macs

SAMPLES = 256
WORK = 8.0e9
"""Multiply-accumulates of the samples' forward runs, at most; larger networks get fewer samples."""


def output_metrics(quantizer: LayerwiseQuantizer, judged: tuple[ir.Value, ...], layers: Sequence[ir.Node], fit: np.ndarray) -> dict[str, np.ndarray]:
    """Layer name → G float64 [channels, channels], of mean diagonal 1, from the probes with indices fit.

    Layers without a gradient, and without influence on these samples, are left out.
    """
    search = OutputRanges(quantizer, judged, fit)
    if not search.usable:
        return {}
    signals = search.signals()  # its runs show which nodes take many samples at once
    if not all(r.batched for r in quantizer.runners.values()):
        return {}
    by_output = {n.outputs[0]: n for n in layers}
    try:
        gradients = OutputGradients(quantizer.model, judged, list(by_output))
    except NoGradient:
        return {}
    count = int(np.clip(WORK // max(count_macs(quantizer.model), 1), 1, min(SAMPLES, len(fit))))
    taken = fit[np.linspace(0, len(fit) - 1, count).round().astype(int)]
    samples = {v: quantizer.probes[v.name][taken] for v in quantizer.model.graph.inputs}
    sums: dict[ir.Value, np.ndarray] = {}
    for _, found in gradients(samples, signals):
        for value, (_, gradient) in found.items():
            by_channel = np.moveaxis(gradient, 1, -1).reshape(1, -1, gradient.shape[1])
            square = rows_product(*2 * [np.ascontiguousarray(by_channel)])[0].astype(np.float64)
            sums[value] = sums[value] + square if value in sums else square
    return {layer_name(by_output[v]): g * (len(g) / np.trace(g)) for v, g in sums.items() if np.trace(g) > 0}
