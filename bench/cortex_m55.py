"""Instructions of the Helium kernels, layer by layer: `python bench/cortex_m55.py [--model resnet8] [--optimize -O2]`.

Every layer shape of the five MLPerf Tiny networks as an operator of its own, generated C, one warm run, counted exactly under
QEMU (-M mps3-an547 -icount shift=6,sleep=off) and compared with the interpreter. Weights are random, which the counts do not
depend on. Whole networks: `python bench/size.py --targets cortex-m55`. Instructions are not cycles: a Helium instruction takes
about two on an M55.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edgec import device, numerics, plan, targets  # noqa: E402
from edgec.emit import artifact  # noqa: E402
from edgec.emit.kernels import select  # noqa: E402
from edgec.ir import interp  # noqa: E402
from edgec.ir.core import Program, Tensor  # noqa: E402
from edgec.ops import OPERATORS  # noqa: E402
from edgec.ops.base import single  # noqa: E402
from edgec.ops.conv import windowed_case  # noqa: E402

SAME, LATE, NONE = (1, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 0)


def conv(height: int, width: int, inputs: int, outputs: int, kernel: tuple[int, int], stride: int, pads: tuple[int, ...]) -> Program:
    name = f"conv {kernel[0]}x{kernel[1]}/{stride} {height}x{width}x{inputs} to {outputs}"
    return windowed_case(OPERATORS["conv2d"], name, height, width, inputs, outputs, kernel, (stride, stride), (1, 1), pads, 1, seed=1)


def depthwise(height: int, width: int, channels: int, kernel: tuple[int, int], stride: int, pads: tuple[int, ...]) -> Program:
    name = f"depthwise {kernel[0]}x{kernel[1]}/{stride} {height}x{width}x{channels}"
    return windowed_case(OPERATORS["depthwise_conv2d"], name, height, width, channels, channels, kernel, (stride, stride), (1, 1), pads, seed=2)


def dense(inputs: int, outputs: int) -> Program:
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (outputs, inputs))
    multiplier = numerics.multipliers(rng.uniform(0.3, 1.0, outputs) * 100.0 / (inputs**0.5 * 73 * 73))
    attrs = {"rows": 1, "in_features": inputs, "out_features": outputs, "in_zero_point": -128, "out_zero_point": -128, "clamp_min": -128, "clamp_max": 127, "shift": 0, "weight_bits": 8}
    x, y = Tensor("x", (1, inputs), zero_point=-128), Tensor("y", (1, outputs), zero_point=-128)
    return single(OPERATORS["dense"], f"dense {inputs} to {outputs}", attrs, [x], y, [weights, 128 * weights.sum(axis=1), multiplier])


def pointwise(height: int, width: int, inputs: int, outputs: int, stride: int = 1) -> Program:
    return conv(height, width, inputs, outputs, (1, 1), stride, NONE)


LAYERS = {
    "resnet8": [
        (1, conv(32, 32, 3, 16, (3, 3), 1, SAME)), (2, conv(32, 32, 16, 16, (3, 3), 1, SAME)), (1, conv(32, 32, 16, 32, (3, 3), 2, LATE)),
        (1, conv(16, 16, 32, 32, (3, 3), 1, SAME)), (1, conv(16, 16, 32, 64, (3, 3), 2, LATE)), (1, conv(8, 8, 64, 64, (3, 3), 1, SAME)),
        (1, pointwise(32, 32, 16, 32, 2)), (1, pointwise(16, 16, 32, 64, 2)), (1, dense(64, 10)),
    ],
    "ds_cnn": [
        (1, conv(49, 10, 1, 64, (10, 4), 2, (4, 1, 5, 1))), (4, depthwise(25, 5, 64, (3, 3), 1, SAME)), (4, pointwise(25, 5, 64, 64)), (1, dense(64, 12)),
    ],
    "mobilenet_v1_025_vww": [
        (1, conv(96, 96, 3, 8, (3, 3), 2, LATE)), (1, depthwise(48, 48, 8, (3, 3), 1, SAME)), (1, pointwise(48, 48, 8, 16)),
        (1, depthwise(48, 48, 16, (3, 3), 2, LATE)), (1, pointwise(24, 24, 16, 32)), (1, depthwise(24, 24, 32, (3, 3), 1, SAME)),
        (1, pointwise(24, 24, 32, 32)), (1, depthwise(24, 24, 32, (3, 3), 2, LATE)), (1, pointwise(12, 12, 32, 64)),
        (1, depthwise(12, 12, 64, (3, 3), 1, SAME)), (1, pointwise(12, 12, 64, 64)), (1, depthwise(12, 12, 64, (3, 3), 2, LATE)),
        (1, pointwise(6, 6, 64, 128)), (5, depthwise(6, 6, 128, (3, 3), 1, SAME)), (5, pointwise(6, 6, 128, 128)),
        (1, depthwise(6, 6, 128, (3, 3), 2, LATE)), (1, pointwise(3, 3, 128, 256)), (1, depthwise(3, 3, 256, (3, 3), 1, SAME)),
        (1, pointwise(3, 3, 256, 256)), (1, dense(256, 2)),
    ],
    "fc_autoencoder": [(1, dense(640, 128)), (6, dense(128, 128)), (1, dense(128, 8)), (1, dense(8, 128)), (1, dense(128, 640))],
    "streaming_wakeword": [
        (1, depthwise(30, 1, 40, (3, 1), 1, NONE)), (1, pointwise(28, 1, 40, 128)), (1, depthwise(28, 1, 128, (5, 1), 1, NONE)),
        (1, pointwise(24, 1, 128, 128)), (1, depthwise(24, 1, 128, (10, 1), 1, NONE)), (1, pointwise(15, 1, 128, 128)),
        (1, depthwise(15, 1, 128, (15, 1), 1, NONE)), (1, pointwise(1, 1, 128, 32)), (1, dense(32, 3)),
    ],
}  # fmt: skip
"""How often each layer occurs, without additions, pooling and softmax."""


def count(program: Program, target: targets.Target, optimize: str) -> tuple[int, int]:
    """Instructions of one run, and scratch bytes; the bytes are the interpreter's."""
    (op,) = program.ops
    kernel = select(op, target)
    data = artifact.encode(program, plan.make_plan(program, [kernel]), [kernel], target, {"target": target.name})
    rng = np.random.default_rng(0)
    rows = {p.name: rng.integers(-128, 128, (1, program.tensors[p.tensor].nbytes)).astype(np.int8) for p in program.inputs}
    run = device.run(data, rows, engine="c", optimize=optimize)
    (wanted,) = interp.run(program, {p.tensor: rows[p.name][0] for p in program.inputs}).values()
    np.testing.assert_array_equal(next(iter(run.rows.values())).reshape(-1), wanted.reshape(-1), program.name)
    assert run.instructions is not None
    return run.instructions, OPERATORS[op.opcode].scratch(op, kernel.symbol)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=sorted(LAYERS), action="append")
    parser.add_argument("--optimize", default="-O2")
    args = parser.parse_args()
    target = targets.load("cortex-m55")
    print("| layer | times | MACs | instructions | per MAC | scratch, bytes |\n|---|---|---|---|---|---|")
    for model in args.model or LAYERS:
        total = macs_total = 0
        for times, program in LAYERS[model]:
            macs = OPERATORS[program.ops[0].opcode].macs(program.ops[0])
            instructions, scratch = count(program, target, args.optimize)
            total, macs_total = total + times * instructions, macs_total + times * macs
            print(f"| {program.name} | {times} | {macs:,} | {instructions:,} | {instructions / macs:.3f} | {scratch:,} |", flush=True)
        print(f"| **{model}**, these layers | | {macs_total:,} | {total:,} | {total / macs_total:.3f} | |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
