"""Instructions of the DSP-extension kernels: `python bench/cortex_m.py [--target cortex-m4] [--model ds_cnn] [--layers] [--cases]`.

Whole networks first, generated C against the goals of Cortex-M4; --layers adds every layer shape as an operator of its own,
--cases every case that the tests run. One warm run, counted exactly under QEMU (-icount shift=6,sleep=off) and compared with the
interpreter. Weights of single layers are random, which the counts do not depend on. Instructions are not cycles.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edgec  # noqa: E402
from bench.cortex_m55 import LAYERS, count  # noqa: E402
from edgec import device, targets  # noqa: E402
from edgec.emit.artifact import decode  # noqa: E402
from edgec.emit.kernels import select  # noqa: E402
from edgec.ir import interp  # noqa: E402
from edgec.ir.core import Program  # noqa: E402
from edgec.ops import OPERATORS  # noqa: E402
from tests.models import SHARED  # noqa: E402

ALL_CHANNELS = "mobilenet_v1_025_vww, all channels"
GOALS = {
    "resnet8": (12_500_000, 34_000), "ds_cnn": (3_200_000, 9_500), "mobilenet_v1_025_vww": (5_800_000, 40_000),
    ALL_CHANNELS: (9_200_000, 40_000), "fc_autoencoder": (310_000, 800), "streaming_wakeword": (None, None),
}  # fmt: skip
"""Instructions of one inference and bytes of arena, scratch included, that generated C on Cortex-M4 may need at most."""
CODE_GOAL = {"c": 12 * 1024, "runtime": 20 * 1024}
"""Bytes of code and constants without weights."""


def networks(target: str, wanted: list[str], optimize: str) -> None:
    print("| network | MACs | instructions (goal) | per MAC | arena (goal) | code | stack | engine |\n|---|---|---|---|---|---|---|---|")
    for name, (instructions, arena) in GOALS.items():
        if wanted and name.split(",")[0] not in wanted:
            continue
        skip = ("remove_constant_channels",) if name == ALL_CHANNELS else ()
        artifact = edgec.compile(SHARED / "models" / f"{name.split(',')[0]}.onnx", target, calibration="synthetic", skip_passes=skip)
        program = decode(artifact.data).program
        rng = np.random.default_rng(0)
        rows = {p.name: rng.integers(-128, 128, (1, program.tensors[p.tensor].nbytes)).astype(np.int8) for p in program.inputs}
        outputs = interp.run(program, {p.tensor: rows[p.name][0] for p in program.inputs})
        for engine in ("c", "runtime"):
            run = device.run(artifact, rows, engine=engine, optimize=optimize)
            for port in program.outputs:
                np.testing.assert_array_equal(run.rows[port.name][0], outputs[port.tensor].reshape(-1), name)
            goals = [f" ({goal:,})" if goal else "" for goal in (instructions, arena)]
            macs = artifact.manifest["macs"]
            print(
                f"| {name} | {macs:,} | {run.instructions:,}{goals[0]} | {run.instructions / macs:.3f} | {run.arena_bytes:,}{goals[1]} "
                f"| {run.code_bytes:,} ({CODE_GOAL[engine]:,}) | {run.stack_bytes:,} | {engine} |",
                flush=True,
            )


def layers(wanted: list[str], cases: bool) -> Iterator[tuple[int, Program]]:
    for model, shapes in LAYERS.items():
        if not wanted or model in wanted:
            yield from shapes
    if cases:
        for operator in OPERATORS.values():
            yield from ((1, program) for program in operator.cases())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="cortex-m4", choices=("cortex-m4", "cortex-m7", "cortex-m33"))
    parser.add_argument("--model", choices=sorted(LAYERS), action="append", default=[])
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--cases", action="store_true")
    parser.add_argument("--optimize", default="-O2")
    args = parser.parse_args()
    networks(args.target, args.model, args.optimize)
    if args.layers or args.cases:
        target = targets.load(args.target)
        print("\n| layer | kernel | times | MACs | instructions | per MAC | scratch, bytes |\n|---|---|---|---|---|---|---|")
        for times, program in layers(args.model if args.layers else ["none"], args.cases):
            (op,) = program.ops
            kernel = select(op, target)
            if kernel.isa == "dsp":
                macs = OPERATORS[op.opcode].macs(op)
                instructions, scratch = count(program, target, args.optimize)
                rate = f"{instructions / macs:.3f}" if macs else ""
                symbol = kernel.symbol.removeprefix("edgec_s8_")
                print(f"| {program.name} | {symbol} | {times} | {macs:,} | {instructions:,} | {rate} | {scratch:,} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
