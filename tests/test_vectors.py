"""The committed vectors, replayed by everything that computes: interpreter, reference kernels, host tiers, emulated devices."""

from __future__ import annotations

import numpy as np
import pytest

from edgec import targets
from edgec.emit import artifact
from edgec.emit.kernels import Kernel, select
from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ir.verify import verify
from edgec.ops import OPERATORS
from edgec.plan import make_plan
from tests import native
from tests.vectors import make
from tests.vectors.replay import Vector, opcodes, side_by_side, vectors

ALL = [v for opcode in opcodes() for v in vectors(opcode)]
EMULATED = ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-a", "riscv32", "riscv64"]


def named(v: Vector) -> str:
    return v.program.name


def kernels_for(program: Program, target: str) -> tuple[Kernel, ...]:
    chosen = targets.load(target)
    return tuple(select(op, chosen) for op in program.ops)


def encode(program: Program, target: str) -> bytes:
    kernels = kernels_for(program, target)
    return artifact.encode(program, make_plan(program, kernels), kernels, targets.load(target), {"target": target})


def test_every_opcode_has_vectors() -> None:
    assert opcodes() == sorted(OPERATORS)


def test_files_are_what_the_script_makes() -> None:
    assert opcodes() == sorted(make.MAKERS)
    for opcode in opcodes():
        assert (make.FOLDER / f"{opcode}.json").read_text() == make.text(opcode), f"{opcode}.json: run python -m tests.vectors.make"


@pytest.mark.parametrize("v", ALL, ids=named)
def test_interpreter(v: Vector) -> None:
    verify(v.program)
    (got,) = interp.run(v.program, v.inputs).values()
    np.testing.assert_array_equal(got.reshape(-1), v.expected)


@pytest.mark.parametrize("v", ALL, ids=named)
def test_reference_kernels_in_the_runtime(v: Vector) -> None:
    kernels = kernels_for(v.program, "generic-c")
    (got,) = native.run_in_arena(v.program, kernels, make_plan(v.program, kernels), v.inputs).values()
    np.testing.assert_array_equal(got, v.expected)


def test_host_tiers() -> None:
    core = pytest.importorskip("edgec._core", reason="the host module is not built; enable with: pip install .")
    for tier in core.tiers():
        for v in ALL:
            got = np.zeros(v.expected.size, np.int8)
            core.Engine(encode(v.program, "host"), tier).run(*(v.inputs[p.tensor] for p in v.program.inputs), got)
            np.testing.assert_array_equal(got, v.expected, f"{v.program.name} on {tier}")


@pytest.mark.parametrize("engine", ["runtime", "c"])
@pytest.mark.parametrize("target", EMULATED)
def test_firmware(target: str, engine: str, needs_target) -> None:
    """All vectors in one firmware: one build and one start of the emulator a target."""
    from edgec import device

    needs_target(target)
    everything = side_by_side(ALL)
    rows = {p.name: everything.inputs[p.tensor].reshape(1, -1) for p in everything.program.inputs}
    outcome = device.run(encode(everything.program, target), rows, engine=engine, measure=False)
    for v in ALL:
        (port,) = v.program.outputs
        np.testing.assert_array_equal(outcome.rows[port.name][0], v.expected, f"{v.program.name} on {target}, {engine}")
