"""Activations of 16 bits from QDQ ONNX to bytes: which operators take them, what they give, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgec
from edgec.errors import DataError, ModelError
from edgec.run import compare

OPSET = 21


class Net:
    """A QDQ model built node by node; q() puts QuantizeLinear and DequantizeLinear of 8 or 16 bits behind a value."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.nodes, self.constants, self.rng = [], [], np.random.default_rng(5)
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, inputs: list[str], **attributes) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"node_{name}", **attributes))
        return name

    def q(self, value: str, scale: float, bits: int, zero: int = 0) -> str:
        parameters = [self.constant(f"{value}.s{bits}", np.float32(scale)), self.constant(f"{value}.z{bits}", np.array(zero, f"int{bits}"))]
        return self.op("DequantizeLinear", [self.op("QuantizeLinear", [value, *parameters]), *parameters])

    def weights(self, shape: tuple[int, ...]) -> str:
        name = f"w{len(self.nodes)}"
        w = self.constant(f"{name}.q", self.rng.integers(-127, 128, shape).astype(np.int8))
        return self.op("DequantizeLinear", [w, self.constant(f"{name}.s", np.float32(0.01)), self.constant(f"{name}.z", np.int8(0))])

    def model(self, output: str, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "wide", [self.input], [helper.make_tensor_value_info(output, kind, None)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def _residual(out_bits: int = 16, input_bits: int = 8) -> onnx.ModelProto:
    """Input → Conv to 16 bits → depthwise Conv in 16 → Add with an 8-bit branch to 16 → average to 16 → dense."""
    n = Net((1, 3, 8, 6))
    x = n.q("x", 0.05 if input_bits == 8 else 0.0002, input_bits, 3 if input_bits == 8 else 0)
    a = n.q(n.op("Relu", [n.op("Conv", [x, n.weights((4, 3, 3, 3))], pads=[1, 1, 1, 1])]), 0.0006, 16)
    b = n.q(n.op("Conv", [a, n.weights((4, 1, 3, 3))], pads=[1, 1, 1, 1], group=4), 0.001, 16)
    c = n.q(n.op("Conv", [x, n.weights((4, 3, 1, 1))]), 0.06, 8, -5)
    d = n.q(n.op("Add", [b, c]), 0.0015, 16)
    e = n.q(n.op("GlobalAveragePool", [d]), 0.0002, 16)
    f = n.op("Flatten", [e])
    return n.model(n.q(n.op("Gemm", [f, n.weights((4, 10))]), 0.0002 if out_bits == 16 else 0.05, out_bits))


@pytest.mark.parametrize("out_bits", [8, 16])
@pytest.mark.parametrize("input_bits", [8, 16])
def test_network(out_bits, input_bits):
    proto = _residual(out_bits, input_bits)
    artifact = edgec.compile(proto, "generic-c")
    opcodes = [op.opcode for op in artifact.program.ops]
    assert "add_s16" in opcodes and opcodes.count("conv2d_s16") >= 3 and "average_pool2d_s16" in opcodes
    x = np.random.default_rng(0).normal(0, 2, (8, 3, 8, 6)).astype(np.float32)
    assert compare(artifact, x) > 0
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"x": v[None]})[0] for v in x])
    step = 0.0002 if out_bits == 16 else 0.05
    assert np.abs(artifact.run(x) - wanted).max() <= (40 if out_bits == 16 else 1.01) * step


def test_raw_16_bit_ports():
    artifact = edgec.compile(_residual(16, 16), "generic-c")
    x = np.random.default_rng(1).normal(0, 2, (3, 3, 8, 6)).astype(np.float32)
    q = artifact.quantize_input(x)
    y = artifact.run(q)
    assert q.dtype == y.dtype == np.int16
    assert np.array_equal(artifact.dequantize_output(y), artifact.run(x))
    out = np.zeros((1, 10), np.int16)
    artifact.run(np.ascontiguousarray(q[:1].transpose(0, 2, 3, 1)), out=out)
    assert np.array_equal(out[0], y[0])
    with pytest.raises(DataError, match="prepared buffers"):
        artifact.run(q[:1], out=out)  # the model's order, not the one in memory


