"""The primitives of docs/SPEC.md 1 against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec import numerics

INT32 = st.integers(-(2**31), 2**31 - 1)


def floor_half_up(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


@settings(max_examples=500, deadline=None)
@given(INT32, st.integers(0, 2**30 - 1).map(lambda m: 2 * m), st.integers(-128, 127))
def test_requantize_is_exact_rounding_half_up(acc, multiplier, zero_point):
    expected = min(max(floor_half_up(Fraction(acc * multiplier, 2**32)) + zero_point, -128), 127)
    assert numerics.requantize(np.array([acc]), np.array([multiplier]), zero_point, -128, 127)[0] == expected


@settings(max_examples=300, deadline=None)
@given(INT32, st.integers(0, 12), st.integers(0, 2**30 - 1).map(lambda m: 2 * m))
def test_a_layer_shift_changes_no_clamped_result(acc, shift, multiplier):
    """Saturating before the shift is invisible behind the clamp whenever the real factor is at least one half."""
    if multiplier < 2**30:
        multiplier += 2**30  # factors of at least 2^(shift − 2), so that a saturated value is far outside int8
    expected = min(max(floor_half_up(Fraction(acc * multiplier * 2**shift, 2**32)), -128), 127)
    assert numerics.requantize(np.array([acc]), np.array([multiplier]), 0, -128, 127, shift)[0] == expected


def test_multiplier_range_and_shift():
    assert numerics.layer_shift(np.array([0.49])) == 0
    assert numerics.layer_shift(np.array([0.5])) == 1
    assert numerics.layer_shift(np.array([0.49999999999])) == 1  # rounds to 2^31: one past the largest multiplier
    assert numerics.multipliers(np.array([0.0, 0.25])).tolist() == [0, 2**30]
    with pytest.raises(ValueError, match="layer_shift"):
        numerics.multipliers(np.array([0.6]))


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-3, 100), st.floats(1e-3, 100), st.integers(-128, 127), st.integers(-128, 127), st.integers(-128, 127), st.booleans())
def test_addition_stays_within_its_error_bound(ra, rb, za, zb, zy, negative):
    rb = -rb if negative else rb
    ma, mb, c, n, wide = numerics.add_constants(ra, rb, za, zb, zy)
    assert (abs(ma) + abs(mb) <= 2**22) if wide else max(abs(ma), abs(mb)) <= 32767
    assert abs(c) + 128 * (abs(ma) + abs(mb)) < 2**31
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (2, 256)).astype(np.int8)
    real = ra * (a.astype(float) - za) + rb * (b.astype(float) - zb) + zy
    got = numerics.add(a, b, ma, mb, c, n, -128, 127)
    # half a step of the one rounding, and half a unit of each multiplier on operands up to 255
    assert np.abs(got - np.clip(real, -128, 127)).max() <= 0.5 + 255 * 2.0**-n + 1e-9


def test_quantize_is_onnx_quantize_linear():
    import onnx
    import onnx.reference
    from onnx import TensorProto, helper

    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    graph = helper.make_graph(
        [node],
        "q",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [None])],
        [helper.make_tensor("s", TensorProto.FLOAT, [], [0.037]), helper.make_tensor("z", TensorProto.INT8, [], [-11])],
    )
    session = onnx.reference.ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    x = np.concatenate([np.random.default_rng(0).normal(0, 3, 1000), np.arange(-200, 200) * 0.037 / 2, [1e6, -1e6]]).astype(np.float32)
    np.testing.assert_array_equal(numerics.quantize(x, np.float32(0.037), -11), session.run(None, {"x": x})[0])
    huge = np.array([1e30, -1e30, np.inf, -np.inf], np.float32)  # onnx's own reference overflows int32 here
    assert numerics.quantize(huge, 0.037, -11).tolist() == [127, -128, 127, -128]
    with pytest.raises(ValueError, match="NaN"):
        numerics.quantize(np.array([np.nan], np.float32), 1.0, 0)


@pytest.mark.parametrize("scale_x", [0.003, 0.02, 0.1, 0.4, 3.0])
@pytest.mark.parametrize("depth", [1, 2, 10, 12, 1000, 32768])
def test_softmax_is_within_one_step_of_float(scale_x, depth):
    rng = np.random.default_rng(depth)
    q = rng.integers(-128, 128, (3, depth)).astype(np.int8)
    q[1] = -128
    q[2, 0] = 127
    table, factor, fraction = numerics.softmax_constants(scale_x, depth, 1 / 256)
    assert table.dtype == np.int32 and table.max() <= 2**30 and factor <= 2**15
    got = numerics.softmax(q, table, factor, fraction, -128).astype(float) + 128
    x = q.astype(float) * scale_x
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    assert np.abs(got - np.minimum(256 * e / e.sum(axis=-1, keepdims=True), 255)).max() <= 1.0


@pytest.mark.parametrize("scale_x", [1e-9, 1e-5, 0.0004, 0.003, 0.7, 1e6])
@pytest.mark.parametrize("depth", [1, 2, 10, 100, 4096])
def test_softmax_of_16_bits_is_within_a_fiftieth_of_correct_rounding(scale_x, depth):
    rng = np.random.default_rng(depth)
    q = (rng.integers(-32768, 32768, (20, depth)) * np.linspace(0.01, 1, 20)[:, None]).astype(np.int16)
    q[1], q[2, 0] = -32768, 32767
    multiplier, shift, depth_bits, factor, fraction = numerics.softmax_s16_constants(scale_x, depth, 1 / 256)
    powers = numerics.softmax_s16_powers(q, multiplier, shift, depth_bits)
    assert powers.sum(axis=-1).max() <= 2**30 and powers.max(axis=-1).min() == 2 ** (30 - depth_bits)
    got = numerics.softmax_of_powers(powers, factor, fraction, -128).astype(float) + 128
    x = q.astype(float) * scale_x
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    assert np.abs(got - np.minimum(256 * e / e.sum(axis=-1, keepdims=True), 255)).max() <= 0.52


def test_powers_of_two_never_rise():
    q = -np.arange(3 * 2**14)[None]
    powers = numerics.softmax_s16_powers(q, 2**30, 30, 0)[0]  # 2^-14 octaves a step
    assert (np.diff(powers) <= 0).all() and powers[2**14] == 2**29
    assert np.abs(powers / 2.0 ** (30 + q[0] / 2**14) - 1).max() <= 1.3e-5


def test_tables_are_decided_at_ties():
    table = numerics.unary_table(lambda v: v / 2, 1.0, 0, 1.0, 0, lambda v: v / 2)
    assert table[128 + 1] == 1 and table[128 - 1] == 0 and table[128 + 3] == 2  # half up
    assert numerics.rescale_table(1.0, 0, 1.0, 0).tolist() == list(range(-128, 128))
    half = numerics.rescale_table(1.0, 0, 2.0, 0)
    assert half[128 + 1] == 1 and half[128 - 1] == 0  # half up too
