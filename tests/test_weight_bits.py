"""Weights of 4 bits: options, what the solver does, awkward layers, bytes, and accuracy on unseen data."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

import edgec
from edgec import graph, importer, lower
from edgec.compress import Options, low_bits, quantize
from edgec.compress.layerwise import LayerwiseQuantizer
from edgec.compress.output_metrics import output_metrics
from edgec.compress.placement import place
from edgec.compress.report import sqnr_db
from edgec.compress.weight_bytes import weight_bytes
from edgec.compress.weights import grid_of
from edgec.errors import UsageError
from edgec.graph.edit import constant
from edgec.importer import import_model
from edgec.ops.weights import pack_nibbles
from tests.models import network
from tests.test_graph_passes import Net, static
from tests.test_quantize import checked, run, samples, small_net


def names_of(net: Net) -> dict[str, str]:
    """A word for each layer of small_net → the name the quantizer knows it by."""
    _, report = quantize(model_of(net), calibration=samples(4))
    return dict(zip(("conv", "depthwise", "pointwise", "dense"), (r.name for r in report.layers), strict=True))


def model_of(net: Net) -> ir.Model:
    return static(net.model(net.result))


def weights_of(model: ir.Model) -> dict[str, tuple[ir.DataType, np.ndarray]]:
    """Operator type and order → dtype and values of the quantized weights of a QDQ model's layers."""
    found = {}
    for node in model.graph:
        if node.op_type in ("Conv", "Gemm", "ConvTranspose"):
            stored = node.inputs[1].producer().inputs[0]
            found[f"{node.op_type}{len(found)}"] = (stored.const_value.dtype, constant(stored).astype(np.int8))
    return found


# --- options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [3, 16, True, "4", {"a": 2}])
def test_bits_that_no_kernel_reads(bits):
    with pytest.raises(UsageError, match="4 or 8"):
        Options(weight_bits=bits)


def test_unknown_layer_names_the_layers():
    net = small_net()
    with pytest.raises(UsageError) as caught:
        quantize(model_of(net), calibration=samples(4), options=Options(weight_bits={"nowhere": 4}))
    assert "nowhere" in str(caught.value) and all(repr(name) in str(caught.value) for name in names_of(net).values())


def test_transposed_convolution_stays_at_8_bits():
    net = Net(("x", (1, 4, 5, 5)))
    net.result = net.add("ConvTranspose", "x", net.random(4, 6, 3, 3), net.random(6))
    model, report = checked(model_of(net), calibration=samples(20, (4, 5, 5)), options=Options(weight_bits=4))
    (name,) = report.weight_bits
    assert report.weight_bits == {name: 8} and [dtype for dtype, _ in weights_of(model).values()] == [ir.DataType.INT8]
    with pytest.raises(UsageError, match="ConvTranspose"):
        quantize(model_of(net), calibration=samples(4, (4, 5, 5)), options=Options(weight_bits={name: 4}))


def test_only_named_layers_get_4_bits():
    names = names_of(small_net())
    model, report = checked(model_of(small_net()), calibration=samples(), options=Options(weight_bits={names["pointwise"]: 4, names["dense"]: 4}))
    dtypes = [dtype for dtype, _ in weights_of(model).values()]
    assert dtypes == [ir.DataType.INT8, ir.DataType.INT8, ir.DataType.INT4, ir.DataType.INT4]
    assert report.weight_bits == {names["conv"]: 8, names["depthwise"]: 8, names["pointwise"]: 4, names["dense"]: 4}
    assert [layer.bits for layer in report.layers] == list(report.weight_bits.values())


# --- the network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounding", ["nearest", "second_order"])
def test_all_layers_at_4_bits(rounding):
    model, report = checked(model_of(small_net()), calibration=samples(), options=Options(weight_bits=4, rounding=rounding))
    for dtype, q in weights_of(model).values():
        assert dtype == ir.DataType.INT4 and -8 <= q.min() and q.max() == 7
    assert next(iter(report.output_sqnr_db.values())) > 10


