"""distill, behind the import of torch: options checked, networks built, training run, figures taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from edgec import importer
from edgec.compress.augment import Augment, chosen
from edgec.compress.distillation.network import FloatNetwork
from edgec.compress.distillation.objective import Objective
from edgec.compress.distillation.samples import SampleStore
from edgec.compress.distillation.students import Student, match_features, student_of
from edgec.compress.distillation.training import MEASURED, SELECTED_AT_MOST, Budget, Training, digest, tensors
from edgec.compress.report import sqnr_db
from edgec.compress.splits import FIT, SELECT
from edgec.data import Batch, Calibration, Samples
from edgec.errors import UsageError
from edgec.graph.edit import shape_of

RATES = {False: 0.01, True: 0.005}
"""Default learning rate of a float and of a quantized student."""

PRECISIONS = ("auto", "float32", "bfloat16")
CHOICES = ("best", "last")
LEARNED = ("narrow", "all", "none")

CALIBRATED = 1024
"""Samples that calibrate a float student which is to be quantized."""


@dataclass(frozen=True)
class Options:
    """See `distill`; augment by name, for reports and checkpoints."""

    seconds: float | None
    steps: int | None
    seed: int
    batch: int
    learning_rate: float | None
    warmup: float
    average: float
    temperature: float
    divergence: float
    features: float
    threads: int | None
    precision: str
    choose: str
    augment: str
    learned_rounding: str = "narrow"

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.steps is None):
            raise _bad("seconds, steps", "a budget is needed" if self.seconds is None else "two budgets", f"seconds={self.seconds}, steps={self.steps}", "give one of them: seconds=600, or steps=5000 for a reproducible run")
        positive = {name: getattr(self, name) for name in ("seconds", "steps", "batch", "learning_rate", "temperature", "threads")}
        for name, value in positive.items():
            if value is not None and not value > 0:
                raise _bad(name, f"{name} must be positive", f"it is {value}", "give a positive number")
        for name, known in (("precision", PRECISIONS), ("choose", CHOICES), ("learned_rounding", LEARNED)):
            if getattr(self, name) not in known:
                raise _bad(name, f"unknown {name} {getattr(self, name)!r}", f"known are {', '.join(known)}", f'use "{known[0]}"')
        for name in ("warmup", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise _bad(name, f"{name} must be at least 0 and below 1", f"it is {getattr(self, name)}", "leave it at its default")


def _bad(where: str, what: str, why: str, fix: str) -> UsageError:
    return UsageError(what, where=f"distill: {where}", why=why, fix=fix)


def run(
    student: ir.Model,
    teacher: ir.Model,
    data: Any,
    options: Options,
    *,
    quantize: Any,
    augment: str | Augment,
    checkpoint: Path | None,
    progress: Callable[[str, float], None] | None,
) -> tuple[ir.Model, dict[str, Any]]:
    augmentation = chosen(augment)
    _check_pair(student, teacher)
    shapes = {v.name: shape_of(v) for v in student.graph.inputs}
    samples = SampleStore(data, shapes, trained=(FIT, SELECT) if options.choose == "last" else (FIT,))
    if quantize is not None and not importer.is_quantized(student):
        student = _quantized(student, samples, quantize, progress)
    with _deterministic(options.threads) as threads:
        network = student_of(student, teacher, options.features > 0, options.seed, options.learned_rounding)
        objective = Objective(network.outputs, network.features, options.temperature, options.divergence, options.features)
        teaching = FloatNetwork(teacher, trainable=False, keep=objective.teacher_values)
        precision = _precision(options.precision, network.quantized)
        identity = asdict(options) | {"threads": threads, "precision": str(precision), "torch": str(torch.__version__), "data": samples.digest, "teacher": digest(list(teaching.buffers()))}
        match_features(network, teaching, tensors(samples.rows(samples.train[:MEASURED])))
        before = figures(network, teaching, samples, samples.report)
        training = Training(
            network, teaching, objective, samples, Budget(options.steps, options.seconds),
            batch=options.batch, learning_rate=options.learning_rate or RATES[network.quantized], warmup=options.warmup, decay=options.average,
            seed=options.seed, augment=augmentation, precision=precision, last=options.choose == "last", identity=identity, checkpoint=checkpoint, progress=progress,
        )  # fmt: skip
        started = time.monotonic()
        training.run()
        after = figures(network, teaching, samples, samples.report)
        report = {
            "options": asdict(options) | {"learning_rate": training.learning_rate, "threads": threads, "precision": str(precision).removeprefix("torch.")},
            "quantized": network.quantized,
            "steps": training.step,
            "epochs": round(training.step * training.batch / len(samples.train), 2),
            "seconds": round(training.elapsed, 1),
            "seconds_of_this_call": round(time.monotonic() - started, 1),
            "resumed_from": training.resumed_from,
            "samples": {"train": len(samples.train), "select": 0 if options.choose == "last" else len(samples.select), "report": len(samples.report)},
            "not_held_out": samples.degraded,
            "loss": {"train": training.curve.train, "select": training.curve.select},
            "selected_step": training.best_step,
            "select": {} if options.choose == "last" else figures(network, teaching, samples, samples.select[:SELECTED_AT_MOST]),
            "before": before,
            "after": after,
            "torch": str(torch.__version__),
        }
        return network.model(), report


def figures(student: Student, teacher: FloatNetwork, samples: SampleStore, index: np.ndarray) -> dict[str, float]:
    """agreement: share of the samples whose greatest score is the teacher's, over all outputs with classes; sqnr_db: of the logits."""
    pairs: list[tuple[list[np.ndarray], list[np.ndarray], bool]] = [([], [], t.classes) for t in student.outputs]
    with torch.no_grad():
        for i in range(0, len(index), MEASURED):
            inputs = tensors(samples.rows(index[i : i + MEASURED]))
            want = teacher(inputs, tuple(t.teacher for t in student.outputs))
            got = student.values(inputs, tuple(t.student for t in student.outputs), exact=True)
            for target, (wanted, given, _) in zip(student.outputs, pairs, strict=True):
                arranged = target.arranged(want[target.teacher])
                wanted.append(arranged.numpy())
                given.append(got[target.student].reshape(arranged.shape).numpy())
    result = {"sqnr_db": round(float(np.mean([sqnr_db(np.concatenate(w), np.concatenate(g)) for w, g, _ in pairs])), 2)}
    same = [np.concatenate(w).argmax(-1) == np.concatenate(g).argmax(-1) for w, g, classes in pairs if classes]
    return result | ({"agreement": round(float(np.mean([s.mean() for s in same])), 5)} if same else {})


