"""Samples as users have them (arrays, files, iterables) into batches of named float32 arrays, checked one by one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.errors import DataError

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Calibration:
    """Samples to fit to and to choose with, and others that only the report's figures are taken from.

    Without it a quarter of the samples is kept for the report, by hash (`edgec.compress.splits`). Where samples are few and there are
    others to judge by, nothing needs to be kept.

    samples, held_out: each as `edgec.compile` takes calibration; of samples in both only the judgement is taken.
    """

    samples: Any
    held_out: Any


SYNTHETIC = "synthetic"
SYNTHETIC_SAMPLES = 64


class Samples:
    """A stream of batches that can be walked again: float32 [n, …] arrays by input name, n ≤ batch.

    Args:
        source: an array [N, …] or one sample; a path to .npy or .npz (the array named like the input, `x`, `x_calibration`, or the only
            one; "data.npz:x_test" names one); a dict name → array; or an iterable of samples or batches (arrays or dicts). An iterator, which can be
            walked only once, is spooled to a temporary file on the way, so that memory stays bounded.
        shapes: input name → shape of one sample as the model has it (batch axis 1 included).
        argument: how the user calls it, for messages.

    Attributes:
        held_out: of a source that is a Calibration its other samples, else None.
    """

    def __init__(self, source: Any, shapes: Mapping[str, tuple[int, ...]], *, batch: int = 16, argument: str = "calibration") -> None:
        self.shapes, self.batch, self.argument = dict(shapes), batch, argument
        self.held_out: Samples | None = None
        if isinstance(source, Calibration):
            self.held_out, source = Samples(source.held_out, shapes, batch=batch, argument="held_out"), source.samples
        if isinstance(source, (str, os.PathLike)):
            named, source = ":" in str(source) and not Path(source).is_file(), os.fspath(source)
            source = read_array(source, argument) if named else self._read(Path(source))
        if isinstance(source, np.ndarray):
            source = {self._only(): source}
        if isinstance(source, Mapping):
            arrays = {name: np.asarray(value) for name, value in source.items()}
            self._walk: Callable[[], Iterable[Any]] = lambda: [arrays]
        elif callable(source):
            self._walk = source
        elif isinstance(source, Iterable):
            self._walk = _Spool(source) if isinstance(source, Iterator) else lambda: source
        else:
            raise self._bad("cannot read the data", f"it is a {type(source).__name__}", argument)

    def __iter__(self) -> Iterator[Batch]:
        index = 0
        pending: list[Batch] = []
        for item in self._walk():
            for sample in self._split(item, index):
                index += 1
                pending.append(sample)
                if len(pending) == self.batch:
                    yield {name: np.concatenate([p[name] for p in pending]) for name in self.shapes}
                    pending = []
        if pending:
            yield {name: np.concatenate([p[name] for p in pending]) for name in self.shapes}
        if index == 0:
            raise self._bad("there are no samples", "the array or iterable is empty", self.argument)

    def _split(self, item: Any, index: int) -> Iterator[Batch]:
        """One sample at a time, each float32 of the model's shape."""
        named = item if isinstance(item, Mapping) else {self._only(): item}
        if set(named) != set(self.shapes):
            raise self._bad("inputs are missing or unknown", f"given {sorted(map(str, named))}, the model has {sorted(self.shapes)}", f"{self.argument}, sample {index}")
        columns = {name: self._samples(name, value, index) for name, value in named.items()}
        counts = {name: len(column) for name, column in columns.items()}
        if len(set(counts.values())) != 1:
            raise self._bad("inputs of different length", f"{counts}", f"{self.argument}, sample {index}")
        for i in range(next(iter(counts.values()))):
            sample = {name: column[i : i + 1].reshape(self.shapes[name]).astype(np.float32) for name, column in columns.items()}
            for name, value in sample.items():
                if not np.isfinite(value).all():
                    raise self._bad(
                        f"input {name!r} holds {'NaN' if np.isnan(value).any() else 'infinite values'}",
                        f"{int((~np.isfinite(value)).sum())} of {value.size} values are not finite",
                        f"{self.argument}, sample {index + i}",
                        "remove or repair this sample",
                    )
            yield sample

    def _samples(self, name: str, value: Any, index: int) -> np.ndarray:
        """value as [n, …] with one model sample a row."""
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise self._bad(f"input {name!r} is not numeric", f"its dtype is {array.dtype}", f"{self.argument}, sample {index}")
        shape = self.shapes[name]
        if array.shape == shape or array.shape == shape[1:] and shape[0] == 1:
            return array.reshape(1, *shape)
        if array.ndim == len(shape) and shape[0] == 1 and array.shape[1:] == shape[1:] or array.shape[1:] == shape:
            return array.reshape(len(array), *shape)
        raise self._bad(
            f"input {name!r} has the wrong shape",
            f"given {array.shape}; the model takes {shape}, or a batch of it",
            f"{self.argument}, sample {index}",
            f"give arrays of shape {('N', *shape[1:]) if shape[0] == 1 else ('N', *shape)}",
        )

    def _only(self) -> str:
        if len(self.shapes) != 1:
            raise self._bad("one array for several inputs", f"the model has inputs {sorted(self.shapes)}", self.argument, "pass a dict, or an .npz with one array for each input")
        return next(iter(self.shapes))

    def _read(self, path: Path) -> Any:
        if not path.is_file():
            raise self._bad("cannot read the data", "there is no such file", f"{self.argument}: {path}")
        try:
            loaded = np.load(path, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            arrays = {name: loaded[name] for name in loaded.files if name in self.shapes}
            if not arrays and len(self.shapes) == 1:
                known = [name for name in ("x", "x_calibration") if name in loaded.files]
                name = known[0] if known else loaded.files[0] if len(loaded.files) == 1 else None
                arrays = {self._only(): loaded[name]} if name else {}
            files = loaded.files
        except (ValueError, OSError, EOFError, KeyError) as error:
            raise self._bad("cannot read the data", f"{error}", f"{self.argument}: {path}", "save it with numpy.save or numpy.savez") from None
        if not arrays:
            raise self._bad("no array for the model's input", f"the file has {files}, the model {sorted(self.shapes)}", f"{self.argument}: {path}", "name the arrays like the inputs, or the only one x; FILE.npz:NAME names one")
        return arrays

    def _bad(self, what: str, why: str, where: str, fix: str = "pass an array [N, …], a .npy or .npz file, or an iterable of samples") -> DataError:
        return DataError(what, where=where, why=why, fix=fix)


def read_array(path: str | os.PathLike, argument: str, preferred: Sequence[str] = ()) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy file, or one of a .npz file: that of "file.npz:name", or the first of the preferred names, or the only one.

    Returns a dict where the file has all preferred names up to "x" (several inputs).

    Raises:
        DataError: no such file, no such array; says which there are.
    """

    def bad(what: str, why: str, fix: str) -> DataError:
        return DataError(what, where=f"{argument}: {path}", why=why, fix=fix)

    text, name = os.fspath(path), ""
    if not Path(text).is_file() and ":" in text:
        text, _, name = text.rpartition(":")
    if not Path(text).is_file():
        raise bad("cannot read the data", "there is no such file", "pass a .npy or .npz file; FILE.npz:NAME names an array in it")
    try:
        loaded = np.load(text, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        files = loaded.files
        inputs = [n for n in preferred[: preferred.index("x")] if n in files] if "x" in preferred else []
        if not name and len(inputs) > 1:
            return {n: loaded[n] for n in inputs}
        chosen = name or next((n for n in preferred if n in files), files[0] if len(files) == 1 else "")
        if chosen in files:
            return loaded[chosen]
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise bad("cannot read the data", f"{error}", "save it with numpy.save or numpy.savez") from None
    what = f"no array {name!r} in the file" if name else "it is not clear which array to take"
    raise bad(what, f"the file has {', '.join(files)}", f"name one: {text}:{files[0] if files else 'x'}")


class _Spool:
    """Makes an iterator walkable again: the first walk copies each item to an unnamed file, later walks read that."""

    def __init__(self, source: Iterator[Any]) -> None:
        self.source: Iterator[Any] | None = source
        self.file = tempfile.TemporaryFile()
        self.names: list[list[str] | None] = []

    def __call__(self) -> Iterator[Any]:
        self.file.seek(0)
        for names in self.names:
            arrays = [np.load(self.file) for _ in names or [None]]
            yield dict(zip(names, arrays, strict=True)) if names is not None else arrays[0]
        while self.source is not None:
            try:
                item = next(self.source)
            except StopIteration:
                self.source = None
                return
            named = isinstance(item, Mapping)
            self.file.seek(0, 2)
            for value in item.values() if named else [item]:
                np.save(self.file, np.asarray(value), allow_pickle=False)
            self.names.append(list(item) if named else None)
            yield item


def is_synthetic(data: Any) -> bool:
    """Whether noise is asked for in place of data."""
    return isinstance(data, str) and data == SYNTHETIC


def samples_of(data: Any, shapes: Mapping[str, tuple[int, ...]]) -> Samples:
    """Of data as users give it: a Samples, a source of one, or "synthetic"."""
    return synthetic(shapes) if is_synthetic(data) else data if isinstance(data, Samples) else Samples(data, shapes)


def synthetic(shapes: Mapping[str, tuple[int, ...]]) -> Samples:
    """Deterministic noise in place of data: standard normal, smoothed along the longest axis. Nothing about accuracy follows."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes.items():
        x = rng.standard_normal((SYNTHETIC_SAMPLES, *shape))
        axis = 1 + int(np.argmax(shape))
        arrays[name] = ((x + np.roll(x, 1, axis)) / 2**0.5).astype(np.float32)
    return Samples(arrays, shapes, argument=SYNTHETIC)
