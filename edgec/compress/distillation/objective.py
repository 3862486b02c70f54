"""What the student is trained towards: the teacher's logits, and on the way some of its activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ALIKE = 0.8
"""Least correlation of a student's channel with the teacher's that it is taken for."""


@dataclass(frozen=True)
class Target:
    """A pair of values to bring together.

    teacher, student: names in their networks; shape, order: reshape the teacher's value to [samples, *shape] and permute those
    axes to `order`, which is the student's memory order; classes: whether the last axis is scores in front of a softmax;
    channels: along the second axis of `shape`, where the student has fewer: the teacher's channel for each of the student's, and whether
    it resembles that enough to be compared.
    """

    teacher: str
    student: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    classes: bool = False
    channels: tuple[tuple[int, ...], tuple[bool, ...]] | None = None

    def arranged(self, value: Tensor) -> Tensor:
        """The teacher's value in the student's order: [samples, *]."""
        return value.reshape(-1, *self.shape).permute(0, *(a + 1 for a in self.order))

    def wanted(self, value: Tensor) -> Tensor:
        """The teacher's value in the student's order, with the student's channels."""
        value = self.arranged(value)
        if self.channels is None:
            return value
        last = value.movedim(2, -1)  # where a picture's channels lie in memory, and stay
        return last.index_select(-1, torch.tensor(self.channels[0])).movedim(-1, 2)

    def error(self, wanted: Tensor, student: Tensor) -> Tensor:
        """Mean square of the difference, over the channels that both have."""
        if self.channels is None or all(self.channels[1]):
            return _SquareError.apply(student, wanted.reshape(student.shape))
        alike = torch.tensor(self.channels[1], dtype=student.dtype)
        student, weight = student.reshape(wanted.shape), alike.reshape(-1, *(1,) * (wanted.ndim - 3))
        return _SquareError.apply(student * weight, wanted * weight) / float(alike.mean(dtype=torch.float32))


class _SquareError(torch.autograd.Function):
    """Mean of (a − b)², summed in float32. Nothing is kept for the gradient but the difference, which is all that it needs; torch's own
    operators make three arrays of that size more."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        difference = a - b
        ctx.save_for_backward(difference)
        return torch.linalg.vector_norm(difference, dtype=torch.float32).square() / difference.numel()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference * float(2 * gradient / difference.numel()), None


def matched(target: Target, teacher: Tensor, student: Tensor) -> Target | None:
    """The target for a student with fewer channels along the second axis of the value: each is paired with the teacher's channel that it
    resembles most on some samples, [samples, *shape]. None where too few resemble any.

    Pruning keeps channels and solves them anew to be what they were, so that correlation finds them again.
    """
    rows = [v.transpose(0, 2).flatten(1).double() for v in (teacher, student)]
    rows = [r - r.mean(1, keepdim=True) for r in rows]
    unit = [r / r.norm(dim=1, keepdim=True).clamp(min=1e-30) for r in rows]
    best, found = (unit[1] @ unit[0].T).max(1)
    alike = best > ALIKE
    if int(alike.sum()) < len(best) / 2:
        return None
    return replace(target, channels=(tuple(found.tolist()), tuple(alike.tolist())))


@dataclass
class Objective:
    """Σ over the outputs of MSE / teacher's variance + divergence · T² · KL(teacher ‖ student at temperature T), and the mean of
    MSE / variance over the features times feature_weight.

    The variance makes the first term 1 − R², whatever the logits' size; what it weighs equally, small differences between unlikely
    classes too, is what KL does not see (Hinton et al. 2015, arXiv:1503.02531; Kim et al. 2021, arXiv:2105.08919).
    """

    outputs: Sequence[Target]
    features: Sequence[Target]
    temperature: float = 2.0
    divergence: float = 0.2
    feature_weight: float = 0.0
    variance: dict[str, float] | None = None

    @property
    def teacher_values(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(t.teacher for t in (*self.outputs, *self.features)))

    @property
    def student_values(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(t.student for t in (*self.outputs, *self.features)))

    def measure(self, teacher: Mapping[str, Tensor]) -> None:
        """Take the variances from the teacher's values on some samples."""
        self.variance = {name: max(float(teacher[name].double().var()), 1e-12) for name in self.teacher_values}

    def wanted(self, teacher: Mapping[str, Tensor]) -> list[Tensor]:
        """What a student is compared with: of the outputs, then of the features."""
        wanted = [t.wanted(teacher[t.teacher]) for t in (*self.outputs, *self.features)]
        return [w.float() for w in wanted[: len(self.outputs)]] + wanted[len(self.outputs) :]

    def __call__(self, wanted: Sequence[Tensor], student: Mapping[str, Tensor]) -> Tensor:
        assert self.variance is not None
        total: Tensor = torch.zeros(())
        for target, want in zip(self.outputs, wanted, strict=False):
            got = student[target.student].float()
            total = total + target.error(want, got) / self.variance[target.teacher]
            if target.classes and self.divergence:
                t, got = self.temperature, got.reshape(want.shape)
                p, q = F.log_softmax(want / t, -1), F.log_softmax(got / t, -1)
                total = total + self.divergence * t * t * F.kl_div(q, p, reduction="none", log_target=True).sum(-1).mean()
        if self.features and self.feature_weight:
            pairs = zip(self.features, wanted[len(self.outputs) :], strict=True)
            parts = [t.error(want, student[t.student]) / self.variance[t.teacher] for t, want in pairs]
            total = total + self.feature_weight * torch.stack(parts).mean()
        return total