def test_compiled_network_equals_the_simulation():
    """Integers of the artifact and onnxruntime on the QDQ model differ by rounding of float32 sums only: a step here and there."""
    model, _ = checked(model_of(small_net()), calibration=samples(), options=Options(weight_bits=4))
    program = lower.lower(importer.fold(model.clone()))
    assert [op.attrs["weight_bits"] for op in program.ops if "weight_bits" in op.attrs] == [4] * 4
    artifact = edgec.compile(ir.to_proto(model), "host")
    x = samples(20, seed=5)
    np.testing.assert_allclose(artifact.run(x).reshape(20, -1), run(model, x).reshape(20, -1), atol=1.01 / 256)


def test_solving_anew_beats_rounding():
    """On the average of three draws: one of them says little about so small a network."""
    gain = []
    for seed in (6, 7, 8):
        x, data = samples(40, seed=seed), samples(200, seed=seed + 20)
        exact = run(model_of(small_net()), x)
        nearest, second = (quantize(model_of(small_net()), calibration=data, options=Options(weight_bits=4, rounding=r))[0] for r in ("nearest", "second_order"))
        gain.append(sqnr_db(exact, run(second, x)) - sqnr_db(exact, run(nearest, x)))
    assert np.mean(gain) > 1


@pytest.mark.parametrize("dead_bias", [0.0, 0.6])
def test_dead_channel_keeps_its_bias(dead_bias):
    """Channel 2 of the first layer has weights near 1e−30: the layers behind still see its constant."""
    net = model_of(small_net(dead_bias))
    model, _ = checked(net, calibration=samples(), options=Options(weight_bits=4))
    x = samples(20, seed=5)
    assert sqnr_db(run(net, x), run(model, x)) > 10
    assert not weights_of(model)["Conv0"][1][2].any()


def test_layer_of_zeros():
    net = Net(("x", (1, 3, 8, 8)))
    y = net.add("Relu", net.add("Conv", "x", net.constant(np.zeros((8, 3, 3, 3), np.float32)), net.random(8)))
    net.result = net.add("Conv", y, net.random(4, 8, 3, 3), net.random(4))
    model, _ = checked(model_of(net), calibration=samples(), options=Options(weight_bits=4))
    x = samples(5)
    np.testing.assert_allclose(run(model, x), run(model_of(net), x), atol=0.05)
    assert not weights_of(model)["Conv0"][1].any()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_inputs(value):
    x = np.full((20, 3, 8, 8), value, np.float32)
    model, _ = checked(model_of(small_net()), calibration=x, options=Options(weight_bits=4))
    np.testing.assert_allclose(run(model, x), run(model_of(small_net()), x), atol=0.05)


def test_one_sample():
    model, _ = checked(model_of(small_net()), calibration=samples(1), options=Options(weight_bits=4))
    assert np.isfinite(run(model, samples(3))).all()


# --- the solver -----------------------------------------------------------------------------------------------------------


def solved(patches: np.ndarray, rows: np.ndarray, wanted: np.ndarray, bits: int = 4) -> np.ndarray:
    """Real weights that fit_layer finds."""
    q, scale = low_bits.fit_layer(rows, patches.astype(np.float32), wanted, np.zeros(len(rows)), bits)
    assert q.dtype == np.float64 and scale.dtype == np.float32 and np.array_equal(q, np.rint(q))
    low, high = grid_of(bits)
    assert q.min(initial=0) >= low and q.max(initial=0) <= high
    return q * scale[:, None].astype(np.float64)


def test_weights_on_the_grid_are_found():
    """Weights that 4 bits can hold come back, −8 too, whatever the correlations of the inputs."""
    rng = np.random.default_rng(1)
    mixed = rng.normal(0, 1, (2000, 12)) @ rng.normal(0, 1, (12, 12))
    rows = np.hstack([np.full((5, 1), 7), rng.integers(-8, 8, (5, 11))]) * rng.uniform(0.5, 2, (5, 1))
    np.testing.assert_allclose(solved(mixed[None], rows, mixed @ rows.T), rows, rtol=1e-5, atol=1e-6)


