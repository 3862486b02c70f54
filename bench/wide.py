"""What layers with 16-bit activations cost beside the same layers with 8: instructions on devices, time on the host.

    python bench/wide.py [--targets cortex-m4,cortex-m55] [--host] [--networks]

Layers are those that resnet8 with quantize={"wide_tensors": 4} and ds_cnn with 2 have, each as an operator of its own with random
weights. Instructions are of one warm inference of generated C, counted exactly under QEMU, the bytes compared with the
interpreter's; `reference` is the same layer on the reference kernels. --host: medians of interleaved rounds, the best tier and the
reference tier. --networks: the two networks as they are quantized (minutes), beside all activations in 8 bits.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import edgec  # noqa: E402
from bench.cortex_m55 import NONE, SAME, conv, count, dense, depthwise  # noqa: E402
from bench.int4 import measure  # noqa: E402
from edgec import numerics, plan, targets  # noqa: E402
from edgec.emit import artifact  # noqa: E402
from edgec.emit.kernels import select  # noqa: E402
from edgec.ir.core import Program, Tensor  # noqa: E402
from edgec.ops import OPERATORS  # noqa: E402
from edgec.ops.base import single  # noqa: E402
from edgec.ops.pooling import WINDOW  # noqa: E402
from edgec.ops.wide import add_attributes, conv_case, reach  # noqa: E402
from tests.models import network  # noqa: E402

NETWORKS = {"resnet8": 4, "ds_cnn": 2}
"""How many tensors have 16 bits."""


def convolution(height: int, width: int, inputs: int, outputs: int, kernel, stride: int, pads, groups: int, bits: tuple[int, int], relu: bool) -> Program:
    name = f"conv2d_s16 {bits[0]} to {bits[1]}: {kernel[0]}x{kernel[1]}/{stride} {height}x{width}x{inputs} to {outputs}" + (" depthwise" if groups > 1 else "")
    return conv_case(OPERATORS["conv2d_s16"], name, height, width, inputs, outputs, kernel, (stride, stride), pads, groups, *bits, 0.0, seed=1 if relu else 2, extreme=False)


def addition(shape: tuple[int, ...], bits: tuple[int, int, int]) -> Program:
    count = int(np.prod(shape))
    if set(bits) == {8}:
        ma, mb, offset, shift, _ = numerics.add_constants(0.9, 0.7, -128, 3, -128)
        attrs = {"count": count, "multiplier_a": ma, "multiplier_b": mb, "offset": offset, "shift": shift, "clamp_min": -128, "clamp_max": 127}
        zeros, opcode = (-128, 3, -128), "add"
    else:
        zeros, opcode = tuple(0 if b == 16 else -128 for b in bits), "add_s16"
        low, high = reach(bits[2])
        ratios = [2.0 ** (bits[2] - b) * r for b, r in zip(bits, (0.9, 0.7), strict=False)]
        attrs = {"count": count, **add_attributes(*ratios, *zeros), "clamp_min": low, "clamp_max": high, "a_bits": bits[0], "b_bits": bits[1], "out_bits": bits[2]}
    tensors = [Tensor(n, shape, f"int{b}", zero_point=z) for n, b, z in zip("aby", bits, zeros, strict=True)]
    return single(OPERATORS[opcode], f"{opcode} {bits[0]} and {bits[1]} to {bits[2]}: {count}", attrs, tensors[:2], tensors[2])


def average(size: int, channels: int, bits: tuple[int, int]) -> Program:
    zeros = [-128 if b == 8 else 0 for b in bits]
    factor = np.array([0.9 * 2.0 ** (bits[1] - bits[0]) / size**2])
    shift = numerics.layer_shift(factor)
    attrs = dict(zip(WINDOW, (size, size, channels, 1, 1, size, size, size, size, 0, 0), strict=True))
    low, high = reach(bits[1])
    attrs |= {"in_zero_point": zeros[0], "out_zero_point": zeros[1], "clamp_min": low, "clamp_max": high, "shift": shift, "multipliers": 1}
    opcode = "average_pool2d" if bits == (8, 8) else "average_pool2d_s16"
    attrs |= {} if bits == (8, 8) else {"in_bits": bits[0], "out_bits": bits[1]}
    x, y = (Tensor(n, s, f"int{b}", zero_point=z) for n, s, b, z in zip("xy", ((1, size, size, channels), (1, 1, 1, channels)), bits, zeros, strict=True))
    return single(OPERATORS[opcode], f"{opcode} {bits[0]} to {bits[1]}: {size}x{size}x{channels}", attrs, [x], y, [numerics.multipliers(factor, shift)])


def rescaling(size: int) -> Program:
    attrs = {"count": size, "in_zero_point": 0, "out_zero_point": 0, "clamp_min": -128, "clamp_max": 127, "shift": 0}
    attrs |= {"multiplier": int(numerics.multipliers(np.array([0.004]))[0]), "in_bits": 16, "out_bits": 8}
    return single(OPERATORS["rescale_s16"], f"rescale_s16 16 to 8: {size}", attrs, [Tensor("x", (1, size), "int16")], Tensor("y", (1, size)))


LAYERS = [
    (convolution(32, 32, 3, 16, (3, 3), 1, SAME, 1, (8, 16), True), conv(32, 32, 3, 16, (3, 3), 1, SAME)),
    (convolution(32, 32, 16, 16, (3, 3), 1, SAME, 1, (16, 8), False), conv(32, 32, 16, 16, (3, 3), 1, SAME)),
    (addition((1, 32, 32, 16), (16, 8, 8)), addition((1, 32, 32, 16), (8, 8, 8))),
    (average(8, 64, (8, 16)), average(8, 64, (8, 8))),
    (convolution(1, 1, 64, 10, (1, 1), 1, NONE, 1, (16, 16), False), dense(64, 10)),
    (convolution(49, 10, 1, 64, (10, 4), 2, (4, 1, 5, 1), 1, (8, 16), True), conv(49, 10, 1, 64, (10, 4), 2, (4, 1, 5, 1))),
    (convolution(25, 5, 64, 64, (3, 3), 1, SAME, 64, (16, 8), False), depthwise(25, 5, 64, (3, 3), 1, SAME)),
    (convolution(1, 1, 64, 12, (1, 1), 1, NONE, 1, (8, 16), False), dense(64, 12)),
    (convolution(25, 5, 64, 64, (1, 1), 1, NONE, 1, (16, 8), False), conv(25, 5, 64, 64, (1, 1), 1, NONE)),
    (convolution(25, 5, 64, 64, (1, 1), 1, NONE, 1, (8, 16), True), conv(25, 5, 64, 64, (1, 1), 1, NONE)),
    (convolution(16, 16, 32, 64, (3, 3), 2, (0, 0, 1, 1), 1, (16, 16), True), conv(16, 16, 32, 64, (3, 3), 2, (0, 0, 1, 1))),
    (rescaling(4096), None),
]
"""A layer with 16 bits and the same with 8; the last few occur with more tensors of 16 bits."""


def encoded(program: Program, target: str) -> bytes:
    kernels = [select(op, targets.load(target)) for op in program.ops]
    return artifact.encode(program, plan.make_plan(program, kernels), kernels, targets.load(target), {"target": target})


def host_times(programs: list[tuple[Program, str]], rounds: int = 40) -> list[float]:
    """Median of each (program, tier) in microseconds, each round all in turn."""
    from edgec._core import Engine

    runs = []
    for program, tier in programs:
        buffers = [np.ascontiguousarray(np.random.default_rng(0).integers(-128, 128, program.tensors[p.tensor].nbytes), np.int8) for p in program.inputs]
        buffers += [np.empty(program.tensors[p.tensor].nbytes, np.int8) for p in program.outputs]
        runs.append((Engine(encoded(program, "host"), tier), buffers))
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for (engine, buffers), times in zip(runs, taken, strict=True):
            start = time.perf_counter()
            for _ in range(10):
                engine.run(*buffers)
            times.append((time.perf_counter() - start) * 1e5)
    return [statistics.median(t) for t in taken]


def layers(target_names: list[str], host: bool) -> None:
    for wide, narrow in LAYERS:
        print(wide.name)
        for name in target_names:
            target = targets.load(name)
            now, scratch = count(wide, target, "-O2")
            reference, _ = count(wide, replace(target, isa=("ref",)), "-O2")
            beside = f", 8 bits {count(narrow, target, '-O2')[0]:,}" if narrow else ""
            print(f"  {name}: {now:,} instructions, {scratch:,} bytes of scratch; reference {reference:,}{beside}", flush=True)
        if host:
            from edgec import _core

            best = _core.tiers()[-1]
            tiers = [t for t in ("avx2", best) if t in _core.tiers()]
            times = host_times([(wide, "ref"), *((wide, t) for t in tiers), *((narrow or wide, t) for t in tiers)])
            for i, tier in enumerate(tiers):
                print(f"  {tier}: {times[1 + i]:.2f} µs; reference {times[0]:.2f}" + (f", 8 bits {times[1 + len(tiers) + i]:.2f}" if narrow else ""))


def networks(target_names: list[str]) -> None:
    for name, tensors in NETWORKS.items():
        net = network(name)
        with tempfile.TemporaryDirectory() as folder:
            for bits, options in (("8 bits", {}), (f"{tensors} tensors of 16", {"wide_tensors": tensors})):
                qdq = Path(folder) / "model.onnx"
                edgec.compile(net.path, "generic-c", calibration=net.calibration, quantize=options, save_qdq=qdq)
                for target in target_names:
                    row = measure(edgec.compile(qdq, target))
                    print(f"{name}, {bits}, {target}: {row['instructions']:,} instructions, arena {row['arena']:,}, code {row['code']:,}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default="cortex-m4,cortex-m55")
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--networks", action="store_true")
    options = parser.parse_args()
    names = list(filter(None, options.targets.split(",")))
    if options.networks:
        networks(names)
    else:
        layers(names, options.host)


if __name__ == "__main__":
    main()
