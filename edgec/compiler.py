"""compile(): the path from an ONNX file to an artifact, in order, on one screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgec import targets
from edgec.artifact import Artifact
from edgec.errors import UsageError
from edgec.limits import check_limits, parse_limits
from edgec.progress import Progress

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from onnx import ModelProto

    from edgec.compress.passes import Compressed, Pass


def compile(
    model: str | os.PathLike | bytes | ModelProto | Compressed,
    target: str | targets.Target,
    *,
    calibration: Any = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    skip_passes: Sequence[str] = (),
    passes: Sequence[Pass] = (),
    quantize: Mapping[str, Any] | None = None,
    budget: Mapping[str, int | str] | None = None,
    max_drop: float = 0.01,
    evaluate: Callable[[Any], float] | None = None,
    executor: Executor | None = None,
    distill: Mapping[str, Any] | None = None,
    limits: Mapping[str, int | str] | str | None = None,
    measure: bool = True,
    save_qdq: str | os.PathLike | None = None,
    security_counter: int = 0,
    model_version: int = 0,
    progress: Progress | None = None,
) -> Artifact:
    """Compile a model for a target.

    Args:
        model: float or QDQ ONNX: a path, the file's bytes, a ModelProto, or what a compression pass made.
        target: a name from `edgec.targets.names()`, or a Target.
        calibration: for a float model: an array [N, …], a .npy/.npz path, an iterable of samples or batches (dicts for
            several inputs), or "synthetic" (noise: the report then says that accuracy is unverified). float32, finite. A quarter of the
            samples is kept for the report's figures; `edgec.Calibration(samples, held_out)` brings others for them and fits to all.
        shapes: input name → shape, for models with open dimensions.
        inputs, outputs: names of tensors to cut the graph at; the report then says what is left to the caller.
        skip_passes: names of float passes (`edgec.graph.PASSES`) to leave out.
        passes: compression in order, such as [edgec.Prune(macs=0.66), edgec.Distill(seconds=300)]; they take `calibration` where
            they have no data of their own, and int8 quantization follows unless the last is an edgec.Quantize.
        quantize: options of `edgec.compress.Options` by name, such as {"ranges": "minmax"} or {"equalize": (1, 1)}.
        budget: limits to search under: {"weights": "14K", "flash": …, "ram": …, "macs": "6M", "instructions": …}, any of them. Pruning and
            weights of 4 and 8 bits are tried and combined; the artifact's `front` has all points, as JSON and as a picture.
        max_drop, evaluate, executor, distill: of the search, see `edgec.search.search`: how far the score may fall, a score of
            your own, where candidates run, and options of edgec.Distill to train the two most promising.
        limits: {"flash": …, "ram": …} in bytes, or as "256K", "64KiB", "1M"; either may be left out. "target" takes those of a
            typical part, `Target.memory`. Flash is artifact and code, RAM is arena and stack.
        measure: for limits: code and stack from the target's own compiler and emulator where installed, not from the table.
        save_qdq: where to write the QDQ model, the pinned intermediate that ONNX Runtime also runs.
        security_counter, model_version: for the header of the artifact.
        progress: called on long steps.

    Raises:
        UsageError, ModelError, DataError: the user's mistake, with what, where, why and fix.
        FitError: beyond limits or budget; nothing is then written.
    """
    from edgec import graph, importer, lower, plan
    from edgec.compress.passes import Compressed, run_passes
    from edgec.emit.kernels import select
    from edgec.ir.verify import verify

    report = progress or (lambda step, done: None)
    chosen = targets.load(target)
    bounds = parse_limits(limits, chosen)
    versions = {"security_counter": security_counter, "model_version": model_version}
    report("import", 0.0)
    model, reports = (model.proto(), list(model.reports)) if isinstance(model, Compressed) else (model, [])
    onnx_model = importer.import_model(model, shapes=shapes, inputs=inputs, outputs=outputs)
    facts: dict[str, Any] = {
        "macs_source": graph.count_macs(onnx_model),
        "calibration": "none: the model was quantized already",
        "left_to_caller": importer.left_out(onnx_model),
        "skip_passes": list(skip_passes),
    }
    if not importer.is_quantized(onnx_model):
        _require(calibration, passes)
        report("optimize", 0.0)
        onnx_model, facts["passes"] = graph.optimize(onnx_model, skip=skip_passes)
        if budget is not None:
            from edgec.search import search

            return search(
                onnx_model, chosen, calibration, passes=passes, budget=budget, max_drop=max_drop, evaluate=evaluate, executor=executor,
                distill=distill, quantize=quantize, compile_options={"limits": limits, "measure": measure, **versions}, progress=progress,
            )  # fmt: skip
        onnx_model, made = run_passes(onnx_model, passes, calibration, quantize=quantize, progress=report)
        reports += made
        onnx_model = importer.fold(onnx_model)
    elif passes or budget is not None:
        raise _already_quantized("passes" if passes else "budget")
    if reports:
        facts["compression"] = [r for r in reports if "rungs" not in r]
        facts["quantization"] = next((r for r in reports if "rungs" in r), None)
        facts["calibration"] = "synthetic" if any(r.get("synthetic") for r in reports) else "data"
    report("lower", 0.0)
    program = lower.lower(onnx_model)
    verify(program)
    program, kernels = plan.schedule(program, [select(op, chosen) for op in program.ops])
    memory = plan.make_plan(program, kernels)
    report("emit", 0.0)
    artifact = Artifact.build(program, memory, kernels, chosen, facts, **versions)
    if bounds:
        check_limits(artifact, bounds, measure=measure)
    if save_qdq is not None:
        importer.save(onnx_model, save_qdq)
    return artifact


def _already_quantized(where: str) -> UsageError:
    return UsageError(
        "a quantized model cannot be compressed further", where=where, why="it carries QuantizeLinear", fix="compile the float model it was made from"
    )


def _require(calibration: Any, passes: Sequence[Pass]) -> None:
    if calibration is None and not any(step.name == "Quantize" and step.data is not None for step in passes):
        raise UsageError(
            "a float model needs calibration data",
            where="calibration",
            why="int8 ranges are chosen from real activations, and edgec does not guess them silently",
            fix="pass calibration=<array, .npy/.npz path or iterable of samples> (--calibration FILE): a few hundred samples of what the "
            "device will see; \"synthetic\" compiles with noise and marks accuracy as unverified",
        )
