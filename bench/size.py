"""What each network takes on each target, in bytes, instructions and cycles, beside the committed baseline and the peers.

    python bench/size.py                      all networks and targets: text, rodata, arena, stack, instructions, cycles
    python bench/size.py --diff               the same, with what changed since bench/results/size.json
    python bench/size.py --write              … and keep what was measured as the new baseline
    python bench/size.py --check              digits on cortex-m4 only; exit code 1 where something grew by more than 2 %
    … --networks digits --targets cortex-m4,riscv32 --optimize -O3 --json

text and rodata: linked code and constants without weights and parameters (those are `model`), compiler helpers included, the
measuring harness not. arena is exact; input and output lie in it and count once. stack is the high-water mark of one
inference, bound what the call graph allows at most. Instructions are those of one warm inference, counted exactly; cycles are
an estimate for memory without wait states (docs/cycles.md).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edgec  # noqa: E402
from edgec import device  # noqa: E402
from edgec.artifact import Artifact  # noqa: E402
from edgec.device.toolchain import Toolchain  # noqa: E402
from edgec.files import write_file  # noqa: E402
from edgec.run import rows_of  # noqa: E402
from edgec.targets import load  # noqa: E402
from tests.models import COMMITTED, MLPERF, ROOT, SHARED, compiled, network  # noqa: E402

BASELINE = Path(__file__).parent / "results" / "size.json"
TARGETS = ("cortex-m0", "cortex-m4", "cortex-m55", "riscv32", "cortex-a")
WHOLE = "mobilenet_v1_025_vww, all channels"
"""The network with the channels that are constant, which edgec otherwise removes: the same work as the peers do."""
ENGINES = ("c", "runtime")
COLUMNS = ("text", "rodata", "model", "arena", "stack", "bound", "instructions", "cycles")
CHECKED = ("code", "arena", "stack", "instructions")
ALLOWED = 0.02
"""Growth over the baseline that --check lets pass."""

TFLM = {
    "resnet8": {"cortex-m4": 29_863_383, "cortex-m55": 4_811_364, "arena": 54_996, "code": 51_676, "stack": 844},
    "ds_cnn": {"cortex-m4": 7_699_738, "cortex-m55": 1_787_923, "arena": 22_820, "code": 53_840, "stack": 844},
    WHOLE: {"cortex-m4": 24_101_541, "cortex-m55": 6_433_609, "arena": 100_708, "code": 53_840, "stack": 844},
    "fc_autoencoder": {"cortex-m4": 582_853, "cortex-m55": 285_428, "arena": 2_580, "code": 28_568, "stack": 556},
}
"""TensorFlow Lite Micro with CMSIS-NN on the same networks, counted the same way: instructions by target (the better of -O2 and
-O3), and on Cortex-M4 arena, code with constants, and stack in bytes (shared/peers/README.md)."""
TFLM["mobilenet_v1_025_vww"] = TFLM[WHOLE]
PUBLISHED = {"resnet8": 1.58, WHOLE: 1.42, "mobilenet_v1_025_vww": 1.42}
"""Cycles for each MAC on Cortex-M4: the best published MLPerf Tiny results of any engine."""

Figures = dict[str, Any]


def artifact_of(name: str, target: str) -> Artifact:
    """The network compiled for a target; WHOLE is quantized once and kept like those of tests/models.py."""
    if name != WHOLE:
        return compiled(name, target)
    net = network("mobilenet_v1_025_vww")
    sources = sorted(p for folder in ("graph", "compress") for p in (ROOT / "edgec" / folder).glob("*.py*"))
    key = hashlib.sha256(b"".join(p.read_bytes() for p in [net.path, ROOT / "edgec" / "importer.py", *sources])).hexdigest()[:16]
    qdq = Path(tempfile.gettempdir()) / f"edgec-size-{key}.onnx"
    if not qdq.is_file():
        edgec.compile(net.path, "generic-c", calibration=net.calibration, skip_passes=["remove_constant_channels"], save_qdq=qdq)
    return edgec.compile(qdq, target, skip_passes=["remove_constant_channels"])


def measure(name: str, target: str, engine: str, optimize: str = "-O2") -> Figures:
    """One row: COLUMNS, and the MACs they are for."""
    artifact = artifact_of(name, target)
    q = artifact.quantize_input(network("mobilenet_v1_025_vww" if name == WHOLE else name).samples[:1])
    run = device.run(artifact, rows_of(artifact, q)[0], engine=engine, optimize=optimize)
    return {
        "text": run.code_bytes - run.rodata_bytes, "rodata": run.rodata_bytes,
        "model": len(artifact.data) if engine == "runtime" else run.model_bytes,
        "arena": run.arena_bytes, "stack": run.stack_bytes, "bound": run.stack_bound, "instructions": run.instructions,
        "cycles": run.cycles,
        "cycles_range": list(run.cycles_range) if run.cycles_range else None, "macs": artifact.manifest["macs"],
    }  # fmt: skip


def measure_all(names: list[str], target_names: list[str], optimize: str) -> tuple[Figures, list[str]]:
    """Rows by "network / target / engine", and what could not be measured with the reason."""
    rows, left_out = {}, []
    for name in names:
        for target in target_names:
            for engine in ENGINES:
                try:
                    rows[f"{name} / {target} / {engine}"] = measure(name, target, engine, optimize)
                except edgec.EdgecError as error:
                    left_out.append(f"{name} / {target} / {engine}: {str(error).splitlines()[0]}")
    return rows, left_out


def tools_of(target_names: list[str]) -> dict[str, str]:
    """Target → its compiler's version, which sizes and counts depend on."""
    found = {}
    for name in target_names:
        try:
            found[name] = Toolchain(load(name)).version
        except edgec.EdgecError:
            continue
    return found


