"""The demo: a network that reads handwritten digits, compiled for a Cortex-M4, run here and on the emulated device.

    make demo        or, where edgec is installed:  python examples/digits/demo.py [--target cortex-m4]

Nothing is trained or downloaded. The test pictures were used neither to train the network nor to calibrate it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np
import onnxruntime

import edgec

FOLDER = Path(__file__).parent
DRAWN = " .:-=+*#%@"


def interval(right: int, total: int) -> str:
    """Share in percent with its 95 % Wilson interval."""
    z, p = 1.96, right / total
    middle, half = p + z * z / (2 * total), z * sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low, high = ((middle + s * half) / (1 + z * z / total) for s in (-1, 1))
    return f"{100 * p:.2f} %  ({100 * low:.1f} to {100 * high:.1f})"


def picture(x: np.ndarray) -> list[str]:
    """An 8×8 picture in 0…1 as eight lines of characters, two a pixel."""
    return ["".join(DRAWN[min(int(v * 9.999), 9)] * 2 for v in row) for row in x]


def line(name: str, value: str, note: str = "") -> None:
    print(f"  {name:<26} {value:<32} {note}".rstrip())


def columns(name: str, values: Sequence[str], note: str = "") -> None:
    print(f"  {name:<26} " + "".join(f"{v:>20}" for v in values) + f"    {note}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description="The digits network on this machine and on an emulated device.")
    parser.add_argument("--target", default="cortex-m4", help="a name that `edgec targets` lists")
    target = parser.parse_args().target

    data = np.load(FOLDER / "digits.npz")
    x, y = data["x_test"], data["y_test"]
    session = onnxruntime.InferenceSession(FOLDER / "digits.onnx", providers=["CPUExecutionProvider"])
    real = session.run(None, {"image": x})[0]

    started = time.perf_counter()
    artifact = edgec.compile(FOLDER / "digits.onnx", target, calibration=data["x_calibration"])
    seconds = time.perf_counter() - started
    name = artifact.target.description
    q = artifact.quantize_input(x)
    host, specification = artifact.run(q), artifact.run(q, on="interpreter")

    print(f"\nedgec {edgec.__version__}: handwritten digits, on this machine and on an emulated {name}\n")
    shown = [int(np.flatnonzero(y == digit)[1]) for digit in (0, 2, 4, 9)]
    for row in zip(*(picture(x[i, 0]) for i in shown), strict=True):
        print("   " + "   ".join(row))
    print("   " + "   ".join(f"  read as {host[i].argmax()}".ljust(16) for i in shown).rstrip() + "\n")

    line("compiled in", f"{seconds:.2f} s", f"{len(data['x_calibration'])} pictures to calibrate, labels unused")
    line("multiply-accumulates", f"{artifact.manifest['macs']:,}", f"{len(artifact.program.ops)} operators")
    line("accuracy, float", interval(int((real.argmax(1) == y).sum()), len(y)), f"ONNX Runtime, {len(y)} test pictures")
    line("accuracy, int8", interval(int((host.argmax(1) == y).sum()), len(y)), "95 % interval in parentheses")
    line("same digit as float", f"{int((host.argmax(1) == real.argmax(1)).sum())} of {len(y)}")
    same = [line_of_bytes("bytes identical, host", host, specification)]
    try:
        runs = [artifact.run(q, on="qemu", engine=engine) for engine in ("runtime", "c")]
    except edgec.ToolError as error:
        line("bytes identical, device", "not run", error.what)
        line("arena", f"{artifact.plan.arena_bytes:,} bytes", "exact; inputs and outputs included")
        print(f"\n  To run the device too, type:  sudo {error.fix}\n")
        return 0 if all(same) else 1
    for what, device in zip(("artifact", "C"), runs, strict=True):
        same.append(line_of_bytes(f"bytes identical, {what}", device.outputs, specification, f" on the {name}"))

    print()
    columns(f"on the {name}", ("artifact + runtime", "generated C"))
    refused = "one byte less is refused" if runs[0].arena_refused else "inputs and outputs included"
    columns("arena, bytes", [f"{d.arena_bytes:,}" for d in runs], refused)
    columns(
        "stack, bytes", [f"{d.stack_bytes:,}" for d in runs], f"measured; at most {max(d.stack_bound for d in runs):,} by the call graph"
    )
    models = (len(artifact.data), runs[1].model_bytes)
    columns("flash, bytes", [f"{d.code_bytes + m:,}" for d, m in zip(runs, models, strict=True)])
    columns("  code", [f"{d.code_bytes:,}" for d in runs], "with the compiler's helpers")
    columns("  network", [f"{m:,}" for m in models], "the artifact has the manifest too")
    columns("instructions", [f"{d.instructions:,}" for d in runs], "one inference, counted exactly")
    clock = artifact.target.timing.get("clock_hz")
    if clock and all(d.cycles for d in runs):
        columns("cycles, about", [f"{d.cycles:,}" for d in runs], "estimate without wait states: docs/cycles.md")
        columns("milliseconds, about", [f"{1e3 * d.cycles / clock:.1f}" for d in runs], f"at {clock / 1e6:g} MHz")
    print()
    return 0 if all(same) else 1


def line_of_bytes(name: str, got: np.ndarray, wanted: np.ndarray, where: str = "") -> bool:
    """Print whether two int8 arrays are equal, and return it."""
    different = int((np.asarray(got) != wanted).sum())
    verdict = f"NO: {different:,} of {wanted.size:,} differ" if different else f"yes, all {wanted.size:,}"
    line(name, verdict, f"against the NumPy specification{where}")
    return different == 0


if __name__ == "__main__":
    raise SystemExit(main())
