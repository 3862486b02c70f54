"""What compression costs in accuracy, beside the quantizers people use: `python bench/compression.py [--only int8,int4,…] [--minutes 20]`.

    int8     each rung of the ladder, ONNX Runtime and NNCF in the same run
    int4     4-bit and mixed weights within 55 % of int8's weight bytes (instructions and time are in bench/int4.py)
    prune    narrower networks: reconstruction, then distillation (--minutes each), then int8; instructions on an M4
    budget   edgec.compile(…, budget={"weights": "14K"}) on ds_cnn, and its front
             (prune, int4 and budget train too with --minutes)

Peak memory of a calibration with many images is in bench/compile_cost.py.
Choices use data that the figures never see. resnet8 gets images of x_train and is judged on x_val; ds_cnn gets all 500 samples, of
which edgec keeps the report part out by itself (edgec.compress.splits), and is judged on that part. `--judge FOLDER` takes other
samples for the figures: cifar10.npz with x_val, y_val and kws.npz with x, y, all of them used; pruning and distillation then get the
report part too (their option held_out). Seeds are fixed; intervals are Wilson's at 95 %. Seconds are of this machine, whatever else runs on it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import quantizers

import edgec
from edgec.comparison import wilson
from edgec.compress.report import sqnr_db
from edgec.compress.splits import REPORT, parts_of
from edgec.files import write_file
from edgec.search.scores import FloatModel
from tests.models import SHARED

RESULTS = Path(__file__).parent / "results" / "compression.json"
CALIBRATION = 512
BEFORE_SUMS: dict[str, Any] = dict(residual_sums=False, output_ranges=False, wide_where_cheap=False)
RUNGS: dict[str, dict[str, Any]] = {
    "min-max": BEFORE_SUMS | dict(ranges="minmax", rounding="nearest", bias_correction=False, weight_search=False, equalize=(0, 0)),
    "MSE ranges": BEFORE_SUMS | dict(rounding="nearest", bias_correction=False, weight_search=False, equalize=(0, 0)),
    "+ MSE weight scales, bias correction": BEFORE_SUMS | dict(rounding="nearest", equalize=(0, 0)),
    "+ equalization": BEFORE_SUMS | dict(rounding="nearest"),
    "+ second-order rounding": BEFORE_SUMS,
    "+ residuals added before rounding": dict(output_ranges=False, wide_where_cheap=False),
    "+ ranges by output error": dict(wide_where_cheap=False),
    "+ 16 bits for logits: the whole ladder": {},
}


@dataclass(frozen=True)
class Case:
    """A network with unlabelled samples for edgec, and samples with labels (or without) that no choice sees."""

    name: str
    data: np.ndarray
    x: np.ndarray
    y: np.ndarray | None

    @property
    def path(self) -> Path:
        return SHARED / "models" / f"{self.name}.onnx"


def case(name: str, judge: Path | None = None, calibration: int | None = None) -> Case:
    """calibration: how many of the training images resnet8 gets; None for all."""
    folder = judge or SHARED / "data"
    if name == "ds_cnn":
        x, y = _kws(SHARED / "data" / "kws.npz")
        if judge:
            return Case(name, x, *_kws(judge / "kws.npz"))
        held = parts_of(x) == REPORT
        return Case(name, x, x[held], y[held])
    train, val = np.load(SHARED / "data" / "cifar10.npz"), np.load(folder / "cifar10.npz")
    images, x = train["x_train"][:calibration], val["x_val"]
    if name == "resnet8":
        return Case(name, images.astype(np.float32), x.astype(np.float32), val["y_val"])
    wide = lambda a: np.repeat(np.repeat(a, 3, 1), 3, 2).astype(np.float32) / 255  # noqa: E731
    return Case(name, wide(images[:128]), wide(x[:100]), None)


def _kws(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.load(path)
    return ((data["x"].astype(np.float32) - data["zero_point"]) * data["scale"]).astype(np.float32), data["y"]


@dataclass(frozen=True)
class Exact:
    """The float model's outputs and logits on the held samples of a case: float32 [N, classes]."""

    outputs: np.ndarray
    logits: np.ndarray


def exact(c: Case) -> Exact:
    import onnx

    proto = onnx.load(c.path)
    softmax = next((n for n in proto.graph.node if n.op_type == "Softmax"), None)
    rows = lambda model: FloatModel(model.SerializeToString()).run(c.x).reshape(len(c.x), -1)  # noqa: E731
    outputs = rows(edgec_model(c.path))
    return Exact(outputs, outputs if softmax is None else rows(edgec_model(c.path, [softmax.input[0]])))


