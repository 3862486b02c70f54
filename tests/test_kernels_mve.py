"""Helium kernels: their packed layouts, their portable form on this machine (under the undefined-behaviour sanitizer and beside
guard pages), the overlap they declare, and the assembly on an emulated Cortex-M55."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edgec import device, plan, targets
from edgec.emit import artifact as format_
from edgec.emit.kernels import Kernel, all_kernels, packed_constants, source_folder
from edgec.errors import ToolError
from edgec.ir import interp
from edgec.ir.core import Op, Program, Tensor
from edgec.ops import OPERATORS
from edgec.ops.base import single
from edgec.ops.conv import windowed_case
from tests import native

SANITIZE = ("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
HELIUM = [k for k in all_kernels() if k.isa == "mve"]
M55 = replace(targets.load("cortex-m55"), isa=("mve", "ref"), layout="mve")


def applying(programs: Iterator[Program] | list[Program]) -> list[Program]:
    """Those that a Helium kernel of their operator runs."""
    return [p for p in programs if kernels_of(p)]


def kernels_of(program: Program) -> list[Kernel]:
    op = program.ops[0]
    return [k for k in HELIUM if k.opcode == op.opcode and OPERATORS[op.opcode].applies(op, k.symbol)]


def kernel_of(program: Program) -> Kernel:
    return kernels_of(program)[0]


def convolution(name: str, in_h: int, in_w: int, in_c: int, out_c: int, kernel, stride, pads, **more) -> Program:
    return windowed_case(OPERATORS["conv2d"], name, in_h, in_w, in_c, out_c, kernel, stride, (1, 1), pads, 1, **{"seed": 1} | more)


def depthwise(name: str, in_h: int, in_w: int, channels: int, kernel, stride, pads, **more) -> Program:
    return windowed_case(OPERATORS["depthwise_conv2d"], name, in_h, in_w, channels, channels, kernel, stride, (1, 1), pads, **{"seed": 2} | more)


def more_cases() -> list[Program]:
    """What the operators' own cases leave out: every variant of the engines, tails, clamps, shifts, shapes of patches."""
    same = (1, 1, 1, 1)
    return [
        convolution("rows", 7, 6, 16, 8, (3, 3), (1, 1), same),
        convolution("rows_wide", 5, 9, 48, 4, (3, 3), (1, 1), same),
        convolution("rows_stride", 9, 9, 32, 12, (3, 3), (2, 2), (0, 0, 1, 1)),
        convolution("rows_tail", 6, 5, 16, 7, (3, 3), (1, 1), same),
        convolution("rows_clamp", 6, 6, 16, 8, (3, 3), (1, 1), same, clamp=(-90, 80)),
        convolution("rows_shift", 6, 6, 16, 9, (3, 3), (1, 1), same, ratio=2.5),
        convolution("rows_no_border", 5, 7, 16, 4, (3, 3), (1, 1), (0, 0, 0, 0)),
        convolution("pointwise_tail", 5, 5, 21, 13, (1, 1), (1, 1), (0, 0, 0, 0)),
        convolution("pointwise_small", 4, 7, 3, 4, (1, 1), (1, 1), (0, 0, 0, 0)),
        convolution("pointwise_clamp", 3, 3, 32, 8, (1, 1), (1, 1), (0, 0, 0, 0), clamp=(-20, 127)),
        convolution("pointwise_shift", 3, 3, 32, 8, (1, 1), (1, 1), (0, 0, 0, 0), ratio=5.0),
        convolution("pointwise_stride", 8, 5, 32, 8, (1, 1), (2, 2), (0, 0, 0, 0)),
        convolution("one_channel_out", 4, 4, 8, 1, (3, 3), (1, 1), same),
        *(convolution(f"blocks_{n}", 1, 3, 16 * n, 4, (1, 1), (1, 1), (0, 0, 0, 0)) for n in range(1, 10)),
        convolution("five_by_five", 7, 8, 3, 8, (5, 5), (2, 1), (2, 2, 2, 2)),
        depthwise("columns_of_one", 9, 1, 5, (3, 1), (1, 1), (0, 0, 0, 0)),
        depthwise("fourteen_taps", 20, 1, 4, (14, 1), (1, 1), (0, 0, 0, 0)),
        depthwise("sixteen_taps", 20, 1, 4, (16, 1), (1, 1), (0, 0, 0, 0)),
        depthwise("row_of_taps", 2, 11, 6, (1, 5), (1, 1), (0, 2, 0, 2)),
        depthwise("one_output", 3, 3, 9, (3, 3), (1, 1), (0, 0, 0, 0)),
        depthwise("one_row", 1, 9, 8, (3, 3), (1, 1), same),
        depthwise("stride", 11, 10, 8, (3, 3), (2, 2), same),
        depthwise("stride_down", 12, 5, 3, (3, 3), (2, 1), same),
        depthwise("two_by_two", 6, 6, 8, (2, 2), (2, 2), (0, 0, 0, 0)),
        depthwise("four_by_four", 7, 7, 3, (4, 4), (1, 1), (1, 1, 2, 2)),
        depthwise("bands", 46, 30, 2, (3, 3), (1, 1), same),
        depthwise("bands_uneven", 47, 29, 2, (3, 3), (1, 1), same),
        depthwise("bands_stride", 45, 47, 3, (3, 3), (2, 2), same),
        depthwise("tiles", 90, 101, 2, (3, 3), (1, 1), same),
        depthwise("tiles_stride", 121, 130, 2, (3, 3), (2, 2), (0, 0, 1, 1)),
        depthwise("tiles_down", 9001, 1, 2, (5, 1), (1, 1), (0, 0, 0, 0)),
        depthwise("tiles_across", 1, 700, 3, (1, 3), (1, 2), (0, 1, 0, 1)),
        depthwise("tiles_clamp", 85, 86, 2, (3, 3), (1, 1), same, clamp=(-60, 70)),
        depthwise("stride_clamp", 9, 9, 4, (3, 3), (2, 2), same, clamp=(-50, 60)),
        depthwise("stride_shift", 9, 9, 4, (3, 3), (2, 2), same, ratio=1.5),
        convolution("int4_rows", 7, 6, 16, 8, (3, 3), (1, 1), same, bits=4),
        convolution("int4_rows_wide", 5, 9, 48, 4, (3, 3), (1, 1), same, bits=4),
        convolution("int4_rows_stride", 9, 9, 32, 12, (3, 3), (2, 2), (0, 0, 1, 1), bits=4),
        convolution("int4_rows_tail", 6, 5, 16, 7, (3, 3), (1, 1), same, clamp=(-90, 80), bits=4),
        *(convolution(f"int4_blocks_{n}", 1, 3, 16 * n, 4, (1, 1), (1, 1), (0, 0, 0, 0), bits=4) for n in range(1, 6)),
        convolution("int4_pointwise_tail", 5, 5, 21, 13, (1, 1), (1, 1), (0, 0, 0, 0), bits=4),
        depthwise("int4_many", 6, 5, 37, (3, 3), (1, 1), same, bits=4),
        depthwise("int4_stride", 11, 10, 16, (3, 3), (2, 2), same, bits=4),
        depthwise("int4_sixteen_taps", 20, 1, 4, (16, 1), (1, 1), (0, 0, 0, 0), bits=4),
        depthwise("int4_tiles", 90, 101, 2, (3, 3), (1, 1), same, bits=4),
        addition(1), addition(15), addition(16), addition(47), addition(64, clamp=(-30, 40)),
    ]  # fmt: skip