def _check_pair(student: ir.Model, teacher: ir.Model) -> None:
    ports = [[(v.name, shape_of(v)) for v in model.graph.inputs] for model in (student, teacher)]
    ends = [[shape_of(v) for v in model.graph.outputs] for model in (student, teacher)]
    for what, (mine, theirs) in (("inputs", ports), ("outputs", ends)):
        if mine != theirs:
            raise _bad("student, teacher", f"the two models have different {what}", f"student {mine}, teacher {theirs}", "distill a network made from the teacher")
    if importer.is_quantized(teacher):
        raise _bad("teacher", "the teacher is quantized", "it holds QuantizeLinear nodes", "pass the float model it was made from")


def _quantized(model: ir.Model, samples: SampleStore, options: Any, progress: Callable[[str, float], None] | None) -> ir.Model:
    """The float student as QDQ model, calibrated on the first samples of all parts, which quantize keeps apart in the same way."""
    from edgec.compress import options_by_name, quantize_model

    def walk(index: np.ndarray) -> Callable[[], Iterator[Batch]]:
        return lambda: ({name: rows[0] for name, rows in samples.rows([i]).items()} for i in index)

    first = samples.given[:CALIBRATED]
    source = Calibration(walk(first), walk(samples.report)) if samples.held_out else walk(first)
    quantized, _ = quantize_model(model, Samples(source, samples.shapes), options=options_by_name(options) if isinstance(options, Mapping) else options, progress=progress)
    return importer.fold(quantized)


def _precision(wanted: str, quantized: bool) -> torch.dtype:
    """bfloat16 where the processor multiplies it, unless the student is quantized: integers of a sum have more than its 8 bits."""
    if quantized or wanted == "float32":
        return torch.float32
    known = [getattr(torch.cpu, f"_is_{feature}_supported", bool) for feature in ("avx512_bf16", "amx_tile")]
    return torch.bfloat16 if wanted == "bfloat16" or any(check() for check in known) else torch.float32


@contextmanager
def _deterministic(threads: int | None) -> Iterator[int]:
    """Deterministic algorithms and the number of threads while training; both as before afterwards."""
    before, count = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield torch.get_num_threads()
    finally:
        torch.use_deterministic_algorithms(before)
        torch.set_num_threads(count)