def read_baseline() -> dict[str, Any]:
    return json.loads(BASELINE.read_text()) if BASELINE.is_file() else {"tools": {}, "rows": {}}


def write_baseline(rows: Figures, target_names: list[str], optimize: str) -> None:
    """Put what was measured in place of what the baseline has of it; networks and targets not measured stay."""
    old = read_baseline()
    new = {"optimize": optimize, "tools": old["tools"] | tools_of(target_names), "rows": dict(sorted((old["rows"] | rows).items()))}
    BASELINE.parent.mkdir(exist_ok=True)
    lines = [f" {json.dumps(key)}: {json.dumps(row)}" for key, row in new["rows"].items()]
    head = json.dumps({k: v for k, v in new.items() if k != "rows"})[:-1]
    write_file(BASELINE, (head + ',\n"rows": {\n' + ",\n".join(lines) + "\n}}\n").encode())


def check(measured: Figures, baseline: Figures, allowed: float = ALLOWED) -> list[str]:
    """What of CHECKED grew by more than `allowed` over the baseline, in words; code is text + rodata."""
    grown = []
    for key, row in measured.items():
        if key not in baseline:
            grown.append(f"{key} is not in the baseline")
            continue
        for column in CHECKED:
            now, was = (r["text"] + r["rodata"] if column == "code" else r[column] for r in (row, baseline[key]))
            if now > was * (1 + allowed):
                grown.append(f"{key}: {column} grew by {now - was:,} from {was:,}, {(now - was) / max(was, 1):+.1%}")
    return grown


def comparable(target: str) -> str:
    """Why the baseline's code, stack and instructions of a target cannot be compared here; empty where they can."""
    here, there = tools_of([target]).get(target), read_baseline()["tools"].get(target)
    return "" if here == there else f"the baseline is of {there}, here is {here}"


def cell(now: int | None, was: int | None, differences: bool) -> str:
    if now is None:
        return "–"
    if not differences or now == was:
        return f"{now:,}"
    return f"{now:,} (new)" if was is None else f"{now:,} ({now - was:+,}, {(now - was) / max(was, 1):+.1%})"


def table(rows: Figures, baseline: Figures, differences: bool) -> list[str]:
    """One line a row, columns aligned."""
    lines = [["network", "target", "engine", *COLUMNS]]
    for key, row in rows.items():
        old = baseline.get(key, {})
        lines.append([*key.split(" / "), *(cell(row[c], old.get(c), differences) for c in COLUMNS)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))) for line in lines]


def peers(rows: Figures) -> list[str]:
    """Generated C beside TensorFlow Lite Micro, with the ratio, and cycles for each MAC beside the best published."""
    lines = []
    for name, peer in TFLM.items():
        m4, m55 = rows.get(f"{name} / cortex-m4 / c"), rows.get(f"{name} / cortex-m55 / c")
        if not m4:
            continue
        figures = [("M4 instructions", m4["instructions"], peer["cortex-m4"])]
        figures += [("M55 instructions", m55["instructions"], peer["cortex-m55"])] if m55 else []
        ours = {"arena": m4["arena"], "code": m4["text"] + m4["rodata"], "stack": m4["stack"]}
        figures += [(what, value, peer[what]) for what, value in ours.items()]
        lines += [name, *(f"  {what:17} {n:>12,}  TFLM {theirs:>12,}  {n / theirs:6.1%}" for what, n, theirs in figures)]
        if m4["cycles"]:
            low, high = (n / m4["macs"] for n in m4["cycles_range"])
            best = f"; best published, measured on boards: {PUBLISHED[name]}" if name in PUBLISHED else ""
            each = f"{m4['cycles'] / m4['macs']:12.2f}  an estimate, {low:.2f} to {high:.2f}, for {m4['macs']:,} MACs"
            lines.append(f"  {'M4 cycles/MAC':17} {each}{best}")
            whole = rows.get(f"{WHOLE} / cortex-m4 / c")
            if name == "mobilenet_v1_025_vww" and whole:
                each = f"{m4['cycles'] / whole['macs']:12.2f}  for each of the {whole['macs']:,} MACs of the model as it came"
                lines.append(f"  {'':17} {each}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = (*COMMITTED, *((*MLPERF, WHOLE) if (SHARED / "models").is_dir() else ()))
    parser.add_argument("--networks", default=";".join(every), help="separated by ; or ,")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--optimize", default="-O2", help="-O2, -O3 or -Os (write --optimize=-O3)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--diff", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    baseline = read_baseline()["rows"]
    if args.check:
        rows, left_out = measure_all(["digits"], ["cortex-m4"], args.optimize)
        grown = [*left_out, *check(rows, baseline)]
        why = comparable("cortex-m4")
        print("\n".join([*table(rows, baseline, True), *([why] if why else []), *grown]))
        return 1 if grown else 0
    names = args.networks.split(";") if ";" in args.networks or args.networks == WHOLE else args.networks.split(",")
    target_names = args.targets.split(",")
    rows, left_out = measure_all(names, target_names, args.optimize)
    if args.json:
        print(json.dumps({"optimize": args.optimize, "tools": tools_of(target_names), "rows": rows, "left_out": left_out}, indent=1))
    else:
        print("\n".join([*table(rows, baseline, args.diff), "", *peers(rows)]))
        print("\n".join(f"left out: {line}" for line in left_out), file=sys.stderr)
    if args.write:
        write_baseline(rows, target_names, args.optimize)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
