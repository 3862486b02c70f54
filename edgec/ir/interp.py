"""The interpreter: the living specification. It runs a Program with the NumPy goldens and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edgec.ir.core import Op, Program
from edgec.ops import OPERATORS


def steps(program: Program, inputs: Mapping[str, np.ndarray]) -> Iterator[tuple[Op, dict[str, np.ndarray]]]:
    """Run op by op, yielding each op with its outputs.

    Args:
        inputs: program tensor name → int8 array of that tensor's size.
    """
    values = {name: np.asarray(value, np.int8).reshape(program.tensors[name].shape) for name, value in inputs.items()}
    for op in program.ops:
        results = OPERATORS[op.opcode].golden(op, [values[t] for t in op.inputs], program.values(op))
        outputs = {t: r.reshape(program.tensors[t].shape) for t, r in zip(op.outputs, results, strict=True)}
        values.update(outputs)
        yield op, outputs


def run(program: Program, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Output tensors by name, int8, in their physical shapes."""
    values = dict(inputs)
    for _, outputs in steps(program, inputs):
        values.update(outputs)
    return {port.tensor: np.asarray(values[port.tensor], np.int8).reshape(program.tensors[port.tensor].shape) for port in program.outputs}
