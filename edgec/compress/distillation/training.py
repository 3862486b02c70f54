"""The training loop: resumable after any step, and then the same to the last bit."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgec.compress.augment import Augment
from edgec.compress.distillation import checkpoint as checkpoints
from edgec.compress.distillation.network import FloatNetwork
from edgec.compress.distillation.objective import Objective
from edgec.compress.distillation.optimizer import Average, RelativeAdam, rate_at
from edgec.compress.distillation.samples import SampleStore
from edgec.compress.distillation.students import Student
from edgec.errors import UsageError

MEASURED = 256
"""Samples on which the teacher's variances and the sizes of the student's activations are taken."""

SELECTED_AT_MOST = 1024
JUDGED_AT = (0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Parts of the run after which the averaged state is judged on the select part, beside the start. Late ones are the best."""

CURVE_POINTS = 40
CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Budget:
    """steps, or seconds of wall time (checkpoints carry what was used)."""

    steps: int | None = None
    seconds: float | None = None

    def fraction(self, step: int, elapsed: float) -> float:
        return min(1.0, step / self.steps if self.steps is not None else elapsed / self.seconds)


@dataclass
class Curve:
    """Loss over the run: train [(step, mean loss since the last entry)], select [(step, loss)]."""

    train: list[tuple[int, float]] = field(default_factory=list)
    select: list[tuple[int, float]] = field(default_factory=list)


