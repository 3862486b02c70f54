"""Lowering QDQ models built by hand: layouts, padding, shapes; each against ONNX Runtime on the same model, within one step."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnx import numpy_helper as nh

from edgec import numerics
from edgec.importer import import_model
from edgec.ir import interp
from edgec.lower import lower


class Qdq:
    """Builds a QDQ model: float-looking operators between QuantizeLinear and DequantizeLinear."""

    def __init__(self, shape, scale=0.05, zero_point=-7):
        self.nodes, self.initializers, self.n = [], [], 0
        self.shape = shape
        self.last = self.qdq("x", scale, zero_point)

    def name(self, stem):
        self.n += 1
        return f"{stem}_{self.n}"

    def constant(self, array):
        name = self.name("c")
        self.initializers.append(nh.from_array(np.asarray(array), name))
        return name

    def node(self, kind, *inputs, **attrs):
        out = self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=self.name("n"), **attrs))
        return out

    def qdq(self, value, scale, zero_point):
        s, z = self.constant(np.float32(scale)), self.constant(np.int8(zero_point))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", value, s, z), s, z)

    def weights(self, q, scale, axis):
        return self.node("DequantizeLinear", self.constant(q.astype(np.int8)), self.constant(np.asarray(scale, np.float32)), axis=axis)

    def model(self, opset=18, out="y"):
        self.nodes.append(helper.make_node("Identity", [self.last], [out]))
        graph = helper.make_graph(
            self.nodes,
            "hand",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def run_both(model, x):
    """(edgec int8, ONNX Runtime quantized the same way, program)."""
    program = lower(import_model(model))
    port, out = program.inputs[0], program.outputs[0]
    t, u = program.tensors[port.tensor], program.tensors[out.tensor]
    value = x.transpose(port.order) if port.order else x
    got = interp.run(program, {t.name: numerics.quantize(value, t.scale, t.zero_point)})[u.name]
    if out.order:
        got = got.reshape([out.shape[a] for a in out.order]).transpose([out.order.index(a) for a in range(len(out.order))])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    want = numerics.quantize(session.run(None, {"x": x})[0], u.scale, u.zero_point)
    return got.reshape(want.shape).astype(int), want.astype(int), program


RNG = np.random.default_rng(5)


def conv(b, channels, out, kernel, group=1, **attrs):
    w = RNG.integers(-127, 128, (out, channels // group, *kernel))
    scale = RNG.uniform(0.002, 0.006, out).astype(np.float32)
    bias = b.node("DequantizeLinear", b.constant(RNG.integers(-2000, 2000, out).astype(np.int32)), b.constant((np.float32(0.05) * scale).astype(np.float32)), axis=0)
    return b.node("Conv", b.last, b.weights(w, scale, 0), bias, group=group, **attrs)


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize(
    ("channels", "out", "kernel", "attrs"),
    [
        (3, 8, (3, 3), {"pads": [1, 1, 1, 1]}),
        (4, 5, (3, 3), {"pads": [0, 1, 2, 0], "strides": [2, 2]}),
        (4, 8, (3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
        (6, 6, (3, 3), {"pads": [1, 1, 1, 1], "group": 6}),
        (6, 12, (3, 3), {"pads": [1, 1, 1, 1], "group": 6}),
        (6, 4, (3, 3), {"pads": [1, 1, 1, 1], "group": 2}),
        (4, 8, (1, 1), {"strides": [2, 2]}),
        (4, 8, (3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        (4, 8, (2, 4), {"auto_pad": "SAME_LOWER"}),
    ],
)
def test_convolutions(opset, channels, out, kernel, attrs):
    b = Qdq([1, channels, 9, 8])
    y = conv(b, channels, out, kernel, **attrs)
    b.last = b.qdq(b.node("Relu", y), 0.03, -128)
    got, want, program = run_both(b.model(opset), RNG.normal(0, 2, (1, channels, 9, 8)).astype(np.float32))
    assert np.abs(got - want).max() <= 1
    assert not any(op.opcode == "transpose" for op in program.ops)  # the input is asked for channels last
    assert program.ops[0].attrs["clamp_min"] == -128


def test_one_dimensional_convolution():
    b = Qdq([1, 6, 20])
    b.last = b.qdq(conv(b, 6, 4, (5,), pads=[2, 2]), 0.04, 3)
    got, want, _ = run_both(b.model(), RNG.normal(0, 2, (1, 6, 20)).astype(np.float32))
    assert np.abs(got - want).max() <= 1


def test_flatten_after_convolution_moves_weights_not_bytes():
    b = Qdq([1, 3, 6, 6])
    b.last = b.qdq(b.node("Relu", conv(b, 3, 4, (3, 3), pads=[1, 1, 1, 1])), 0.05, -128)
    flat = b.qdq(b.node("Flatten", b.last), 0.05, -128)
    w = b.weights(RNG.integers(-127, 128, (5, 144)), RNG.uniform(0.002, 0.004, 5), 0)
    b.last = b.qdq(b.node("Gemm", flat, w, transB=1), 0.2, 4)
    got, want, program = run_both(b.model(), RNG.normal(0, 2, (1, 3, 6, 6)).astype(np.float32))
    assert [op.opcode for op in program.ops] == ["conv2d", "dense"]
    assert np.abs(got - want).max() <= 1


def test_reshape_of_channels_last_bytes_that_no_dense_layer_takes_is_a_transpose():
    b = Qdq([1, 3, 6, 6])
    b.last = b.qdq(conv(b, 3, 4, (3, 3), pads=[1, 1, 1, 1]), 0.05, 0)
    b.last = b.qdq(b.node("Reshape", b.last, b.constant(np.array([1, 144], np.int64))), 0.05, 0)
    got, want, program = run_both(b.model(), RNG.normal(0, 2, (1, 3, 6, 6)).astype(np.float32))
    assert [op.opcode for op in program.ops] == ["conv2d", "transpose"]
    assert np.abs(got - want).max() <= 1


@pytest.mark.parametrize("kind", ["Add", "Sub"])
@pytest.mark.parametrize("scales", [(0.04, 0.06), (0.0004, 0.9)])
def test_addition_of_two_branches(kind, scales):
    b = Qdq([1, 4, 5, 5])
    one = b.qdq(conv(b, 4, 4, (1, 1)), scales[0], 5)
    two = b.qdq(conv(b, 4, 4, (3, 3), pads=[1, 1, 1, 1]), 0.07, -9)
    b.last = b.qdq(b.node("Relu", b.node(kind, one, two)), scales[1], -120)
    got, want, program = run_both(b.model(), RNG.normal(0, 2, (1, 4, 5, 5)).astype(np.float32))
    assert np.abs(got - want).max() <= 1
    assert len(program.ops) == 3


@pytest.mark.parametrize(
    ("kind", "attrs"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ("AveragePool", {"kernel_shape": [2, 3]}),
        ("GlobalAveragePool", {}),
    ],
)
def test_pooling(kind, attrs):
    b = Qdq([1, 4, 7, 7])
    b.last = b.qdq(b.node(kind, b.last, **attrs), *((0.05, -7) if kind == "MaxPool" else (0.03, 2)))
    got, want, _ = run_both(b.model(), RNG.normal(0, 3, (1, 4, 7, 7)).astype(np.float32))
    assert np.abs(got - want).max() <= 1


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "Relu"])
def test_tables(kind):
    b = Qdq([1, 40])
    b.last = b.qdq(b.node(kind, b.last), 1 / 128, 0)
    got, want, program = run_both(b.model(), RNG.normal(0, 2, (1, 40)).astype(np.float32))
    assert [op.opcode for op in program.ops] == ["lookup"]
    assert np.abs(got - want).max() <= 1


@pytest.mark.parametrize(("axis", "shape", "opcode"), [(-1, (1, 5, 3, 4), "softmax_s16"), (1, (1, 5, 3, 4), "softmax_s16"), (1, (1, 8, 4, 8), "softmax")])
def test_softmax(axis, shape, opcode):
    b = Qdq(list(shape))
    b.last = b.qdq(b.node("Softmax", b.last, axis=axis), 1 / 256, -128)
    got, want, program = run_both(b.model(), RNG.normal(0, 3, shape).astype(np.float32))
    assert opcode in [op.opcode for op in program.ops]
    assert np.abs(got - want).max() <= 1


def test_clip_becomes_clamp_bounds():
    b = Qdq([1, 4, 5, 5])
    y = conv(b, 4, 4, (1, 1))
    b.last = b.qdq(b.node("Clip", y, b.constant(np.float32(0)), b.constant(np.float32(1.5))), 0.02, -100)
    _, _, program = run_both(b.model(), RNG.normal(0, 2, (1, 4, 5, 5)).astype(np.float32))
    assert (program.ops[0].attrs["clamp_min"], program.ops[0].attrs["clamp_max"]) == (-100, -25)


def test_weights_of_minus_128_and_float_bias_of_other_tools():
    b = Qdq([1, 4, 5, 5])
    w = RNG.integers(-128, 128, (3, 4, 3, 3))
    w[0] = -128
    y = b.node("Conv", b.last, b.weights(w, RNG.uniform(0.001, 0.004, 3), 0), b.constant(RNG.normal(0, 1, 3).astype(np.float32)))
    b.last = b.qdq(y, 0.3, 0)
    got, want, _ = run_both(b.model(), RNG.normal(0, 2, (1, 4, 5, 5)).astype(np.float32))
    assert np.abs(got - want).max() <= 1
