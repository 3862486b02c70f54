"""Float graph passes: the same numbers as before, and the graph they promise."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec import graph
from edgec.errors import UsageError
from edgec.graph.constant_propagation import NEGLIGIBLE, propagate_constants
from edgec.importer import import_model
from tests.models import network


class Net:
    """A small ONNX model, node by node: float32 constants by name, inputs of static shape."""

    def __init__(self, *inputs: tuple[str, tuple[int, ...]], seed: int = 0) -> None:
        self.inputs, self.nodes, self.constants = inputs, [], []
        self.rng = np.random.default_rng(seed)

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.rng.standard_normal(shape).astype(np.float32))

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes) -> str:
        names = [f"v{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}", **attributes))
        return names[0]

    def batch_norm(self, x: str, channels: int) -> str:
        scale, bias, mean = self.random(channels), self.random(channels), self.random(channels)
        variance = self.constant(self.rng.uniform(0.5, 2, channels).astype(np.float32))
        return self.add("BatchNormalization", x, scale, bias, mean, variance)

    def model(self, *outputs: str) -> onnx.ModelProto:
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.inputs]
        results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
        g = helper.make_graph(self.nodes, "net", values, results, self.constants)
        return helper.make_model(g, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def static(proto: onnx.ModelProto) -> ir.Model:
    """What the importer gives, without its list of supported operators: passes also see what lowering does not take."""
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, data_prop=True))


def outputs(model: ir.Model, seed: int = 1, samples: int = 3) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(samples):
        results += session.run(None, {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()})
    return results


def optimized(proto: onnx.ModelProto, **options) -> tuple[ir.Model, dict[str, int]]:
    """After the passes; asserts a valid model, the same names at its edges, and the same numbers to float32 rounding."""
    model = static(proto)
    before = ir.to_proto(model).SerializeToString()
    result, facts = graph.optimize(model, **options)
    assert ir.to_proto(model).SerializeToString() == before, "optimize must not change its argument"
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    for a, b in ((model.graph.inputs, result.graph.inputs), (model.graph.outputs, result.graph.outputs)):
        assert [(v.name, tuple(v.shape)) for v in a] == [(v.name, tuple(v.shape)) for v in b]
    for a, b in zip(outputs(model), outputs(result), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=2e-6 * max(1.0, np.abs(a).max()))
    return result, facts


def kinds(model: ir.Model) -> list[str]:
    return [n.op_type for n in model.graph]


def test_identities_disappear():
    net = Net(("x", (1, 4, 5, 5)))
    y = net.add("Identity", "x")
    y = net.add("Dropout", y)
    y = net.add("Transpose", y, perm=[0, 2, 3, 1])
    y = net.add("Transpose", y, perm=[0, 3, 1, 2])
    y = net.add("Cast", y, to=TensorProto.FLOAT)
    y = net.add("Relu", y)
    y = net.add("Reshape", y, net.constant(np.array([1, 4, 25])))
    y = net.add("Reshape", y, net.constant(np.array([1, 100])))
    model, facts = optimized(net.model(y))
    assert kinds(model) == ["Relu", "Reshape"] and facts["identities_removed"] >= 5


def test_copy_from_input_to_output_stays():
    net = Net(("x", (1, 4)))
    model, _ = optimized(net.model(net.add("Identity", "x")))
    assert kinds(model) == ["Identity"]


@pytest.mark.parametrize("bias", [False, True])
def test_matmul_add_becomes_gemm(bias):
    net = Net(("x", (1, 6)))
    y = net.add("MatMul", "x", net.random(6, 4))
    if bias:
        y = net.add("Add", net.random(4), y)
    y = net.add("Gemm", net.add("Relu", y), net.random(4, 3), net.random(1, 3), alpha=0.5, beta=2.0)
    model, _ = optimized(net.model(y))
    assert kinds(model) == ["Gemm", "Relu", "Gemm"]
    for node in model.graph:
        if node.op_type == "Gemm":
            assert {k: a.value for k, a in node.attributes.items()} == {"transB": 1}
            assert len(node.inputs) < 3 or len(node.inputs[2].shape) == 1


@pytest.mark.parametrize("kind", ["Conv", "grouped", "ConvTranspose", "Gemm"])
def test_batch_norm_folds_into_layer_before(kind):
    net = Net(("x", (1, 4) if kind == "Gemm" else (1, 4, 7, 7)))
    if kind == "Gemm":
        y = net.add("Gemm", "x", net.random(6, 4), net.random(6), transB=1)
    elif kind == "ConvTranspose":
        y = net.add("ConvTranspose", "x", net.random(4, 3, 3, 3), net.random(6), group=2)
    else:
        group = 2 if kind == "grouped" else 1
        y = net.add("Conv", "x", net.random(6, 4 // group, 3, 3), group=group, pads=[1, 1, 1, 1])
    model, facts = optimized(net.model(net.batch_norm(y, 6)))
    assert len(kinds(model)) == 1 and facts["batch_norms_folded"] == 1


@pytest.mark.parametrize("pad", [0, 1])
def test_batch_norm_before_conv_is_exact_at_borders(pad):
    net = Net(("x", (1, 4, 7, 7)))
    y = net.batch_norm(net.add("Relu", "x"), 4)
    y = net.add("Conv", y, net.random(6, 4, 3, 3), pads=[pad] * 4)
    model, _ = optimized(net.model(y))
    assert kinds(model) == (["Relu", "Conv", "Conv"] if pad else ["Relu", "Conv"])


def test_batch_norm_shared_conv_is_not_folded_twice():
    net = Net(("x", (1, 4, 7, 7)))
    y = net.add("Conv", "x", net.random(6, 4, 3, 3))
    model, _ = optimized(net.model(net.batch_norm(y, 6), y))
    assert kinds(model) == ["Conv", "Conv"]


def test_channel_constants_fold():
    net = Net(("x", (1, 4, 6, 6)))
    y = net.add("Mul", net.add("Conv", "x", net.random(5, 4, 3, 3), net.random(5)), net.random(1, 5, 1, 1))
    y = net.add("Sub", y, net.random(5, 1, 1))
    y = net.add("Sub", net.constant(np.float32(2.0)), y)
    y = net.add("Div", net.add("Relu", y), net.constant(np.float32(3.0)))
    y = net.add("Conv", y, net.random(2, 5, 3, 3), pads=[1, 1, 1, 1])
    model, facts = optimized(net.model(y))
    assert kinds(model) == ["Conv", "Relu", "Conv"] and facts["channel_constants_folded"] == 4


def test_shift_before_padded_conv_stays():
    net = Net(("x", (1, 4, 6, 6)))
    y = net.add("Conv", net.add("Add", "x", net.random(1, 4, 1, 1)), net.random(2, 4, 3, 3), pads=[1, 1, 1, 1])
    assert kinds(optimized(net.model(y))[0]) == ["Add", "Conv"]


def test_pad_folds_into_conv_and_pools():
    net = Net(("x", (1, 4, 9, 9)))
    pads = net.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    y = net.add("Relu", net.add("Conv", net.add("Pad", "x", pads), net.random(4, 4, 3, 3), strides=[2, 2]))
    y = net.add("MaxPool", net.add("Pad", y, pads), kernel_shape=[2, 2])
    y = net.add("AveragePool", net.add("Pad", y, pads), kernel_shape=[2, 2])
    model, facts = optimized(net.model(y))
    assert kinds(model) == ["Conv", "Relu", "MaxPool", "AveragePool"] and facts["pads_folded"] == 3


@pytest.mark.parametrize("kind", ["value", "reflect", "maxpool", "channels"])
def test_pad_that_is_not_padding_stays(kind):
    net = Net(("x", (1, 4, 9, 9)))
    amounts = [0, 1, 0, 0, 0, 0, 0, 0] if kind == "channels" else [0, 0, 1, 1, 0, 0, 1, 1]
    value = [net.constant(np.float32(1.0))] if kind == "value" else []
    y = net.add("Pad", "x", net.constant(np.array(amounts)), *value, mode="reflect" if kind == "reflect" else "constant")
    channels = 5 if kind == "channels" else 4
    y = net.add("MaxPool", y, kernel_shape=[2, 2]) if kind == "maxpool" else net.add("Conv", y, net.random(2, channels, 3, 3))
    assert "Pad" in kinds(optimized(net.model(y))[0])


def separable(pad: int, dead: dict[int, float], bias_depthwise: float = -0.5, flatten: bool = False) -> Net:
    """Conv → Relu → depthwise → Relu → 1×1 Conv (or Flatten → Gemm), some channels with negligible weights and a given bias."""
    net = Net(("x", (1, 3, 8, 8)))
    w = net.rng.standard_normal((6, 3, 3, 3)).astype(np.float32)
    b = net.rng.standard_normal(6).astype(np.float32)
    for channel, bias in dead.items():
        w[channel] *= 1e-30
        b[channel] = bias
    y = net.add("Relu", net.add("Conv", "x", net.constant(w), net.constant(b), pads=[1, 1, 1, 1]))
    w = np.abs(net.rng.standard_normal((6, 1, 3, 3))).astype(np.float32)
    b = np.full(6, bias_depthwise, np.float32)
    y = net.add("Relu", net.add("Conv", y, net.constant(w), net.constant(b), group=6, pads=[pad] * 4))
    if flatten:
        size = 6 + 2 * pad
        net.result = net.add("MatMul", net.add("Reshape", y, net.constant(np.array([1, -1]))), net.random(6 * size * size, 4))
    else:
        net.result = net.add("Conv", y, net.random(4, 6, 1, 1), net.random(4))
    return net


def test_uniform_constant_channels_are_removed():
    net = separable(0, {1: 0.7, 4: -0.2})
    model, facts = optimized(net.model(net.result))
    assert facts["channels_removed"] == 2
    assert [n.inputs[1].shape[0] for n in model.graph if n.op_type == "Conv"] == [4, 4, 4]
    assert graph.count_macs(model) < graph.count_macs(static(net.model(net.result)))


def test_positive_constant_under_padded_depthwise_stays():
    """Its border differs from its middle: no bias can stand for it. The channel that is zero everywhere goes."""
    net = separable(1, {1: 0.7, 4: -0.2})
    _, facts = optimized(net.model(net.result))
    assert facts["channels_removed"] == 1


def test_positive_constant_under_padded_depthwise_goes_when_relu_kills_it():
    net = separable(1, {1: 0.01}, bias_depthwise=-0.5)
    _, facts = optimized(net.model(net.result))
    assert facts["channels_removed"] == 1


def test_constant_channels_before_flatten():
    net = separable(1, {1: 0.7, 4: -0.2}, bias_depthwise=0.1, flatten=True)
    model, facts = optimized(net.model(net.result))
    assert facts["channels_removed"] == 2 and kinds(model)[-2:] == ["Reshape", "Gemm"]


@pytest.mark.parametrize("agree", [True, False])
def test_residual_group_goes_only_together(agree):
    net = Net(("x", (1, 3, 6, 6)))
    first, second = (net.rng.standard_normal((5, 3, 1, 1)).astype(np.float32) for _ in range(2))
    first[2] *= 1e-30
    if agree:
        second[2] *= 1e-30
    a, b = (net.add("Conv", "x", net.constant(w), net.random(5)) for w in (first, second))
    y = net.add("Conv", net.add("Relu", net.add("Add", a, b)), net.random(2, 5, 1, 1))
    _, facts = optimized(net.model(y))
    assert facts.get("channels_removed", 0) == (1 if agree else 0)


def test_channels_nobody_reads_are_removed():
    net = Net(("x", (1, 3, 6, 6)))
    w = net.rng.standard_normal((4, 5, 3, 3)).astype(np.float32)
    w[:, [0, 3]] = 0
    y = net.add("Relu", net.add("Conv", "x", net.random(5, 3, 1, 1), net.random(5)))
    model, facts = optimized(net.model(net.add("Conv", y, net.constant(w), pads=[1, 1, 1, 1])))
    assert facts["channels_removed"] == 2


def test_channels_of_outputs_and_unknown_readers_stay():
    for last in ("Relu", "Softmax"):
        net = Net(("x", (1, 3, 6, 6)))
        w = net.rng.standard_normal((5, 3, 1, 1)).astype(np.float32)
        w[2] = 0
        y = net.add("Conv", "x", net.constant(w), net.random(5))
        assert "channels_removed" not in optimized(net.model(net.add(last, y)))[1]


def test_whole_layer_constant_keeps_one_channel():
    net = Net(("x", (1, 3, 6, 6)))
    y = net.add("Relu", net.add("Conv", "x", net.constant(np.zeros((5, 3, 1, 1), np.float32)), net.random(5)))
    model, facts = optimized(net.model(net.add("Conv", y, net.random(2, 5, 1, 1), net.random(2))))
    assert facts["channels_removed"] == 4


def test_threshold_is_far_below_float32_rounding():
    """A channel a thousand times above the threshold, amplified by the layer behind, must survive."""
    net = Net(("x", (1, 3, 6, 6)))
    w = net.rng.standard_normal((4, 3, 1, 1)).astype(np.float32)
    w[1] *= NEGLIGIBLE * 1000
    w2 = net.rng.standard_normal((2, 4, 1, 1)).astype(np.float32)
    w2[:, 1] /= NEGLIGIBLE * 1000
    y = net.add("Conv", net.add("Relu", net.add("Conv", "x", net.constant(w))), net.constant(w2))
    assert "channels_removed" not in optimized(net.model(y))[1]


def test_propagated_maps_match_onnxruntime():
    """Constant maps, borders included, against what ONNX Runtime computes."""
    net = separable(1, {1: 0.7, 4: -0.2}, bias_depthwise=0.1)
    proto = net.model(net.result)
    model = static(proto)
    known = propagate_constants(model.graph)
    checked = 0
    for value, found in known.items():
        if not value.is_graph_output():
            model.graph.outputs.append(value)
    names = [v.name for v in model.graph.outputs]
    results = dict(zip(names, outputs(model, samples=1), strict=True))
    for value, found in known.items():
        np.testing.assert_allclose(results[value.name][found.mask], found.value[found.mask], rtol=1e-6, atol=1e-6)
        checked += int(found.mask.sum())
    assert checked > 500


def test_skip_and_unknown_pass():
    net = Net(("x", (1, 4)))
    proto = net.model(net.add("Add", net.add("MatMul", "x", net.random(4, 3)), net.random(3)))
    assert kinds(graph.optimize(static(proto), skip=["fuse_matmul_add"])[0]) == ["MatMul", "Add"]
    with pytest.raises(UsageError, match="fold_everything"):
        graph.optimize(static(proto), skip=["fold_everything"])


@pytest.mark.parametrize(
    ("name", "reach", "macs"),
    [
        ("ds_cnn", 1.0, 2_656_768),
        ("resnet8", 255.0, 12_501_632),
        ("mobilenet_v1_025_vww", 1.0, 4_190_000),
        ("fc_autoencoder", 1.0, 264_192),
        ("streaming_wakeword", 1.0, 826_368),
    ],
)
def test_shared_models(name, reach, macs):
    model = import_model(network(name).path)
    result, facts = graph.optimize(model)
    assert graph.count_macs(result) <= macs
    if name == "mobilenet_v1_025_vww":
        assert facts["channels_removed"] == 971 and graph.count_macs(result) == 3_742_091
    rng = np.random.default_rng(3)
    files = [ir.to_proto(m).SerializeToString() for m in (model, result)]
    sessions = [onnxruntime.InferenceSession(f, providers=["CPUExecutionProvider"]) for f in files]
    for _ in range(5):
        x = rng.uniform(0, reach, sessions[0].get_inputs()[0].shape).astype(np.float32)
        a, b = (s.run(None, {s.get_inputs()[0].name: x})[0] for s in sessions)
        np.testing.assert_allclose(b, a, rtol=0, atol=4 * 2.0**-23 * max(1.0, np.abs(a).max()))
