"""Where quantization noise comes from: each layer's weights at 8 and at 4 bits, and each activation at 8, one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgec.compress.candidate import RangeOptions
from edgec.compress.layerwise import LayerOptions, layer_name
from edgec.compress.output_ranges import OutputRanges
from edgec.compress.sensitivity import measure, to_measure
from edgec.progress import Progress


def noise_report(model: ir.Model, data: Any, progress: Progress | None = None) -> dict[str, Any]:
    """Plain values, noise being squared error over signal at the outputs (in front of a final softmax), SQNR the same in dB.

    Args:
        model: float, static shapes, after `edgec.graph.optimize`; it is not changed.
        data: samples as `edgec.compress.quantize` takes them.

    Returns: `layers`: name, operator, bytes_8, bytes_4, `noise_8` with only this layer's weights at 8 bits and all else float,
        `noise_4` likewise with what 4 bits add (measured in the int8 network), cautious; `activations`: name, low, high, rule,
        noise_8 with only this one at 8 bits; `sqnr_db` of the int8 network; `samples` and `degraded` of the split.

    Raises:
        DataError: as quantize.
    """
    candidate, split = to_measure(model, data, progress)
    ranges = candidate.ranges(RangeOptions())
    narrow = {s.name: s for s in measure(candidate, RangeOptions(), LayerOptions(), progress)}
    weights = candidate.quantizer.walk(ranges.parameters, LayerOptions(), (), candidate.found.fit, progress).weights
    alone = OutputRanges(candidate.quantizer, candidate.judged, np.flatnonzero(candidate.found.select))
    if not alone.usable:  # a large network, or hardly any samples
        alone.fit = np.flatnonzero(candidate.found.select)[:4]
    noise = alone.weights_alone(weights)
    quantized = alone.activations_alone(ranges.parameters)
    layers = []
    for node in candidate.placement.layers:
        s = narrow[layer_name(node)]
        layers.append(
            {
                "name": s.name, "operator": s.operator, "bytes_8": s.bytes_8, "bytes_4": s.bytes_4, "noise_8": noise[node],
                "noise_4": noise[node] + max(s.noise, 0.0) if s.saved else None, "cautious": s.cautious,
            }  # fmt: skip
        )
    activations = [
        {
            "name": g.members[0].name, "low": ranges.parameters[g.members[0]].low, "high": ranges.parameters[g.members[0]].high,
            "rule": rule, "noise_8": quantized[g.members[0].name],
        }  # fmt: skip
        for g, rule in ranges.rules.items()
    ]
    base = next((s.base_sqnr_db for s in narrow.values()), 200.0)
    return {"layers": layers, "activations": activations, "sqnr_db": base, "samples": split.samples, "degraded": split.degraded}
