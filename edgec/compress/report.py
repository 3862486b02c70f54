"""What quantization chose and what it cost, for people and as a dict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from edgec.compress import _hotloops


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
    """One rung of the ladder: what it adds to the ones kept before it, and whether it was kept.

    sqnr_db: of the outputs on the select part. gain_db: less noise than without it, in the outputs and in front of the last
    layers; chance_db: the standard error of that. It is kept unless it is worse by more than chance. Of a rung that asks for other
    kernels both are of the outputs alone, and it must gain (`ladder.Bar`).
    """

    name: str
    sqnr_db: float
    gain_db: float
    chance_db: float
    kept: bool


@dataclass(frozen=True)
class OutputReport:
    """One graph output beside float: SQNR in dB (in front of a final softmax: of its logits); for class scores the percentage of
    samples with the same class and its Wilson interval at 95 %, else None."""

    name: str
    samples: int
    sqnr_db: float
    agreement: float | None = None
    agreement_interval: list[float] | None = None


@dataclass
class QuantizationReport:
    """tensors and layers in the order of the graph.

    samples: all; parts: how many of them fell to fit, select and report; degraded: why no samples could be held out, or "";
    held_out: whether the report part came beside the samples to fit to; left_out: how many were in both, and not fitted to.
    rungs: what was tried, judged on the select part. outputs: measured on the report part, which nothing was chosen by (or on all
    samples where degraded and not held_out); output_sqnr_db: the SQNR among them. weight_bits: layer name → 8 or 4; weight_bytes: of all layers,
    as `weight_bytes.weight_bytes` counts them; sensitivities: of `sensitivity.LayerSensitivity`, where they chose the bits.
    """

    samples: int = 0
    probes: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    degraded: str = ""
    held_out: bool = False
    left_out: int = 0
    synthetic: bool = False
    tensors: list[TensorReport] = field(default_factory=list)
    layers: list[LayerReport] = field(default_factory=list)
    outputs: list[OutputReport] = field(default_factory=list)
    output_sqnr_db: dict[str, float] = field(default_factory=dict)
    rungs: list[Rung] = field(default_factory=list)
    weight_bits: dict[str, int] = field(default_factory=dict)
    weight_bytes: int = 0
    sensitivities: list[Any] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sqnr_db(reference: np.ndarray, approximation: np.ndarray) -> float:
    """10·log10(Σ x² / Σ (x − x̂)²), as `decibels`."""
    x, y = (np.ascontiguousarray(a, np.float32).reshape(-1) for a in (reference, approximation))
    noise, signal = _hotloops.squares(x, y)
    return decibels(signal, noise)


def decibels(signal: float, noise: float) -> float:
    """10·log10(signal / noise), clipped to ±200; 200 stands for no noise at all."""
    if noise == 0.0:
        return 200.0
    return float(np.clip(10 * np.log10(signal / noise), -200.0, 200.0)) if signal > 0 else -200.0
