"""The AArch64 tiers under QEMU against the interpreter: every operator's cases, chains and networks, byte by byte.

Buffers of a run end at an unreadable page (csrc/bind/command.cpp), so that reads and writes outside them end the process.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from tests import aarch64, programs, wide_rows
from tests.models import COMMITTED, MLPERF, NARROW, compiled
from tests.test_host_engine import encode
from tests.test_models import int8_samples

TIERS = ("ref", *aarch64.TIERS)


def chains() -> list[Program]:
    """Every split of channels into blocks of registers and their tails, fused residuals, and layouts that meet."""
    result = []
    for channels in (1, 2, 4, 5, 8, 9, 12, 16, 17, 24, 31, 32, 33, 48, 64, 65, 100, 128):
        for shape, kernel in (((1, 5, 6, 7), (3, 3)), ((1, 3, 3, 20), (1, 1)), ((1, 1, 1, 33), (1, 1)), ((1, 12, 8, 3), (3, 3))):
            b = programs.Builder(f"conv_{channels}_{shape}", shape, seed=channels)
            y = b.conv(b.inputs[0], channels, kernel)
            z = b.conv_add(b.inputs[0], y, kernel)
            result.append(b.program(b.add(b.conv(y, channels, kernel), y), b.conv_add(z, z, kernel), y))
        for height in (5, 6):
            b = programs.Builder(f"depthwise_{channels}_{height}", (1, height, 7, channels), seed=channels)
            y = b.conv(b.depthwise(b.inputs[0]), channels, (1, 1))
            result.append(b.program(b.depthwise(b.depthwise(y, (3, 3), (2, 2)))))
    b = programs.Builder("layouts", (1, 7, 9, 5), seed=6)
    y = b.conv(b.inputs[0], 24)
    outputs = [
        b.conv(y, 3),
        b.depthwise(y, (3, 3), (2, 2)),
        b.max_pool(y, (2, 2)),
        b.dense(y, 11),
        b.softmax(y),
        b.lookup(y),
        b.depthwise(y),
        y,
    ]
    result.append(b.program(*outputs))
    b = programs.Builder("least", (1, 6, 6, 20), seed=7)
    y = b.conv(b.depthwise(b.inputs[0]), 24)
    result.append(with_least_weights(b.program(b.depthwise(y, (3, 3), (2, 2)), b.depthwise(b.inputs[0], (5, 1)))))
    b = programs.Builder("outputs", (1, 6, 6, 8), seed=4)
    y = b.conv(b.inputs[0], 8)
    result.append(b.program(y, b.add(b.conv(y, 8), y), y, b.inputs[0]))
    return [*result, *(programs.random_program(seed, ops=12) for seed in range(24))]


def with_least_weights(program: Program) -> Program:
    """Two weights in three are −128, which other quantizers make: two of its products with −128 do not fit int16."""
    weights = {op.constants[0] for op in program.ops}
    constants = dict(program.constants)
    for name in weights:
        data = constants[name].data.copy()
        data.reshape(-1)[np.arange(data.size) % 3 != 0] = -128
        constants[name] = replace(constants[name], data=data)
    return replace(program, constants=constants)


def inputs_of(program: Program) -> np.ndarray:
    """int8 [4, bytes of all inputs]: random, all least, all most, random."""
    size = sum(program.tensors[p.tensor].nbytes for p in program.inputs)
    rng = np.random.default_rng(11)
    return np.stack([rng.integers(-128, 128, size), np.full(size, -128), np.full(size, 127), rng.integers(-128, 128, size)]).astype(np.int8)


def wanted(program: Program, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Output bytes of every sample, and the output bytes of every operator of every sample."""
    outputs, traced = [], []
    for sample in samples:
        values, at = {}, 0
        for port in program.inputs:
            values[port.tensor] = sample[at : at + program.tensors[port.tensor].nbytes]
            at += program.tensors[port.tensor].nbytes
        for _, results in interp.steps(program, values):
            values.update(results)
            traced += [np.ascontiguousarray(y).reshape(-1).view(np.int8) for y in results.values()]
        outputs += [np.ascontiguousarray(values[port.tensor]).reshape(-1).view(np.int8) for port in program.outputs]
    return np.concatenate(outputs), np.concatenate(traced)


