"""What compression costs in accuracy, beside the quantizers people use: `python bench/compression.py [--only int8,int4,…] [--minutes 20]`.

    int8     each rung of the ladder, ONNX Runtime and NNCF in the same run
    int4     4-bit and mixed weights within 55 % of int8's weight bytes (instructions and time are in bench/int4.py)
    prune    narrower networks: reconstruction, then distillation (--minutes each), then int8; instructions on an M4
    budget   edgec.compile(…, budget={"weights": "14K"}) on ds_cnn, and its front
             (prune, int4 and budget train too with --minutes)

Peak memory of a calibration with many images is in bench/compile_cost.py.
Choices use data that the figures never see. resnet8 is given images of x_train and judged on x_val; ds_cnn is given 500 samples, of
which edgec keeps the report part out by itself (edgec.compress.splits), and judged on that part: 119, one of which is 0.84 points. So
`--folds 4` makes each network of ds_cnn four times, from three quarters of the samples each, and judges every one of the 500 by the
network that was made without it. `--judge FOLDER` takes other samples for the figures: cifar10.npz with x_val, y_val and kws.npz with
x, y, all of them used, and all 500 are then given. Seeds are fixed; intervals are Wilson's at 95 %, of a drop in accuracy Agresti and
Min's for pairs. Seconds are of this machine, whatever else runs on it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
    data: np.ndarray | edgec.Calibration
    x: np.ndarray
    y: np.ndarray | None

    @property
    def path(self) -> Path:
        return SHARED / "models" / f"{self.name}.onnx"

    @property
    def given(self) -> np.ndarray:
        """Samples that may be fitted to."""
        return self.data.samples if isinstance(self.data, edgec.Calibration) else self.data[parts_of(self.data) != REPORT]

    def first(self, most: int) -> np.ndarray | edgec.Calibration:
        """The first samples of data."""
        return edgec.Calibration(self.data.samples[:most], self.data.held_out) if isinstance(self.data, edgec.Calibration) else self.data[:most]


def cases(name: str, args: argparse.Namespace, calibration: int | None = None) -> list[Case]:
    """One, or of ds_cnn one a fold. calibration: how many of the training images resnet8 gets; None for all."""
    folder = args.judge or SHARED / "data"
    if name == "ds_cnn":
        x, y = _kws(SHARED / "data" / "kws.npz")
        if args.judge:
            other, labels = _kws(args.judge / "kws.npz")
            return [Case(name, edgec.Calibration(x, other), other, labels)]
        if args.folds > 1:
            order = np.argsort([hashlib.sha256(sample.tobytes()).digest() for sample in x])  # equal samples are neighbours
            folds = [np.sort(fold) for fold in np.array_split(order, args.folds)]
            return [Case(name, edgec.Calibration(np.delete(x, fold, 0), x[fold]), x[fold], y[fold]) for fold in folds]
        held = parts_of(x) == REPORT
        return [Case(name, x, x[held], y[held])]
    train, val = np.load(SHARED / "data" / "cifar10.npz"), np.load(folder / "cifar10.npz")
    images, x = train["x_train"][:calibration], val["x_val"]
    if name == "resnet8":
        images, x = images.astype(np.float32), x.astype(np.float32)
        return [Case(name, edgec.Calibration(images, x), x, val["y_val"])]
    wide = lambda a: np.repeat(np.repeat(a, 3, 1), 3, 2).astype(np.float32) / 255  # noqa: E731
    images, x = wide(images[:128]), wide(x[:100])
    return [Case(name, edgec.Calibration(images, x), x, None)]


def _kws(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.load(path)
    return ((data["x"].astype(np.float32) - data["zero_point"]) * data["scale"]).astype(np.float32), data["y"]


@dataclass(frozen=True)
class Exact:
    """The float model's outputs and logits on the held samples of a case: float32 [N, classes]."""

    outputs: np.ndarray
    logits: np.ndarray


def exact(name: str, x: np.ndarray) -> Exact:
    path = SHARED / "models" / f"{name}.onnx"
    return Exact(*float_outputs(path, x))


