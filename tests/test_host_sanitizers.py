"""Every tier of this machine under the address and undefined-behaviour sanitizers, with guard pages round the caller's buffers.

The library that Python loads cannot have them (the interpreter would need them too), so a program of its own runs every operator's
cases and some networks: tests/host_check.cpp. An arena is one allocation to the sanitizer; that nothing outside a value's bytes
matters within it is shown by filling it with two patterns.
"""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from tests import programs
from tests.host_check import build_check
from tests.test_host_engine import encode


def case_bytes(program: Program) -> bytes:
    """Artifact, inputs and wanted outputs, each with its length before it."""
    rng = np.random.default_rng(21)
    values = {p.tensor: rng.integers(-128, 128, program.tensors[p.tensor].nbytes).astype(np.int8) for p in program.inputs}
    wanted = interp.run(program, values)
    parts = (
        encode(program),
        b"".join(values[p.tensor].tobytes() for p in program.inputs),
        b"".join(wanted[p.tensor].tobytes() for p in program.outputs),
    )
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


@pytest.mark.slow
def test_no_byte_outside_a_buffer_and_no_undefined_behaviour(tmp_path):
    cases = [c for operator in OPERATORS.values() for c in operator.cases()]
    cases += [programs.resnet8(), programs.ds_cnn(), programs.autoencoder(), *(programs.random_program(seed, ops=9) for seed in range(12))]
    paths = []
    for i, case in enumerate(cases):
        paths.append(tmp_path / f"{i}_{case.name.replace('/', '_')}")
        paths[-1].write_bytes(case_bytes(case))
    run = subprocess.run([build_check(tmp_path, "address"), "bounds", *paths], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
