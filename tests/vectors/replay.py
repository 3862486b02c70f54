"""The committed vectors as programs: one operator each, or all of them side by side for an emulated device."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgec.ir.core import DTYPES, Constant, Op, Port, Program, Tensor
from edgec.ops import OPERATORS
from tests.vectors.make import FOLDER


@dataclass(frozen=True)
class Vector:
    """A program of one operator, int8 inputs by tensor, and the bytes of its output."""

    program: Program
    inputs: dict[str, np.ndarray]
    expected: np.ndarray


def opcodes() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def vectors(opcode: str) -> tuple[Vector, ...]:
    """The vectors of an opcode, in the order of its file."""
    return tuple(_vector(v) for v in json.loads((FOLDER / f"{opcode}.json").read_text()))


def _vector(v: dict) -> Vector:
    name = f"{v['opcode']}: {v['name']}"
    operator = OPERATORS[v["opcode"]]
    tensors = [Tensor(f"{name}.{i}", tuple(x["shape"]), x.get("dtype", "int8"), zero_point=x["zero_point"]) for i, x in enumerate((*v["inputs"], v["output"]))]
    values = [
        Constant(f"{name}.{role}", np.array(c["data"], np.int64).reshape(c["shape"]), c["dtype"])
        for role, c in zip(operator.roles, v["constants"], strict=True)
    ]
    *inputs, output = tensors
    op = Op(v["opcode"], name, tuple(t.name for t in inputs), (output.name,), tuple(c.name for c in values), v["attrs"])
    ports = tuple(tuple(Port(t.name, t.name, t.shape) for t in side) for side in (inputs, [output]))
    program = Program(name, {t.name: t for t in tensors}, {c.name: c for c in values}, (op,), *ports)
    data = {t.name: np.array(x["data"], np.dtype(DTYPES[t.dtype]).newbyteorder("<")).view(np.int8) for t, x in zip(inputs, v["inputs"], strict=True)}
    expected = np.array(v["output"]["data"], np.dtype(DTYPES[output.dtype]).newbyteorder("<"))
    return Vector(program, data, expected.view(np.int8))


def side_by_side(parts: list[Vector]) -> Vector:
    """One program that runs all of them, each on inputs of its own; expected is the concatenation of all outputs."""
    programs = [v.program for v in parts]
    merged = Program(
        "vectors",
        {k: t for p in programs for k, t in p.tensors.items()},
        {k: c for p in programs for k, c in p.constants.items()},
        tuple(op for p in programs for op in p.ops),
        tuple(port for p in programs for port in p.inputs),
        tuple(port for p in programs for port in p.outputs),
    )
    return Vector(merged, {k: x for v in parts for k, x in v.inputs.items()}, np.concatenate([v.expected for v in parts]))