def addition(count: int, clamp: tuple[int, int] = (-128, 127)) -> Program:
    name = f"add_of_{count}"
    attrs = {"count": count, "multiplier_a": 21000, "multiplier_b": -9000, "offset": 77 << 10, "shift": 15, "clamp_min": clamp[0], "clamp_max": clamp[1]}
    return single(OPERATORS["add"], name, attrs, [Tensor(f"{name}.a", (count,)), Tensor(f"{name}.b", (count,))], Tensor(f"{name}.y", (count,)))


@cache
def cases() -> list[Program]:
    return applying([c for o in OPERATORS.values() for c in o.cases()] + more_cases())


def inputs_of(program: Program, seed: int) -> list[np.ndarray]:
    """Random bytes; all at the extremes every third time."""
    rng = np.random.default_rng(seed)
    sizes = [program.tensors[t].nbytes for t in program.ops[0].inputs]
    return [np.where(rng.random(n) < 0.5, -128, 127).astype(np.int8) if seed % 3 == 2 else rng.integers(-128, 128, n).astype(np.int8) for n in sizes]


def golden(program: Program, values: list[np.ndarray]) -> np.ndarray:
    (result,) = interp.run(program, dict(zip(program.ops[0].inputs, values, strict=True))).values()
    return result.reshape(-1)


