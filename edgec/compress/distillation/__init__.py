"""Distillation: a student, pruned or quantized, is trained to give its float teacher's logits, on unlabelled samples.

torch is imported here alone, when `distill` is called; it is not a dependency of edgec (`pip install edgec[distill]`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgec.errors import ToolError

if TYPE_CHECKING:
    import os

    import onnx_ir as ir

    from edgec.compress.augment import Augment

__all__ = ["distill", "require_torch"]


def require_torch(where: str, fix: str = "pip install torch==2.13.0") -> None:
    """Raises ToolError where torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ToolError("torch is not installed", where=where, why="training needs it; nothing else of edgec does", fix=fix) from None


def distill(
    student: ir.Model,
    teacher: ir.Model,
    data: Any,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    quantize: Any = None,
    augment: str | Augment = "auto",
    seed: int = 0,
    batch: int = 64,
    learning_rate: float | None = None,
    warmup: float = 0.03,
    average: float = 0.998,
    temperature: float = 2.0,
    divergence: float = 0.2,
    features: float = 0.0,
    threads: int | None = 1,
    precision: str = "auto",
    choose: str = "best",
    learned_rounding: str = "narrow",
    checkpoint: str | os.PathLike | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> tuple[ir.Model, dict[str, Any]]:
    """Train the student's weights so that its outputs become the teacher's.

    A float student (pruned, perhaps) gives a float model. A QDQ student is trained in the arithmetic of its compiled program, every
    rounding at its place, its scales fixed; it gives a QDQ model of the same structure.

    Args:
        student: float or QDQ, imported by edgec.importer; teacher: float, the same inputs and outputs. Neither is changed.
        data: unlabelled samples as edgec.compile takes calibration: the fit part (by hash) is trained on, the select part chooses
            the state that is kept, figures are those of the report part, or of the held-out samples of an `edgec.Calibration`.
        seconds, steps: the budget, one of the two. A run of `steps` is reproducible on one machine with one number of threads.
        quantize: None, or quantization options (edgec.compress.Options or a dict of them): a float student is quantized first.
        augment: "none", "mixup", "image", "features", or a function (float32 [n, *shape], numpy Generator) → the same shape. "auto" takes
            "features" for inputs with a long axis of time, "image" for pictures, "mixup" for others (`edgec.compress.augment.suited`).
        learning_rate: step of Adam, relative to each channel's weights (default 0.01); for a QDQ student to an eighth of its layers' weights, or a
            step of their grid where that is more (default 0.005).
        warmup: part of the budget over which the rate rises; average: decay of the average of the parameters.
        temperature, divergence: of the KL term, for outputs behind a softmax; features: weight of matching activations of the
            same name, channel by channel where the student has fewer of them.
        choose: "best" keeps the state with the least loss on the select part; "last" trains on that part too and keeps the last average:
            better with a few hundred samples, or where the student was fitted to that part before.
        learned_rounding: of a QDQ student, which weights settle on integers one by one instead of being rounded straight through in every step:
            "narrow" those of 4 bits, "all", or "none". None of them is rounded before nine tenths of the run: give a budget that can be spent.
        threads: of torch; None is its own choice. Beside other work on the machine two are far slower than one (58 steps instead of 319).
        precision: of training steps, never of figures: "float32", "bfloat16", or "auto": bfloat16 for a float student on a processor that
            multiplies it, which takes 0.6 of the time.
        checkpoint: a file. A run that finds it there continues it, to the same result as if it had never stopped.
        progress: called with "distill" and the fraction done.

    Returns: the model and a report: steps, seconds, loss curves, the selected step, agreement and SQNR of the logits before and after.

    Raises:
        ToolError: torch is not installed. UsageError: both budgets or none, unknown options, a checkpoint of another run.
        ModelError: an operator that cannot be trained. DataError: unusable samples.
    """
    require_torch("distillation")
    from edgec.compress.distillation.distilling import Options, run

    options = Options(
        seconds, steps, seed, batch, learning_rate, warmup, average, temperature, divergence, features, threads, precision, choose,
        augment if isinstance(augment, str) else getattr(augment, "__qualname__", "function"), learned_rounding,
    )  # fmt: skip
    return run(student, teacher, data, options, quantize=quantize, augment=augment, checkpoint=None if checkpoint is None else Path(checkpoint), progress=progress)
