"""Mutated artifacts in the C runtime under sanitizers: each is refused with a named status, or runs inside its memory.

edgec_open looks at structure, not at hashes, so that an altered artifact reaches the checks of every record; edgec_verify on
the same bytes must refuse them all.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import programs
import pytest

from edgec.emit import artifact
from edgec.emit.kernels import Kernel, all_kernels, select, source_folder
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from edgec.plan import make_plan
from edgec.targets import load

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1", "-g", "-fsanitize=address,undefined"]
RUNTIME = ("edgec_load.c", "edgec_run.c", "edgec_kernels_all.c", "edgec_integrity.c", "edgec_sha512.c")
ARENA_TOO_SMALL, INTEGRITY = 9, 10


@dataclass(frozen=True)
class Outcome:
    tried: int
    accepted: int
    run: int
    verified: int
    by_status: tuple[int, ...]


def build_driver(folder: Path, isas: tuple[str, ...]) -> Path:
    """tests/fuzz/artifact_driver.c with the runtime and every kernel of these instruction sets, in their portable form."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed; enable with: sudo apt-get install -y gcc")
    csrc = source_folder()
    kernels = [k for k in all_kernels() if k.isa in isas]
    lines = [f"EDGEC_KERNEL({k.id:#06x}, {k.opcode}, {k.packing}, {k.isa}, {k.symbol}, {k.family})\n" for k in kernels]
    (folder / "kernels.inc").write_text("".join(lines))
    sources = [csrc / "runtime" / f for f in RUNTIME] + sorted({csrc / "kernels" / f for k in kernels for f in k.files})
    command = ["gcc", *FLAGS, "-fno-sanitize-recover=all", f'-DEDGEC_KERNELS_INC="{folder / "kernels.inc"}"', f"-I{csrc}"]
    done = subprocess.run(
        [*command, Path(__file__).parent / "fuzz" / "artifact_driver.c", *sources, "-o", folder / "driver"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "driver"


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    return build_driver(tmp_path_factory.mktemp("fuzz"), ("ref",))


def fuzz(driver: Path, data: bytes, folder: Path, *mode: object) -> Outcome:
    path = folder / "model.edgec"
    path.write_bytes(data)
    done = subprocess.run([driver, path, *map(str, mode)], check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(map(str, mode))}\n{done.stderr[:4000]}"
    *counts, statuses = done.stdout.splitlines()
    outcome = Outcome(*map(int, counts), tuple(map(int, statuses.split())))
    assert outcome.tried == sum(outcome.by_status) and outcome.run <= outcome.accepted
    assert outcome.by_status[ARENA_TOO_SMALL] == outcome.by_status[INTEGRITY] == 0
    return outcome


def encode(program: Program, isa: str = "ref") -> bytes:
    target = replace(load("generic-c"), isa=(isa, "ref"))
    kernels = [select(op, target) for op in program.ops]
    return artifact.encode(program, make_plan(program, kernels), kernels, target, {})


def section(data: bytes, number: int) -> tuple[int, int]:
    """First and one-past-last byte."""
    for i in range(data[36]):
        found, offset, size = struct.unpack_from("<III", data, 128 + 64 * i)
        if found == number:
            return offset, offset + size
    raise AssertionError(number)


def smallest(kernel: Kernel) -> Program:
    """The smallest case of the kernel's opcode that it runs."""

    def cost(program: Program) -> int:
        return sum(t.size for t in program.tensors.values()) + sum(c.data.size for c in program.constants.values())

    operator = OPERATORS[kernel.opcode]
    return min((p for p in operator.cases() if operator.applies(p.ops[0], kernel.symbol)), key=cost)


def test_every_truncation_is_refused(driver, tmp_path):
    data = encode(programs.random_program(1, ops=4))
    outcome = fuzz(driver, data, tmp_path, "truncate")
    assert outcome.tried == len(data) and outcome.accepted == outcome.verified == 0


def test_every_bit_of_a_small_network(driver, tmp_path):
    data = encode(programs.random_program(1, ops=4))
    outcome = fuzz(driver, data, tmp_path, "flip", 0, 8 * len(data), 1)
    assert outcome.tried == 8 * len(data) and outcome.verified == 0
    assert 0 < outcome.accepted < outcome.tried  # weights and manifest may change; structure may not


@pytest.mark.parametrize("kernel", [k for k in all_kernels() if k.isa == "ref"], ids=lambda k: k.symbol)
def test_every_record_of_every_operator(driver, tmp_path, kernel):
    """Every bit, and every word set to notable values, of the smallest case's program and first weights."""
    data = encode(smallest(kernel))
    first, last = section(data, artifact.PROGRAM)
    assert fuzz(driver, data, tmp_path, "flip", 8 * first, 8 * last, 1).verified == 0
    outcome = fuzz(driver, data, tmp_path, "words", first, last)
    assert outcome.tried == 16 * ((last - first) // 4)
    first, last = section(data, artifact.WEIGHTS)
    last = min(last, first + 1024)
    if last > first:
        fuzz(driver, data, tmp_path, "flip", 8 * first, 8 * last, 5)
        fuzz(driver, data, tmp_path, "random", 7, 1000, first, last)


@pytest.mark.parametrize("isa", sorted({k.isa for k in all_kernels()} - {"ref"}))
def test_every_record_of_optimized_kernels(tmp_path, isa):
    """Packed weights and scratch have checks of their own."""
    driver = build_driver(tmp_path, (isa, "ref"))
    target = replace(load("generic-c"), isa=(isa, "ref"))
    programs_of: dict[str, list[Program]] = {}
    for opcode in OPERATORS:
        for program in OPERATORS[opcode].cases():
            kernel = select(program.ops[0], target)
            if kernel.isa == isa:
                programs_of.setdefault(kernel.symbol, []).append(program)
    for cases in programs_of.values():
        cases.sort(key=lambda p: sum(t.size for t in p.tensors.values()))
        for program in cases[:2]:
            data = encode(program, isa)
            first, last = section(data, artifact.PROGRAM)
            assert fuzz(driver, data, tmp_path, "flip", 8 * first, 8 * last, 1).verified == 0
            fuzz(driver, data, tmp_path, "random", 5, 2000, first, last)
            weights = section(data, artifact.WEIGHTS)
            fuzz(driver, data, tmp_path, "flip", 8 * weights[0], 8 * min(weights[1], weights[0] + 1024), 37)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_with_several_words_altered(driver, tmp_path, seed):
    data = encode(programs.random_program(seed))
    first, last = section(data, artifact.PROGRAM)
    outcome = fuzz(driver, data, tmp_path, "random", seed, 4000, first, last)
    assert outcome.accepted < outcome.tried
    fuzz(driver, data, tmp_path, "random", seed, 1500, 0, first)
    fuzz(driver, data, tmp_path, "random", seed, 500, 0, len(data))


@pytest.mark.parametrize("opcode", ["softmax", "add", "lookup", "depthwise_conv2d", "dense"])
def test_output_anywhere_around_its_input(driver, tmp_path, opcode):
    """Kernels that may overlap get every overlap that edgec_open lets through, not only those the planner makes."""
    program = smallest(next(k for k in all_kernels() if (k.opcode, k.isa) == (opcode, "ref")))
    if opcode == "softmax":
        program = next(p for p in OPERATORS[opcode].cases() if p.ops[0].attrs["depth"] == 2)
    data = bytearray(encode(program))
    op_count, inputs, outputs = struct.unpack_from("<IHH", data, section(data, artifact.PROGRAM)[0])
    record = section(data, artifact.PROGRAM)[0] + 8 + 16 * (inputs + outputs)
    assert op_count == 1
    size = struct.unpack_from("<I", data, record + 16 + 8 * inputs + 4)[0]
    arena = struct.unpack_from("<I", data, 20)[0]
    struct.pack_into("<I", data, 20, arena + 4 * size)
    if opcode == "softmax":  # outputs of 127: written over an input of -128, they index furthest off the table
        struct.pack_into("<ii", data, record + 16 + 8 * 3 + 8, 32768, 0)
    accepted = 0
    for shift in range(-min(size, 40), min(size, 40)):
        struct.pack_into("<I", data, record + 16, size)  # the input in the middle, the output around it
        struct.pack_into("<I", data, record + 16 + 8 * inputs, size + shift)
        accepted += fuzz(driver, bytes(data), tmp_path, "once").accepted
    assert accepted > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 40))
def test_every_bit_of_random_programs(driver, tmp_path, seed):
    data = encode(programs.random_program(seed))
    outcome = fuzz(driver, data, tmp_path, "flip", 0, 8 * len(data), 1)
    assert outcome.tried == 8 * len(data) and outcome.verified == 0
    first, last = section(data, artifact.PROGRAM)
    fuzz(driver, data, tmp_path, "words", first, last)
    fuzz(driver, data, tmp_path, "random", seed, 50_000, first, last)


@pytest.mark.slow
@pytest.mark.parametrize("opcode", list(OPERATORS))
def test_every_case_of_every_operator(driver, tmp_path, opcode):
    for program in OPERATORS[opcode].cases():
        data = encode(program)
        first, last = section(data, artifact.PROGRAM)
        fuzz(driver, data, tmp_path, "flip", 8 * first, 8 * last, 1)
        fuzz(driver, data, tmp_path, "random", 3, 3000, first, last)
