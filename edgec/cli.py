"""The command line: one function a command, each on the public API. Exit codes are those of edgec.errors (docs/SPEC.md 5)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import edgec
from edgec import cli_compress, cli_sensitivity, console
from edgec.data import read_array
from edgec.errors import EdgecError, UsageError

_END_PROGRESS = "\r\033[K"


def compile_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec compile model.onnx --target cortex-m4 --calibration data.npz -o model.edgec"""
    _require_folders(args.output, args.save_qdq, args.report, *(args.front or "").split(","))
    searching = cli_compress.budget_options(args)
    with cli_compress.pool(args) as executor:
        artifact = edgec.compile(
            args.model,
            args.target,
            calibration=cli_compress.calibration(args),
            shapes=dict(_shape(text) for text in args.shape),
            inputs=args.cut_input,
            outputs=args.cut_output,
            skip_passes=args.skip_pass,
            quantize=_quantize_options(args),
            limits=_limits(args),
            measure=not args.no_measure,
            save_qdq=args.save_qdq,
            security_counter=args.security_counter,
            model_version=args.model_version,
            executor=executor,
            progress=_progress(args),
            **searching,
        )
    path = Path(args.output or Path(args.model).with_suffix(".edgec").name)
    artifact.save(path)
    if args.export_c:
        artifact.export_c(args.export_c)
    figures = _figures(artifact, args)
    if args.report:
        _write_page(artifact, figures, None, args.report)
    return {"artifact": str(path), **figures, **cli_compress.save_front(artifact, args.front)}


def compress_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec compress model.onnx --calibration data.npz --macs 0.66 --distill 600 --quantize -o small.onnx"""
    _require_folders(args.output, args.checkpoint)
    return cli_compress.compress(args, dict(_shape(text) for text in args.shape), _progress(args))


def run_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec run model.edgec --input x.npz [--on qemu] [--output y.npz]"""
    from edgec import run

    artifact = edgec.load(args.artifact)
    x = _inputs(artifact, args.input, args.seed)
    result: dict[str, Any] = {"artifact": args.artifact, "on": args.on, "target": artifact.target.name}
    outputs = artifact.run(x, on=args.on, engine=args.engine)
    if args.on == "qemu":
        result |= outputs.as_dict()
        outputs = outputs.outputs
    if args.check:
        result["bytes_compared_with_interpreter"] = run.compare(
            artifact, x, on=args.on if args.on == "qemu" else "host", engine=args.engine
        )
    named = outputs if isinstance(outputs, dict) else {artifact.program.outputs[0].name: outputs}
    if args.output:
        _save(args.output, named)
        result["output"] = args.output
    result["outputs"] = {
        name: {"shape": list(v.shape), "dtype": str(v.dtype), "values": v.reshape(-1)[:16].tolist()} for name, v in named.items()
    }
    return result


def inspect_command(args: argparse.Namespace) -> dict[str, Any] | str:
    """edgec inspect model.edgec [--text]"""
    artifact = edgec.load(args.artifact)
    if args.text:
        from edgec.ir.text import to_text

        return to_text(artifact.program)
    return _figures(artifact, args)


def compare_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec compare model.onnx model.edgec --data test.npz [--labels test.npz:y]"""
    return edgec.compare(
        args.model,
        args.artifact,
        args.data,
        args.labels,
        shapes=dict(_shape(text) for text in args.shape),
        layers=args.layers,
        progress=_progress(args),
    )


def sensitivity_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec sensitivity model.onnx --calibration data.npz --svg sensitivity.svg"""
    _require_folders(args.svg)
    shapes = dict(_shape(text) for text in args.shape)
    return cli_sensitivity.sensitivity(args.model, args.calibration, shapes, _progress(args), args.svg)


