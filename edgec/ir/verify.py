"""The rules between passes: whatever a pass gives back is checked here before the next one sees it.

A program that breaks a rule is a defect of the pass that made it (or of a file that was tampered with), so the message names
the operator, its opcode, the shapes of its operands and the rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from edgec.errors import ProgramError
from edgec.ir.core import DTYPE_BITS, DTYPES, Constant, Op, Port, Program, Tensor
from edgec.numerics import INT32_MAX, INT32_MIN
from edgec.ops import OPERATORS


def verify(program: Program) -> None:
    """Check every rule of an integer program.

    Tensors and constants are well formed and all used; every tensor is written once, before it is read; opcodes are known and
    their dtypes, attributes, constants and operands follow `Operator.check`; no accumulator can leave int32; ports fit their tensors.

    Raises:
        ProgramError: the first rule that is broken.
    """
    for key, tensor in program.tensors.items():
        _tensor(key, tensor)
    for key, constant in program.constants.items():
        _constant(key, constant)
    _ports("input", program.inputs, program)
    _ports("output", program.outputs, program)

    written = {port.tensor for port in program.inputs}
    names: set[str] = set()
    for op in program.ops:
        if not op.name or op.name in names:
            raise _error(program, op, "names of operators must be there and differ")
        names.add(op.name)
        _operator(program, op, written)
        written.update(op.outputs)
    for port in program.outputs:
        if port.tensor not in written:
            raise _defect(f"output {port.name}", f"no operator writes its tensor {port.tensor}")
    _used("tensor", program.tensors, written)
    _used("constant", program.constants, (c for op in program.ops for c in op.constants))


def _tensor(key: str, tensor: Tensor) -> None:
    where = f"tensor {key}"
    if not key or key != tensor.name:
        raise _defect(where, f"it is filed under another name than its own, {tensor.name!r}")
    if tensor.dtype not in DTYPES:
        raise _defect(where, f"dtype {tensor.dtype!r} is none of {', '.join(DTYPES)}")
    if not all(isinstance(n, (int, np.integer)) and n >= 1 for n in tensor.shape):
        raise _defect(where, f"shape {tensor.shape} is not of positive integers")
    limit = 2 ** (DTYPE_BITS[tensor.dtype] - 1)
    if not -limit <= tensor.zero_point < limit:
        raise _defect(where, f"zero_point {tensor.zero_point} is outside {tensor.dtype}")
    if not (math.isfinite(tensor.scale) and tensor.scale > 0):
        raise _defect(where, f"scale {tensor.scale} is not a positive number")


def _constant(key: str, constant: Constant) -> None:
    where = f"constant {key}"
    if not key or key != constant.name:
        raise _defect(where, f"it is filed under another name than its own, {constant.name!r}")
    if constant.dtype not in DTYPES or constant.data.dtype != DTYPES[constant.dtype]:
        raise _defect(where, f"dtype {constant.dtype!r} does not go with an array of {constant.data.dtype}")
    if constant.data.flags.writeable or not constant.data.flags.c_contiguous:
        raise _defect(where, "its array must be read-only and contiguous")
    if constant.data.size == 0:
        raise _defect(where, "it is empty")
    if constant.dtype == "int4" and (constant.data.min() < -8 or constant.data.max() > 7):
        raise _defect(where, "a value is outside int4")


def _ports(kind: str, ports: tuple[Port, ...], program: Program) -> None:
    if not ports:
        raise _defect(f"program {program.name}", f"it has no {kind}")
    if len({p.name for p in ports}) != len(ports):
        raise _defect(f"program {program.name}", f"two {kind}s have one name")
    if kind == "input" and len({p.tensor for p in ports}) != len(ports):
        raise _defect(f"program {program.name}", "two inputs share one tensor")
    for port in ports:
        where = f"{kind} {port.name}"
        tensor = program.tensors.get(port.tensor)
        if tensor is None:
            raise _defect(where, f"its tensor {port.tensor} does not exist")
        if kind == "input" and tensor.dtype not in ("int8", "int16"):
            raise _defect(where, f"an input is int8 or int16, not {tensor.dtype}")
        if math.prod(port.shape) != tensor.size:
            raise _defect(where, f"shape {port.shape} has another size than its tensor's {tensor.shape}")
        if port.order is not None:
            whole = sorted(port.order) == list(range(len(port.shape)))
            if not whole or [port.shape[i] for i in port.order if port.shape[i] != 1] != [n for n in tensor.shape if n != 1]:
                raise _defect(where, f"order {port.order} does not turn {port.shape} into {tensor.shape}")


def _operator(program: Program, op: Op, written: set[str]) -> None:
    operator = OPERATORS.get(op.opcode)
    if operator is None:
        raise _error(program, op, f"known opcodes are {', '.join(sorted(OPERATORS))}")
    for t in (*op.inputs, *op.outputs):
        if t not in program.tensors:
            raise _error(program, op, f"tensor {t} does not exist")
    for t in op.inputs:
        if t not in written:
            raise _error(program, op, f"tensor {t} is read before it is written")
    for t in op.outputs:
        if t in written or op.outputs.count(t) > 1:
            raise _error(program, op, f"tensor {t} is written twice")
    for c in op.constants:
        if c not in program.constants:
            raise _error(program, op, f"constant {c} does not exist")
    if len(op.inputs) != operator.arity or len(op.outputs) != 1:
        raise _error(program, op, f"{len(op.inputs)} inputs and {len(op.outputs)} outputs; it takes {operator.arity} and gives 1")
    if set(op.attrs) != set(operator.fields):
        missing, extra = sorted(set(operator.fields) - set(op.attrs)), sorted(set(op.attrs) - set(operator.fields))
        raise _error(program, op, f"attributes missing: {', '.join(missing) or 'none'}; unknown: {', '.join(extra) or 'none'}")
    for name, value in op.attrs.items():
        if not INT32_MIN <= value <= INT32_MAX:
            raise _error(program, op, f"attribute {name} = {value} does not fit int32")
    constants = [program.constants[c] for c in op.constants]
    dtypes = operator.constant_dtypes(op)
    if tuple(c.dtype for c in constants) != tuple(dtypes):
        raise _error(program, op, f"constants of {[c.dtype for c in constants]}; it takes {list(zip(operator.roles, dtypes, strict=True))}")
    taken, given = operator.input_dtypes(op), operator.output_dtype_of(op)
    if tuple(program.tensors[t].dtype for t in op.inputs) != taken or program.tensors[op.outputs[0]].dtype != given:
        raise _error(program, op, f"it reads {', '.join(taken)} and gives {given}")
    broken = operator.check(op, [program.tensors[t] for t in op.inputs], [program.tensors[t] for t in op.outputs], constants)
    if broken is not None:
        raise _error(program, op, broken)
    # The layer shift saturates the accumulator before it shifts, so the bound that counts is the one before the shift.
    low, high = operator.accumulator_bounds(op, [c.data for c in constants])
    bits = operator.accumulator_bits(op)
    if low < -(2 ** (bits - 1)) or high >= 2 ** (bits - 1):
        raise _error(program, op, f"an accumulator can reach [{low}, {high}], beyond int{bits}")


def _used(kind: str, have: Iterable[str], used: Iterable[str]) -> None:
    unused = sorted(set(have) - set(used))
    if unused:
        raise _defect(f"{kind} {unused[0]}", f"nothing uses it ({len(unused)} such {kind}s)")


def _defect(where: str, why: str) -> ProgramError:
    return ProgramError(
        "an integer program breaks a rule", where=where, why=why, fix="this is a defect of edgec; please report it with the model"
    )


def _error(program: Program, op: Op, why: str) -> ProgramError:
    def shown(names: tuple[str, ...], of) -> str:
        return ", ".join(f"{n} {of(n)}" for n in names) or "none"

    def tensor(n: str) -> str:
        return f"{program.tensors[n].dtype}{list(program.tensors[n].shape)}" if n in program.tensors else "(missing)"

    def constant(n: str) -> str:
        return f"{program.constants[n].dtype}{list(program.constants[n].data.shape)}" if n in program.constants else "(missing)"

    operands = f"inputs {shown(op.inputs, tensor)}; outputs {shown(op.outputs, tensor)}; constants {shown(op.constants, constant)}"
    where = f"{op.opcode} {op.name}: {operands}"
    return _defect(where, why)