def edgec_model(path: Path, outputs: list[str] | None = None) -> Any:
    """The ONNX model with static shapes, cut at outputs."""
    import onnx_ir

    from edgec import importer

    return onnx_ir.to_proto(importer.import_model(path, outputs=outputs or []))


def without_softmax(artifact: edgec.Artifact) -> edgec.Artifact:
    """The same program, ending at the logits."""
    from edgec import plan

    program = artifact.program
    if program.ops[-1].opcode not in ("softmax", "softmax_s16"):
        return artifact
    last = program.ops[-1].inputs[0]
    port = replace(program.outputs[0], tensor=last)
    cut = replace(program, outputs=(port,)).with_ops(program.ops[:-1])
    kernels = artifact.kernels[:-1]
    facts = {"macs_source": 0, "calibration": "data"}
    return edgec.Artifact.build(cut, plan.make_plan(cut, kernels), kernels, artifact.target, facts)


def judged(c: Case, artifact: edgec.Artifact, e: Exact) -> dict[str, Any]:
    """Agreement with float, accuracy, and SQNR of the logits, on the case's held samples."""
    logits = without_softmax(artifact).run(c.x).reshape(len(c.x), -1)
    return scores(c, artifact.run(c.x).reshape(len(c.x), -1), e) | {"logit_sqnr_db": round(sqnr_db(e.logits, logits), 2)}


def scores(c: Case, got: np.ndarray, e: Exact) -> dict[str, Any]:
    """Agreement and accuracy of outputs [N, classes]."""
    best, wanted = got.argmax(1), e.outputs.argmax(1)
    same = int((best == wanted).sum())
    row: dict[str, Any] = {"samples": len(got), "agreement": round(100 * same / len(got), 2), "agreement_interval": wilson(same, len(got))}
    if c.y is not None:
        right = int((best == c.y).sum())
        row |= {"accuracy": round(100 * right / len(c.y), 2), "accuracy_interval": wilson(right, len(c.y))}
        row["float_accuracy"] = round(100 * float((wanted == c.y).mean()), 2)
    return row


def progress(step: str, done: float) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{step} {100 * done:.0f} %", end="", file=sys.stderr, flush=True)


def timed(function: Any, *args: Any, **options: Any) -> tuple[Any, float]:
    start = time.monotonic()
    made = function(*args, **options)
    return made, round(time.monotonic() - start, 1)