@cache
def portable() -> ctypes.CDLL:
    csrc = source_folder() / "kernels"
    return ctypes.CDLL(str(native.build(sorted({csrc / f for k in HELIUM for f in k.files}), flags=SANITIZE)))


@pytest.mark.parametrize("case", cases(), ids=lambda c: c.name)
def test_packed_constants_unpack_to_what_they_were(case: Program) -> None:
    (op,), kernel = case.ops, kernel_of(case)
    stored = [np.frombuffer(np.ascontiguousarray(v).tobytes(), np.int8) for v in packed_constants(case, op, kernel)]
    unpacked = OPERATORS[op.opcode].packings[kernel.packing].unpack(op, stored)
    for constant, value in zip(case.values(op), unpacked, strict=True):
        assert np.ascontiguousarray(value).tobytes() == constant.tobytes()


class Sizes(ctypes.Structure):
    """edgec_sizes of kernel.h."""

    _fields_ = [("input", ctypes.c_uint32 * 2), ("output", ctypes.c_uint32), ("constant", ctypes.c_uint32 * 3), ("scratch", ctypes.c_uint32),
                ("input_count", ctypes.c_uint8), ("output_count", ctypes.c_uint8), ("constant_count", ctypes.c_uint8), ("param_count", ctypes.c_uint8)]  # fmt: skip


def accepted(case: Program, change: dict[str, int] | None = None) -> bool:
    """What the kernel's check says of the sizes the compiler makes, with one of them changed."""
    (op,), kernel, operator = case.ops, kernel_of(case), OPERATORS[case.ops[0].opcode]
    packed = packed_constants(case, op, kernel)
    wanted = {f"input_{i}": case.tensors[t].nbytes for i, t in enumerate(op.inputs)} | {f"constant_{i}": v.nbytes for i, v in enumerate(packed)}
    wanted |= {"output": case.tensors[op.outputs[0]].nbytes, "scratch": operator.scratch(op, kernel.symbol)} | (change or {})
    sizes = Sizes(output=wanted["output"], scratch=wanted["scratch"], input_count=len(op.inputs), output_count=1, constant_count=len(packed))
    sizes.param_count = len(operator.fields)
    for i in range(len(op.inputs)):
        sizes.input[i] = wanted[f"input_{i}"]
    for i in range(len(packed)):
        sizes.constant[i] = wanted[f"constant_{i}"]
    params = np.array([op.attrs[f] for f in operator.fields], np.int32)
    check = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(native.descriptor(portable(), kernel).check)
    return bool(check(params.ctypes.data, ctypes.addressof(sizes)))


@pytest.mark.parametrize("case", cases(), ids=lambda c: c.name)
def test_check_accepts_the_compilers_sizes_alone(case: Program) -> None:
    (op,), kernel, operator = case.ops, kernel_of(case), OPERATORS[case.ops[0].opcode]
    packed = packed_constants(case, op, kernel)
    assert accepted(case)
    sizes = {f"constant_{i}": v.nbytes for i, v in enumerate(packed)} | {"input_0": case.tensors[op.inputs[0]].nbytes, "output": case.tensors[op.outputs[0]].nbytes}
    if operator.scratch(op, kernel.symbol):
        sizes["scratch"] = operator.scratch(op, kernel.symbol)
    for name, size in sizes.items():
        assert not accepted(case, {name: size + 1}), name
        assert size == 0 or not accepted(case, {name: size - 1}), name


