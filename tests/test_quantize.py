"""The quantizer: ranges, rounding, QDQ form, awkward data, and accuracy on data it never saw."""

from __future__ import annotations

import tracemalloc

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from edgec import graph, lower
from edgec.compress import Options, _hotloops, quantize, quantize_model
from edgec.compress import second_order as so
from edgec.compress.calibrate import PROBES
from edgec.compress.observer import BINS, Histogram
from edgec.compress.ranges import SOFTMAX, from_bounds, lattice_range, minmax_range, mse_range
from edgec.compress.report import sqnr_db
from edgec.compress.weights import channel_scales, round_nearest
from edgec.errors import DataError, UsageError
from edgec.importer import import_model
from edgec.ir.verify import verify
from tests.models import network
from tests.test_graph_passes import Net, static


def small_net(dead_bias: float | None = None) -> Net:
    """Conv → Relu → depthwise → Relu → 1×1 Conv, added to a 1×1 Conv, → average → dense → softmax; channel 2 may be dead."""
    net = Net(("x", (1, 3, 8, 8)), seed=4)
    w = net.rng.standard_normal((8, 3, 3, 3)).astype(np.float32) / 4
    b = net.rng.standard_normal(8).astype(np.float32)
    if dead_bias is not None:
        w[2] *= 1e-30
        b[2] = dead_bias
    y = net.add("Relu", net.add("Conv", "x", net.constant(w), net.constant(b), pads=[1, 1, 1, 1]))
    z = net.add("Relu", net.add("Conv", y, net.random(8, 1, 3, 3), net.random(8), group=8, pads=[1, 1, 1, 1]))
    z = net.add("Add", net.add("Conv", z, net.random(8, 8, 1, 1)), y)
    z = net.add("GlobalAveragePool", net.add("Relu", z))
    z = net.add("Reshape", z, net.constant(np.array([1, 8])))
    net.result = net.add("Softmax", net.add("Gemm", z, net.random(5, 8), net.random(5), transB=1))
    return net