def float_outputs(model: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of an ONNX model, and what it gives in front of a softmax: float32 [N, classes]."""
    rows = lambda proto: FloatModel(proto.SerializeToString()).run(x).reshape(len(x), -1)  # noqa: E731
    whole = static(model)
    softmax = next((n for n in whole.graph.node if n.op_type == "Softmax"), None)
    outputs = rows(whole)
    return outputs, outputs if softmax is None else rows(static(model, [softmax.input[0]]))


def static(model: Any, outputs: list[str] | None = None) -> Any:
    """The ONNX model with static shapes, cut at outputs."""
    import onnx_ir

    from edgec import importer

    return onnx_ir.to_proto(importer.import_model(model, outputs=outputs or []))


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


@dataclass(frozen=True)
class Answer:
    """What a network that some method made answers to the held samples of a case: float32 [N, classes], in front of a softmax too."""

    method: str
    seconds: float | None
    outputs: np.ndarray
    logits: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)


def answer(c: Case, method: str, made: Any, seconds: float | None = None, **facts: Any) -> Answer:
    """made: an Artifact, or a float model that a pass made."""
    if isinstance(made, edgec.Artifact):
        rows = [a.run(c.x).reshape(len(c.x), -1) for a in (made, without_softmax(made))]
    else:
        rows = list(float_outputs(made.proto(), c.x))
    return Answer(method, seconds, *rows, facts)


def rows_of(parts: Sequence[Case], methods: Callable[[Case], Iterable[Answer]]) -> Iterator[dict[str, Any]]:
    """One row a method, as soon as it has been made of every case: their held samples together, the mean of seconds and facts."""
    e = exact(parts[0].name, np.concatenate([c.x for c in parts]))
    y = None if parts[0].y is None else np.concatenate([c.y for c in parts])
    for same in zip(*(methods(c) for c in parts), strict=True):
        row = {"network": parts[0].name, "method": same[0].method}
        row |= {} if same[0].seconds is None else {"seconds": mean([a.seconds for a in same])}
        row |= {name: mean([a.facts[name] for a in same]) for name in same[0].facts}
        if len(same[0].outputs):
            row |= scores(np.concatenate([a.outputs for a in same]), np.concatenate([a.logits for a in same]), y, e)
        show(row)
        yield row


def mean(values: Sequence[Any]) -> Any:
    """Of numbers, or of each entry of dicts of them; else the first."""
    if isinstance(values[0], dict):
        return {k: mean([v[k] for v in values]) for k in values[0]}
    return round(float(np.mean(values)), 3) if isinstance(values[0], (int, float)) else values[0]


def scores(outputs: np.ndarray, logits: np.ndarray, y: np.ndarray | None, e: Exact) -> dict[str, Any]:
    """Agreement with float, accuracy and what it lost, SQNR of the logits."""
    best, wanted, n = outputs.argmax(1), e.outputs.argmax(1), len(outputs)
    same = int((best == wanted).sum())
    row: dict[str, Any] = {"samples": n, "agreement": round(100 * same / n, 2), "agreement_interval": wilson(same, n)}
    if y is not None:
        right = int((best == y).sum())
        row |= {"accuracy": round(100 * right / n, 2), "accuracy_interval": wilson(right, n), "float_accuracy": round(100 * float((wanted == y).mean()), 2)}
        row |= dict(zip(("drop", "drop_interval"), drop(wanted == y, best == y), strict=True))
    return row | {"logit_sqnr_db": round(sqnr_db(e.logits, logits), 2)}


def drop(before: np.ndarray, after: np.ndarray) -> tuple[float, list[float]]:
    """Points of accuracy lost on the same samples, and the interval at 95 % (Agresti and Min 2005, half a sample added to each cell)."""
    n, lost, won = len(before), int((before & ~after).sum()), int((after & ~before).sum())
    middle = (lost - won) / (n + 2)
    half = 1.96 * ((lost + won + 1) - (lost - won) ** 2 / (n + 2)) ** 0.5 / (n + 2)
    return round(100 * (lost - won) / n, 2), [round(100 * (middle - half), 2), round(100 * (middle + half), 2)]


def progress(step: str, done: float) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{step} {100 * done:.0f} %", end="", file=sys.stderr, flush=True)


def timed(function: Any, *args: Any, **options: Any) -> tuple[Any, float]:
    start = time.monotonic()
    made = function(*args, **options)
    return made, round(time.monotonic() - start, 1)


def asked(args: argparse.Namespace, *names: str) -> bool:
    return not args.networks or any(name in args.networks for name in names)


def int8(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rungs of the ladder, then the same through ONNX Runtime and NNCF (bench/quantizers.py)."""

    def rungs(c: Case) -> Iterator[Answer]:
        for rung, options in RUNGS.items():
            artifact, seconds = timed(edgec.compile, c.path, "host", calibration=c.data, quantize=options, progress=progress)
            yield answer(c, f"edgec, {rung}", artifact, seconds)

    rows = []
    for name in ("ds_cnn", "resnet8", "mobilenet_v1_025_vww"):
        if not asked(args, name):
            continue
        parts = cases(name, args, CALIBRATION)
        rows += rows_of(parts, rungs)
        for row in quantizers.compare(parts[0].path, parts[0].given, parts[0].x, peers_only=True) if len(parts) == 1 else ():
            rows.append({"network": name, "method": row.pop("quantizer"), **row})
            show(rows[-1])
    return rows


def int4(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Weights within 55 % of int8's bytes (biases and multipliers counted), chosen by edgec; trained too with --minutes."""

    def methods(c: Case) -> Iterator[Answer]:
        whole = edgec.Quantize(c.first(CALIBRATION), output_ranges=False)(c.path).report["weight_bytes"]
        for label, options in (("4 bits everywhere", {"weight_bits": 4}), ("55 %", {"weight_bytes": int(0.55 * whole)})):
            try:
                made, seconds = timed(edgec.Quantize(c.data, **options), c.path, progress=progress)
            except edgec.FitError as error:
                yield Answer(label, None, np.empty(0), np.empty(0), {"error": str(error).splitlines()[0]})
                continue
            share = {"weight_bytes_share": made.report["weight_bytes"] / whole}
            yield answer(c, label, edgec.compile(made, "host"), seconds, **share)
            if args.minutes and c.y is not None:
                trained, seconds = timed(edgec.Distill(c.data, teacher=c.path, seconds=60 * args.minutes), made, progress=progress)
                yield answer(c, f"{label}, distilled", edgec.compile(trained, "host"), seconds, **share)

    return [row for name in ("resnet8", "ds_cnn", "mobilenet_v1_025_vww") if asked(args, name) for row in rows_of(cases(name, args, 2048), methods)]


TRAINING: dict[str, dict[str, Any]] = {
    "resnet8": {"choose": "last", "features": 1.0},
    "ds_cnn": {"choose": "last", "features": 2.0, "divergence": 1.0, "temperature": 1.0, "batch": 32},
}
"""Options of the distillation. Pruning fitted to the select part, which so says little about the best state, and is trained on too. Samples
are varied as the input's shape suggests (augment="auto")."""

PRUNED = (("ds_cnn", 0.60), ("resnet8", 0.66), ("resnet8", 0.50))


def prune(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Reconstruction alone, then distillation, then int8 of that; instructions on an M4 beside those of the whole network."""

    def methods(c: Case, macs: float) -> Iterator[Answer]:
        some = c.first(CALIBRATION)
        whole = edgec.compile(c.path, "cortex-m4", calibration=some).report()
        made, seconds = timed(edgec.Prune(c.data, macs=macs), c.path, progress=progress)
        method = f"{macs:.2f} of the MACs"
        yield answer(c, method, made, seconds)
        if args.minutes:
            pass_ = edgec.Distill(c.data, teacher=c.path, seconds=60 * args.minutes, **TRAINING[c.name])
            made, seconds = timed(pass_, made, progress=progress)
            method += ", distilled"
            yield answer(c, method, made, seconds)
        small = edgec.compile(made, "cortex-m4", calibration=some)
        figures = small.report()
        fell = {k: round(1 - figures[k] / whole[k], 3) for k in ("macs", "instructions", "weights_bytes")}
        yield answer(c, f"{method}, int8", small, fell_by=fell)
        if args.keep:
            made.save(args.keep / f"{c.name}_{100 * macs:.0f}.onnx")

    wanted = [(name, macs) for name, macs in PRUNED if asked(args, name, f"{name}:{macs}")]
    return [row for name, macs in wanted for row in rows_of(cases(name, args), partial(methods, macs=macs))]


def budget(args: argparse.Namespace) -> list[dict[str, Any]]:
    """14 KB of weights for ds_cnn, found by edgec itself from unlabelled samples."""
    fronts = []

    def method(c: Case) -> Iterator[Answer]:
        options = {"distill": {"seconds": 60 * args.minutes, **TRAINING["ds_cnn"]}} if args.minutes else {}
        artifact, seconds = timed(
            edgec.compile, c.path, "cortex-m4", calibration=c.data, budget={"weights": "14K"}, max_drop=0.015, progress=progress, **options
        )
        fronts.append(artifact.front.as_dict())
        if args.keep:
            artifact.front.save_picture(args.keep / "ds_cnn_front.svg")
        yield answer(c, "budget of 14 KB", artifact, seconds, weights_bytes=artifact.report(measure=False)["weights_bytes"])

    rows = list(rows_of(cases("ds_cnn", args), method))
    return [rows[0] | {"found": [front["best"] for front in fronts], "front": fronts[0]}]


SECTIONS = {"int8": int8, "int4": int4, "prune": prune, "budget": budget}


def show(row: dict[str, Any]) -> None:
    print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--minutes", type=float, default=0.0, help="of distillation for each network that is trained (needs torch); 0 for none")
    parser.add_argument("--networks", nargs="*", help="only these, such as ds_cnn, or in the section prune resnet8:0.5")
    parser.add_argument("--folds", type=int, default=1, help="of ds_cnn: how many networks are made, each without the samples that judge it")
    parser.add_argument("--judge", type=Path, help="folder with other cifar10.npz and kws.npz for the figures")
    parser.add_argument("--keep", type=Path, help="folder for the models that were made")
    parser.add_argument("--write", action="store_true", help=f"put the rows into {RESULTS.name}, with --networks beside those of others")
    args = parser.parse_args()
    for section in args.only.split(","):
        rows = SECTIONS[section](args)
        if args.write:
            _write(section if args.folds < 2 else f"{section}, {args.folds} folds", rows, keep=bool(args.networks))


def _write(section: str, rows: list[dict[str, Any]], keep: bool) -> None:
    """Put the rows into the results, and keep those of the section's other networks and methods."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    made = {(r["network"], r["method"]) for r in rows}
    results[section] = [r for r in results.get(section, ()) if keep and (r["network"], r["method"]) not in made] + rows
    write_file(RESULTS, json.dumps(results, indent=1).encode())


if __name__ == "__main__":
    main()