def guarded(nbytes: int, at_end: bool) -> tuple[mmap.mmap, int]:
    """Memory whose byte after the last (or before the first) is in a page that faults. The map, and the address."""
    page = mmap.PAGESIZE
    pages = -(-nbytes // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for guard in (start, start + (pages + 1) * page):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    return memory, start + page + (pages * page - nbytes if at_end else 0)


def run_portable(case: Program, values: list[np.ndarray], *, at_end: bool = True, delta: int | None = None) -> np.ndarray:
    """The kernel's bytes, input between guard pages; with delta the output lies that many bytes after the input."""
    (op,), kernel = case.ops, kernel_of(case)
    out, scratch = case.tensors[op.outputs[0]].nbytes, OPERATORS[op.opcode].scratch(op, kernel.symbol)
    work = native.aligned(scratch + 64)
    work[:] = 0x5A
    held = []
    if delta is None:
        addresses = []
        for value in values:
            memory, address = guarded(value.size, at_end)
            held.append(memory)
            ctypes.memmove(address, value.ctypes.data, value.size)
            addresses.append(address)
        y = native.aligned(out + 64)
        y[:] = 0x5A
        native.call(portable(), case, op, kernel, addresses, y.ctypes.data, work.ctypes.data)
        assert (y[out:] == 0x5A).all(), "bytes behind the output were written"
        assert (work[scratch:] == 0x5A).all(), "bytes behind the scratch were written"
        return y[:out].copy()
    size = values[0].size
    memory = native.aligned(2 * (size + out) + 64)
    at = out + 16
    memory[at : at + size] = values[0]
    addresses = [memory.ctypes.data + at, *(v.ctypes.data for v in values[1:])]
    native.call(portable(), case, op, kernel, addresses, memory.ctypes.data + at + delta, work.ctypes.data)
    return memory[at + delta : at + delta + out].copy()


@pytest.mark.parametrize("case", cases(), ids=lambda c: c.name)
def test_portable_form_gives_the_interpreters_bytes_and_reads_nothing_else(case: Program) -> None:
    for seed in (0, 2):
        values = inputs_of(case, seed)
        for at_end in (True, False):
            np.testing.assert_array_equal(run_portable(case, values, at_end=at_end), golden(case, values))


def overlap(case: Program) -> list[int]:
    """Output minus input offset, at the limits the kernel declares: from below, and exactly over the input."""
    (op,), kernel = case.ops, kernel_of(case)
    operator = OPERATORS[op.opcode]
    below = operator.distance(op, kernel.symbol)
    return ([-min(below, case.tensors[op.outputs[0]].nbytes)] if below is not None else []) + ([0] if operator.over_first(op, kernel.symbol) else [])


@pytest.mark.parametrize("case", cases(), ids=lambda c: c.name)
def test_output_may_overlap_the_input_as_declared(case: Program) -> None:
    values = inputs_of(case, 1)
    wanted = golden(case, values)
    assert native.descriptor(portable(), kernel_of(case)).overlap == 1
    for limit in overlap(case):
        further = (0,) if OPERATORS[case.ops[0].opcode].over_first(case.ops[0], kernel_of(case).symbol) else (0, 1, 3, 17)
        for delta in (limit - extra for extra in further):
            if delta >= -wanted.size - 16:
                np.testing.assert_array_equal(run_portable(case, values, delta=delta), wanted, f"output {delta} bytes from the input")


def small_convolutions() -> Iterator[tuple]:
    """Every small shape: which windows are read straight, and in what order, has many corners."""
    for in_h, in_w, in_c, out_c in itertools.product((1, 2, 3, 5), (1, 3, 4, 6), (1, 7, 16), (1, 4, 5)):
        for size, stride, pad in (((1, 1), 1, 0), ((1, 1), 2, 0), ((3, 3), 1, 1), ((3, 3), 2, 1), ((2, 1), 1, 0), ((3, 3), 1, 0)):
            if in_h + 2 * pad >= size[0] and in_w + 2 * pad >= size[1]:
                yield in_h, in_w, in_c, out_c, size, (stride, stride), (pad,) * 4


def test_declared_distance_is_exact_for_every_small_shape() -> None:
    """At the distance the bytes are right; one byte nearer they are wrong for some weights and input."""
    counted = 0
    for shape in small_convolutions():

        def differs(nearer: int, seed: int, shape: tuple = shape) -> bool:
            case = convolution("small", *shape, seed=seed)
            declared = OPERATORS["conv2d"].distance(case.ops[0], kernel_of(case).symbol)
            values = inputs_of(case, 3 * seed)
            return bool((run_portable(case, values, delta=nearer - declared) != golden(case, values)).any())

        case = convolution("small", *shape)
        declared = OPERATORS["conv2d"].distance(case.ops[0], kernel_of(case).symbol)
        size, out = (case.tensors[t].nbytes for t in (case.ops[0].inputs[0], case.ops[0].outputs[0]))
        assert declared is not None
        if declared <= out:
            assert not differs(0, 0), (shape, declared)
        if -size < declared <= out:
            counted += 1
            assert any(differs(1, seed) for seed in range(20)), (shape, declared)
    assert counted > 250


def overlapping(programs: list[Program], name: str) -> tuple[Program, bytes]:
    """One artifact that runs every case in memory of its own, output and input as near as the kernel allows."""
    merged = Program(
        name,
        {k: v for p in programs for k, v in p.tensors.items()},
        {k: v for p in programs for k, v in p.constants.items()},
        tuple(op for p in programs for op in p.ops),
        tuple(port for p in programs for port in p.inputs),
        tuple(port for p in programs for port in p.outputs),
    )
    offsets: dict[str, int] = {}
    scratch: dict[str, tuple[int, int]] = {}
    end = 0

    def place(nbytes: int) -> int:
        nonlocal end
        at, end = end, end + -(-nbytes // plan.ALIGNMENT) * plan.ALIGNMENT
        return at

    for program in programs:
        op: Op = program.ops[0]
        x, y = program.tensors[op.inputs[0]], program.tensors[op.outputs[0]]
        delta = min(overlap(program), default=-y.nbytes) // 4 * 4  # tensors lie at multiples of four
        base = place(max(x.nbytes + max(-delta, 0), y.nbytes + max(delta, 0)))
        offsets[x.name], offsets[y.name] = base + max(-delta, 0), base + max(delta, 0)
        for t in op.inputs[1:]:
            offsets[t] = place(program.tensors[t].nbytes)
        size = OPERATORS[op.opcode].scratch(op, kernel_of(program).symbol)
        scratch[op.name] = (place(size), size) if size else (0, 0)
    kernels = [kernel_of(program) for program in programs]
    placed = plan.Plan(offsets, scratch, end, end)
    plan.verify_plan(merged, kernels, placed)
    return merged, format_.encode(merged, placed, kernels, M55, {"target": "cortex-m55"})


@pytest.mark.parametrize("engine", ["runtime", "c"])
def test_assembly_gives_the_interpreters_bytes_in_overlapping_buffers(engine: str, needs_target) -> None:
    needs_target("cortex-m55")
    program, data = overlapping(cases(), "helium")
    samples = {case.name: [inputs_of(case, seed) for seed in (0, 2)] for case in cases()}
    rows = {}
    for case in cases():
        for i, port in enumerate(case.inputs):
            rows[port.name] = np.stack([values[i] for values in samples[case.name]])
    result = device.run(data, rows, engine=engine, target=M55, measure=engine == "c")
    for case in cases():
        wanted = np.stack([golden(case, values) for values in samples[case.name]])
        np.testing.assert_array_equal(result.rows[case.outputs[0].name], wanted, case.name)
    if engine == "c":
        assert 0 < result.stack_bytes <= result.stack_bound


MUTANTS = [  # file under csrc/kernels, text, its replacement, which occurrence: one constant of the arithmetic or of the geometry each
    ("mve.h", "vqrdmlash.s32 q0", "vqdmlash.s32 q0", 0),
    ("mve.h", "vqrdmlash.s32 q1", "vqdmlash.s32 q1", 0),
    ("conv/conv_mve_pairs.h", "vqrdmlash.s32 q1, q2, r0", "vqdmlash.s32 q1, q2, r0", 0),
    ("conv/conv_mve_pairs.h", "vqmovnb.s16 q0, q0", "nop", 0),
    ("conv/conv_mve_pairs.h", "vmax.s16 q0, q0, q1", "nop", 0),
    ("conv/conv_mve_pairs.h", "vmin.s16 q0, q0, q2", "nop", 0),
    ("mve.h", "vqshl.s32 q1, \" shift \"", "nop", 0),
    ("conv/conv_mve_pairs.h", "vctp.16 r11", "vctp.8 r11", 0),
    ("conv/conv_mve_columns.h", "p->in_zero_point", "0", 0),
    ("conv/conv_mve_columns.h", "[zero] \"r\"(p->in_zero_point)", "[zero] \"r\"(0)", 0),
    ("conv/conv_mve_columns.h", "edgec_mve_fill(to, p->in_zero_point, s->window)", "edgec_mve_fill(to, 0, s->window)", 0),
    ("conv/conv_mve.c", "s->job.zero_point = p->out_zero_point", "s->job.zero_point = p->out_zero_point + 1", 0),
    ("conv/conv_mve_walk.h", "(right - ox) / 2 * 2", "(right - ox + 1) / 2 * 2", 0),
    ("conv/conv_mve_nibbles.h", "vshr.s32 q1, q1, #4", "vshr.s32 q1, q1, #3", 0),
    ("conv/conv_mve_nibbles.h", "vmov.i8 q6, #0xf0", "vmov.i8 q6, #0xe0", 0),
    ("dense/dense_mve.c", "vshr.s32 q0, q0, #4", "vshr.s32 q0, q0, #3", 0),
    ("conv/conv_mve_patches.h", "vqrdmlash.s32 q5, q7, r9", "vqdmlash.s32 q5, q7, r9", 0),
    ("conv/conv_mve_patches.h", "vqrdmlash.s32 q4, q7, r9", "vqdmlash.s32 q4, q7, r9", 0),
    ("conv/conv_mve_patches.h", "vmin.s16 q5, q5, q6", "nop", 0),
    ("conv/conv_mve_patches.h", "vqshl.s32 q4, r0", "nop", 0),
    ("conv/conv_mve_depthwise.h", "edgec_mve_fill(plane, p->in_zero_point,", "edgec_mve_fill(plane, 0,", 0),
    ("conv/conv_mve_depthwise.h", "job->zero_point = p->out_zero_point", "job->zero_point = p->out_zero_point - 1", 0),
    ("dense/dense_mve.c", "vqrdmlash.s32 q1, q3, r0", "vqdmlash.s32 q1, q3, r0", 0),
    ("dense/dense_mve.c", "vmax.s16 q0, q0, q6", "nop", 0),
    ("dense/dense_mve.c", "vqshl.s32 q0, r8", "nop", 0),
    ("elementwise/elementwise_mve.c", "vmin.s8 q0, q0, q1", "nop", 0),
    ("elementwise/elementwise_mve.c", "{p->offset,", "{p->offset + 2048,", 0),
    ("pooling/pooling_mve.c", "-w->rows * w->columns * p->in_zero_point", "-w->rows * p->in_zero_point", 0),
    ("pooling/pooling_mve.c", "vqrdmlash.s32 q2, q3, %[x]", "vqdmlash.s32 q2, q3, %[x]", 0),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m[0].split('/')[-1]}: {m[1]}")
def test_a_changed_constant_is_noticed(mutant: tuple[str, str, str, int], tmp_path, monkeypatch, needs_target) -> None:
    """Equality must be able to fail: with one constant of the kernels changed, some case gives other bytes on the device."""
    needs_target("cortex-m55")
    file, old, new, index = mutant
    shutil.copytree(source_folder(), tmp_path / "csrc")
    source = tmp_path / "csrc" / "kernels" / file
    parts = source.read_text().split(old)
    assert len(parts) > index + 1, "the list must follow the code"
    source.write_text(old.join(parts[: index + 1]) + new + old.join(parts[index + 1 :]))
    for module in ("edgec.device.firmware", "edgec.device.toolchain", "edgec.device.qemu"):
        monkeypatch.setattr(f"{module}.source_folder", lambda: tmp_path / "csrc")
    program, data = overlapping(cases(), "helium")
    samples = {case.name: inputs_of(case, 0) for case in cases()}
    rows = {port.name: samples[case.name][i][None] for case in cases() for i, port in enumerate(case.inputs)}
    try:
        result = device.run(data, rows, target=M55, measure=False, timeout=60)
    except ToolError as error:
        assert "firmware" in error.what, error  # a fault or bytes outside the arena are noticed too; a mutant that does not build is none
        return
    assert any((result.rows[case.outputs[0].name][0] != golden(case, samples[case.name])).any() for case in cases())