def samples(n: int = 48, shape: tuple[int, ...] = (3, 8, 8), seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def session(model: ir.Model) -> onnxruntime.InferenceSession:
    """Without graph optimizations: DequantizeLinear → operator → QuantizeLinear in float, as written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    s = session(model)
    shape = s.get_inputs()[0].shape
    return np.stack([s.run(None, {s.get_inputs()[0].name: v.reshape(shape)})[0] for v in x])


def checked(model: ir.Model, **options) -> tuple[ir.Model, object]:
    """Quantized, valid, with the same edges, and running; the argument unchanged."""
    before = ir.to_proto(model).SerializeToString()
    result, report = quantize(model, **options)
    assert ir.to_proto(model).SerializeToString() == before
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    for a, b in ((model.graph.inputs, result.graph.inputs), (model.graph.outputs, result.graph.outputs)):
        assert [(v.name, tuple(v.shape), v.dtype) for v in a] == [(v.name, tuple(v.shape), v.dtype) for v in b]
    return result, report


# --- histograms and ranges ------------------------------------------------------------------------------------------------


def test_histogram_does_not_depend_on_how_the_stream_is_cut():
    x = np.random.default_rng(0).standard_normal(20000).astype(np.float32) * np.geomspace(1e-3, 50, 20000, dtype=np.float32)
    whole, pieces, merged = Histogram(), Histogram(), Histogram()
    whole.add(x)
    for piece in np.array_split(x, 37):
        pieces.add(piece)
        part = Histogram()
        part.add(piece)
        merged.merge(part)
    for other in (pieces, merged):
        np.testing.assert_array_equal(whole.counts, other.counts)
        np.testing.assert_allclose(whole.sums, other.sums, rtol=1e-9, atol=1e-9)
        assert (whole.low, whole.high, whole.count, whole.width) == (other.low, other.high, other.count, other.width)
    assert whole.low == x.min() and whole.high == x.max() and whole.counts.sum() == x.size == whole.count
    assert BINS // 4 <= np.abs(x).max() / whole.width < BINS // 2


@pytest.mark.parametrize("reach", [1e-38, 2.0**-20, 1.0, np.float32(1.9999999), 2.0, 1e30])
def test_histogram_holds_any_reach(reach):
    h = Histogram()
    h.add(np.array([-reach, 0, reach / 3, reach], np.float32))
    values, counts = h.values()
    assert counts.sum() == 4 and np.isclose(values.max(), reach) and np.isclose(values.min(), -reach)


def test_histogram_counts_nothing_of_an_array_with_nan():
    h = Histogram()
    assert h.add(np.array([1, np.nan, np.inf], np.float32)) == 2 and h.count == 0
    assert h.add(np.empty(0, np.float32)) == 0 and h.count == 0


@pytest.mark.parametrize(("low", "high"), [(-1, 3), (0, 6), (0.5, 6), (-4, -1), (-1e-6, 5), (0, 0), (-7, 0)])
def test_zero_is_exact_and_inside(low, high):
    q = from_bounds(low, high)
    assert -128 <= q.zero_point <= 127 and q.scale == float(np.float32(q.scale)) > 0
    assert q.low <= q.scale / 2 + min(low, 0) and q.high >= max(high, 0) - q.scale * 0.51


def test_mse_range_beats_minmax_and_is_near_the_optimum():
    rng = np.random.default_rng(1)
    for x in (rng.standard_normal(50000), np.maximum(rng.laplace(size=50000), 0), rng.standard_t(3, 50000)):
        h = Histogram()
        h.add(x.astype(np.float32))
        values, counts = h.values()

        def error(q):
            mixed, weights = (np.concatenate([v * f for f in fs]) for v, fs in ((values, (0.8, 1, 1.2)), (counts, (0.25, 0.5, 0.25))))
            return _hotloops.rounding_error(mixed, weights, q.scale, q.zero_point)

        found = error(mse_range(h))
        assert found <= error(minmax_range(h))
        low, high = min(h.low, 0.0), max(h.high, 0.0)
        grid = min(error(from_bounds(low * a, high * b)) for a in np.linspace(0.02, 1.2, 60) for b in np.linspace(0.02, 1.2, 60))
        assert found <= 1.03 * grid


def test_mse_range_respects_the_bounds_of_an_operator():
    h = Histogram()
    h.add(np.random.default_rng(5).uniform(0, 7, 10000).clip(0, 6).astype(np.float32))
    q = mse_range(h, (0.0, 6.0))
    assert abs(q.high - 6.0) < 0.03 and q.zero_point == -128 and mse_range(h).high > 6.3


def test_lattice_inputs_cost_nothing():
    all_bytes, features = np.arange(256), (np.arange(200) - 150) * 0.5847
    for values, scale in ((np.arange(0, 256, 3), None), (all_bytes, 1.0), (all_bytes / 255, 1 / 255), (features, 0.5847)):
        values = values.astype(np.float32)
        q = lattice_range(values)
        integers = np.rint(values / np.float32(q.scale)) + q.zero_point
        assert integers.min() >= -128 and integers.max() <= 127
        np.testing.assert_allclose((integers - q.zero_point) * q.scale, values, rtol=1e-5, atol=1e-6)
        assert scale is None or np.isclose(q.scale, scale)
    assert lattice_range(np.sort(np.random.default_rng(0).standard_normal(200)).astype(np.float32)) is None
    assert lattice_range(np.array([0, 1, 700], np.float32)) is None
    assert lattice_range(np.array([0.0], np.float32)) is None


# --- weights --------------------------------------------------------------------------------------------------------------


def test_scale_search_never_loses_to_max():
    rows = np.random.default_rng(2).standard_normal((32, 9))
    ones = np.ones_like(rows)
    best, largest = (channel_scales(rows, ones, np.zeros(32), search=s) for s in (True, False))
    errors = [np.square(rows - round_nearest(rows, s) * s[:, None].astype(np.float64)).sum(axis=1) for s in (best, largest)]
    assert np.all(errors[0] <= errors[1] * (1 + 1e-6)) and errors[0].sum() < 0.75 * errors[1].sum()


def test_factor_is_u_d_u_transposed():
    a = np.random.default_rng(3).standard_normal((40, 12))
    a = a.T @ a
    u = a.copy()
    _hotloops.factor_upper(u)
    unit = np.triu(u, 1) + np.eye(12)
    np.testing.assert_allclose(unit @ np.diag(np.diag(u)) @ unit.T, a, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="not positive definite"):
        _hotloops.factor_upper(-np.eye(3))


def test_second_order_rounding_lowers_the_output_error():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((4000, 24)) @ rng.standard_normal((24, 24))
    target, covariance = rng.standard_normal((1, 6, 24)), (x.T @ x / len(x))[None]
    scale = np.abs(target).max(axis=2) / 20
    q = so.round_second_order(target, scale, covariance)
    nearest = np.rint(target / scale[..., None])
    assert np.all(q == np.rint(q)) and np.abs(q).max() <= 127

    def error(integers):
        return np.square((target - integers * scale[..., None])[0] @ x.T).sum()

    assert error(q) < 0.5 * error(nearest)


# --- the QDQ model --------------------------------------------------------------------------------------------------------


def test_qdq_form():
    model = static(small_net().model(small_net().result))
    result, report = checked(model, calibration=samples(), options=Options(residual_sums=False))
    for node in result.graph:
        if node.op_type in ("Conv", "Gemm"):
            x, w, b = (v.producer() for v in node.inputs)
            assert {x.op_type, w.op_type, b.op_type} == {"DequantizeLinear"}
            q, s, z = (v.const_value.numpy() for v in w.inputs)
            assert q.dtype == np.int8 and q.min() >= -127 and w.attributes["axis"].value == 0 and not z.any() and s.shape == q.shape[:1]
            bias, bias_scale = (v.const_value.numpy() for v in b.inputs[:2])
            assert bias.dtype == np.int32
            np.testing.assert_array_equal(bias_scale, x.inputs[1].const_value.numpy() * s)  # the float32 product
        if node.op_type in ("Add", "GlobalAveragePool", "Reshape", "Softmax"):
            assert all(v.producer().op_type == "DequantizeLinear" for v in node.inputs if v.const_value is None)
    by_operator = {n.op_type: n for n in result.graph}
    reshape = by_operator["Reshape"]
    after = next(iter(reshape.outputs[0].uses()))[0]
    assert [v.name for v in after.inputs[1:]] == [v.name for v in reshape.inputs[0].producer().inputs[1:]]
    softmax = next(iter(by_operator["Softmax"].outputs[0].uses()))[0]
    assert (float(softmax.inputs[1].const_value.numpy()), int(softmax.inputs[2].const_value.numpy())) == (SOFTMAX.scale, SOFTMAX.zero_point)
    relus = [n for n in result.graph if n.op_type == "Relu"]
    assert len(relus) == 3, "activations fuse: nothing is rounded before them"
    assert all(n.inputs[0].producer().op_type in ("Conv", "Add") for n in relus)
    assert report.layers and report.tensors and report.as_dict()["rungs"]
    verify(lower.lower(result))


def test_accuracy_of_the_small_net_and_of_its_report():
    model = static(small_net().model(small_net().result))
    result, report = checked(model, calibration=samples())
    x = samples(100, seed=10)
    a, b = run(model, x), run(result, x)
    assert np.mean(a.argmax(-1) == b.argmax(-1)) > 0.95 and np.abs(a - b).max() < 0.06
    assert min(layer.weight_sqnr_db for layer in report.layers) > 25
    assert list(report.output_sqnr_db.values())[0] > 28
    assert all(0 <= t.clipped < 0.05 or t.rule in ("natural", "output error") for t in report.tensors)
    assert sum(r.kept for r in report.rungs) >= 1 and all(np.isfinite(r.sqnr_db) for r in report.rungs)


def test_onnxruntime_default_optimizations_agree():
    """Other engines fuse the QDQ model into int8 kernels: the file must mean the same to them (a step or two of rounding apart)."""
    model = static(small_net().model(small_net().result))
    result, _ = quantize(model, samples())
    fused = onnxruntime.InferenceSession(ir.to_proto(result).SerializeToString(), providers=["CPUExecutionProvider"])
    x = samples(50, seed=11)
    a = run(result, x)
    b = np.stack([fused.run(None, {"x": v[None]})[0] for v in x])
    assert np.mean(a.argmax(-1) == b.argmax(-1)) >= 0.96


def test_same_input_same_file():
    model = static(small_net().model(small_net().result))
    files = [ir.to_proto(quantize(model, samples())[0]).SerializeToString(deterministic=True) for _ in range(2)]
    assert files[0] == files[1]


def test_all_kinds_of_calibration_give_the_same_file():
    model = static(small_net().model(small_net().result))
    x = samples()
    kinds_of_data = [x, {"x": x}, [v for v in x], (v[None] for v in x), iter([{"x": x[:20]}, {"x": x[20:]}])]
    files = {ir.to_proto(quantize(model, data)[0]).SerializeToString(deterministic=True) for data in kinds_of_data}
    assert len(files) == 1


def test_rungs_can_be_left_out():
    model = static(small_net().model(small_net().result))
    _, report = quantize(model, samples(), options=Options("minmax", "nearest", False, False, equalize=(0.0, 0.0), residual_sums=False))
    assert [r.name for r in report.rungs] == ["minmax ranges"]
    with pytest.raises(UsageError, match="ranges"):
        Options(ranges="entropy")


@pytest.mark.parametrize("kind", ["ConvTranspose", "Concat", "Clip", "MulByConstant", "two readers", "sigmoid gate"])
def test_other_graphs_quantize_and_run(kind):
    net = Net(("x", (1, 3, 8, 8)), seed=6)
    y = net.add("Relu", net.add("Conv", "x", net.random(4, 3, 3, 3), pads=[1, 1, 1, 1]))
    if kind == "ConvTranspose":
        y = net.add("ConvTranspose", y, net.random(4, 5, 2, 2), net.random(5), strides=[2, 2])
    elif kind == "Concat":
        y = net.add("Concat", y, net.add("Conv", y, net.random(2, 4, 1, 1)), axis=1)
    elif kind == "Clip":
        y = net.add("Clip", net.add("Conv", y, net.random(4, 4, 3, 3)), net.constant(np.float32(0)), net.constant(np.float32(6)))
    elif kind == "MulByConstant":
        y = net.add("Mul", net.add("MaxPool", y, kernel_shape=[2, 2]), net.random(1, 4, 4 + 3, 4 + 3))
    elif kind == "two readers":
        c = net.add("Conv", y, net.random(4, 4, 1, 1))
        y = net.add("Add", net.add("Relu", c), c)
    else:
        y = net.add("Mul", y, net.add("Sigmoid", net.add("Conv", net.add("GlobalAveragePool", y), net.random(4, 4, 1, 1))))
    model = static(net.model(y))
    result, _ = checked(model, calibration=samples())
    x = samples(20, seed=12)
    assert sqnr_db(run(model, x), run(result, x)) > 28


# --- awkward data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [0.6, -0.6])
def test_dead_channel_keeps_its_bias(bias):
    """Weights near 1e-30 beside a bias of 0.6: the scale must be large enough for the bias to survive in int32."""
    net = small_net(bias)
    model = static(net.model(net.result))
    result, _ = checked(model, calibration=samples(), options=Options(equalize=(0.0, 0.0)))  # which scales channels, this one too
    name = next(n for n in model.graph if n.op_type == "Relu").outputs[0].name
    for m in (model, result):
        value = next(o for n in m.graph for o in n.outputs if o.name == name)
        m.graph.outputs[0] = value
    x = samples(5)
    a, b = run(model, x)[:, 0, 2], run(result, x)[:, 0, 2]
    np.testing.assert_allclose(b, a, atol=0.02)
    verify(lower.lower(quantize(static(net.model(net.result)), samples())[0]))


def test_tiny_channels_of_mobilenet_survive():
    model = import_model(network("mobilenet_v1_025_vww").path)
    optimized, _ = graph.optimize(model, skip=["remove_constant_channels"])
    x = network("mobilenet_v1_025_vww").calibration[:6]
    result, _ = quantize(optimized, x)
    assert np.abs(run(model, x) - run(result, x)).max() < 0.1
    verify(lower.lower(result))


@pytest.mark.parametrize("value", [0.0, 1.5, -3.0])
def test_constant_input_is_calibrated_correctly(value):
    net = small_net()
    model = static(net.model(net.result))
    x = np.full((20, 3, 8, 8), value, np.float32)
    result, _ = checked(model, calibration=x)
    a, b = (run(logits_of(m), x[:1]) for m in (model, result))
    np.testing.assert_allclose(b, a, atol=0.01 * np.abs(a).max())


@pytest.mark.parametrize("with_bias", [False, True])
def test_all_zero_layer(with_bias):
    net = Net(("x", (1, 3, 8, 8)), seed=7)
    y = net.add("Conv", "x", net.constant(np.zeros((4, 3, 3, 3), np.float32)), *([net.random(4)] if with_bias else []))
    y = net.add("Conv", net.add("Relu", y), net.random(2, 4, 1, 1), net.random(2))
    model = static(net.model(y))
    result, _ = checked(model, calibration=samples())
    np.testing.assert_allclose(run(result, samples(3)), run(model, samples(3)), atol=0.02)
    verify(lower.lower(result))


def test_one_sample_is_enough_to_run():
    net = small_net()
    model = static(net.model(net.result))
    result, report = checked(model, calibration=samples(1))
    assert report.probes == report.samples == 1 and "too few" in report.degraded and all(r.kept for r in report.rungs) and np.isfinite(run(result, samples(3))).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.full((3, 3, 8, 8), np.nan, np.float32), ["NaN", "sample 0"]),
        (np.concatenate([samples(2), np.full((1, 3, 8, 8), np.inf, np.float32)]), ["infinite", "sample 2"]),
        (samples(3, (8, 8, 3)), ["shape", "(1, 3, 8, 8)", "(3, 8, 8, 3)"]),
        (np.empty((0, 3, 8, 8), np.float32), ["no samples"]),
        ([], ["no samples"]),
        (np.full((3, 3, 8, 8), 3e38, np.float32), ["activation", "not finite", "sample 0"]),
    ],
)
def test_bad_calibration_is_one_clear_error(data, words):
    net = small_net()
    with pytest.raises(DataError) as caught:
        quantize(static(net.model(net.result)), data)
    assert all(w in str(caught.value) for w in ["calibration", *words]), str(caught.value)


def test_synthetic_is_deterministic_and_marked():
    net = small_net()
    model = static(net.model(net.result))
    a, facts = quantize_model(model, "synthetic")
    b, _ = quantize_model(model, "synthetic")
    assert facts["synthetic"] and facts["samples"] >= 32
    assert ir.to_proto(a).SerializeToString(deterministic=True) == ir.to_proto(b).SerializeToString(deterministic=True)


def test_memory_does_not_grow_with_the_number_of_samples():
    net = small_net()
    model = static(net.model(net.result))

    def peak(n: int) -> int:
        class Stream:
            """Makes its samples one by one, every time it is walked."""

            def __iter__(self):
                rng = np.random.default_rng(0)
                return (rng.standard_normal((1, 3, 8, 8)).astype(np.float32) for _ in range(n))

        tracemalloc.start()
        quantize(model, Stream(), options=Options(output_ranges=False, equalize=(0.0, 0.0)))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    few, many = peak(2 * PROBES + 200), peak(4 * PROBES + 400)
    assert many < 1.15 * few, (few, many)


# --- accuracy on shared data, on samples that were not calibrated on ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "calibrate", "agreement", "sqnr"),
    [
        ("ds_cnn", 128, 0.988, 34.0),
        ("resnet8", 256, 0.982, 35.5),
        ("mobilenet_v1_025_vww", 64, 0.98, 30.0),
        ("fc_autoencoder", 20, None, 33.0),
    ],
)
def test_agreement_with_float(name, calibrate, agreement, sqnr):
    model, _ = graph.optimize(import_model(network(name).path))
    fit, x = accuracy_data(name, calibrate)
    result, report = quantize(model, fit)
    float_logits, int8_logits = (run(logits_of(m), x).reshape(len(x), -1) for m in (model, result))
    assert sqnr_db(float_logits, int8_logits) >= sqnr
    if agreement is not None:
        assert np.mean(float_logits.argmax(1) == int8_logits.argmax(1)) >= agreement
    if name == "mobilenet_v1_025_vww":
        assert any("equalization" in r.name and r.kept for r in report.rungs)


def accuracy_data(name: str, calibrate: int) -> tuple[np.ndarray, np.ndarray]:
    """(calibration, test), disjoint; images from the training part for calibration, from the validation part for the test."""
    from tests.models import SHARED

    if name == "ds_cnn":
        d = np.load(SHARED / "data" / "kws.npz")
        x = ((d["x"].astype(np.float32) - d["zero_point"]) * d["scale"]).astype(np.float32)
        return x[:calibrate], x[calibrate:]
    if name == "fc_autoencoder":
        x = np.load(SHARED / "data" / "toycar.npz")["x"]
        return x[:calibrate], x[calibrate:]
    d = np.load(SHARED / "data" / "cifar10.npz")
    fit, x = d["x_train"][:calibrate].astype(np.float32), d["x_val"].astype(np.float32)
    if name == "resnet8":
        return fit, x
    return tuple(np.repeat(np.repeat(v, 3, 1), 3, 2) / np.float32(255) for v in (fit, x[:60]))


def logits_of(model: ir.Model) -> ir.Model:
    """The model with the value in front of its final softmax, if it has one, as output."""
    model = model.clone()
    for node in model.graph:
        if node.op_type == "Softmax":
            value = node.inputs[0]
            value.type = ir.TensorType(ir.DataType.FLOAT)
            model.graph.outputs[0] = value
    return model