def test_errors_of_the_input_are_made_up_for():
    """Inputs 10 % too small: the weights grow by as much, as far as the damping lets them."""
    rng = np.random.default_rng(2)
    x, rows = rng.normal(0, 1, (4000, 8)), rng.normal(0, 1, (6, 8))
    found = solved(0.9 * x[None], rows, x @ rows.T, bits=8)
    assert sqnr_db(x @ rows.T, 0.9 * x @ found.T) > 35 > 21 > sqnr_db(x @ rows.T, 0.9 * x @ rows.T)


def test_groups_are_solved_apart():
    rng = np.random.default_rng(3)
    x, rows = rng.normal(0, 1, (3, 500, 4)), rng.normal(0, 1, (6, 4))
    wanted = np.einsum("gpe,gre->pgr", x, rows.reshape(3, 2, 4)).reshape(500, 6)
    whole = solved(x, rows, wanted)
    for g in range(3):
        np.testing.assert_array_equal(whole[2 * g : 2 * g + 2], solved(x[g : g + 1], rows[2 * g : 2 * g + 2], wanted[:, 2 * g : 2 * g + 2]))


def test_rows_make_up_for_each_other():
    """Where the outputs read the difference of two channels alone, their errors may be alike; where nothing ties them, nothing changes for the worse."""
    rng = np.random.default_rng(4)
    x, rows = rng.normal(0, 1, (4000, 6)) @ rng.normal(0, 1, (6, 6)), rng.normal(0, 1, (8, 6))
    read = np.kron(np.eye(4), [[1.0, -1.0]])  # [4 differences, 8 channels]
    solve = lambda metric: low_bits.fit_layer(rows, x.astype(np.float32)[None], x @ rows.T, np.zeros(8), 4, metric)  # noqa: E731
    error = lambda found, seen: float(np.square(seen @ (rows - found[0] * found[1][:, None]) @ x.T).sum())  # noqa: E731
    alone, together = solve(None), solve(read.T @ read)
    assert error(together, read) < 0.6 * error(alone, read)
    assert error(solve(np.eye(8)), np.eye(8)) <= error(alone, np.eye(8)) * 1.001


def test_the_metric_is_that_of_the_layers_behind():
    """Behind a dense layer without activation: the outputs' error is |W δ|², so the metric is WᵀW."""
    net, rng = Net(("x", (1, 16))), np.random.default_rng(5)
    behind = rng.normal(0, 1, (5, 12)).astype(np.float32)
    first = net.add("Gemm", "x", net.random(12, 16), net.random(12), transB=1)
    model = static(net.model(net.add("Gemm", first, net.constant(behind), net.random(5), transB=1)))
    layers = list(model.graph)
    quantizer = LayerwiseQuantizer(model, place(model.graph), {"x": rng.normal(0, 1, (300, 1, 16)).astype(np.float32)})
    found = output_metrics(quantizer, tuple(model.graph.outputs), layers[:1], np.arange(300))
    want = behind.T @ behind
    np.testing.assert_allclose(*found.values(), want * (12 / np.trace(want)), atol=0.15)


STORED_IN_8 = ("conv2d_s16", "conv2d_add")
"""Operators with weights that have no 4-bit form."""

# --- bytes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", ["digits", "depthwise", "ds_cnn"])
def test_bytes_are_those_of_the_artifact(name, bits):
    """weight_bytes counts what the program holds: weights packed, biases, multipliers; other operators' tables are not weights."""
    net = network(name)
    model, _ = graph.optimize(import_model(net.path))
    quantized, report = quantize(model, net.calibration[:16], options=Options(weight_bits=bits, equalize=(0, 0)))
    assert report.weight_bytes == weight_bytes(model, bits)
    program = lower.lower(importer.fold(quantized))
    held = 0
    for op in program.ops:
        if "weight_bits" in op.attrs or op.opcode in STORED_IN_8:
            assert op.attrs.get("weight_bits", 8) == bits
            w, bias, multiplier = (program.constants[c].data for c in op.constants)
            rows = w.reshape(-1, w.shape[-1]) if op.opcode == "depthwise_conv2d" else w.reshape(w.shape[0], -1)
            held += (pack_nibbles(rows) if bits == 4 else rows).nbytes + bias.nbytes + multiplier.nbytes
    assert held == report.weight_bytes
