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
        train, select, report: indices int64 into the rows. digest: SHA-256 over all of them.
        degraded: why the parts are not disjoint, or "".
    """

    def __init__(self, source: Any, shapes: Mapping[str, tuple[int, ...]], *, trained: Sequence[str] = (FIT,), argument: str = "data") -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        split = Split(source if isinstance(source, Samples) else Samples(source, self.shapes, argument=argument))
        digest = hashlib.sha256()
        self._files = {name: tempfile.TemporaryFile() for name in self.shapes}
        parts: list[tuple[str, ...]] = []
        for batch in split.source:
            arrays = {name: np.ascontiguousarray(a.reshape(-1, *self.shapes[name]), np.float32) for name, a in batch.items()}
            for i in range(len(next(iter(arrays.values())))):
                parts.append(split.of({name: a[i] for name, a in arrays.items()}))
            for name, array in arrays.items():
                digest.update(array.tobytes())
                self._files[name].write(array.tobytes())
        self._rows = {}
        for name, file in self._files.items():
            file.flush()
            self._rows[name] = np.memmap(file, np.float32, "r", shape=(len(parts), *self.shapes[name]))
        self.digest, self.degraded, self.count = digest.hexdigest(), split.degraded, len(parts)
        self.train, self.select, self.report = (
            np.array([i for i, p in enumerate(parts) if set(p) & wanted], np.int64)
            for wanted in (set(trained), {SELECT}, {REPORT})
        )

    def rows(self, index: Sequence[int] | np.ndarray) -> Arrays:
        """float32 [len(index), *shape] by input name."""
        return {name: np.asarray(rows[index]) for name, rows in self._rows.items()}

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """The training samples in the order of that epoch."""
        return np.random.default_rng([seed, 1, epoch]).permutation(self.train)
