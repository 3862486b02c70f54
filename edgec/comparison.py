"""compare(): what compiling did to accuracy, at the outputs and layer by layer, with the likely causes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.artifact import Artifact, load
from edgec.data import Samples, read_array
from edgec.errors import DataError
from edgec.progress import Progress

if TYPE_CHECKING:
    from edgec.activations import Activation, Reference
    from edgec.ir.core import Tensor
    from edgec.layer_errors import TensorStatistics

BATCH = 16
LAYER_SAMPLES = 64
"""Samples whose every activation is looked at; the outputs are compared for all of them."""


def compare(
    model: Any,
    artifact: Artifact | str | os.PathLike,
    data: Any,
    labels: Any = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    layers: int = LAYER_SAMPLES,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare an artifact with the ONNX model it was compiled from, on data that calibration has not seen.

    Args:
        model: the float (or QDQ) ONNX model: a path, bytes, or a ModelProto.
        artifact: an Artifact, or the path of a .edgec file.
        data: samples as `compile` takes calibration; a path may name an array of an .npz: "data.npz:x_test".
        labels: true class of each sample, int [N], or a path like that of data; gives accuracy, float and int8.
        shapes: of inputs with open dimensions, where the model has inputs that the artifact was cut off from.
        layers: how many samples, evenly spread, the layers are compared on; 0 leaves the layers out. Memory holds one of them.
        progress: called with "compare" and the fraction done (0 where the number of samples is not known).

    Returns: plain values: `samples`, `reference` (what int8 was compared with), `outputs` (SQNR in dB, largest error; for class
        vectors agreement and accuracy in percent with Wilson's 95 % intervals), `layers` (SQNR, share of clipped values, levels
        used, channel spread, dead channels), `worst` (cause, why, help), `histograms` of the float activations by layer.

    Raises:
        ModelError: the model is not the one of the artifact. DataError: data or labels do not fit.
    """
    from edgec.activations import reference_of

    artifact = artifact if isinstance(artifact, Artifact) else load(artifact)
    report = progress or (lambda step, done: None)
    report("compare", 0.0)
    reference = reference_of(model, artifact, shapes)
    ports = artifact.program.inputs
    samples, total = _samples(data, {p.name: p.shape for p in ports})
    truth = None if labels is None else _labels(labels, total)
    layer_by_layer = _Layers(artifact, reference) if layers > 0 and reference.activations else None
    outputs = _Outputs(artifact, truth)
    stride = max(1, -(-total // layers)) if total and layers else 1
    index = 0
    for batch, wanted in _with_float(samples, reference):
        count = len(next(iter(batch.values())))
        if truth is not None and index + count > len(truth):
            raise _labels_differ(len(truth), f"at least {index + count}")
        outputs.add(batch, wanted, index)
        for i in range(count):
            if layer_by_layer is not None and (index + i) % stride == 0 and layer_by_layer.seen < layers:
                layer_by_layer.add({name: array[i : i + 1].reshape(samples.shapes[name]) for name, array in batch.items()})
        index += count
        report("compare", min(index / total, 1.0) if total else 0.0)
    if truth is not None and len(truth) != index:
        raise _labels_differ(len(truth), str(index))
    found: dict[str, Any] = {
        "model": artifact.program.name,
        "target": artifact.target.name,
        "samples": index,
        "reference": reference.note,
        "outputs": outputs.rows(),
        "layer_samples": 0 if layer_by_layer is None else layer_by_layer.seen,
    }
    return found | (
        layer_by_layer.result()
        if layer_by_layer is not None
        else {"layers": [], "worst": [], "histograms": {}, "not_compared": [op.name for op in artifact.program.ops]}
    )


def wilson(hits: int, n: int, z: float = 1.959964) -> list[float]:
    """Wilson's 95 % interval of a proportion, in percent (E. B. Wilson, 1927)."""
    p = hits / n
    centre, half = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return [round(100 * v / (1 + z * z / n), 2) for v in (centre - half, centre + half)]


class _Outputs:
    """Sums over all samples at the outputs."""

    def __init__(self, artifact: Artifact, truth: np.ndarray | None) -> None:
        self.artifact, self.truth = artifact, truth
        self.ports = artifact.program.outputs
        inputs = {int(np.prod(p.shape)) for p in artifact.program.inputs}
        self.classes = {p.name: is_class_vector(p.shape) and (truth is not None or int(np.prod(p.shape)) not in inputs) for p in self.ports}
        self.indices = {p.name for p in self.ports if artifact.program.tensors[p.tensor].dtype == "int32"}
        self.classes.update(dict.fromkeys(self.indices, False))
        if truth is not None and not any(self.classes.values()):
            raise DataError(
                "labels for outputs that are no classes",
                where="labels",
                why=f"the outputs have shapes {[p.shape for p in self.ports]}; a class vector has one axis longer than 1",
                fix="leave labels out",
            )
        self.sums = {
            p.name: dict.fromkeys(("n", "signal", "noise", "largest", "same", "float", "int8", "lost", "gained"), 0.0) for p in self.ports
        }

    def add(self, batch: dict[str, np.ndarray], wanted: dict[str, np.ndarray], index: int) -> None:
        got = self.artifact.run(batch)
        named = got if isinstance(got, dict) else {self.ports[0].name: got}
        for port in self.ports:
            sums = self.sums[port.name]
            f = wanted[port.name].astype(np.float64)
            rows = f.reshape(len(f), -1)
            difference = rows - named[port.name].reshape(rows.shape)
            if port.name in self.indices:
                sums["n"] += rows.size
                sums["same"] += int((difference == 0).sum())
                continue
            sums["n"] += len(rows)
            sums["signal"] += float(np.square(rows).sum())
            sums["noise"] += float(np.square(difference).sum())
            sums["largest"] = max(sums["largest"], float(np.abs(difference).max()))
            if self.classes[port.name]:
                a, b = rows.argmax(axis=1), (rows - difference).argmax(axis=1)
                sums["same"] += int((a == b).sum())
                if self.truth is not None:
                    y = self.truth[index : index + len(rows)]
                    for name, right in (
                        ("float", a == y),
                        ("int8", b == y),
                        ("lost", (a == y) & (b != y)),
                        ("gained", (a != y) & (b == y)),
                    ):
                        sums[name] += int(right.sum())

    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for port in self.ports:
            s = self.sums[port.name]
            n = int(s["n"])
            tensor = self.artifact.program.tensors[port.tensor]
            if port.name in self.indices:
                rows.append({"name": port.name, "agreement": round(100 * s["same"] / n, 2), "agreement_interval": wilson(int(s["same"]), n)})
                continue
            row: dict[str, Any] = {
                "name": port.name,
                "sqnr_db": round(float(np.clip(10 * np.log10(max(s["signal"], 1e-300) / s["noise"]), -200, 200)), 2)
                if s["noise"]
                else 200.0,
                "largest_error": s["largest"],
                "largest_error_steps": round(s["largest"] / tensor.scale, 2),
            }
            if self.classes[port.name]:
                row |= {"agreement": round(100 * s["same"] / n, 2), "agreement_interval": wilson(int(s["same"]), n)}
                if self.truth is not None:
                    for kind in ("float", "int8"):
                        row |= {f"{kind}_accuracy": round(100 * s[kind] / n, 2), f"{kind}_accuracy_interval": wilson(int(s[kind]), n)}
                    row |= {"right_only_in_float": int(s["lost"]), "right_only_in_int8": int(s["gained"])}
            rows.append(row)
        return rows


class _Layers:
    """Every activation of a few samples: float by ONNX Runtime, int8 by the interpreter."""

    def __init__(self, artifact: Artifact, reference: Reference) -> None:
        from edgec.compress.float_run import ModelRunner
        from edgec.layer_errors import TensorStatistics, channels_of

        self.artifact = artifact
        self.by_tensor: dict[str, Activation] = {a.tensor: a for a in reference.activations}
        made = {t for op in artifact.program.ops for t in op.outputs}
        tensors = artifact.program.tensors
        self.statistics: dict[str, TensorStatistics] = {t: TensorStatistics(tensors[t], channels_of(a)) for t, a in self.by_tensor.items()}
        self.by_value = {a.name: a for a in self.by_tensor.values() if a.tensor in made}
        self.run = ModelRunner(reference.layerwise, list(self.by_value), plain=reference.plain)
        self.gains = _Gains([a for a in self.by_value.values() if a.scaled], tensors)
        self.waiting: list[dict[str, np.ndarray]] = []
        self.seen = 0

    def add(self, sample: dict[str, np.ndarray]) -> None:
        """sample: float32 of the model's shape by input name."""
        self.seen += 1
        if self.gains.activations:
            # The channels' scaling must be known before anything is summed: keep the sample, and look at it twice.
            self.gains.add(*self._both(sample))
            self.waiting.append(sample)
        else:
            self._sum(*self._both(sample))

    def _both(self, sample: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(float values by ONNX name, integers by program tensor), each of the ONNX shape."""
        from edgec import run
        from edgec.ir import interp

        rows, _ = run.rows_of(self.artifact, sample)
        given = {p.tensor: rows[p.name][0] for p in self.artifact.program.inputs}
        held = {}
        computed = (outputs for _, outputs in interp.steps(self.artifact.program, given))
        for values in chain([given], computed):
            for name, q in values.items():
                if name in self.by_tensor:
                    q = run.typed(np.asarray(q).reshape(1, -1), self.artifact.program.tensors[name].dtype)
                    held[name] = self.by_tensor[name].logical(q)
        floats = self.run(sample) if self.by_value else {}
        floats |= {a.name: sample[a.name] for a in self.by_tensor.values() if a.name in sample}
        return floats, held

    def _sum(self, floats: dict[str, np.ndarray], held: dict[str, np.ndarray]) -> None:
        for tensor, activation in self.by_tensor.items():
            if activation.name in floats and tensor in held:
                f = self.gains.applied(activation, floats[activation.name])
                self.statistics[tensor].add(f, held[tensor])

    def result(self) -> dict[str, Any]:
        from edgec.layer_errors import layer_rows, worst_layers

        for sample in self.waiting:
            self._sum(*self._both(sample))
        self.waiting.clear()
        program = self.artifact.program
        used = {t: s for t, s in self.statistics.items() if s.count}
        found = layer_rows(program, used, {t: a.name for t, a in self.by_tensor.items()})
        rows = [r for r in found if r["opcode"] != "input"]
        compared = {r["name"] for r in rows}
        maker = {op.outputs[0]: op.name for op in program.ops} | {p.tensor: p.name for p in program.inputs}
        histograms = {}
        for tensor, s in used.items():
            edges, counts = s.histogram.summary()
            histograms[maker[tensor]] = {"edges": edges, "counts": counts, "low": s.low, "high": s.high, "clipped": s.clipped / s.count}
        return {
            "layers": rows,
            "worst": worst_layers(program, found, used, self.artifact.manifest),
            "histograms": histograms,
            "not_compared": [op.name for op in program.ops if op.name not in compared],
        }


class _Gains:
    """Least-squares factor of each channel from float to int8 where equalization was free to choose one.

    The artifact does not store the factors: the next layer's weights undo them, so they are no error.
    """

    def __init__(self, activations: list[Activation], tensors: Mapping[str, Tensor]) -> None:
        self.activations = activations
        self.tensors = tensors
        self.products = {a.name: np.zeros((2, a.shape[1] // a.repeat)) for a in activations}

    def add(self, floats: dict[str, np.ndarray], held: dict[str, np.ndarray]) -> None:
        for a in self.activations:
            if a.name in floats and a.tensor in held:
                f = np.moveaxis(floats[a.name], 1, 0).reshape(a.shape[1] // a.repeat, -1).astype(np.float64)
                t = self.tensors[a.tensor]
                real = (np.moveaxis(held[a.tensor], 1, 0).reshape(f.shape).astype(np.float64) - t.zero_point) * t.scale
                self.products[a.name] += [(f * real).sum(axis=1), np.square(f).sum(axis=1)]

    def applied(self, a: Activation, f: np.ndarray) -> np.ndarray:
        if a.name not in self.products:
            return f
        across, square = self.products[a.name]
        gain = np.where((square > 0) & (across > 0), across / np.maximum(square, 1e-300), 1.0)
        return f * np.repeat(gain, a.repeat).astype(np.float32).reshape(1, -1, *(1,) * (f.ndim - 2))


def is_class_vector(shape: Sequence[int]) -> bool:
    """Whether an output of this shape can be read as one score a class: exactly one axis is longer than 1."""
    return sum(d > 1 for d in shape) == 1


def _with_float(samples: Samples, reference: Reference) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Batches with the reference's outputs, each float32 [n, …]."""
    from edgec.compress.float_run import ModelRunner

    run = ModelRunner(reference.whole, plain=reference.plain)
    for batch in samples:
        batch = {name: array.reshape(-1, *samples.shapes[name]) for name, array in batch.items()}
        count = len(next(iter(batch.values())))
        results = [run({name: array[i] for name, array in batch.items()}) for i in range(count)]
        wanted = {name: np.stack([r[name] for r in results]) for name in results[0]}
        yield (
            {name: array.reshape(count, *(s[1:] if (s := samples.shapes[name])[:1] == (1,) else s)) for name, array in batch.items()},
            wanted,
        )


def _samples(data: Any, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Samples, int]:
    """The stream, and how many samples it has (0: not known before it ends)."""
    if isinstance(data, (str, os.PathLike)):
        data = read_array(data, "data", preferred=(*shapes, "x", "x_test", "x_val"))
    stream = Samples(data, shapes, batch=BATCH, argument="data")
    arrays = list(data.values()) if isinstance(data, Mapping) else [data] if isinstance(data, np.ndarray) else []
    if arrays:
        rank = len(next(iter(shapes.values())))
        first, shape = np.asarray(arrays[0]), next(iter(shapes.values()))
        return stream, len(first) if first.ndim >= rank and first.shape != shape else 1
    return stream, 0


def _labels(labels: Any, total: int) -> np.ndarray:
    if isinstance(labels, (str, os.PathLike)):
        labels = read_array(labels, "labels", preferred=("y", "labels", "y_test", "y_val"))
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] > 1:
        array = array.argmax(axis=1)  # one-hot
    if array.dtype.kind not in "iu" and not np.array_equal(array, np.rint(array)):
        raise DataError("labels are not classes", where="labels", why=f"their dtype is {array.dtype}", fix="give one integer a sample")
    array = array.reshape(-1).astype(np.int64)
    if total and len(array) != total:
        raise _labels_differ(len(array), str(total))
    return array


def _labels_differ(labels: int, samples: str) -> DataError:
    return DataError(
        "labels and data differ in length", where="labels", why=f"{labels} labels for {samples} samples", fix="give one label a sample"
    )
