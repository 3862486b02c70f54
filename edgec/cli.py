"""The command line: one function a command, each on the public API. Exit codes are those of edgec.errors (docs/SPEC.md 5)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import edgec
from edgec.errors import DataError, EdgecError, UsageError


_END_PROGRESS = "\r\033[K"


def compile_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec compile model.onnx --target cortex-m4 --calibration data.npz -o model.edgec"""
    artifact = edgec.compile(
        args.model,
        args.target,
        calibration=args.calibration,
        shapes=dict(_shape(text) for text in args.shape),
        inputs=args.cut_input,
        outputs=args.cut_output,
        skip_passes=args.skip_pass,
        save_qdq=args.save_qdq,
        security_counter=args.security_counter,
        model_version=args.model_version,
        progress=None if args.json or args.quiet else _show_progress,
    )
    path = Path(args.output or Path(args.model).with_suffix(".edgec").name)
    artifact.save(path)
    if args.export_c:
        artifact.export_c(args.export_c)
    return {"artifact": str(path), **artifact.report(measure=not args.no_measure)}


def run_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec run model.edgec --input x.npz [--on qemu] [--output y.npz]"""
    from edgec import run

    artifact = edgec.load(args.artifact)
    x = _inputs(artifact, args.input, args.seed)
    result: dict[str, Any] = {"artifact": args.artifact, "on": args.on, "target": artifact.target.name}
    outputs = artifact.run(x, on=args.on, engine=args.engine)
    if args.on == "qemu":
        result |= {"engine": args.engine, "instructions": outputs.instructions, "stack_bytes": outputs.stack_bytes, "code_bytes": outputs.code_bytes}
        outputs = outputs.outputs
    if args.check:
        result["bytes_compared_with_interpreter"] = run.compare(artifact, x, on=args.on if args.on == "qemu" else "host", engine=args.engine)
    named = outputs if isinstance(outputs, dict) else {artifact.program.outputs[0].name: outputs}
    if args.output:
        _save(args.output, named)
        result["output"] = args.output
    result["outputs"] = {name: {"shape": list(v.shape), "dtype": str(v.dtype), "values": v.reshape(-1)[:16].tolist()} for name, v in named.items()}
    return result


def inspect_command(args: argparse.Namespace) -> dict[str, Any] | str:
    """edgec inspect model.edgec [--text]"""
    artifact = edgec.load(args.artifact)
    if args.text:
        from edgec.ir.text import to_text

        return to_text(artifact.program)
    return artifact.report(measure=not args.no_measure)


def targets_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec targets"""
    rows = {}
    for name in edgec.targets.names():
        t = edgec.targets.load(name)
        rows[name] = {"description": t.description, "isa": list(t.isa), "layout": t.layout, **dict(t.memory)}
    return {"targets": rows}


def _inputs(artifact: Any, path: str | None, seed: int) -> Any:
    ports = artifact.program.inputs
    if path is None:
        rng = np.random.default_rng(seed)
        return {p.name: rng.integers(-128, 128, p.shape).astype(np.int8) for p in ports}
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError("cannot read the input", where=path, why=str(error), fix="pass a .npy or .npz file of float or int8 arrays") from None
    if isinstance(loaded, np.ndarray):
        return loaded
    names = [p.name for p in ports]
    if len(names) == 1 and names[0] not in loaded.files:
        name = "x" if "x" in loaded.files else loaded.files[0]
        return loaded[name].astype(np.float32) if loaded[name].dtype.kind in "ui" and loaded[name].dtype != np.int8 else loaded[name]
    return {name: loaded[name] for name in names if name in loaded.files}


def _save(path: str, named: dict[str, np.ndarray]) -> None:
    import io

    from edgec.files import write_file

    buffer = io.BytesIO()
    if path.endswith(".npy") and len(named) == 1:
        np.save(buffer, next(iter(named.values())))
    else:
        np.savez(buffer, **named)
    write_file(path, buffer.getvalue())


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition("=")
    try:
        return name, tuple(int(d) for d in dims.replace("x", ",").split(","))
    except ValueError:
        raise UsageError(f"cannot read the shape {text!r}", where="--shape", why="it is NAME=1,3,224,224", fix="write the input's name, =, and its dimensions") from None


