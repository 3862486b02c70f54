"""The kernels for the DSP extension: their portable form on this machine, how far outputs may overlap inputs, and the real
instructions under QEMU. Overlap is tested for the reference kernels too."""

from __future__ import annotations

import ctypes
import itertools
import mmap
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edgec import numerics, plan, targets
from edgec.emit.artifact import encode
from edgec.emit.kernels import Kernel, all_kernels, packed_constants, select, source_folder
from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from edgec.ops.conv import windowed_case
from edgec.ops.packing_dsp import MAX_SHIFT
from tests import native

DSP = [k for k in all_kernels() if k.isa == "dsp"]
BOTH = [k for k in all_kernels() if k.isa in ("dsp", "ref") and k.opcode in {d.opcode for d in DSP}]
CORTEX_M = ("cortex-m4", "cortex-m7", "cortex-m33")
CANARY = 0x5A


def cases_of(kernel: Kernel) -> list[Program]:
    operator = OPERATORS[kernel.opcode]
    return [p for p in operator.cases() if operator.applies(p.ops[0], kernel.symbol)]


PAIRS = [pytest.param(k, p, id=f"{k.symbol.removeprefix('edgec_')}-{p.name}") for k in DSP for p in cases_of(k)]


@cache
def library() -> ctypes.CDLL:
    """The portable form; undefined behaviour traps."""
    files = sorted({source_folder() / "kernels" / f for k in all_kernels() if k.isa in ("dsp", "ref") for f in k.files})
    return ctypes.CDLL(str(native.build(files, flags=("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"))))


class Sizes(ctypes.Structure):
    """edgec_sizes of kernel.h."""

    _fields_ = [
        ("input", ctypes.c_uint32 * 2), ("output", ctypes.c_uint32), ("constant", ctypes.c_uint32 * 3), ("scratch", ctypes.c_uint32),
        ("input_count", ctypes.c_uint8), ("output_count", ctypes.c_uint8), ("constant_count", ctypes.c_uint8), ("param_count", ctypes.c_uint8),
    ]  # fmt: skip


def values_of(program: Program, kind: str = "random", seed: int = 5) -> list[np.ndarray]:
    sizes = [program.tensors[t].nbytes for t in program.ops[0].inputs]
    if kind == "random":
        rng = np.random.default_rng(seed)
        return [rng.integers(-128, 128, n).astype(np.int8) for n in sizes]
    return [np.full(n, {"least": -128, "most": 127}[kind], np.int8) for n in sizes]


def golden(program: Program, values: list[np.ndarray]) -> np.ndarray:
    op = program.ops[0]
    inputs = [v if v.size != program.tensors[t].size else v.reshape(program.tensors[t].shape) for v, t in zip(values, op.inputs, strict=True)]
    return np.ascontiguousarray(OPERATORS[op.opcode].golden(op, inputs, program.values(op))[0]).reshape(-1).view(np.int8)


def run_overlapped(program: Program, kernel: Kernel, values: list[np.ndarray], offset: int | None, wanted: np.ndarray) -> None:
    """Run with the output `offset` bytes from the first input (None: apart) and compare output, borders and, apart, the input."""
    border, op = 64, program.ops[0]
    n, m = values[0].size, wanted.size
    gap = n + border if offset is None else offset
    first, last = min(0, gap), max(n, gap + m)
    memory = native.aligned(last - first + 2 * border)
    memory[:] = CANARY
    x, y = border - first, border - first + gap
    memory[x : x + n] = values[0]
    scratch_bytes = OPERATORS[op.opcode].scratch(op, kernel.symbol)
    scratch = native.aligned(scratch_bytes + border)
    scratch[:] = CANARY
    at = memory.ctypes.data
    inputs = [at + x] + [v.ctypes.data for v in values[1:]]
    native.call(library(), program, op, kernel, inputs, at + y, scratch.ctypes.data)
    what = f"{program.name} on {kernel.symbol}, output at input {'apart' if offset is None else f'{offset:+d}'}"
    np.testing.assert_array_equal(memory[y : y + m], wanted, what)
    if offset is None:
        np.testing.assert_array_equal(memory[x : x + n], values[0], f"{what}: the input changed")
        assert (memory[x + n : y] == CANARY).all(), f"{what}: bytes between input and output changed"
    assert (memory[: border] == CANARY).all() and (memory[border + last - first :] == CANARY).all(), f"{what}: wrote outside"
    assert (scratch[scratch_bytes:] == CANARY).all(), f"{what}: wrote behind its scratch"


