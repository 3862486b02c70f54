"""What a candidate is worth: the user's own evaluation, or agreement with the float model on data that fitted nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgec.comparison import is_class_vector, wilson
from edgec.data import read_array
from edgec.errors import DataError

Evaluate = Callable[[Any], float]
"""Takes something with run(x) (float arrays in and out, one sample or a batch) and gives a score, higher being better."""


class FloatModel:
    """The float model behind the `run` of an Artifact, so that one evaluation serves both."""

    def __init__(self, model: bytes) -> None:
        from edgec import importer
        from edgec.compress.float_run import ModelRunner

        loaded = importer.import_model(model)
        self.shapes = {v.name: tuple(v.shape.numpy()) for v in loaded.graph.inputs}
        self.outputs = [v.name for v in loaded.graph.outputs]
        self.runner = ModelRunner(loaded)

    def run(self, x: Any) -> Any:
        """One sample (with or without the batch axis) or a batch [N, …], or a dict of such; float32 outputs alike."""
        named = x if isinstance(x, dict) else {next(iter(self.shapes)): x}
        rows = {name: np.asarray(v, np.float32) for name, v in named.items()}
        single = all(v.size == np.prod(self.shapes[name]) for name, v in rows.items())
        rows = {name: v.reshape(-1, *self.shapes[name]) for name, v in rows.items()}
        results = [self.runner({name: v[i] for name, v in rows.items()}) for i in range(len(next(iter(rows.values()))))]
        stacked = {name: results[0][name] if single else np.concatenate([r[name] for r in results]) for name in self.outputs}
        return stacked if len(self.outputs) > 1 else stacked[self.outputs[0]]


def as_dict(outputs: Any) -> dict[str, np.ndarray]:
    """Outputs of run by name; "" for the only one."""
    return outputs if isinstance(outputs, dict) else {"": outputs}


def agreement(wanted: Any, got: Any) -> float:
    """How alike two sets of outputs are, from 0 to 1, averaged over the outputs.

    For class vectors the share of samples with the same best class; for others 1 − (energy of the error / energy of the output).
    """
    shares = []
    for name, w in as_dict(wanted).items():
        g = as_dict(got)[name]
        if is_class_vector((1, *w.shape[1:])):
            shares.append(float(np.mean(w.reshape(len(w), -1).argmax(1) == g.reshape(len(g), -1).argmax(1))))
        else:
            energy = float(np.square(w, dtype=np.float64).sum())
            shares.append(max(0.0, 1.0 - float(np.square(w - g, dtype=np.float64).sum()) / max(energy, 1e-30)))
    return float(np.mean(shares))


class Agreement:
    """The score used where the user gives none: agreement with the float model on the select part of the calibration data."""

    def __init__(self, samples: Any, wanted: Any) -> None:
        self.samples, self.wanted = samples, wanted

    def __call__(self, model: Any) -> float:
        return agreement(self.wanted, model.run(self.samples))


class Accuracy:
    """The share of samples whose best class is the true one. x: float32 [N, …]; y: int [N]."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        if len(x) != len(y):
            raise DataError("labels and samples differ in number", where="labels", why=f"{len(y)} labels, {len(x)} samples", fix="give one label a sample")
        self.x, self.y = x, y

    @classmethod
    def read(cls, data: str, labels: str) -> Accuracy:
        """From .npy or .npz files; FILE.npz:NAME takes one array."""
        x, y = read_array(data, "evaluate", preferred=("x",)), read_array(labels, "labels", preferred=("y",))
        if isinstance(x, dict) or isinstance(y, dict):
            raise DataError("several arrays", where="evaluate", why="a class is predicted from one input", fix="name the array: FILE.npz:NAME")
        return cls(x.astype(np.float32), y.reshape(-1))

    def __call__(self, model: Any) -> float:
        got = next(iter(as_dict(model.run(self.x)).values()))
        return float(np.mean(got.reshape(len(got), -1).argmax(1) == self.y))


def figures_on(samples: Any, wanted: Any, model: Any) -> dict[str, Any]:
    """Agreement of model with wanted outputs on samples, in percent with Wilson's interval, and SQNR in dB; plain values."""
    from edgec.compress.report import sqnr_db

    got = model.run(samples)
    first = next(iter(as_dict(wanted)))
    w, g = as_dict(wanted)[first], as_dict(got)[first]
    share = agreement(wanted, got)
    found: dict[str, Any] = {"samples": len(w), "agreement": round(100 * share, 2), "output_sqnr_db": round(sqnr_db(w, g), 2)}
    if is_class_vector((1, *w.shape[1:])):
        found["agreement_interval"] = wilson(round(share * len(w)), len(w))
    return found