class Training:
    """One run.

    Random numbers are drawn from generators seeded with (seed, what, step), never carried on, so that a step depends on its
    number and the parameters alone.
    """

    def __init__(
        self,
        student: Student,
        teacher: FloatNetwork,
        objective: Objective,
        samples: SampleStore,
        budget: Budget,
        *,
        batch: int,
        learning_rate: float,
        warmup: float,
        decay: float,
        seed: int,
        augment: Augment,
        precision: torch.dtype,
        last: bool,
        identity: dict[str, Any],
        checkpoint: Path | None,
        progress: Callable[[str, float], None] | None,
    ) -> None:
        self.student, self.teacher, self.objective, self.samples, self.budget = student, teacher, objective, samples, budget
        self.batch, self.learning_rate, self.warmup, self.seed, self.augment = min(batch, len(samples.train)), learning_rate, warmup, seed, augment
        self.precision, self.last, self.progress, self.path = precision, last, progress, checkpoint
        self.step, self.elapsed, self.curve = 0, 0.0, Curve()
        self._losses: list[float] = []
        self._noted = self._judged = 0
        self._wanted: list[list[Tensor]] = []
        probe = tensors(samples.rows(samples.train[:MEASURED]))
        with torch.no_grad():
            objective.measure(teacher(probe, objective.teacher_values))
        self.optimizer = RelativeAdam(student.network.trainables(probe))
        free = {id(s.weights) for s in student.settling}  # what settles has no average: it would lag behind
        self.average = Average([p for p in self.optimizer.parameters if id(p) not in free], decay)
        self.identity = identity | {"start": digest(self.optimizer.parameters)}
        self.best_loss, self.best_step, self.best = float("inf"), 0, [p.detach().clone() for p in self.optimizer.parameters]
        state = checkpoints.load(checkpoint, self.identity) if checkpoint is not None else None
        self.resumed_from = state["step"] if state else 0
        if state:
            self._restore(state)

    def run(self) -> None:
        """Train until the budget is used; the student then has the selected parameters."""
        started = time.monotonic() - self.elapsed
        if self.step == 0:
            self._select()
        with ThreadPoolExecutor(1) as beside:
            self._loop(started, beside)
        if self.path is not None:
            self.save()
        if self.last:
            self.average.swap()
            self.best_step, self.best = self.step, [p.detach().clone() for p in self.optimizer.parameters]
        with torch.no_grad():
            for parameter, best in zip(self.optimizer.parameters, self.best, strict=True):
                parameter.copy_(best)

    def _loop(self, started: float, beside: ThreadPoolExecutor) -> None:
        saved = time.monotonic()
        ahead = beside.submit(self._labelled, self.step, torch.get_num_threads())
        while (fraction := self.budget.fraction(self.step, self.elapsed)) < 1.0:
            inputs, wanted = ahead.result()
            ahead = beside.submit(self._labelled, self.step + 1, torch.get_num_threads())
            self._one(inputs, wanted, fraction)
            self.elapsed = time.monotonic() - started
            after = self.budget.fraction(self.step, self.elapsed)
            self.student.settle(after)
            if int(after * CURVE_POINTS) > self._noted:
                self._noted = int(after * CURVE_POINTS)
                self.curve.train.append((self.step, float(np.mean(self._losses))))
                self._losses = []
            if (passed := sum(after >= part for part in JUDGED_AT)) > self._judged:
                self._judged = passed
                if all(s.settled.all() for s in self.student.settling):
                    self._select()
            if self.progress:
                self.progress("distill", after)
            if self.path is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()

    def save(self) -> None:
        """Write the checkpoint of now."""
        assert self.path is not None
        checkpoints.save(self.path, self._state())

    def _labelled(self, step: int, threads: int) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The batch of that step and what the teacher makes of it. Runs beside the step before, on a core of its own."""
        torch.set_num_threads(threads)
        inputs = tensors(self._rows(step))
        with torch.no_grad(), self._steps_precision():
            return inputs, self.objective.wanted(self.teacher(inputs, self.objective.teacher_values))

    def _steps_precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == torch.bfloat16)

    def _rows(self, step: int) -> dict[str, np.ndarray]:
        """The augmented batch of that step."""
        epoch, at = divmod(step, len(self.samples.train) // self.batch)
        order = self.samples.order(epoch, self.seed)
        rows = self.samples.rows(np.sort(order[at * self.batch : (at + 1) * self.batch]))
        result = {name: self.augment(array, np.random.default_rng([self.seed, 2, step])) for name, array in rows.items()}
        for name, array in result.items():
            if np.shape(array) != rows[name].shape:
                why = f"input {name!r} was {rows[name].shape}, became {np.shape(array)}"
                raise UsageError("the augmentation changes the shape", where="augment", why=why, fix="give back an array of the batch's shape, [samples, *shape of one sample]")
        return result

    def _one(self, inputs: Mapping[str, Tensor], wanted: Sequence[Tensor], fraction: float) -> None:
        with self._steps_precision():
            values = self.student.values(inputs, self.objective.student_values)
        loss = self.objective(wanted, values)
        if not torch.isfinite(loss):
            why = f"the loss is {float(loss.detach())} at step {self.step}, learning rate {self.learning_rate:g}"
            raise UsageError("training diverged", where="distill", why=why, fix="give a smaller learning_rate: a third of it")
        loss.backward()
        self.optimizer.step(rate_at(fraction, self.learning_rate, self.warmup))
        self.step += 1
        self.average.update(self.step)
        self._losses.append(float(loss.detach()))

    def _select(self) -> None:
        """The averaged parameters are kept where their outputs, computed as the device or ONNX Runtime does, are the best so far on the
        select part."""
        if self.last:
            return
        self.average.swap()
        judge, index, total = replace(self.objective, features=()), self.samples.select[:SELECTED_AT_MOST], 0.0
        with torch.no_grad():
            for i, at in enumerate(range(0, len(index), MEASURED)):
                inputs = tensors(self.samples.rows(index[at : at + MEASURED]))
                if i == len(self._wanted):
                    self._wanted.append(judge.wanted(self.teacher(inputs, judge.teacher_values)))
                total += float(judge(self._wanted[i], self.student.values(inputs, judge.student_values, exact=True))) * len(index[at : at + MEASURED]) / len(index)
        if total < self.best_loss:
            self.best_loss, self.best_step, self.best = total, self.step, [p.detach().clone() for p in self.optimizer.parameters]
        self.average.swap()
        self.curve.select.append((self.step, total))

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "step": self.step,
            "elapsed": self.elapsed,
            "noted": (self._noted, self._judged),
            "losses": self._losses,
            "curve": asdict(self.curve),
            "parameters": [p.detach() for p in self.optimizer.parameters],
            "optimizer": self.optimizer.state(),
            "average": self.average.values,
            "settled": [s.settled for s in self.student.settling],
            "variance": self.objective.variance,
            "best": {"loss": self.best_loss, "step": self.best_step, "parameters": self.best},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.elapsed, self._losses = state["step"], state["elapsed"], state["losses"]
        self._noted, self._judged = state["noted"]
        self.curve = Curve(**state["curve"])
        with torch.no_grad():
            for parameter, value in zip(self.optimizer.parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        self.optimizer.restore(state["optimizer"])
        self.average.values, self.objective.variance = state["average"], state["variance"]
        for settling, settled in zip(self.student.settling, state["settled"], strict=True):
            settling.settled = settled
        self.best_loss, self.best_step, self.best = (state["best"][k] for k in ("loss", "step", "parameters"))


def tensors(rows: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array, np.float32)) for name, array in rows.items()}


def digest(parameters: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
