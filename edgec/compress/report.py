"""What quantization chose and what it cost, for people and as a dict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorReport:
    """One activation: what calibration saw (low, high), the parameters, the fraction of values clipped, a small histogram."""

    name: str
    low: float
    high: float
    scale: float
    zero_point: int
    rule: str
    clipped: float
    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class LayerReport:
    """One layer with weights: signal to quantization noise in dB of its weights alone, and of its output in the quantized network."""

    name: str
    operator: str
    weight_sqnr_db: float
    output_sqnr_db: float
    smallest_scale: float
    largest_scale: float
    bits: int = 8


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder: what it adds to the ones kept before it, its SQNR in dB on held-out probes, whether it was kept."""

    name: str
    sqnr_db: float
    kept: bool


@dataclass
class QuantizationReport:
    """tensors and layers in the order of the graph.

    output_sqnr_db: of each graph output on the probe samples (in front of a final softmax: of its logits); the network was
    fitted to these samples, so expect a little less on others. rungs: what was tried, and the SQNR, on a quarter of the
    probes that took no part in the fitting, by which it was kept or not. weight_bits: layer name → 8 or 4; weight_bytes: of all
    layers, as `mixed_precision.weight_bytes` counts them.
    """

    samples: int = 0
    probes: int = 0
    synthetic: bool = False
    tensors: list[TensorReport] = field(default_factory=list)
    layers: list[LayerReport] = field(default_factory=list)
    output_sqnr_db: dict[str, float] = field(default_factory=dict)
    rungs: list[Rung] = field(default_factory=list)
    weight_bits: dict[str, int] = field(default_factory=dict)
    weight_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sqnr_db(reference: np.ndarray, approximation: np.ndarray) -> float:
    """10·log10(Σ x² / Σ (x − x̂)²), clipped to ±200; 200 stands for no error at all."""
    reference = np.asarray(reference, np.float32).reshape(-1)
    difference = reference - np.asarray(approximation, np.float32).reshape(-1)
    noise, signal = float(np.dot(difference, difference)), float(np.dot(reference, reference))
    if noise == 0.0:
        return 200.0
    return float(np.clip(10 * np.log10(signal / noise), -200.0, 200.0)) if signal > 0 else -200.0
