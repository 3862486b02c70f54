"""Every host tier against the interpreter: every operator's cases, and chains that exercise fusion and layouts."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from tests.test_host_engine import core, encode

CASES = [program for operator in OPERATORS.values() for program in operator.cases()]


def inputs_of(program: Program, kind: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    fill = {"random": lambda n: rng.integers(-128, 128, n), "least": lambda n: np.full(n, -128), "most": lambda n: np.full(n, 127)}[kind]
    return {port.tensor: fill(program.tensors[port.tensor].size).astype(np.int8) for port in program.inputs}


def check(program: Program, tier: str, kind: str = "random") -> None:
    """Bytes of a run and of every operator equal the interpreter's, twice, so that nothing is left over from the first."""
    engine = core.Engine(encode(program), tier)
    for attempt in range(2):
        values = inputs_of(program, kind)
        if attempt:
            values = {k: v[::-1].copy() for k, v in values.items()}
        wanted = dict(values)
        steps = []
        for _, outputs in interp.steps(program, values):
            wanted.update(outputs)
            steps.append(next(iter(outputs.values())))
        got = [np.zeros(program.tensors[port.tensor].size, np.int8) for port in program.outputs]
        engine.run(*(values[port.tensor] for port in program.inputs), *got)
        for op, step, traced in zip(program.ops, steps, engine.trace(*(values[p.tensor] for p in program.inputs)), strict=True):
            np.testing.assert_array_equal(np.frombuffer(traced, np.int8), step.reshape(-1), f"{program.name}: traced {op.name} on {tier}")
        for port, y in zip(program.outputs, got, strict=True):
            np.testing.assert_array_equal(y, wanted[port.tensor].reshape(-1), f"{program.name}: output {port.tensor} on {tier}")


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("program", CASES, ids=lambda p: p.name)
def test_case(program, tier):
    for kind in ("random", "least", "most"):
        check(program, tier, kind)
