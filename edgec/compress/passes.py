"""Passes that make a model smaller: float model in, better model out, each usable alone or in a row.

    edgec.Prune(data, macs=0.66)("model.onnx").save("pruned.onnx")
    edgec.compile("model.onnx", "cortex-m4", calibration=data, passes=[edgec.Prune(macs=0.66), edgec.Distill(seconds=300), edgec.Quantize()])

Every pass ends in a standard ONNX model: float after Prune and Distill, QDQ after Quantize.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgec.errors import UsageError
from edgec.progress import Progress

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnx import ModelProto


@dataclass(frozen=True)
class Context:
    """What a pass may need beside the model.

    origin: the float model that the row of passes began with, the teacher of a distillation.
    data: samples for passes that were given none of their own (`calibration` of compile).
    """

    origin: ir.Model
    data: Any = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Compressed:
    """A model that passes made, and what each of them did: `reports`, plain values in order."""

    model: ir.Model
    reports: tuple[dict[str, Any], ...] = field(default=())

    @property
    def report(self) -> dict[str, Any]:
        """Of the last pass."""
        return self.reports[-1]

    def proto(self) -> ModelProto:
        """As an onnx.ModelProto."""
        import onnx_ir as ir

        return ir.to_proto(self.model)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the .onnx file: beside, then renamed."""
        from edgec import importer

        importer.save(self.model, path)
        return Path(path)


class Pass:
    """Base of the passes. data: samples as `edgec.compile` takes calibration; None takes those given to compile."""

    name = ""
    takes_quantized = False
    """Whether a QDQ model may be given to it too."""

    def __init__(self, data: Any = None) -> None:
        self.data = data

    def apply(self, model: ir.Model, context: Context) -> tuple[ir.Model, dict[str, Any]]:
        """A new model and a report of plain values; model (float, static shapes, after `edgec.graph.optimize`) stays as it is."""
        raise NotImplementedError

    def __call__(
        self, model: str | os.PathLike | bytes | ModelProto | Compressed, *, shapes: Mapping[str, Sequence[int]] | None = None, progress: Progress | None = None
    ) -> Compressed:
        """Apply to a model as `edgec.compile` takes it, or to what another pass made.

        Raises:
            UsageError: no data, or options out of range. ModelError: the model is corrupt, unsupported or quantized already.
        """
        if isinstance(model, Compressed):
            return Compressed(*_run(model.model, [self], Context(model.model, None, progress), model.reports))
        from edgec import graph, importer

        imported = importer.import_model(model, shapes=shapes)
        if not importer.is_quantized(imported):
            imported, _ = graph.optimize(imported)
        return Compressed(*_run(imported, [self], Context(imported, None, progress)))

    def samples(self, context: Context) -> Any:
        """Own data, or those of the context."""
        data = context.data if self.data is None else self.data
        if data is None:
            raise UsageError(
                f"{self.name} needs samples",
                where=self.name,
                why="what a layer may lose is measured on real activations, and edgec does not guess them silently",
                fix=f"pass edgec.{self.name}(data, …), or calibration= to compile: a few hundred unlabelled samples of what the device will see",
            )
        return data

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k != "data" and v is not None and v != {})
        return f"{self.name}({shown})"


class Quantize(Pass):
    """Float model to QDQ model: see `edgec.compress.Options` for the options, given by name."""

    name = "Quantize"

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data)
        from edgec.compress import options_by_name

        options_by_name(options)
        self.options = options

    def apply(self, model: ir.Model, context: Context) -> tuple[ir.Model, dict[str, Any]]:
        from edgec.compress import options_by_name, quantize_model

        return quantize_model(model, self.samples(context), options=options_by_name(self.options), progress=context.progress)


class Prune(Pass):
    """Narrower layers, the remaining weights solved anew from unlabelled samples: see `edgec.compress.pruning.prune`.

    macs: fraction of the multiply-accumulates to keep; further options by name.
    """

    name = "Prune"

    def __init__(self, data: Any = None, *, macs: float | None = None, **options: Any) -> None:
        super().__init__(data)
        self.macs, self.options = macs, options

    def apply(self, model: ir.Model, context: Context) -> tuple[ir.Model, dict[str, Any]]:
        from edgec.compress.pruning import prune

        return _by_name(prune, self, model, self.samples(context), macs=self.macs, progress=context.progress, **self.options)


class Distill(Pass):
    """Training against the float teacher on unlabelled samples, with torch (`pip install edgec[distill]`).

    teacher: the model to imitate, as compile takes it; None takes the one that the row of passes began with.
    A quantized model, or one that the option `quantize` makes so, is trained in its own integer arithmetic.
    Options by name: see `edgec.compress.distillation.distill`.
    """

    name = "Distill"
    takes_quantized = True

    def __init__(self, data: Any = None, *, teacher: Any = None, **options: Any) -> None:
        super().__init__(data)
        self.teacher, self.options = teacher, options

    def apply(self, model: ir.Model, context: Context) -> tuple[ir.Model, dict[str, Any]]:
        from edgec import graph, importer
        from edgec.compress.distillation import distill

        teacher = context.origin
        if self.teacher is not None:
            teacher = self.teacher.model if isinstance(self.teacher, Compressed) else graph.optimize(importer.import_model(self.teacher))[0]
        return _by_name(distill, self, model, teacher, self.samples(context), progress=context.progress, **self.options)


def run_passes(
    model: ir.Model, passes: Sequence[Pass], data: Any, *, quantize: Mapping[str, Any] | None = None, progress: Progress | None = None
) -> tuple[ir.Model, list[dict[str, Any]]]:
    """Apply passes in order to a float model, and quantize at the end unless the last of them did.

    Returns: the QDQ model and the reports, the last being that of the quantization.

    quantize: options of the Quantize that is added.
    """
    from edgec import importer

    context = Context(model, data, progress)
    model, reports = _run(model, passes, context)
    if not importer.is_quantized(model):
        model, reports = _run(model, [Quantize(**dict(quantize or {}))], context, reports)
    return model, list(reports)


def _run(model: ir.Model, passes: Sequence[Pass], context: Context, before: Sequence[dict[str, Any]] = ()) -> tuple[ir.Model, tuple[dict[str, Any], ...]]:
    from edgec import importer

    reports = list(before)
    for step in passes:
        if not isinstance(step, Pass):
            raise UsageError(f"{step!r} is not a pass", where="passes", why="passes are objects such as edgec.Prune(macs=0.66)", fix="make one, with its options")
        if importer.is_quantized(model) and not step.takes_quantized:
            raise UsageError(
                f"{step.name} needs a float model",
                where=f"passes, {step!r}",
                why="the model is quantized already",
                fix="order them Prune, Distill, Quantize (and Distill once more, in integers), and start from the float model",
            )
        model, report = step.apply(model, context)
        reports.append({"pass": step.name, **report})
    return model, tuple(reports)


def _by_name(function: Callable[..., Any], step: Pass, *args: Any, **options: Any) -> Any:
    """Calls function; an unknown option is the user's mistake, not a TypeError."""
    import inspect

    known = [name for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]
    unknown = [name for name in options if name not in known]
    if unknown:
        shown = ", ".join(name for name in known if name != "progress")
        raise UsageError(f"unknown option {unknown[0]!r}", where=step.name, why=f"the options are {shown}", fix="use these names")
    return function(*args, **options)