def offsets_of(program: Program, kernel: Kernel) -> list[int | None]:
    """Where the output may lie as the operator declares it: apart, just as near as allowed, and a little farther."""
    op = program.ops[0]
    operator = OPERATORS[op.opcode]
    below, above = operator.distance(op, kernel.symbol), operator.distance_above(op, kernel.symbol)
    found: list[int | None] = [None]
    if below is not None:
        below = max(below, 0) if above is not None else below
        found += [-below, -below - 1, -below - 7]
    if above is not None:
        found += [max(above, 1), max(above, 1) + 5]
    if operator.over_first(op, kernel.symbol):
        found.append(0)
    return found


@pytest.mark.parametrize(("kernel", "program"), PAIRS)
def test_case(kernel, program):
    for kind in ("random", "least", "most"):
        values = values_of(program, kind)
        wanted = golden(program, values)
        for offset in offsets_of(program, kernel):
            run_overlapped(program, kernel, values, offset, wanted)


@pytest.mark.parametrize(("kernel", "program"), PAIRS)
def test_unpack_is_the_inverse_of_pack(kernel, program):
    op = program.ops[0]
    stored = [np.ascontiguousarray(v).reshape(-1).view(np.int8) for v in packed_constants(program, op, kernel)]
    unpacked = OPERATORS[op.opcode].packings[kernel.packing].unpack(op, stored)
    for found, value in zip(unpacked, program.values(op), strict=True):
        assert np.ascontiguousarray(found).tobytes() == value.tobytes()


HIGH_HALVES = {"conv2d_int4_8": 4, "dense_int4_5": 4}
"""Cases of one pair of channels with weights of 4 bits: the one size that the second constant may have beside none."""


@pytest.mark.parametrize(("kernel", "program"), PAIRS)
def test_check_takes_exactly_these_sizes(kernel, program):
    op = program.ops[0]
    operator = OPERATORS[op.opcode]
    sizes = Sizes(output=program.tensors[op.outputs[0]].nbytes, scratch=operator.scratch(op, kernel.symbol))
    for i, t in enumerate(op.inputs):
        sizes.input[i] = program.tensors[t].nbytes
    constants = packed_constants(program, op, kernel)
    for i, value in enumerate(constants):
        sizes.constant[i] = value.nbytes
    sizes.input_count, sizes.output_count, sizes.constant_count = len(op.inputs), 1, len(constants)
    sizes.param_count = len(operator.fields)
    params = np.array([op.attrs[f] for f in operator.fields], np.int32)
    check = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(native.descriptor(library(), kernel).check)

    def accepted() -> bool:
        return check(params.ctypes.data, ctypes.addressof(sizes)) != 0

    assert accepted()
    for array, count in ((sizes.input, len(op.inputs)), (sizes.constant, len(constants))):
        for i in range(count):
            for change in (-1, 1, 4):
                if array[i] + change >= 0 and not (array[i] == 0 and change == HIGH_HALVES.get(program.name)):
                    array[i] += change
                    assert not accepted(), f"operand {i} off by {change}"
                    array[i] -= change
    sizes.output += 1
    assert not accepted(), "an output too large"
    sizes.output -= 1
    if sizes.scratch:
        sizes.scratch -= 1
        assert not accepted(), "scratch too small"


