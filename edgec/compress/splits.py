"""Three disjoint parts of the calibration data: what is fitted, what chooses, and what is reported.

A figure taken on data that chose something is too good. So each sample belongs to one part for ever, by the SHA-256 of its
bytes: whatever the order, the number of samples, or the tool that asks. Equal samples always lie in the same part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from edgec.data import Batch, Samples
from edgec.errors import DataError

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
    return _PART_OF_QUARTER[_digest(sample if isinstance(sample, Mapping) else {"": sample})[0] >> 6]


def _digest(sample: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(sample):
        digest.update(np.ascontiguousarray(sample[name], "<f4").tobytes())
    return digest.digest()


_PART_OF_QUARTER = (FIT, FIT, SELECT, REPORT)


def parts_of(samples: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """The part of each of the samples along the first axis: str [N]. samples: [N, …], or input name → [N, …]."""
    named = samples if isinstance(samples, Mapping) else {"": samples}
    count = len(next(iter(named.values())))
    return np.array([part_of({name: array[i] for name, array in named.items()}) for i in range(count)], dtype="<U6")


class Split:
    """The parts of a stream, which is walked once to count them. Where it brings samples of its own to be judged by (`Calibration`), these
    are the report part, and what the hash would keep for it belongs to the fit part. Samples of the stream that are among them (silence,
    black pictures) serve nothing else.

    Attributes:
        counts: samples of each part; samples: all of them; left_out: samples of the stream that are also among the held-out ones.
        degraded: "" if the fit and the select part are disjoint; else why they are not: each part of the stream then is the whole of it.

    Raises:
        DataError: all samples of the stream are also among the held-out ones.
    """

    def __init__(self, samples: Samples) -> None:
        self.source, self.held_out, self.degraded = samples, samples.held_out, ""
        judges = [_digest(sample) for sample in _one_by_one(self.held_out)] if self.held_out else []
        self._apart, self.left_out = set(judges), 0
        self.counts = dict.fromkeys(PARTS, 0)
        for sample in _one_by_one(self.source):
            digest = _digest(sample)
            if digest in self._apart:
                self.left_out += 1
            else:
                self.counts[self._part(digest)] += 1
        given = sum(self.counts.values())
        self.counts[REPORT] += len(judges)
        self.samples = given + len(judges)
        if self.held_out and not given:
            raise DataError(
                f"all {self.left_out} samples are also among the held-out ones", where=self.held_out.argument,
                why="what judges a network is not fitted to, and nothing else is left", fix="hold out other samples than those given to fit to",
            )  # fmt: skip
        least = min((p for p in PARTS if p != REPORT or not self.held_out), key=lambda p: self.counts[p])
        end = "choices are made on the samples fitted to" if self.held_out else "figures are on the samples fitted to"
        if given < FEWEST:
            self.degraded = f"{given} samples are too few to hold any out ({FEWEST} are needed): {end}"
        elif self.counts[least] < FEWEST_OF_A_PART:
            self.degraded = f"of {given} samples only {self.counts[least]} fall into the {least} part, most likely because many are equal: {end}"

    def walk(self) -> Iterator[tuple[Batch, tuple[str, ...]]]:
        """Each sample and the parts that it serves: one, or several where the stream could not be parted."""
        for sample in _one_by_one(self.source):
            digest = _digest(sample)
            if digest not in self._apart:
                yield sample, self._parts(digest)
        for sample in _one_by_one(self.held_out) if self.held_out else ():
            yield sample, (REPORT,)

    def part(self, name: str) -> Samples:
        """The samples of one part, in the order of the stream."""
        walk = lambda: (sample for sample, parts in self.walk() if name in parts)  # noqa: E731
        return Samples(walk, self.source.shapes, batch=self.source.batch, argument=self.source.argument)

    def _parts(self, digest: bytes) -> tuple[str, ...]:
        if self.degraded:
            return (FIT, SELECT) if self.held_out else PARTS
        return (self._part(digest),)

    def _part(self, digest: bytes) -> str:
        part = _PART_OF_QUARTER[digest[0] >> 6]
        return FIT if self.held_out and part == REPORT else part


def _one_by_one(stream: Samples) -> Iterator[Batch]:
    for batch in stream:
        arrays = {name: array.reshape(-1, *stream.shapes[name]) for name, array in batch.items()}
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
