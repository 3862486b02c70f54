"""A convolution and a residual rounded once: from QDQ ONNX and from the quantizer to conv2d_add, and what happens where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx_ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgec
from edgec import numerics
from edgec.compress import Options, quantize
from edgec.compress.candidate import RangeOptions
from edgec.compress.ladder import WORTH_DB
from edgec.compress.layerwise import LayerOptions
from edgec.compress.placement import residual_sums
from edgec.compress.qdq import insert_qdq
from edgec.errors import ModelError, ProgramError
from edgec.ir.verify import verify
from edgec.lower import lower
from edgec.ops import OPERATORS
from edgec.plan import make_plan
from edgec.run import compare
from tests.conftest import enable
from tests.test_graph_passes import Net, static
from tests.test_ladder import candidate, small
from tests.test_lower import RNG, Qdq, conv, run_both
from tests.test_quantize import run, samples

RESIDUAL = Options(residual_sums=True, output_ranges=False)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**30 - 1), st.integers(-128, 127), st.floats(-256, 256), st.integers(-128, 127), st.integers(-128, 127))
def test_requantize_sum_is_exact(acc, half, q, ratio, zero_r, zero_y):
    r, c = numerics.residual_constants(ratio, zero_r, zero_y)
    a = (Fraction(acc) * 2 * half / 2**32 + Fraction(1, 2)).__floor__()
    exact = (Fraction(a + (q - zero_r) * r, 2**12) + zero_y + Fraction(1, 2)).__floor__()
    got = numerics.requantize_sum(np.array([acc]), np.array([2 * half]), np.array([q], np.int8), r, c, -128, 127)
    assert got[0] == min(max(exact, -128), 127)
    assert abs(a + q * r + c) < 2**31 and abs(q * r + c) < 2**31


def _sum(kind="Add", flip=False, residual=(0.05, 5), out=(0.06, -20), relu=True, **attrs):
    """x → Conv → residual; x → Conv, not quantized, and the residual → Add → (Relu)."""
    b = Qdq([1, 4, 6, 5])
    shortcut = b.qdq(conv(b, 4, 6, (1, 1), **attrs), *residual)
    main = conv(b, 4, 6, (3, 3), pads=[1, 1, 1, 1], **attrs)
    y = b.node(kind, *((shortcut, main) if flip else (main, shortcut)))
    b.last = b.qdq(b.node("Relu", y) if relu else y, *out)
    return b


@pytest.mark.parametrize("kind, flip", [("Add", False), ("Add", True), ("Sub", False)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("strides", [[1, 1], [2, 2]])
def test_an_unquantized_sum(kind, flip, relu, strides):
    got, want, program = run_both(_sum(kind, flip, relu=relu, strides=strides).model(), RNG.normal(0, 2, (1, 4, 6, 5)).astype(np.float32))
    verify(program)
    assert [op.opcode for op in program.ops] == ["conv2d", "conv2d_add"]
    assert np.abs(got - want).max() <= 1 and (got != want).mean() < 0.03
    assert program.ops[1].attrs["clamp_min"] == (-20 if relu else -128)


def test_one_dimension_and_the_input_itself():
    b = Qdq([1, 6, 20])
    b.last = b.qdq(b.node("Add", conv(b, 6, 6, (5,), pads=[2, 2]), b.last), 0.06, 3)
    got, want, program = run_both(b.model(), RNG.normal(0, 2, (1, 6, 20)).astype(np.float32))
    assert [op.opcode for op in program.ops] == ["conv2d_add"] and program.ops[0].inputs[0] == program.ops[0].inputs[1]
    assert np.abs(got - want).max() <= 1


def test_a_residual_of_far_larger_steps_is_added_in_16_bits():
    got, want, program = run_both(_sum(residual=(0.5, 5), out=(0.0015, -20)).model(), RNG.normal(0, 2, (1, 4, 6, 5)).astype(np.float32))
    assert [op.opcode for op in program.ops] == ["conv2d", "conv2d_s16", "add_s16"]
    assert np.abs(got - want).max() <= 3


def test_sums_that_the_shift_would_saturate_are_added_in_16_bits():
    b = _sum(out=(0.00001, -20))
    got, want, program = run_both(b.model(), RNG.normal(0, 0.0001, (1, 4, 6, 5)).astype(np.float32))
    assert [op.opcode for op in program.ops] == ["conv2d", "conv2d_s16", "add_s16"]
    assert np.abs(got - want).max() <= 2


def test_two_unquantized_convolutions_are_refused():
    b = Qdq([1, 4, 6, 5])
    b.last = b.qdq(b.node("Add", conv(b, 4, 6, (1, 1)), conv(b, 4, 6, (1, 1))), 0.06, -20)
    with pytest.raises(ModelError, match="the output is not quantized"):
        lower(edgec.importer.import_model(b.model()))


@pytest.mark.parametrize("kind", ["broadcast", "second of a difference", "read twice"])
def test_other_unquantized_outputs_are_refused(kind):
    b = Qdq([1, 4, 6, 5])
    one = b.qdq(conv(b, 4, 6, (6, 5)) if kind == "broadcast" else conv(b, 4, 6, (1, 1)), 0.05, 5)
    main = conv(b, 4, 6, (1, 1))
    y = b.node("Sub", one, main) if kind == "second of a difference" else b.node("Add", main, main if kind == "read twice" else one)
    b.last = b.qdq(y, 0.06, -20)
    with pytest.raises(ModelError, match="not quantized|differ|two ways|nobody|unused" if kind == "read twice" else "the output is not quantized"):
        lower(edgec.importer.import_model(b.model()))


def test_rules():
    program = next(OPERATORS["conv2d_add"].cases())
    for change, why in [
        ({"weight_bits": 4}, "constants of|weight_bits"),
        ({"residual_multiplier": 2**20 + 1}, "residual_multiplier"),
        ({"residual_offset": 0}, "residual_offset"),
        ({"shift": 24}, "accumulator"),
    ]:
        (op,) = program.ops
        with pytest.raises(ProgramError, match=why):
            verify(replace(program, ops=(replace(op, attrs={**op.attrs, **change}),)))


def test_the_output_lies_over_the_residual():
    artifact = edgec.compile(_sum().model(), "generic-c")
    program, plan = artifact.program, artifact.plan
    (last,) = (op for op in program.ops if op.opcode == "conv2d_add")
    assert plan.offsets[last.outputs[0]] == plan.offsets[last.inputs[1]]
    assert make_plan(program, artifact.kernels).arena_bytes == plan.arena_bytes
    assert compare(artifact, RNG.normal(0, 2, (5, 4, 6, 5)).astype(np.float32)) > 0


@pytest.mark.parametrize("engine", ["runtime", "c"])
def test_firmware_gives_the_same_bytes(engine, needs_target):
    needs_target("cortex-m4")
    artifact = edgec.compile(_sum().model(), "cortex-m4")
    assert compare(artifact, RNG.normal(0, 2, (3, 4, 6, 5)).astype(np.float32), on="qemu", engine=engine) > 0


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_code_of_both_convolutions_is_there_once_and_counted_once(target, needs_target):
    """Also without a tool chain, from the table of kernels."""
    needs_target(target)
    artifact = edgec.compile(_sum().model(), target)
    assert {op.opcode for op in artifact.program.ops} == {"conv2d", "conv2d_add"}
    measured, estimate = (artifact.report(measure=m)["code_bytes"] for m in (True, False))
    assert abs(estimate - measured) < 0.1 * measured


def test_the_rung():
    model = small()
    x = samples(64)
    plain, report = quantize(model, x, options=replace(RESIDUAL, residual_sums=False))
    assert "residuals added before rounding" not in [r.name for r in report.rungs]
    summed, report = quantize(model, x, options=RESIDUAL)
    at = [r.name for r in report.rungs].index("residuals added before rounding")
    rung, before = report.rungs[at], [r for r in report.rungs[:at] if r.kept][-1]
    assert np.isclose(rung.gain_db, rung.sqnr_db - before.sqnr_db, atol=1e-4) and rung.kept == (rung.gain_db - 2 * rung.chance_db > WORTH_DB)
    assert ("conv2d_add" in [op.opcode for op in lower(summed).ops]) == rung.kept and "add" in [op.opcode for op in lower(plain).ops]


def with_sums():
    """small() quantized with the residual added before rounding, worth it or not."""
    c = candidate(small(), samples(64))
    c = c.with_sums(frozenset(residual_sums(c.model.graph)))
    ranges = c.ranges(RangeOptions(), everything=True)
    insert_qdq(c.model, c.placement, ranges.parameters, c.final(ranges, LayerOptions()).weights)
    return c.model


def test_what_the_qdq_file_says_in_float_is_what_the_program_computes():
    summed, x = with_sums(), samples(16)
    assert [op.opcode for op in lower(summed).ops].count("conv2d_add") == 1
    artifact = edgec.compile(onnx_ir.to_proto(summed), "host")
    assert np.abs(artifact.run(x).reshape(16, -1) - run(summed, x).reshape(16, -1)).max() <= 1.5 / 256


def test_few_samples_and_4_bit_layers_do_not_take_the_rung():
    """Ten samples prove nothing, so the program with fewer kernels stays."""
    model = small()
    plain, report = quantize(model, samples(10), options=RESIDUAL)
    assert "conv2d_add" not in [op.opcode for op in lower(plain).ops]
    assert report.degraded and "residuals added before rounding" not in [r.name for r in report.rungs]
    narrow, report = quantize(model, samples(64), options=replace(RESIDUAL, weight_bits=4))
    assert "conv2d_add" not in [op.opcode for op in lower(narrow).ops]
    assert "residuals added before rounding" not in [r.name for r in report.rungs]


def test_of_two_convolutions_the_larger_stays_unquantized():
    net = Net(("x", (1, 4, 6, 6)))
    large = net.add("Conv", "x", net.random(5, 4, 3, 3), pads=[1, 1, 1, 1])
    small = net.add("Conv", "x", net.random(5, 4, 1, 1))
    depthwise = net.add("Conv", small, net.random(5, 1, 3, 3), pads=[1, 1, 1, 1], group=5)
    first = net.add("Add", large, small)  # small has two readers
    second = net.add("Add", first, depthwise)
    third = net.add("Add", net.add("Conv", "x", net.random(5, 4, 1, 1)), net.add("Conv", "x", net.random(5, 4, 1, 1)))
    model = static(net.model(net.add("Add", second, third)))
    values = residual_sums(model.graph)
    assert [v.name for v in values] == [large, model.graph[-2].inputs[1].name]


def test_a_summed_model_is_trained_as_it_runs():
    pytest.importorskip("torch", reason=enable("torch is not installed", "pip install torch==2.13.0"))
    from edgec.compress.distillation.students import student_of

    summed = with_sums()
    before, after = lower(summed), lower(student_of(summed, small()).model())  # not a step trained: the same integers
    assert [op.opcode for op in after.ops] == [op.opcode for op in before.ops] and "conv2d_add" in [op.opcode for op in after.ops]
    for a, b in zip(before.ops, after.ops, strict=True):
        assert all(np.array_equal(v, w) for v, w in zip(before.values(a), after.values(b), strict=True)), a.name