def int8(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rungs of the ladder, then the same through ONNX Runtime and NNCF (bench/quantizers.py)."""
    rows = []
    for name in ("ds_cnn", "resnet8", "mobilenet_v1_025_vww"):
        c = case(name, args.judge, CALIBRATION)
        e = exact(c)
        for rung, options in RUNGS.items():
            artifact, seconds = timed(edgec.compile, c.path, "host", calibration=c.data, quantize=options, progress=progress)
            rows.append({"network": name, "method": f"edgec, {rung}", "seconds": seconds, **judged(c, artifact, e)})
            show(rows[-1])
        seen = c.data if name != "ds_cnn" else c.data[parts_of(c.data) != REPORT]
        for row in quantizers.compare(c.path, seen, c.x, peers_only=True):
            rows.append({"network": name, "method": row.pop("quantizer"), **row})
            show(rows[-1])
    return rows


def int4(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Weights within 55 % of int8's bytes (biases and multipliers counted), chosen by edgec; trained too with --minutes."""
    rows = []
    for name in ("resnet8", "ds_cnn", "mobilenet_v1_025_vww"):
        c = case(name, args.judge, 2048)
        e = exact(c)
        whole = edgec.Quantize(c.data[:CALIBRATION], output_ranges=False)(c.path).report["weight_bytes"]
        for label, options in (("4 bits everywhere", {"weight_bits": 4}), ("55 %", {"weight_bytes": int(0.55 * whole)})):
            try:
                made, seconds = timed(edgec.Quantize(c.data, **options), c.path, progress=progress)
            except edgec.FitError as error:
                rows.append({"network": name, "method": label, "error": str(error).splitlines()[0]})
                show(rows[-1])
                continue
            row = {"network": name, "method": label, "seconds": seconds, "weight_bytes_share": round(made.report["weight_bytes"] / whole, 3)}
            rows.append(row | judged(c, edgec.compile(made, "host"), e))
            show(rows[-1])
            if args.minutes and name != "mobilenet_v1_025_vww":
                trained, seconds = timed(
                    edgec.Distill(c.data, teacher=c.path, seconds=60 * args.minutes), made, progress=progress
                )
                rows.append(row | {"method": f"{label}, distilled", "seconds": seconds, **judged(c, edgec.compile(trained, "host"), e)})
                show(rows[-1])
    return rows


TRAINING: dict[str, dict[str, Any]] = {
    "resnet8": {"choose": "last"},
    "ds_cnn": {"choose": "last", "features": 2.0, "divergence": 1.0, "temperature": 1.0, "batch": 32},
}
"""Options of the distillation. Pruning fitted to the select part, which so says little about the best state, and is trained on too. Samples
are varied as the input's shape suggests (augment="auto")."""

PRUNED = (("ds_cnn", 0.60), ("resnet8", 0.66), ("resnet8", 0.50))


def prune(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Reconstruction alone, then distillation, then int8 of that; instructions on an M4 beside those of the whole network."""
    held = lambda c: {"held_out": c.x} if args.judge else {}  # noqa: E731
    rows = []
    for name, macs in PRUNED:
        if args.networks and f"{name}:{macs}" not in args.networks:
            continue
        c = case(name, args.judge)
        e = exact(c)
        whole = edgec.compile(c.path, "cortex-m4", calibration=c.data[:CALIBRATION]).report()
        pruned, seconds = timed(edgec.Prune(c.data, macs=macs, **held(c)), c.path, progress=progress)
        steps = [("pruned", pruned, seconds)]
        if args.minutes:
            pass_ = edgec.Distill(c.data, teacher=c.path, seconds=60 * args.minutes, **TRAINING[name], **held(c))
            steps.append(("distilled", *timed(pass_, pruned, progress=progress)))
        for method, made, seconds in steps:
            got = FloatModel(made.proto().SerializeToString()).run(c.x).reshape(len(c.x), -1)
            rows.append({"network": name, "macs": round(macs, 3), "method": method, "seconds": seconds, **scores(c, got, e)})
            show(rows[-1])
        small = edgec.compile(made, "cortex-m4", calibration=c.data[:CALIBRATION])
        figures = small.report()
        fell = {k: round(1 - figures[k] / whole[k], 3) for k in ("macs", "instructions", "weights_bytes")}
        rows.append({"network": name, "macs": round(macs, 3), "method": f"{method}, int8", "fell_by": fell, **judged(c, small, e)})
        show(rows[-1])
        if args.keep:
            made.save(args.keep / f"{name}_{100 * macs:.0f}.onnx")
    return rows


def budget(args: argparse.Namespace) -> list[dict[str, Any]]:
    """14 KB of weights for ds_cnn, found by edgec itself from unlabelled samples."""
    c = case("ds_cnn", args.judge)
    e = exact(c)
    options = {"distill": {"seconds": 60 * args.minutes, **TRAINING["ds_cnn"]}} if args.minutes else {}
    artifact, seconds = timed(
        edgec.compile, c.path, "cortex-m4", calibration=c.data, budget={"weights": "14K"}, max_drop=0.015, progress=progress, **options
    )
    found = artifact.front.as_dict()
    row = {"network": "ds_cnn", "method": f"budget of 14 KB: {found['best']}", "seconds": seconds, **judged(c, artifact, e)}
    row["weights_bytes"] = artifact.report(measure=False)["weights_bytes"]
    show(row)
    if args.keep:
        artifact.front.save_picture(args.keep / "ds_cnn_front.svg")
    return [row | {"front": found}]


SECTIONS = {"int8": int8, "int4": int4, "prune": prune, "budget": budget}


def show(row: dict[str, Any]) -> None:
    print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--minutes", type=float, default=0.0, help="of distillation for each network that is trained (needs torch); 0 for none")
    parser.add_argument("--networks", nargs="*", help="of the section prune, such as resnet8:0.5")
    parser.add_argument("--judge", type=Path, help="folder with other cifar10.npz and kws.npz for the figures")
    parser.add_argument("--keep", type=Path, help="folder for the models that were made")
    parser.add_argument("--write", action="store_true", help=f"add the rows to {RESULTS.name}")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for section in args.only.split(","):
        results[section] = SECTIONS[section](args)
        if args.write:
            write_file(RESULTS, json.dumps(results, indent=1).encode())


if __name__ == "__main__":
    main()