@cache
def everything() -> tuple[tuple[Program, np.ndarray, np.ndarray, np.ndarray], ...]:
    """(program, samples, outputs, traced) of all cases and chains."""
    found = [*(p for operator in OPERATORS.values() for p in operator.cases()), *wide_rows.wide_programs(), *chains()]
    return tuple((p, samples := inputs_of(p), *wanted(p, samples)) for p in found)


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> aarch64.Batch:
    aarch64.host()  # skips before anything is computed
    return aarch64.Batch(tmp_path_factory.mktemp("cases"), ((encode(p), samples) for p, samples, _, _ in everything()))


@pytest.mark.parametrize("tier", TIERS)
def test_cases_and_chains(tier: str, batch: aarch64.Batch) -> None:
    """Outputs of two runs, and of every operator where nothing is fused."""
    for mode, column in ((), 2), (("--trace",), 3):
        got = batch.run(aarch64.host(), tier, *mode)
        for entry, y in zip(everything(), got, strict=True):
            np.testing.assert_array_equal(y, entry[column], f"{entry[0].name} on {tier} {mode}")


@pytest.mark.parametrize("name", COMMITTED + NARROW + MLPERF)
def test_network(name: str, tmp_path) -> None:
    """A real sample and one of extremes on every tier."""
    program = aarch64.host()
    artifact = compiled(name, "host")
    x = int8_samples(artifact, name, 3)[[0, 2]].reshape(2, -1)
    batch = aarch64.Batch(tmp_path, [(artifact.data, x)])
    outputs, traced = wanted(artifact.program, x)
    for tier in TIERS:
        np.testing.assert_array_equal(batch.run(program, tier)[0], outputs, f"{name} on {tier}")
        np.testing.assert_array_equal(batch.run(program, tier, "--trace")[0], traced, f"{name} on {tier}, traced")


@pytest.mark.parametrize("cpu", aarch64.CPUS)
def test_the_best_tier_of_the_processor_is_taken(cpu: str, tmp_path) -> None:
    """And EDGEC_CPU masks it down; a tier that the processor does not run is refused, not tried."""
    program, samples, outputs, _ = next(e for e in everything() if e[0].name == "conv2d_0")
    (tmp_path / "a.edgec").write_bytes(encode(program))
    (tmp_path / "in").write_bytes(samples.tobytes())
    tiers = ("ref", *aarch64.TIERS[: aarch64.TIERS.index(aarch64.CPUS[cpu]) + 1])
    assert tuple(aarch64.qemu(aarch64.host(), "--tiers", cpu=cpu).stdout.split()) == tiers
    files = [str(tmp_path / name) for name in ("a.edgec", "in", "out")]
    for mask in ("", *tiers):
        done = aarch64.qemu(aarch64.host(), *files, cpu=cpu, **({"EDGEC_CPU": mask} if mask else {}))
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(np.frombuffer((tmp_path / "out").read_bytes(), np.int8), outputs)
    for other in set(aarch64.TIERS) - set(tiers):
        refused = aarch64.qemu(aarch64.host(), *files, cpu=cpu, EDGEC_CPU=other)
        assert refused.returncode == 1 and f"tier {other} cannot run here" in refused.stderr


def test_epilogue_is_the_specification(tmp_path) -> None:
    """Requantization by SQRDMULH(acc, M / 2) and the residual's addition against fixed.h, with extremes and near ties."""
    aarch64.needs("aarch64-linux-gnu-g++", "qemu-aarch64")
    source, program = Path(__file__).with_name("requantize_aarch64.cpp"), tmp_path / "requantize"
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", *aarch64.tier_flags("neon"), f"-I{aarch64.source_folder()}"]
    subprocess.run(["aarch64-linux-gnu-g++", *flags, str(source), "-o", str(program)], check=True)
    done = aarch64.qemu(program, "300000")
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[0]) > 9_000_000


@pytest.mark.parametrize("tier", aarch64.TIERS)
def test_accumulators_of_the_hot_loops_stay_in_registers(tier: str) -> None:
    """No vector is moved through the stack, or copied, in an innermost loop over K of a convolution tile."""
    tiles = {name: loops for name, loops in aarch64.inner_loops(tier).items() if name.startswith("conv")}
    assert len(tiles) >= 12, "the kernels are not found in the assembly"
    for name, loops in tiles.items():
        assert loops, name
        for loop in loops:
            moved = [line for line in loop if re.search(r"\bq\d+.*\[sp|\bv\d+\S*, \[sp", line)]
            copied = [line for line in loop if re.match(r"\tmov\tv\d+\.16b", line)]
            assert not moved and len(copied) <= 2, f"{name} on {tier}:\n" + "\n".join(loop)
