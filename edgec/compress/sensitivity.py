"""What each layer costs at the output when its weights alone go from 8 to 4 bits.

The network is quantized once with 8 bits everywhere; on the way every layer is also solved at 4 bits for the inputs it gets.
Then the network is replayed once a layer, with that one layer exchanged. Errors of different layers are nearly uncorrelated, so
the noise they add to the outputs adds up, which makes these numbers good for choosing combinations (`mixed_precision`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from edgec.compress import low_bits
from edgec.compress.candidate import Candidate, RangeOptions
from edgec.compress.layerwise import LayerOptions, ensure_bias, layer_name
from edgec.compress.placement import is_depthwise, place
from edgec.compress.splits import Split
from edgec.compress.weight_bytes import can_be_narrow, layer_bytes
from edgec.data import samples_of
from edgec.graph.edit import shape_of
from edgec.progress import Progress


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer with weights.

    Attributes:
        name, operator: of the layer; layers come in the order of the graph.
        bytes_8, bytes_4: its weights, biases and multipliers with weights of 8 and of 4 bits.
        noise: what 4 bits in this layer alone add to noise / signal at the outputs (mean over outputs; negative by luck).
        sqnr_db: at the outputs with 4 bits in this layer alone; base_sqnr_db: with 8 bits everywhere.
        cautious: the first layers and depthwise ones, which stay at 8 bits unless that is proven worse.
    """

    name: str
    operator: str
    bytes_8: int
    bytes_4: int
    noise: float
    sqnr_db: float
    base_sqnr_db: float
    cautious: bool

    @property
    def saved(self) -> int:
        """Bytes that 4 bits save; 0 where there is no 4-bit form."""
        return self.bytes_8 - self.bytes_4

    @property
    def noise_per_byte(self) -> float:
        return self.noise / self.saved if self.saved else float("inf")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"noise_per_byte": self.noise_per_byte if self.saved else None}


def sensitivity(model: ir.Model, data: Any, *, ranges: RangeOptions = RangeOptions(), progress: Progress | None = None) -> list[LayerSensitivity]:
    """Measure every layer: fitted to the fit part of data, judged on its select part.

    Args:
        model: float, static shapes, after `edgec.graph.optimize`; it is not changed.
        data: samples as `edgec.compress.quantize` takes them.

    Raises:
        DataError: as quantize.
    """
    return measure(to_measure(model, data, progress)[0], ranges, LayerOptions(), progress)


def to_measure(model: ir.Model, data: Any, progress: Progress | None = None) -> tuple[Candidate, Split]:
    """A candidate that `measure` takes, made of a copy of the model, and the parts of data; as `sensitivity`."""
    split = Split(samples_of(data, {v.name: shape_of(v) for v in model.graph.inputs}))
    model = model.clone()
    ensure_bias(model, place(model.graph).layers)
    return Candidate(model, split, low_bits.PROBES, progress), split


def measure(candidate: Candidate, ranges: RangeOptions, options: LayerOptions, progress: Progress | None = None) -> list[LayerSensitivity]:
    """As `sensitivity`, of a candidate whose layers have biases. options: `bits` are not looked at."""
    quantizer, parameters = candidate.quantizer, candidate.ranges(ranges).parameters
    layers = candidate.placement.layers
    narrow = replace(options, bits={layer_name(n): 4 for n in layers if can_be_narrow(n)})
    walk = quantizer.walk(parameters, replace(options, bits={}), candidate.judged, candidate.found.fit, instead=narrow)
    held = {v: a[candidate.found.select] for v, (a, _) in walk.kept.items()}
    base = noise_to_signal(held, {v: b[candidate.found.select] for v, (_, b) in walk.kept.items()})
    first = first_layers(candidate.model.graph, layers)
    found = []
    for done, node in enumerate(layers, 1):
        with_this = base
        if can_be_narrow(node):
            outputs = quantizer.replay(parameters, {**walk.weights, node: walk.instead[node]}, candidate.judged, candidate.found.select)
            with_this = noise_to_signal(held, outputs)
        found.append(
            LayerSensitivity(
                layer_name(node), node.op_type, layer_bytes(node, 8), layer_bytes(node, 4 if can_be_narrow(node) else 8), with_this - base,
                _db(with_this), _db(base), node in first or is_depthwise(node),
            )  # fmt: skip
        )
        if progress is not None:
            progress("sensitivity", done / len(layers))
    return found


def noise_to_signal(exact: Mapping[ir.Value, np.ndarray], rounded: Mapping[ir.Value, np.ndarray]) -> float:
    """Mean over the values of Σ (x − x̂)² / Σ x²; 0 if there are none."""
    ratios = []
    for value, x in exact.items():
        noise = float(np.square(x - rounded[value], dtype=np.float64).sum())
        ratios.append(noise / max(float(np.square(x, dtype=np.float64).sum()), 1e-30) if noise else 0.0)
    return float(np.mean(ratios)) if ratios else 0.0


def first_layers(graph: ir.Graph, layers: Sequence[ir.Node]) -> set[ir.Node]:
    """Layers that read a graph input with no other layer between."""
    fed, known, first = set(graph.inputs), set(layers), set()
    for node in graph:
        if any(v in fed for v in node.inputs):
            if node in known:
                first.add(node)
            else:
                fed.update(node.outputs)
    return first


def _db(noise: float) -> float:
    return float(-10 * np.log10(max(noise, 1e-20)))
