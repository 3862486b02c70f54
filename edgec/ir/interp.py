"""The interpreter: the living specification. It runs a Program with the NumPy goldens and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edgec.ir.core import DTYPE_BITS, DTYPES, Op, Program, Tensor
from edgec.ops import OPERATORS


def steps(program: Program, inputs: Mapping[str, np.ndarray]) -> Iterator[tuple[Op, dict[str, np.ndarray]]]:
    """Run op by op, yielding each op with its outputs: int8 in their physical shapes, wider ones with a last axis of an element's bytes.

    Args:
        inputs: program tensor name → int8 array of that tensor's bytes.
    """
    values = {
        name: np.asarray(value, np.int8).reshape(*program.tensors[name].shape, *_bytes(program.tensors[name])) for name, value in inputs.items()
    }
    for op in program.ops:
        results = OPERATORS[op.opcode].golden(op, [values[t] for t in op.inputs], program.values(op))
        outputs = {t: _in_memory(r, program.tensors[t]) for t, r in zip(op.outputs, results, strict=True)}
        values.update(outputs)
        yield op, outputs


def run(program: Program, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Output tensors by name, as `steps` yields them."""
    values = dict(inputs)
    for _, outputs in steps(program, inputs):
        values.update(outputs)
    outputs = [program.tensors[port.tensor] for port in program.outputs]
    return {t.name: np.asarray(values[t.name], np.int8).reshape(*t.shape, *_bytes(t)) for t in outputs}


def _bytes(tensor: Tensor) -> tuple[int, ...]:
    """The axis of an element's bytes, where it has more than one."""
    return () if tensor.dtype == "int8" else (DTYPE_BITS[tensor.dtype] // 8,)


def _in_memory(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    stored = np.ascontiguousarray(values, np.dtype(DTYPES[tensor.dtype]).newbyteorder("<"))
    return stored.reshape(-1).view(np.int8).reshape(*tensor.shape, *_bytes(tensor))
