"""Compression on the command line: `edgec compress`, and the budget of `edgec compile`."""

from __future__ import annotations

import argparse
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import edgec
from edgec.errors import UsageError


def add_compress(sub: argparse.ArgumentParser) -> None:
    """Arguments of `edgec compress`."""
    sub.add_argument("model", help="float .onnx file")
    sub.add_argument("--calibration", "-c", metavar="FILE", required=True, help=".npy or .npz of unlabelled inputs")
    add_held_out(sub)
    sub.add_argument("--output", "-o", metavar="FILE", required=True, help="the .onnx file: float, or QDQ with --quantize")
    sub.add_argument("--macs", type=float, metavar="FRACTION", help="prune: fraction of the multiply-accumulates to keep, such as 0.66")
    sub.add_argument("--distill", type=float, metavar="SECONDS", help="then train against the model itself for so long (needs torch)")
    sub.add_argument("--checkpoint", metavar="FILE", help="with --distill: save the training there, and go on from it where it exists")
    sub.add_argument("--seed", type=int, default=0, help="of the training")
    sub.add_argument("--quantize", action="store_true", help="then quantize to int8")
    sub.add_argument("--weight-bits", type=int, choices=(4, 8), help="quantize with weights of so many bits")
    sub.add_argument("--weight-bytes", metavar="SIZE", help="quantize with 4 or 8 bits a layer, so that all weights need no more, such as 14K")
    sub.add_argument("--quiet", "-q", action="store_true", help="no progress")


def add_held_out(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--held-out", metavar="FILE", help="other inputs for the report's figures; else a quarter of --calibration is kept for them")


def calibration(args: argparse.Namespace) -> Any:
    """What --calibration and --held-out name."""
    if args.held_out is None:
        return args.calibration
    if args.calibration is None:
        raise UsageError("--held-out without --calibration", where="--held-out", why="it judges what was fitted to others", fix="add --calibration FILE")
    return edgec.Calibration(args.calibration, args.held_out)


def compress(args: argparse.Namespace, shapes: dict[str, Any], progress: Any) -> dict[str, Any]:
    """Apply the passes that the arguments name, in order; plain values of what each did."""
    from edgec.limits import parse_size

    passes: list[Any] = []
    samples = calibration(args)
    if args.macs is not None:
        passes.append(edgec.Prune(samples, macs=args.macs))
    if args.distill is not None:
        passes.append(edgec.Distill(samples, teacher=args.model, seconds=args.distill, seed=args.seed, checkpoint=args.checkpoint))
    options: dict[str, Any] = {} if args.weight_bits is None else {"weight_bits": args.weight_bits}
    if args.weight_bytes is not None:
        options["weight_bytes"] = parse_size(args.weight_bytes, "--weight-bytes")
    if args.quantize or options:
        passes.append(edgec.Quantize(samples, **options))
    if not passes:
        raise UsageError("nothing to do", where="edgec compress", why="no pass is named", fix="give --macs, --distill, --quantize or --weight-bits")
    made: Any = args.model
    for step in passes:
        made = step(made, shapes=shapes, progress=progress)
    path = made.save(args.output)
    return {"model": str(path), "bytes": path.stat().st_size, "passes": list(made.reports)}


def compress_text(result: dict[str, Any]) -> str:
    """What each pass did, in a few lines."""
    lines = [f"written to {result['model']} ({result['bytes']:,} bytes)"]
    for report in result["passes"]:
        lines += ["", report["pass"]]
        for name, value in report.items():
            if name != "pass" and isinstance(value, (int, float, str)) and not isinstance(value, bool):
                lines.append(f"  {name.replace('_', ' '):24} {value:,}" if isinstance(value, int) else f"  {name.replace('_', ' '):24} {value}")
    return "\n".join(lines)


def add_budget(sub: argparse.ArgumentParser) -> None:
    """Arguments of the search that `edgec compile` makes within a budget."""
    group = sub.add_argument_group("search", "the best network within a budget, by pruning, 4- and 8-bit weights, and training")
    group.add_argument(
        "--budget", action="append", default=[], metavar="KIND=SIZE", help="weights=14K, flash=…, ram=…, macs=6M or instructions=2M; may be repeated"
    )
    group.add_argument("--max-drop", type=float, default=0.01, metavar="DROP", help="how far the score may fall below float's (default 0.01)")
    group.add_argument("--evaluate", metavar="FILE", help="inputs to score on, with --labels; without it likeness to the float model is the score")
    group.add_argument("--labels", metavar="FILE", help="true classes of --evaluate; FILE.npz:NAME takes one array")
    group.add_argument("--distill", type=float, metavar="SECONDS", help="train the two most promising networks for so long each (needs torch)")
    group.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that try candidates")
    group.add_argument("--front", metavar="FILE", help="write all points: .json as values, .svg as a picture; may name both: front.json,front.svg")


def budget_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `edgec.compile` for the search; {} without --budget."""
    if not args.budget:
        given = [name for name in ("evaluate", "labels", "distill", "front") if getattr(args, name) is not None]
        if given:
            raise UsageError(f"--{given[0]} without --budget", where=f"--{given[0]}", why="it belongs to a search", fix="add, for example, --budget weights=14K")
        return {}
    if bool(args.evaluate) != bool(args.labels):
        raise UsageError("a score needs inputs and labels", where="--evaluate, --labels", why="only one of them is given", fix="give both, or neither")
    if any(Path(name).suffix not in (".json", ".svg") for name in _names(args.front)):
        raise UsageError(f"cannot tell the form of {args.front}", where="--front", why="it is .json or .svg", fix="write --front front.json,front.svg")
    budget = {}
    for text in args.budget:
        kind, separator, size = text.partition("=")
        if not separator:
            raise UsageError(f"cannot read the budget {text!r}", where="--budget", why="it is KIND=SIZE", fix="write, for example, --budget weights=14K")
        budget[kind] = size
    found: dict[str, Any] = {"budget": budget, "max_drop": args.max_drop}
    if args.distill is not None:
        found["distill"] = {"seconds": args.distill}
    if args.evaluate:
        from edgec.search.scores import Accuracy

        found["evaluate"] = Accuracy.read(args.evaluate, args.labels)
    return found


def pool(args: argparse.Namespace) -> AbstractContextManager[Executor | None]:
    """The processes that --jobs asks for."""
    return ProcessPoolExecutor(args.jobs) if args.budget and args.jobs > 1 else nullcontext(None)


def save_front(artifact: Any, names: str | None) -> dict[str, Any]:
    """Write the front's files; the front as plain values."""
    front = getattr(artifact, "front", None)
    if front is None:
        return {}
    for name in _names(names):
        front.save_picture(name) if name.endswith(".svg") else front.save_json(name)
    return {"front": front.as_dict()}


def _names(text: str | None) -> list[str]:
    return [] if text is None else text.split(",")
