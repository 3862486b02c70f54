"""Every host kernel on shapes of real layers: µs, GMAC/s or GB/s, share of the measured ceiling; checked in the same call.

    python bench/kernels.py [--json] [--tier avx2] [--cases] [--only lookup,concat]

The ceiling of products is the tier's dot product instruction alone; of everything else, memcpy of as many bytes as the operator
reads and writes, from the same cache. Both are measured on this core in this run. Nothing is timed whose bytes do not
equal the reference tier's. --cases takes the one-operator programs of edgec/ops instead of the layers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import byte_kernels  # noqa: E402
from edgec import _core, targets  # noqa: E402
from edgec.emit import artifact  # noqa: E402
from edgec.emit.kernels import select  # noqa: E402
from edgec.ir.core import Program  # noqa: E402
from edgec.ops import OPERATORS  # noqa: E402
from edgec.plan import make_plan  # noqa: E402
from tests.programs import Builder  # noqa: E402

# network, input shape, output channels (0: depthwise), kernel, stride
LAYERS = [
    ("resnet8 first", (1, 32, 32, 3), 16, (3, 3), 1), ("resnet8 3x3", (1, 32, 32, 16), 16, (3, 3), 1),
    ("resnet8 3x3", (1, 32, 32, 16), 32, (3, 3), 2), ("resnet8 3x3", (1, 16, 16, 32), 32, (3, 3), 1),
    ("resnet8 3x3", (1, 16, 16, 32), 64, (3, 3), 2), ("resnet8 3x3", (1, 8, 8, 64), 64, (3, 3), 1),
    ("resnet8 1x1", (1, 32, 32, 16), 32, (1, 1), 2), ("resnet8 1x1", (1, 16, 16, 32), 64, (1, 1), 2),
    ("ds_cnn first", (1, 49, 10, 1), 64, (10, 4), 2), ("ds_cnn 1x1", (1, 25, 5, 64), 64, (1, 1), 1), ("ds_cnn dw", (1, 25, 5, 64), 0, (3, 3), 1),
    ("mobilenet first", (1, 96, 96, 3), 8, (3, 3), 2), ("mobilenet dw", (1, 48, 48, 8), 0, (3, 3), 1), ("mobilenet 1x1", (1, 48, 48, 8), 16, (1, 1), 1),
    ("mobilenet dw", (1, 48, 48, 16), 0, (3, 3), 2), ("mobilenet 1x1", (1, 24, 24, 16), 32, (1, 1), 1), ("mobilenet dw", (1, 24, 24, 32), 0, (3, 3), 1),
    ("mobilenet 1x1", (1, 24, 24, 32), 32, (1, 1), 1), ("mobilenet dw", (1, 24, 24, 32), 0, (3, 3), 2), ("mobilenet 1x1", (1, 12, 12, 64), 64, (1, 1), 1),
    ("mobilenet dw", (1, 12, 12, 64), 0, (3, 3), 1), ("mobilenet dw", (1, 6, 6, 128), 0, (3, 3), 1), ("mobilenet 1x1", (1, 6, 6, 128), 128, (1, 1), 1),
    ("mobilenet dw", (1, 3, 3, 256), 0, (3, 3), 1), ("mobilenet 1x1", (1, 3, 3, 256), 256, (1, 1), 1),
    ("streaming dw", (1, 28, 1, 128), 0, (5, 1), 1), ("streaming dw", (1, 24, 1, 128), 0, (10, 1), 1), ("streaming 1x1", (1, 24, 1, 128), 128, (1, 1), 1),
]  # fmt: skip


def layers() -> Iterator[Program]:
    """One program a layer, and dense, addition and whole-map pooling beside them."""
    for i, (name, shape, out, kernel, stride) in enumerate(LAYERS):
        _, h, w, c = shape
        what = f"{name} {kernel[0]}x{kernel[1]}/{stride} {h}x{w}x{c}" + (f" to {out}" if out else "")
        b = Builder(what, shape, seed=i)
        x = b.inputs[0]
        yield b.program(b.conv(x, out, kernel, (stride, stride)) if out else b.depthwise(x, kernel, (stride, stride)))
    for k, n in ((640, 128), (128, 128), (128, 640), (64, 12)):
        b = Builder(f"dense {k} to {n}", (1, k), seed=k)
        yield b.program(b.dense(b.inputs[0], n))
    b = Builder("add 32x32x16", (1, 32, 32, 16), (1, 32, 32, 16), seed=1)
    yield b.program(b.add(*b.inputs))
    b = Builder("average pool 8x8x64", (1, 8, 8, 64), seed=2)
    yield b.program(b.average_pool(b.inputs[0], (8, 8)))
    b = Builder("max pool 2x2 32x32x16", (1, 32, 32, 16), seed=3)
    yield b.program(b.max_pool(b.inputs[0], (2, 2)))
    yield from byte_kernels.all_cases()


def encode(program: Program) -> bytes:
    target = targets.load("host")
    kernels = tuple(select(op, target) for op in program.ops)
    return artifact.encode(program, make_plan(program, kernels), kernels, target, {})


def measure(program: Program, tier: str, runs: int = 1500) -> dict[str, object]:
    """Check and time one program: the steps of its operators, without the changes of layout at the edges."""
    data = encode(program)
    engine, reference = _core.Engine(data, tier), _core.Engine(data, "ref")
    rng = np.random.default_rng(0)
    inputs = [rng.integers(-128, 128, n).astype(np.int8) for n in engine.input_bytes]
    outputs = [[np.empty(n, np.int8) for n in engine.output_bytes] for _ in range(2)]
    engine.run(*inputs, *outputs[0])
    reference.run(*inputs, *outputs[1])
    for a, b in zip(*outputs, strict=True):
        np.testing.assert_array_equal(a, b, program.name)
    runs = max(20, min(runs, int(2e8 / max(1, engine.macs))))
    steps = [(name, seconds) for name, record, seconds in engine.profile(runs) if record >= 0]
    seconds = sum(s for _, s in steps)
    written = sum(engine.output_bytes)
    moved = 2 * written if program.ops[0].opcode in ("gather", "strided_copy") else sum(engine.input_bytes) + written  # these need not read all
    row = {"case": program.name, "kernel": ", ".join(name for name, _ in steps), "us": seconds * 1e6, "macs": engine.macs, "bytes": moved}
    if engine.macs:
        return row | {"gmacs": engine.macs / max(seconds, 1e-9) / 1e9}
    rate = moved / max(seconds, 1e-9)
    return row | {"gbytes": rate / 1e9, "share": rate / _core.copied_bytes_per_second(max(1, moved // 2))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tier", default="")
    parser.add_argument("--cases", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name begins with one of these")
    options = parser.parse_args()
    programs = (p for operator in OPERATORS.values() for p in operator.cases()) if options.cases else layers()
    programs = [p for p in programs if p.name.startswith(tuple(options.only.split(",")))]
    peak = _core.peak_macs_per_second(options.tier) / 1e9
    rows = [measure(program, options.tier) for program in programs]
    peak = max(peak, _core.peak_macs_per_second(options.tier) / 1e9)
    for row in rows:
        if row["macs"]:
            row["share"] = row["gmacs"] / peak if peak else None
    if options.json:
        print(json.dumps({"tier": options.tier or _core.tiers()[-1], "peak_gmacs": peak, "kernels": rows}, indent=1))
        return
    print(f"ceiling {peak:.1f} GMAC/s")
    for row in rows:
        rate = f"{row['gmacs']:7.1f} GMAC/s" if row["macs"] else f"{row['gbytes']:7.2f} GB/s  "
        rate += f" {100 * row['share']:5.1f} %" if row["share"] else " " * 8
        print(f"{row['case']:44} {row['us']:8.2f} µs {rate}   {row['kernel']}")


if __name__ == "__main__":
    main()
