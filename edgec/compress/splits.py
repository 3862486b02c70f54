"""Three disjoint parts of the calibration data: what is fitted, what chooses, and what is reported.

A figure taken on data that chose something is too good. So each sample belongs to one part for ever, by the SHA-256 of its
bytes: whatever the order, the number of samples, or the tool that asks. Equal samples always lie in the same part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from edgec.data import Batch, Samples

FIT, SELECT, REPORT = PARTS = ("fit", "select", "report")
FRACTIONS = {FIT: 0.5, SELECT: 0.25, REPORT: 0.25}
"""Expected share of the samples. The first byte of the hash is below 128, below 192, or not."""

FEWEST = 32
"""Samples below which nothing is held out."""

FEWEST_OF_A_PART = 4
"""Samples of the smallest part below which nothing is held out: many duplicates, or bad luck with few samples."""


def part_of(sample: np.ndarray | Mapping[str, np.ndarray]) -> str:
    """The part of one sample: an array of any shape, or input name → array.

    What is hashed are the values as little-endian float32 in C order, several inputs one after another by name, so that an image
    is the same sample as uint8 and as float32, with and without a batch axis.
    """
    named = sample if isinstance(sample, Mapping) else {"": sample}
    digest = hashlib.sha256()
    for name in sorted(named):
        digest.update(np.ascontiguousarray(named[name], "<f4").tobytes())
    return _PART_OF_QUARTER[digest.digest()[0] >> 6]


_PART_OF_QUARTER = (FIT, FIT, SELECT, REPORT)


def parts_of(samples: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """The part of each of the samples along the first axis: str [N]. samples: [N, …], or input name → [N, …]."""
    named = samples if isinstance(samples, Mapping) else {"": samples}
    count = len(next(iter(named.values())))
    return np.array([part_of({name: array[i] for name, array in named.items()}) for i in range(count)], dtype="<U6")


class Split:
    """The parts of a stream, which is walked once to count them.

    Attributes:
        counts: samples of each part as the hash has it; samples: all of them.
        degraded: "" if the parts are disjoint; else why they are not: every part then is the whole stream.
    """

    def __init__(self, samples: Samples) -> None:
        self.source = samples
        self.counts = dict.fromkeys(PARTS, 0)
        for sample in self:
            self.counts[part_of(sample)] += 1
        self.samples = sum(self.counts.values())
        self.degraded = ""
        smallest = min(PARTS, key=lambda p: self.counts[p])
        if self.samples < FEWEST:
            self.degraded = f"{self.samples} samples are too few to hold any out ({FEWEST} are needed): figures are on the samples fitted to"
        elif self.counts[smallest] < FEWEST_OF_A_PART:
            self.degraded = (
                f"of {self.samples} samples only {self.counts[smallest]} fall into the {smallest} part, most likely because many are equal:"
                " figures are on the samples fitted to"
            )

    def part(self, *names: str) -> Samples:
        """The samples of these parts, in the order of the stream."""
        if self.degraded or set(names) >= set(PARTS):
            return self.source
        walk = lambda: (s for s in self if part_of(s) in names)  # noqa: E731
        return Samples(walk, self.source.shapes, batch=self.source.batch, argument=self.source.argument)

    def of(self, sample: Batch) -> tuple[str, ...]:
        """The parts that one sample serves: one, or all of them where nothing is held out."""
        return PARTS if self.degraded else (part_of(sample),)

    def __iter__(self) -> Iterator[Batch]:
        shapes = self.source.shapes
        for batch in self.source:
            arrays = {name: array.reshape(-1, *shapes[name]) for name, array in batch.items()}
            for i in range(len(next(iter(arrays.values())))):
                yield {name: array[i] for name, array in arrays.items()}


class Spread:
    """At most `limit` of a stream of samples, evenly spread, whatever its length; up to twice as many are held."""

    def __init__(self, limit: int) -> None:
        self.limit, self.stride, self.index = limit, 1, 0
        self.kept: list[Batch] = []

    def add(self, sample: Batch) -> None:
        if self.index % self.stride == 0:
            self.kept.append({name: array.copy() for name, array in sample.items()})  # not a view, which keeps its whole batch
            if len(self.kept) == 2 * self.limit:
                self.kept, self.stride = self.kept[::2], self.stride * 2
        self.index += 1

    def samples(self) -> list[Batch]:
        if not self.kept:
            return []
        chosen = np.unique(np.linspace(0, len(self.kept) - 1, min(len(self.kept), self.limit)).round().astype(int))
        return [self.kept[i] for i in chosen]
