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


@dataclass
class QuantizationReport:
    """tensors and layers in the order of the graph; output_sqnr_db: of each graph output on probe samples (for a final softmax, of its logits).

    rungs: what was tried on calibration data, and the figure it was judged by.
    """

    samples: int = 0
    probes: int = 0
    synthetic: bool = False
    tensors: list[TensorReport] = field(default_factory=list)
    layers: list[LayerReport] = field(default_factory=list)
    output_sqnr_db: dict[str, float] = field(default_factory=dict)
    rungs: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sqnr_db(reference: np.ndarray, approximation: np.ndarray) -> float:
    """10·log10(Σ x² / Σ (x − x̂)²); 200 stands for no error at all."""
    reference = np.asarray(reference, np.float64)
    noise = float(np.square(reference - approximation).sum())
    signal = float(np.square(reference).sum())
    if noise == 0.0:
        return 200.0
    return float(np.clip(10 * np.log10(signal / noise), -200.0, 200.0)) if signal > 0 else -200.0