def report_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec report model.edgec [--model float.onnx --data test.npz] -o report.html"""
    _require_folders(args.output)
    artifact = edgec.load(args.artifact)
    if bool(args.model) != bool(args.data or args.sensitivity) or args.labels and not args.data:
        raise UsageError(
            "a comparison needs a model and data",
            where="--model, --data, --labels",
            why="errors are those of running both models on the same samples",
            fix="give --model with --data or --sensitivity, or none of them",
        )
    comparison = None
    if args.data:
        comparison = edgec.compare(
            args.model, artifact, args.data, args.labels, shapes=dict(_shape(text) for text in args.shape), progress=_progress(args)
        )
    path = args.output or str(Path(args.artifact).with_suffix(".html").name)
    noise = None
    if args.sensitivity:
        shapes = dict(_shape(text) for text in args.shape)
        noise = cli_sensitivity.sensitivity(args.model, args.sensitivity, shapes, _progress(args))
    size = _write_page(artifact, _figures(artifact, args), comparison, path, noise)
    return {"report": path, "bytes": size, "comparison": comparison}


def targets_command(args: argparse.Namespace) -> dict[str, Any]:
    """edgec targets"""
    from collections import Counter

    from edgec.emit.kernels import all_kernels

    counts = Counter(k.isa for k in all_kernels())
    rows = {}
    for name in edgec.targets.names():
        t = edgec.targets.load(name)
        rows[name] = {
            "description": t.description,
            "isa": list(t.isa),
            "layout": t.layout,
            **dict(t.memory),
            "kernels": {isa: counts[isa] for isa in t.isa},
            "tested_on": t.tested_on,
            **dict(t.timing),
        }
    return {"targets": rows}


def _require_folders(*paths: str | None) -> None:
    """Before minutes of work, not after."""
    for path in paths:
        if path and not Path(path).absolute().parent.is_dir():
            raise UsageError(
                "cannot write the file",
                where=path,
                why=f"there is no folder {Path(path).absolute().parent}",
                fix="name a file in a folder that exists",
            )


def _figures(artifact: Any, args: argparse.Namespace) -> dict[str, Any]:
    """The report; measuring builds firmware and runs the emulator, so it is announced."""
    if not args.no_measure:
        (_progress(args) or (lambda step, done: None))("measure", 0.0)
    return artifact.report(measure=not args.no_measure)


def _write_page(artifact: Any, figures: dict[str, Any], comparison: dict[str, Any] | None, path: str, noise: Any = None) -> int:
    from edgec.files import write_file
    from edgec.page import report_page

    page = report_page(artifact, figures=figures, comparison=comparison, sensitivity=noise).encode()
    write_file(path, page)
    return len(page)


def _limits(args: argparse.Namespace) -> Any:
    given = {kind: getattr(args, kind) for kind in ("flash", "ram") if getattr(args, kind) is not None}
    if args.fit and given:
        raise UsageError(
            "limits are given twice",
            where="--fit, --flash, --ram",
            why="--fit takes the memory of the target's typical part",
            fix="leave out --fit, or the other two",
        )
    return "target" if args.fit else given or None


def _quantize_options(args: argparse.Namespace) -> dict[str, Any]:
    chosen = {name: getattr(args, name) for name in ("ranges", "rounding") if getattr(args, name) is not None}
    if args.equalize is not None:
        try:
            dense, depthwise = (float(v) for v in args.equalize.split(","))
        except ValueError:
            raise UsageError(
                f"cannot read {args.equalize!r}",
                where="--equalize",
                why="it is two exponents, for dense and for depthwise readers",
                fix="write --equalize 0.5,1 (the default), 1,1 or 0,0",
            ) from None
        chosen["equalize"] = (dense, depthwise)
    return chosen


def _inputs(artifact: Any, path: str | None, seed: int) -> Any:
    ports = artifact.program.inputs
    if path is None:
        rng = np.random.default_rng(seed)
        return {p.name: rng.integers(-128, 128, p.shape).astype(np.int8) for p in ports}
    names = [p.name for p in ports]
    loaded = read_array(path, "input", preferred=(*names, "x"))
    given = loaded if isinstance(loaded, dict) else {names[0]: loaded}
    # Pictures are often stored as uint8, and networks take their values as float.
    arrays = {name: v.astype(np.float32) if v.dtype.kind in "ui" and v.dtype != np.int8 else v for name, v in given.items()}
    return arrays if len(names) > 1 else arrays[names[0]]


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
        raise UsageError(
            f"cannot read the shape {text!r}",
            where="--shape",
            why="it is NAME=1,3,224,224",
            fix="write the input's name, =, and its dimensions",
        ) from None


def _progress(args: argparse.Namespace) -> Any:
    return None if args.json or getattr(args, "quiet", False) else _Progress()


class _Progress:
    """Steps on stderr: one line that is rewritten on a terminal, else one line a step."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, step: str, done: float) -> None:
        bar = "" if done <= 0 else f" {round(100 * done):3d} %"
        if sys.stderr.isatty():
            print(f"{_END_PROGRESS}{step}{bar}", end="", file=sys.stderr, flush=True)
        elif step != self.last:
            print(step, file=sys.stderr, flush=True)
        self.last = step


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are a UsageError like any other, so that --json holds for them too."""

    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().split()[1:])
        raise UsageError(message, where=self.prog, why=f"usage: {usage}", fix=f"{self.prog} --help says what each argument is")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="edgec",
        description=edgec.__doc__,
        epilog="Exit codes: 0 done; 2 usage; 3 model; 4 data; 5 artifact; 6 does not fit; 7 tool missing; 8 bytes differ; "
        "9 defect; 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=edgec.__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, function: Any, show: Any, text: str) -> argparse.ArgumentParser:
        example = (function.__doc__ or "").strip()
        sub = commands.add_parser(name, help=text, description=text, epilog=f"Example: {example}")
        sub.set_defaults(function=function, show=show)
        sub.add_argument("--json", action="store_true", help="print one JSON object, errors too")
        return sub

    sub = command("compile", compile_command, console.inspect_text, "Compile an ONNX model for a target.")
    sub.add_argument("model", help="float or QDQ .onnx file")
    sub.add_argument("--target", "-t", required=True, help="a name that `edgec targets` lists")
    sub.add_argument("--calibration", "-c", metavar="FILE", help=".npy or .npz of inputs; or synthetic")
    cli_compress.add_held_out(sub)
    sub.add_argument("--output", "-o", metavar="FILE", help="the .edgec file (default: the model's name)")
    sub.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="shape of an input with open dimensions")
    sub.add_argument("--cut-input", action="append", default=[], metavar="TENSOR", help="cut the graph: this tensor becomes an input")
    sub.add_argument("--cut-output", action="append", default=[], metavar="TENSOR", help="cut the graph: this tensor becomes an output")
    sub.add_argument("--save-qdq", metavar="FILE", help="write the quantized model as QDQ ONNX")
    sub.add_argument("--export-c", metavar="FOLDER", help="write the network as plain C too")
    sub.add_argument(
        "--skip-pass", action="append", default=[], metavar="NAME", help="leave out a float pass, for example remove_constant_channels"
    )
    sub.add_argument("--flash", metavar="SIZE", help="fail where artifact and code need more, for example 256K")
    sub.add_argument("--ram", metavar="SIZE", help="fail where arena and stack need more, for example 64K")
    sub.add_argument("--fit", action="store_true", help="take the limits of the target's typical part (edgec targets)")
    sub.add_argument(
        "--ranges",
        choices=("mse", "minmax"),
        help="how activation ranges are chosen (default mse; minmax clips nothing that calibration saw)",
    )
    sub.add_argument("--rounding", choices=("second_order", "nearest", "adaround"), help="of weights (default second_order; adaround needs torch)")
    sub.add_argument("--equalize", metavar="DENSE,DEPTHWISE", help="exponents of channel equalization (default 0.5,1; 0,0 for none)")
    sub.add_argument("--report", metavar="FILE", help="write the figures as one HTML page too, with the ranges that calibration chose")
    sub.add_argument(
        "--security-counter", type=int, default=0, metavar="N", help="for the header: a device can refuse artifacts with a lower one"
    )
    sub.add_argument("--model-version", type=int, default=0, metavar="N", help="for the header: the version of your model")
    sub.add_argument("--no-measure", action="store_true", help="take code, stack and instructions from the table, not from the tool chain")
    sub.add_argument("--quiet", "-q", action="store_true", help="no progress")
    cli_compress.add_budget(sub)
    sub = command("compress", compress_command, cli_compress.compress_text, "Make a float model smaller: prune, distill, quantize.")
    cli_compress.add_compress(sub)
    sub.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="shape of an input with open dimensions")
    sub = command("run", run_command, console.run_text, "Run an artifact on this machine or on the emulated device.")
    sub.add_argument("artifact", help=".edgec file")
    sub.add_argument("--input", "-i", metavar="FILE", help=".npy or .npz; without it one seeded random sample")
    sub.add_argument("--seed", type=int, default=0, help="of the random sample")
    sub.add_argument("--output", "-o", metavar="FILE", help=".npy or .npz for the outputs")
    sub.add_argument("--on", choices=("host", "interpreter", "qemu"), default="host")
    sub.add_argument("--engine", choices=("runtime", "c"), default="runtime", help="with --on qemu: the artifact runtime or generated C")
    sub.add_argument("--check", action="store_true", help="compare every output byte with the interpreter; exit code 8 where one differs")
    sub = command("inspect", inspect_command, console.inspect_text, "Say what is in an artifact.")
    sub.add_argument("artifact", help=".edgec file")
    sub.add_argument("--text", action="store_true", help="print the integer program")
    sub.add_argument("--no-measure", action="store_true", help="take code, stack and instructions from the table")
    sub.add_argument("--quiet", "-q", action="store_true", help="no progress")
    sub = command("compare", compare_command, console.compare_text, "Say what compiling did to accuracy, layer by layer, and what helps.")
    sub.add_argument("model", help="the .onnx file the artifact was compiled from")
    sub.add_argument("artifact", help=".edgec file")
    _comparison_arguments(sub, required=True)
    sub.add_argument("--layers", type=int, default=64, metavar="N", help="samples that layers are compared on; 0 for none (default 64)")
    text = "Say which layers and activations cost most when quantized, at 8 and 4 bits."
    cli_sensitivity.add_sensitivity(command("sensitivity", sensitivity_command, cli_sensitivity.sensitivity_text, text))
    sub = command("report", report_command, console.report_text, "Write one self-contained HTML page: figures, layers, memory, ranges.")
    sub.add_argument("artifact", help=".edgec file")
    sub.add_argument("--model", help="the .onnx file it was compiled from: adds errors, accuracy and histograms")
    _comparison_arguments(sub, required=False)
    sub.add_argument("--sensitivity", metavar="FILE", help="unlabelled inputs: adds what each layer and activation costs when quantized")
    sub.add_argument("--output", "-o", metavar="FILE", help="the .html file (default: the artifact's name)")
    sub.add_argument("--no-measure", action="store_true", help="take code, stack and instructions from the table")
    command(
        "targets", targets_command, console.targets_text, "List the targets: instruction set, memory, kernels, and on what each was tested."
    )
    return top


def _comparison_arguments(sub: argparse.ArgumentParser, *, required: bool) -> None:
    sub.add_argument(
        "--data",
        "-d",
        required=required,
        metavar="FILE",
        help=".npy or .npz of inputs that calibration has not seen; FILE.npz:NAME takes one array",
    )
    sub.add_argument("--labels", "-l", metavar="FILE", help="true classes, one integer a sample; FILE.npz:NAME as above")
    sub.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="shape of an input with open dimensions")
    sub.add_argument("--quiet", "-q", action="store_true", help="no progress")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given:
        parser().print_help()
        return UsageError.exit_code
    as_json = "--json" in given
    try:
        args = parser().parse_args(given)
        result = args.function(args)
    except EdgecError as error:
        if as_json:
            print(json.dumps(error.as_dict()))
        else:
            print(f"{_END_PROGRESS if sys.stderr.isatty() else ''}edgec: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    if sys.stderr.isatty():
        print(_END_PROGRESS, end="", file=sys.stderr)
    text = result if isinstance(result, str) else json.dumps(result) if args.json else args.show(result)
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stdout = open(os.devnull, "w")
    return 0


if __name__ == "__main__":
    sys.exit(main())
