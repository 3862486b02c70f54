"""One pass over the calibration data: histograms of all activations, and a few samples kept for what comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.float_run import ModelRunner
from edgec.compress.observer import Histogram
from edgec.compress.placement import Placement
from edgec.compress.ranges import LATTICE_LEVELS
from edgec.errors import DataError
from edgec.graph.edit import shape_of

PROBES = 128
PROBE_BYTES = 48 * 2**20


@dataclass
class Calibration:
    """histograms: of each observed value; distinct: the distinct values of each input while there are at most 256, else None.

    probes: input name → float32 [samples, *shape], at most PROBES of the samples, evenly spread; samples: how many there were.
    """

    histograms: dict[ir.Value, Histogram]
    distinct: dict[ir.Value, np.ndarray | None]
    probes: dict[str, np.ndarray]
    samples: int


def calibrate(
    model: ir.Model, placement: Placement, batches: Iterable[dict[str, np.ndarray]], progress: Callable[[str, float], None] | None = None
) -> Calibration:
    """Walk the batches (float32 by input name, samples of the input's shape one after another) once.

    Raises:
        DataError: there is no sample, or an activation is not finite (values far outside what the network was trained on).
    """
    observed = list(dict.fromkeys(v for g in placement.all_groups() for v in g.observed))
    histograms = {v: Histogram() for v in observed}
    names = {v.name: v for v in observed}
    inputs = list(model.graph.inputs)
    distinct: dict[ir.Value, np.ndarray | None] = {v: np.empty(0, np.float32) for v in inputs}
    run = ModelRunner(model, list(names))
    limit = _probe_limit(model)
    kept: list[dict[str, np.ndarray]] = []
    stride, index = 1, 0
    shapes = {v.name: shape_of(v) for v in inputs}
    for batch in batches:
        batch = {name: array.reshape(-1, *shapes[name]) for name, array in batch.items()}
        for i in range(len(next(iter(batch.values())))):
            sample = {name: array[i] for name, array in batch.items()}
            results = run(sample) | {v.name: sample[v.name] for v in inputs}
            for name, value in names.items():
                bad = histograms[value].add(results[name])
                if bad:
                    raise DataError(
                        f"activation {name!r} is not finite",
                        where=f"calibration, sample {index}",
                        why=f"{bad} of its {results[name].size} values are NaN or infinite, though the inputs are finite",
                        fix="check this sample's scale (is it preprocessed as in training?), or the model's weights",
                    )
            for value in inputs:
                if distinct[value] is not None:
                    found = np.union1d(distinct[value], sample[value.name])
                    distinct[value] = found if found.size <= LATTICE_LEVELS else None
            if index % stride == 0:
                kept.append(sample)
                if len(kept) == 2 * limit:
                    kept, stride = kept[::2], stride * 2
            index += 1
            if progress and index % 64 == 0:
                progress("calibrate", 0.0)
    if not index:
        why, fix = "the array or iterable is empty", "pass at least one sample; 100 or more are better"
        raise DataError("there are no calibration samples", where="calibration", why=why, fix=fix)
    chosen = np.unique(np.linspace(0, len(kept) - 1, min(len(kept), limit)).round().astype(int))
    probes = {v.name: np.stack([kept[i][v.name] for i in chosen]) for v in inputs}
    return Calibration(histograms, distinct, probes, index)


def _probe_limit(model: ir.Model) -> int:
    """Samples whose largest activation fits PROBE_BYTES: the walks hold a few activations of all probes at once."""
    largest = max(int(np.prod(shape_of(v))) * 4 for v in (*model.graph.inputs, *(o for n in model.graph for o in n.outputs)))
    return int(np.clip(PROBE_BYTES // largest, 4, PROBES))


def channel_reach(model: ir.Model, placement: Placement, probes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How far each channel (axis 1) of every quantized activation reaches over the probes: value name → float64 [channels].

    The measure is the L8 norm, (mean x⁸)^(1/8): a soft maximum that one single outlier does not decide.
    """
    values = [v for v in placement.groups if len(shape_of(v)) >= 2]
    run = ModelRunner(model, [v.name for v in values if v not in model.graph.inputs])
    total = {v.name: np.zeros(shape_of(v)[1]) for v in values}
    count = len(next(iter(probes.values())))
    for i in range(count):
        sample = {name: array[i] for name, array in probes.items()}
        seen = run(sample) | sample
        for name, array in ((v.name, seen[v.name]) for v in values):
            eighth = np.square(np.square(np.square(array, dtype=np.float64)))
            total[name] += eighth.mean(axis=tuple(a for a in range(array.ndim) if a != 1))
    return {name: (t / count) ** 0.125 for name, t in total.items()}
