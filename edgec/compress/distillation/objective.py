"""What the student is trained towards: the teacher's logits, and on the way some of its activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
    channels: along the second axis of `shape`, which of the teacher's channels belong to which of the student's, where it has fewer.
    """

    teacher: str
    student: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    classes: bool = False
    channels: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def arranged(self, value: Tensor) -> Tensor:
        """The teacher's value in the student's order: [samples, *]."""
        return value.reshape(-1, *self.shape).permute(0, *(a + 1 for a in self.order))

    def pair(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Both values in the student's order, of the channels that both have."""
        want, got = self.arranged(teacher[self.teacher]), student[self.student]
        if self.channels is None:
            return want, got.reshape(want.shape)
        return tuple(v.index_select(2, torch.tensor(index)) for v, index in zip((want, got), self.channels, strict=True))


def matched(target: Target, teacher: Tensor, student: Tensor) -> Target | None:
    """The target for a student with fewer channels along the second axis of the value: each is paired with the teacher's channel that it
    resembles most on some samples, [samples, *shape]. None where too few resemble any.

    Pruning keeps channels and solves them anew to be what they were, so that correlation finds them again.
    """
    rows = [v.transpose(0, 2).flatten(1).double() for v in (teacher, student)]
    rows = [r - r.mean(1, keepdim=True) for r in rows]
    unit = [r / r.norm(dim=1, keepdim=True).clamp(min=1e-30) for r in rows]
    best, found = (unit[1] @ unit[0].T).max(1)
    alike = [i for i in range(len(best)) if best[i] > ALIKE]
    if len(alike) < len(best) / 2:
        return None
    return replace(target, channels=(tuple(int(found[i]) for i in alike), tuple(alike)))


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

    def __call__(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> Tensor:
        assert self.variance is not None
        total: Tensor = torch.zeros(())
        for target in self.outputs:
            want, got = target.pair(teacher, student)
            total = total + F.mse_loss(got, want) / self.variance[target.teacher]
            if target.classes and self.divergence:
                t = self.temperature
                p, q = F.log_softmax(want / t, -1), F.log_softmax(got / t, -1)
                total = total + self.divergence * t * t * F.kl_div(q, p, reduction="none", log_target=True).sum(-1).mean()
        if self.features and self.feature_weight:
            parts = []
            for target in self.features:
                want, got = target.pair(teacher, student)
                parts.append(F.mse_loss(got, want) / self.variance[target.teacher])
            total = total + self.feature_weight * torch.stack(parts).mean()
        return total
