"""Streaming histograms of activations: memory does not depend on the number of samples."""

from __future__ import annotations

import math

import numpy as np

from edgec.compress import _hotloops

BINS = 8192
"""Bins of a histogram, centred on zero. After growing, the largest |value| lies in the outer half of them, so that a one-sided
range of 255 steps has at least eight bins a step."""

FINEST = 2.0**-140
"""Smallest bin width; below it float32 itself has no resolution."""


class Histogram:
    """Counts of a stream of float32 values in BINS bins of one power-of-two width.

    The width doubles, bins merging in pairs, when a value does not fit: what is counted does not depend on how the stream was
    cut into pieces, apart from the order of additions inside a bin.

    Attributes:
        counts: int64 [BINS]; sums: float64 [BINS], sum of the values in each bin.
        low, high: least and greatest value so far (0 before the first); count: number of values.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.sums = np.zeros(BINS)
        self.width = 0.0
        self.low, self.high, self.count = 0.0, 0.0, 0

    def add(self, x: np.ndarray) -> int:
        """Count the values of float32 x, any shape. Returns how many are not finite; if there are any, nothing is counted."""
        flat = np.ascontiguousarray(x, np.float32).reshape(-1)
        low, high, bad = _hotloops.extent(flat)
        if bad or not flat.size:
            return bad
        self._cover(max(-low, high))
        _hotloops.accumulate(flat, self.counts, self.sums, self.width)
        self.low = low if self.count == 0 else min(self.low, low)
        self.high = high if self.count == 0 else max(self.high, high)
        self.count += flat.size
        return 0

    def merge(self, other: Histogram) -> None:
        """Add all that other has counted."""
        if not other.count:
            return
        self._cover(max(-other.low, other.high))
        scaled = Histogram()
        scaled.counts, scaled.sums, scaled.width = other.counts.copy(), other.sums.copy(), other.width
        width = max(self.width, scaled.width)
        self._widen(width)
        scaled._widen(width)
        self.counts += scaled.counts
        self.sums += scaled.sums
        self.low = other.low if self.count == 0 else min(self.low, other.low)
        self.high = other.high if self.count == 0 else max(self.high, other.high)
        self.count += other.count

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean of each bin that is not empty, its count), float64, ascending."""
        used = np.flatnonzero(self.counts)
        counts = self.counts[used].astype(np.float64)
        return self.sums[used] / counts, counts

    def summary(self, bins: int = 64) -> tuple[list[float], list[int]]:
        """(bins + 1 edges, counts) over [low, high], for reports and pictures."""
        if not self.count or self.high <= self.low:
            return [self.low, self.high], [self.count]
        values, counts = self.values()
        found, edges = np.histogram(values, bins, (self.low, self.high), weights=counts)
        return [float(e) for e in edges], [int(c) for c in found]

    def _cover(self, reach: float) -> None:
        """Make the bins cover (−reach, reach)."""
        needed = FINEST
        if reach > 0:
            needed = max(FINEST, 2.0 ** (math.frexp(reach)[1] + 1 - round(math.log2(BINS))))  # reach < width·BINS/2
        if self.count == 0:
            self.width = max(self.width, needed)
        self._widen(max(self.width, needed))

    def _widen(self, width: float) -> None:
        while self.width and self.width < width:
            quarter = BINS // 4
            for array in (self.counts, self.sums):
                pairs = array.reshape(-1, 2).sum(axis=1)
                array[:] = 0
                array[quarter : 3 * quarter] = pairs
            self.width *= 2
        self.width = max(self.width, width)
