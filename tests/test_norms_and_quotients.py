"""Norms, products, quotients and unusual averages: the integer program against exact arithmetic on what int8 holds."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

import edgec
from edgec import run
from edgec.ops import table_pool
from edgec.ops.division import reciprocals
from tests.onnx_graphs import model, node, run_float

RNG = np.random.default_rng(8)
SIGNED = RNG.normal(0, 1, (32, 3, 7, 8)).astype(np.float32)
STEP = 0.5 + 1e-3
"""Steps of the output by which a correctly rounded byte may differ from the float result."""


def check(proto, samples, steps: float = STEP, *, shapes=None) -> edgec.Artifact:
    """Compile, run, and compare with ONNX on the inputs as int8 holds them: within `steps` of the output, on every backend."""
    artifact = edgec.compile(proto, "host", calibration=samples, shapes=shapes)
    feeds = samples if isinstance(samples, dict) else {artifact.program.inputs[0].name: samples}
    rounded = {k: artifact.dequantize_input(artifact.quantize_input(v, k), k) for k, v in feeds.items()}
    got = artifact.run(rounded)
    (port,) = artifact.program.outputs
    scale = artifact.program.tensors[port.tensor].scale
    low, high = (artifact.dequantize_output(np.int8(q)) for q in (-128, 127))
    session = ort.InferenceSession(proto.SerializeToString())
    for i in range(8):
        want = session.run(None, {k: v[i : i + 1] for k, v in rounded.items()})[0]
        error = np.abs(got[i].reshape(-1) - np.clip(want.reshape(-1).astype(np.float64), low, high))
        assert error.max() <= steps * scale, f"sample {i}: {error.max() / scale} steps"
    run.compare(artifact, {k: v[:8] for k, v in feeds.items()})
    return artifact


def one(kind: str, inputs: dict, constants: dict | None = None, **attributes):
    constants = constants or {}
    return model([node(kind, [*inputs, *constants], ["y"], **attributes)], constants, inputs, opset=22 if "Average" in kind else 18)


X = {"x": [1, 3, 7, 8]}
POOLS = [
    {"kernel_shape": [3, 3]},
    {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
    {"kernel_shape": [2, 3], "dilations": [2, 2], "pads": [1, 1, 0, 1]},
    {"kernel_shape": [2, 2], "strides": [2, 3], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
]


@pytest.mark.parametrize("p", [1, 2, 3, 4])
@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_lp_pool(pool, p):
    artifact = check(one("LpPool", X, p=p, **pool), SIGNED, STEP if p < 4 else 1.0)  # |q|^4 is rounded in the table
    assert [op.opcode for op in artifact.program.ops] == ["table_pool2d"]


@pytest.mark.parametrize("p", [1, 2, 3])
def test_global_lp_pool(p):
    check(one("GlobalLpPool", X, p=p), SIGNED)


@pytest.mark.parametrize("kind", ["ReduceL1", "ReduceL2", "ReduceSumSquare"])
@pytest.mark.parametrize("axes", [[1], [2, 3], [1, 3], [-1]])
def test_reduced_norms(kind, axes):
    check(one(kind, X, {"axes": np.array(axes)}, keepdims=0), SIGNED)


def test_norm_behind_a_convolution_and_before_a_clip():
    weights = RNG.normal(0, 0.5, (4, 3, 3, 3)).astype(np.float32)
    nodes = [node("Conv", ["x", "w"], ["c"]), node("LpPool", ["c"], ["n"], p=2, kernel_shape=[2, 2]), node("Clip", ["n", "low", "high"], ["y"])]
    proto = model(nodes, {"w": weights, "low": np.float32(1.0), "high": np.float32(4.0)}, X)
    artifact = edgec.compile(proto, "host", calibration=SIGNED)
    want = np.concatenate([run_float(proto, {"x": x[None]})[0] for x in SIGNED])
    assert np.abs(artifact.run(SIGNED) - want).max() < 0.12
    run.compare(artifact, SIGNED[:4])


def test_a_norm_too_coarse_for_32_bits_is_refused():
    with pytest.raises(edgec.ModelError, match="p = 8 over 9 values") as caught:
        edgec.compile(one("LpPool", X, p=8, kernel_shape=[3, 3]), "host", calibration=SIGNED)
    assert "count as nothing" in caught.value.why


def test_norm_tables_and_thresholds():
    table, exponent = table_pool.power_table(-3, 2, 33024)
    assert exponent == 0 and table[0] == 125**2 and table.max() == 130**2
    table, exponent = table_pool.power_table(0, 4, 129)
    assert 129 * int(table.max()) <= 2**31 - 2 < 2 * 129 * int(table.max()) and exponent == 5
    thresholds = table_pool.root_thresholds(0.5, 0.25, -128, 2, 2, 0, -128, 127)
    sums = np.arange(20000)
    wanted = np.minimum(np.floor(np.sqrt(sums) * 0.5 / 0.25 + 0.5), 255)
    np.testing.assert_array_equal(np.searchsorted(thresholds, sums, side="right"), wanted)


@pytest.mark.parametrize("axes", [[1], [3], [1, 3]])
@pytest.mark.parametrize("low", [0.3, -2.0], ids=["positive", "signed"])
def test_reduce_prod(axes, low):
    samples = RNG.uniform(low, 2.0, (32, 3, 2, 4)).astype(np.float32)
    check(one("ReduceProd", {"x": [1, 3, 2, 4]}, {"axes": np.array(axes)}), samples, 0.55)  # logarithms have 2^-18 at least


def test_products_with_zeros_and_of_many_factors():
    samples = RNG.uniform(0.8, 1.2, (32, 2, 40)).astype(np.float32) * RNG.choice([-1, 1, 1, 1], (32, 2, 40)).astype(np.float32)
    samples[::3, 0, 5] = 0.0
    artifact = check(one("ReduceProd", {"x": [1, 2, 40]}, {"axes": np.array([2])}), samples, 1.0)
    assert (artifact.run(samples)[::3, 0] == 0).all()
    with pytest.raises(edgec.ModelError, match="a product of 80 factors"):
        edgec.compile(one("ReduceProd", {"x": [1, 2, 40]}, {"axes": np.array([1, 2])}), "host", calibration=samples)


def test_sums_of_logarithms_stay_in_order():
    """Every product of few factors is reached exactly where its float magnitude is, also beside thresholds, and zeros never."""
    for count in (1, 2, 3, 5):
        table = table_pool.logarithms(-5, count).astype(np.int64)
        thresholds = table_pool.product_thresholds(0.1, 0.1**count * 0.37, count)
        q = RNG.integers(-128, 128, (4000, count))
        acc = table[q + 128].sum(axis=1)
        product = (q + 5).astype(np.float64).prod(axis=1) / 0.37
        reached = np.searchsorted(thresholds, acc, side="right")
        assert np.abs(reached - np.minimum(np.abs(product), 255))[np.abs(product) < 255].max() <= 0.5 + 1e-3 * count
        assert (reached[product == 0] == 0).all()
        nonzero = product != 0
        np.testing.assert_array_equal((acc % 2 == 1)[nonzero], (product < 0)[nonzero])
        assert count * int(table.max()) < 2**31 and count * int(table.min()) >= -(2**31)


@pytest.mark.parametrize("shape", [[1, 3, 7, 8], [1, 3, 1, 1], [8], [1, 1, 7, 1]], ids=str)
def test_div_by_an_activation(shape):
    a = SIGNED
    b = RNG.uniform(0.5, 3.0, (32, *shape[1:]) if len(shape) > 1 else (32, 8)).astype(np.float32)
    if len(shape) == 1:
        shape, b = [1, 1, 1, 8], b.reshape(32, 1, 1, 8)
    artifact = check(one("Div", {"a": [1, 3, 7, 8], "b": shape}), {"a": a, "b": b})
    assert artifact.program.ops[-1].opcode == "div"


def test_div_of_a_constant_and_of_a_smaller_tensor():
    samples = RNG.uniform(-3.0, -0.4, (32, 3, 7, 8)).astype(np.float32)
    numerator = RNG.normal(0, 1, (1, 3, 1, 8)).astype(np.float32)
    proto = model([node("Div", ["k", "x"], ["y"])], {"k": numerator}, X)
    artifact = edgec.compile(proto, "host", calibration=samples)
    want = np.concatenate([run_float(proto, {"x": x[None]})[0] for x in samples])
    assert np.abs(artifact.run(samples) - want).max() < 0.04 * np.abs(want).max()
    run.compare(artifact, samples[:4])
    check(one("Div", {"a": [1, 3, 1, 1], "b": [1, 3, 7, 8]}), {"a": SIGNED[:, :, :1, :1].copy(), "b": samples})


def test_reciprocals_are_exact_and_fit():
    for scale_y, zero_b in ((0.02, -128), (3.0, 127), (1e-6, 4), (1e6, 0)):
        table, n = reciprocals(0.05, 0.03, zero_b, scale_y)
        assert np.abs(table).max() <= 2**22 and 14 <= n <= 30
        assert 255 * 2**22 + 2 ** (n - 1) < 2**31
        b = np.arange(-128, 128)
        a = 77
        with np.errstate(divide="ignore"):
            want = a * 0.05 / (0.03 * (b - zero_b)) / scale_y
        got = (a * table.astype(np.int64) + 2 ** (n - 1)) >> n
        inside, beyond = np.abs(want) < 256, (np.abs(want) >= 256) & (b != zero_b)
        assert np.abs(got - want)[inside].max(initial=0.0) <= 0.5 + a / 2**15
        assert (np.sign(got) == np.sign(want))[beyond].all() and np.abs(got)[beyond].min(initial=256) >= 255
        assert got[b == zero_b].max() == np.abs(got).max()


@pytest.mark.parametrize(
    "pool",
    [
        {"kernel_shape": [2, 3], "dilations": [2, 2]},
        {"kernel_shape": [3, 2], "dilations": [2, 1], "strides": [2, 1], "pads": [1, 1, 1, 1], "count_include_pad": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1, "ceil_mode": 1},
        {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [0, 1, 1, 0], "count_include_pad": 1, "ceil_mode": 1},
    ],
    ids=str,
)
def test_average_pool(pool):
    check(one("AveragePool", X, **pool), SIGNED)


def test_average_pool_of_one_axis_with_ceil_mode_and_counted_padding():
    check(one("AveragePool", {"x": [1, 3, 8]}, kernel_shape=[3], strides=[2], pads=[1, 1], count_include_pad=1, ceil_mode=1), SIGNED[:, :, 0].copy())


def test_dilated_average_over_padding_that_does_not_count_is_refused():
    with pytest.raises(edgec.ModelError, match="a dilated AveragePool"):
        edgec.compile(one("AveragePool", X, kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1]), "host", calibration=SIGNED)


@pytest.mark.parametrize("engine", ["runtime", "c"])
def test_firmware(engine, needs_target):
    """A network with all of them on an emulated Cortex-M4."""
    needs_target("cortex-m4")
    nodes = [
        node("LpPool", ["x"], ["n"], p=2, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("AveragePool", ["x"], ["m"], kernel_shape=[3, 3], dilations=[1, 2], pads=[1, 2, 1, 2], count_include_pad=1),
        node("Add", ["n", "one"], ["d"]),
        node("Div", ["m", "d"], ["q"]),
        node("ReduceProd", ["q", "axes"], ["z"], keepdims=1),
        node("ArgMax", ["q"], ["y"], axis=1),
    ]
    proto = model(nodes, {"one": np.float32(1.0), "axes": np.array([1])}, X, ["y", "z"], opset=22)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    artifact = edgec.compile(proto, "cortex-m4", calibration=SIGNED)
    assert {"table_pool2d", "div", "argmax"} <= {op.opcode for op in artifact.program.ops}
    got, want = artifact.run(SIGNED[:2], on="qemu", engine=engine).outputs, artifact.run(SIGNED[:2], on="interpreter")
    for name in ("y", "z"):
        np.testing.assert_array_equal(got[name], want[name])
