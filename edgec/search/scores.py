"""What a candidate is worth: the user's own evaluation, or how near it is to the float model on data that fitted nothing."""

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
            shares.append(max(0.0, 1.0 - _error_share(w, g)))
    return float(np.mean(shares))


class Likeness:
    """The score used where the user gives none, on samples that fitted nothing: the accuracy to be expected if the float model's probabilities
    are right, so the mean of its probability for the class that the candidate gives. For outputs that are no probabilities: `agreement`.

    A hundred samples say little about agreement: one of them is a point, and it is the same point whether the two best classes were
    nearly as likely or not. What `distance` adds has no steps; it ranks those within the drop.
    """

    def __init__(self, samples: Any, wanted: Any) -> None:
        self.samples, self.wanted = samples, wanted

    def __call__(self, model: Any) -> float:
        return self.judge(model)[0]

    def judge(self, model: Any) -> tuple[float, float]:
        """(score, distance) of a model."""
        got = model.run(self.samples)
        return expected_accuracy(self.wanted, got), distance(self.wanted, got)


def expected_accuracy(wanted: Any, got: Any) -> float:
    """Mean over the outputs of: for probabilities, wanted's own probability of the class that got has as its best; for others `agreement`."""
    shares = []
    for name, w in as_dict(wanted).items():
        g = as_dict(got)[name]
        if _is_probabilities(w):
            shares.append(float(np.mean(_rows(w)[np.arange(len(w)), _rows(g).argmax(1)])))
        else:
            shares.append(agreement({name: w}, {name: g}))
    return float(np.mean(shares))


def distance(wanted: Any, got: Any) -> float:
    """Energy of the error as a fraction of the outputs' energy, averaged over the outputs."""
    return float(np.mean([_error_share(w, as_dict(got)[name]) for name, w in as_dict(wanted).items()]))


def _error_share(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(np.square(wanted - got, dtype=np.float64).sum()) / max(float(np.square(wanted, dtype=np.float64).sum()), 1e-30)


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _is_probabilities(values: np.ndarray) -> bool:
    """Whether every sample is a class vector of probabilities."""
    rows = _rows(values)
    return is_class_vector((1, *values.shape[1:])) and bool((rows >= 0).all() and np.allclose(rows.sum(1), 1, atol=1e-3))


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
