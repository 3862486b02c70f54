"""The samples to train on, in a temporary file, so that memory stays bounded; each in the part its hash says."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgec.compress.splits import FIT, REPORT, SELECT, Split
from edgec.data import Samples

Arrays = dict[str, np.ndarray]


class SampleStore:
    """All samples of a stream as float32 rows, for random access.

    Args:
        source: as edgec.compile takes calibration; shapes: input name → shape of one sample, batch axis 1 included.
        trained: the parts to train on.

    Attributes:
        train, select, report: indices int64 into the rows; given: of all samples but those that came to be held out. digest: SHA-256 over all.
        degraded: why the parts are not disjoint, or "". held_out: whether the report part came with the samples.
    """

    def __init__(self, source: Any, shapes: Mapping[str, tuple[int, ...]], *, trained: Sequence[str] = (FIT,)) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        split = Split(source if isinstance(source, Samples) else Samples(source, self.shapes, argument="data"))
        digest = hashlib.sha256()
        self._files = {name: tempfile.TemporaryFile() for name in self.shapes}
        parts: list[tuple[str, ...]] = []
        for sample, served in split.walk():
            parts.append(served)
            for name in self.shapes:
                data = np.ascontiguousarray(sample[name], np.float32).tobytes()
                digest.update(data)
                self._files[name].write(data)
        self._rows = {}
        for name, file in self._files.items():
            file.flush()
            self._rows[name] = np.memmap(file, np.float32, "r", shape=(len(parts), *self.shapes[name]))
        self.digest, self.degraded, self.held_out = digest.hexdigest(), split.degraded, split.held_out is not None
        self.train, self.select, self.report = (
            np.array([i for i, p in enumerate(parts) if set(p) & wanted], np.int64)
            for wanted in (set(trained), {SELECT}, {REPORT})
        )
        self.given = np.arange(len(parts) - (len(self.report) if self.held_out else 0))

    def rows(self, index: Sequence[int] | np.ndarray) -> Arrays:
        """float32 [len(index), *shape] by input name."""
        return {name: np.asarray(rows[index]) for name, rows in self._rows.items()}

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """The training samples in the order of that epoch."""
        return np.random.default_rng([seed, 1, epoch]).permutation(self.train)