@pytest.mark.parametrize("engine", ["runtime", "c"])
def test_firmware_gives_the_same_bytes(engine, needs_target):
    needs_target("cortex-m4")
    artifact = edgec.compile(_residual(16, 16), "cortex-m4")
    x = np.random.default_rng(2).normal(0, 2, (3, 3, 8, 6)).astype(np.float32)
    assert compare(artifact, x, on="qemu", engine=engine) > 0


def _logits() -> tuple[Net, str]:
    """Input → Conv → average to 16 bits → dense to logits of 16 bits."""
    n = Net((1, 3, 8, 6))
    a = n.q(n.op("Relu", [n.op("Conv", [n.q("x", 0.05, 8, 3), n.weights((4, 3, 3, 3))])]), 0.06, 8, -128)
    f = n.op("Flatten", [n.q(n.op("GlobalAveragePool", [a]), 0.0002, 16)])
    return n, n.q(n.op("Gemm", [f, n.weights((4, 10))]), 0.0004, 16)


def test_softmax_reads_16_bits():
    n, logits = _logits()
    proto = n.model(n.q(n.op("Softmax", [logits], axis=-1), 1 / 256, 8, -128))
    artifact = edgec.compile(proto, "generic-c")
    assert [op.opcode for op in artifact.program.ops][-2:] == ["conv2d_s16", "softmax_s16"]
    x = np.random.default_rng(4).normal(0, 2, (50, 3, 8, 6)).astype(np.float32)
    assert compare(artifact, x) > 0
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"x": v[None]})[0] for v in x])
    assert np.abs(artifact.run(x) - wanted).max() <= 1.01 / 256


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_few_macs_are_not_worth_a_kernel(target):
    n, logits = _logits()
    artifact = edgec.compile(n.model(n.q(n.op("Softmax", [logits], axis=-1), 1 / 256, 8, -128)), target)
    assert [k.symbol for k in artifact.kernels][-2:] == ["edgec_s16_conv2d__ref", "edgec_s16_softmax__ref"]


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
def test_indices_of_16_bits(kind):
    n, logits = _logits()
    proto = n.model(n.op(kind, [logits], axis=1, keepdims=0), TensorProto.INT64)
    artifact = edgec.compile(proto, "generic-c")
    assert artifact.program.ops[-1].opcode == "argmax_s16"
    x = np.random.default_rng(6).normal(0, 2, (200, 3, 8, 6)).astype(np.float32)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"x": v[None]})[0] for v in x])
    assert (artifact.run(x).reshape(-1) == wanted).mean() >= 0.99
    assert compare(artifact, x[:5]) > 0


def test_softmax_to_16_bits_is_refused():
    n, logits = _logits()
    with pytest.raises(ModelError, match="Softmax to 16 bits"):
        edgec.compile(n.model(n.q(n.op("Softmax", [logits], axis=-1), 1 / 32767, 16)), "generic-c")


def test_what_knows_only_8_bits_is_refused():
    n = Net((1, 3, 8, 6))
    a = n.q(n.op("Conv", [n.q("x", 0.05, 8), n.weights((4, 3, 3, 3))]), 0.001, 16)
    proto = n.model(n.q(n.op("MaxPool", [a], kernel_shape=[2, 2]), 0.001, 16))
    with pytest.raises(ModelError, match="16 bits"):
        edgec.compile(proto, "generic-c")


def test_back_to_8_bits_by_quantizing_again():
    n = Net((1, 3, 8, 6))
    a = n.q(n.op("Conv", [n.q("x", 0.05, 8), n.weights((4, 3, 3, 3))]), 0.001, 16)
    b = n.q(a, 0.2, 8, 4)
    artifact = edgec.compile(n.model(n.q(n.op("MaxPool", [b], kernel_shape=[2, 2]), 0.2, 8, 4)), "generic-c")
    assert "rescale_s16" in [op.opcode for op in artifact.program.ops]
    assert compare(artifact, np.random.default_rng(3).normal(0, 2, (4, 3, 8, 6)).astype(np.float32)) > 0


def test_a_zero_point_of_16_bits_is_refused():
    n = Net((1, 3, 8, 6))
    with pytest.raises(ModelError, match="int16 with a zero_point"):
        edgec.compile(n.model(n.q(n.op("Conv", [n.q("x", 0.05, 8), n.weights((4, 3, 3, 3))]), 0.001, 16, 7)), "generic-c")