def guarded(values: np.ndarray, at_end: bool) -> tuple[mmap.mmap, int]:
    """A copy that begins or ends at a page nobody may touch: the mapping and the address of the copy."""
    page = mmap.PAGESIZE
    pages = -(-values.size // page) + 2
    mapping = mmap.mmap(-1, pages * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    start = (pages - 1) * page - values.size if at_end else page
    mapping[start : start + values.size] = values.tobytes()
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for guard in (base, base + (pages - 1) * page):
        assert protect(guard, page, 0) == 0
    return mapping, base + start


@pytest.mark.parametrize(("kernel", "program"), PAIRS)
def test_no_byte_outside_the_input_is_read(kernel, program):
    """A read outside ends the process."""
    op = program.ops[0]
    values = values_of(program)
    wanted = golden(program, values)
    output = native.aligned(wanted.size)
    scratch = native.aligned(OPERATORS[op.opcode].scratch(op, kernel.symbol))
    for at_end in (False, True):
        held = [guarded(v, at_end) for v in values]
        native.call(library(), program, op, kernel, [at for _, at in held], output.ctypes.data, scratch.ctypes.data)
        np.testing.assert_array_equal(output, wanted)


def small_shapes(opcode: str, bits: int) -> Iterable[Program]:
    """Windows over small inputs: where blocks, tails and borders meet in every way."""
    operator = OPERATORS[opcode]
    sizes = [(1, 1), (1, 5), (2, 3), (3, 4), (5, 5), (4, 9), (7, 4)]
    kernels = [((1, 1), (0, 0, 0, 0)), ((3, 3), (1, 1, 1, 1)), ((3, 3), (0, 0, 1, 1)), ((3, 3), (2, 2, 0, 0)), ((3, 1), (0, 0, 0, 0)), ((2, 5), (1, 3, 0, 1))]
    channels = [(4, 4), (3, 5), (4, 10), (9, 2)] if opcode == "conv2d" else [(2, 2), (5, 5), (8, 8)]
    for number, ((h, w), (kernel, pads), stride, (c, n)) in enumerate(itertools.product(sizes, kernels, (1, 2), channels)):
        out = [(size + pads[i] + pads[i + 2] - kernel[i]) // stride + 1 for i, size in enumerate((h, w))]
        reach = [(out[i] - 1) * stride - pads[i] < size for i, size in enumerate((h, w))]
        if min(out) >= 1 and all(reach):
            groups = 1 if opcode == "conv2d" else None
            yield windowed_case(operator, f"small_{number}", h, w, c, n, kernel, (stride, stride), (1, 1), pads, groups, seed=number, bits=bits)


@pytest.mark.parametrize("kernel", [k for k in BOTH if k.opcode in ("conv2d", "depthwise_conv2d")], ids=lambda k: k.symbol)
def test_declared_overlap_on_small_shapes(kernel):
    """One buffer, the output as near to the input as declared: what the planner may do to any layer."""
    tried = 0
    for program in small_shapes(kernel.opcode, 4 if "_s8w4_" in kernel.symbol else 8):
        if OPERATORS[kernel.opcode].applies(program.ops[0], kernel.symbol):
            values = values_of(program)
            wanted = golden(program, values)
            for offset in offsets_of(program, kernel):
                run_overlapped(program, kernel, values, offset, wanted)
            tried += 1
    assert tried > 10


@pytest.mark.parametrize("kernel", [k for k in BOTH if k.opcode not in ("conv2d", "depthwise_conv2d")], ids=lambda k: k.symbol)
def test_declared_overlap_of_other_operators(kernel):
    for program in cases_of(kernel):
        values = values_of(program)
        wanted = golden(program, values)
        for offset in offsets_of(program, kernel):
            run_overlapped(program, kernel, values, offset, wanted)


def test_saturating_behind_the_layer_shift_changes_nothing():
    """The kernels double with QADD; numerics.requantize saturates to fewer bits and shifts: the same clamped result."""
    rng = np.random.default_rng(0)
    for shift in range(MAX_SHIFT + 1):
        edge = 2 ** (31 - shift)
        acc = np.unique(np.clip(np.concatenate([rng.integers(-(2**31), 2**31, 300), [-edge - 1, -edge, 1 - edge, edge - 2, edge - 1, edge, 2**31 - 1]]), -(2**31), 2**31 - 1))
        near = 2 ** np.arange(1, 31) + np.array([-2, 0, 2])[:, None]
        multiplier = np.unique(np.clip(np.concatenate([near.reshape(-1), rng.integers(0, 2**30, 300) * 2, [0, 2**31 - 2]]), 0, 2**31 - 2)).reshape(-1, 1)
        scaled = np.clip(acc * 2**shift, -(2**31), 2**31 - 1)
        for zero_point in (-128, 3, 127):
            wanted = numerics.requantize(acc, multiplier, zero_point, -128, 127, shift)
            np.testing.assert_array_equal(numerics.requantize(scaled, multiplier, zero_point, -128, 127), wanted)


def joined(programs: Iterable[Program]) -> Program:
    """Programs side by side as one, so that one start of the emulator runs them all."""
    tensors, constants, ops, inputs, outputs = {}, {}, [], [], []
    for p in programs:
        tensors.update(p.tensors)
        constants.update(p.constants)
        ops += p.ops
        inputs += p.inputs
        outputs += p.outputs
    return Program("cases", tensors, constants, tuple(ops), tuple(inputs), tuple(outputs))


@pytest.mark.parametrize("name", CORTEX_M)
def test_instructions_of_the_core(needs_target, name):
    """Every case on the emulated core, through the runtime: the same bytes as the interpreter."""
    from edgec import device

    needs_target(name)
    target = targets.load(name)
    target = replace(target, isa=("dsp", "ref"), layout="dsp")
    program = joined(p for opcode in sorted({k.opcode for k in DSP}) for p in OPERATORS[opcode].cases())
    kernels = [select(op, target, worth=False) for op in program.ops]
    memory = plan.make_plan(program, kernels)
    rng = np.random.default_rng(3)
    rows = {p.name: rng.integers(-128, 128, (2, program.tensors[p.tensor].nbytes)).astype(np.int8) for p in program.inputs}
    rows = {name: np.concatenate([r, np.full_like(r[:1], -128), np.full_like(r[:1], 127)]) for name, r in rows.items()}
    got = device.run(encode(program, memory, kernels, target, {"target": name}), rows, target=target, measure=False).rows
    for i in range(4):
        wanted = interp.run(program, {p.tensor: rows[p.name][i] for p in program.inputs})
        for port in program.outputs:
            np.testing.assert_array_equal(got[port.name][i], wanted[port.tensor].reshape(-1), port.name)
