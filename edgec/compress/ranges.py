"""From a histogram to a scale and a zero_point: the int8 range with the least mean squared error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.compress import _hotloops
from edgec.compress.observer import Histogram

SMALLEST_SCALE = 2.0**-40
"""Keeps s_x·s_w a normal float32, also for tensors that calibration saw only as zeros."""

COARSE = np.geomspace(0.08, 1.0, 48)[::-1]
LATTICE_LEVELS = 256

LOUDNESS = ((0.8, 0.25), (1.0, 0.5), (1.2, 0.25))
"""(factor, weight): the range search sees the histogram mixed with itself, a fifth quieter and a fifth louder.

What is quantized later is not what calibration saw: its far ends reach further, most where few values were seen (logits), not
at all where an operator bounds them. Searching the bare histogram overfits its ends; with this mixture the logits of unseen
samples gain 0.3 to 2 dB (ds_cnn, resnet8; chosen on training data only).
"""

GRID = 0.93
"""output_ranges tries ends at those of the histogram times powers of this."""


@dataclass(frozen=True)
class Quantization:
    """real = scale · (q − zero_point), q int8 (int16 for bits 16). scale is exactly a float32.

    narrow: of an int16 value, the int8 parameters for readers that know 8 bits only.
    """

    scale: float
    zero_point: int
    bits: int = 8
    narrow: Quantization | None = None

    @property
    def low(self) -> float:
        return (-(2 ** (self.bits - 1)) - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        return (2 ** (self.bits - 1) - 1 - self.zero_point) * self.scale


SOFTMAX = Quantization(1.0 / 256, -128)
TANH = Quantization(1.0 / 128, 0)
NATURAL = {"Softmax": SOFTMAX, "Sigmoid": SOFTMAX, "HardSigmoid": SOFTMAX, "Tanh": TANH}
"""Operators whose output range is known beforehand; the scales are powers of two, as int8 runtimes expect for softmax."""


def from_bounds(low: float, high: float) -> Quantization:
    """Parameters whose 255 steps span [low, high]; the range is widened to hold 0, and 0 is exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high <= low:
        return Quantization(1.0, 0)
    scale = float(np.float32(max((high - low) / 255.0, SMALLEST_SCALE)))
    return Quantization(scale, int(np.clip(np.rint(-128.0 - low / scale), -128, 127)))


def minmax_range(histogram: Histogram) -> Quantization:
    """The range that clips nothing calibration saw."""
    return from_bounds(histogram.low, histogram.high)


def mse_range(histogram: Histogram, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Quantization:
    """The range with the least Σ (x − dequantize(quantize(x)))² over the histogram, mixed as LOUDNESS says, within bounds.

    Clipping few far values can pay for finer steps everywhere else. Each end is searched with the other held, coarse then
    fine, starting from the whole range; an end at 0 (behind a Relu) stays there.
    """
    seen, counts = histogram.values()
    values = np.clip(np.concatenate([seen * factor for factor, _ in LOUDNESS]), *bounds)
    counts = np.concatenate([counts * weight for _, weight in LOUDNESS])
    if histogram.high <= 0.0 <= histogram.low:
        return from_bounds(0.0, 0.0)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)

    def error(a: float, b: float) -> float:
        q = from_bounds(a, b)
        return _hotloops.rounding_error(values, counts, q.scale, q.zero_point)

    best = (error(low, high), low, high)
    fractions = COARSE
    centre = (low, high)
    for _ in range(4):
        start = best
        for end in (0, 1):
            if centre[end] == 0.0:
                continue
            for f in fractions:
                bounds = [best[1], best[2]]
                bounds[end] = centre[end] * f
                if max(bounds) - min(bounds) > 0:
                    best = min(best, (error(*bounds), *bounds), key=lambda t: t[0])
        if best == start and fractions is not COARSE:
            break
        centre, fractions = (best[1], best[2]), np.linspace(0.95, 1.05, 21)
    return from_bounds(best[1], best[2])


def lattice_range(values: np.ndarray) -> Quantization | None:
    """Parameters under which every value is exact, if the values are multiples of one step and at most 256 of them fit.

    Images (0…255, or those by 255) and features that were int8 before are like that: the network input then costs nothing.
    values: distinct values, float32, ascending. Spare levels are shared out by the reach on both sides of zero.
    """
    values = np.asarray(values, np.float64)
    if not 3 <= values.size <= LATTICE_LEVELS:
        return None
    step = float(np.diff(values).min())
    low, high = min(values[0], 0.0), max(values[-1], 0.0)
    for _ in range(2):  # the least difference carries a rounding error; the whole span gives the step better
        span = np.rint(values / step)
        reach = float(np.abs(span).max())
        if reach == 0 or reach > 4 * LATTICE_LEVELS:
            return None
        step = float(np.abs(values).max()) / reach
    index = np.rint(values / step)
    if np.abs(values - index * step).max() > 1e-3 * step or round((high - low) / step) > 255:
        return None
    scale = float(np.float32(step))
    spare = 255 - round((high - low) / step)
    below = round(spare * (-low) / (high - low)) - round(low / step)
    return Quantization(scale, int(np.clip(-128 + below, -128, 127)))


def moved_range(q: Quantization, low: int, high: int) -> Quantization:
    """q with its ends multiplied by these powers of GRID."""
    return from_bounds(q.low * GRID**low, q.high * GRID**high)