def _show_progress(step: str, done: float) -> None:
    bar = "" if done <= 0 else f" {round(100 * done):3d} %"
    if sys.stderr.isatty():
        print(f"{_END_PROGRESS}{step}{bar}", end="", file=sys.stderr, flush=True)
    elif done in (0.0, 1.0):
        print(f"{step}{bar}", file=sys.stderr, flush=True)


def _table(value: Any, indent: str = "") -> str:
    """A dict for people: one line a figure, lists of dicts as columns."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines += [f"{indent}{key}:", _table(item, indent + "  ")]
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            columns = list(item[0])
            cells = [columns, *([_cell(row[c]) for c in columns] for row in item)]
            widths = [max(len(r[i]) for r in cells) for i in range(len(columns))]
            lines.append(f"{indent}{key}:")
            lines += [indent + "  " + "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in cells]
        else:
            lines.append(f"{indent}{key + ':':22} {_cell(item)}")
    return "\n".join(lines)


def _cell(item: Any) -> str:
    if isinstance(item, bool) or not isinstance(item, int):
        if isinstance(item, list) and all(isinstance(i, int) for i in item):
            return "×".join(map(str, item))
        return f"{item:.6g}" if isinstance(item, float) else str(item)
    return f"{item:,}"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="edgec", description=edgec.__doc__, epilog="Exit codes: 0 done; 2 usage; 3 model; 4 data; 5 artifact; 6 does not fit; 7 tool missing; 8 bytes differ.")
    top.add_argument("--version", action="version", version=edgec.__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        sub.add_argument("--json", action="store_true", help="print one JSON object, errors too")
        return sub

    sub = command("compile", compile_command, "Compile an ONNX model for a target.")
    sub.add_argument("model", help="float or QDQ .onnx file")
    sub.add_argument("--target", "-t", required=True, help="a name that `edgec targets` lists")
    sub.add_argument("--calibration", "-c", metavar="FILE", help=".npy or .npz of inputs; or synthetic")
    sub.add_argument("--output", "-o", metavar="FILE", help="the .edgec file (default: the model's name)")
    sub.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="shape of an input with open dimensions")
    sub.add_argument("--cut-input", action="append", default=[], metavar="TENSOR", help="cut the graph: this tensor becomes an input")
    sub.add_argument("--cut-output", action="append", default=[], metavar="TENSOR", help="cut the graph: this tensor becomes an output")
    sub.add_argument("--save-qdq", metavar="FILE", help="write the quantized model as QDQ ONNX")
    sub.add_argument("--export-c", metavar="FOLDER", help="write the network as plain C too")
    sub.add_argument("--skip-pass", action="append", default=[], metavar="NAME", help="leave out a float pass, for example remove_constant_channels")
    sub.add_argument("--security-counter", type=int, default=0, metavar="N")
    sub.add_argument("--model-version", type=int, default=0, metavar="N")
    sub.add_argument("--no-measure", action="store_true", help="take code, stack and instructions from the table, not from the tool chain")
    sub.add_argument("--quiet", "-q", action="store_true", help="no progress")
    sub = command("run", run_command, "Run an artifact on this machine or on the emulated device.")
    sub.add_argument("artifact", help=".edgec file")
    sub.add_argument("--input", "-i", metavar="FILE", help=".npy or .npz; without it one seeded random sample")
    sub.add_argument("--seed", type=int, default=0, help="of the random sample")
    sub.add_argument("--output", "-o", metavar="FILE", help=".npy or .npz for the outputs")
    sub.add_argument("--on", choices=("host", "interpreter", "qemu"), default="host")
    sub.add_argument("--engine", choices=("runtime", "c"), default="runtime", help="with --on qemu: the artifact runtime or generated C")
    sub.add_argument("--check", action="store_true", help="compare every output byte with the interpreter; exit code 8 where one differs")
    sub = command("inspect", inspect_command, "Say what is in an artifact.")
    sub.add_argument("artifact", help=".edgec file")
    sub.add_argument("--text", action="store_true", help="print the integer program")
    sub.add_argument("--no-measure", action="store_true", help="take code, stack and instructions from the table")
    command("targets", targets_command, "List the targets.")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        result = args.function(args)
    except EdgecError as error:
        if args.json:
            print(json.dumps(error.as_dict()))
        else:
            print(f"{_END_PROGRESS if sys.stderr.isatty() else ''}edgec: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    if sys.stderr.isatty():
        print(_END_PROGRESS, end="", file=sys.stderr)
    if isinstance(result, str):
        print(result)
    else:
        print(json.dumps(result) if args.json else _table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
