"""Weights of 4 bits: two a byte in files, INT4 and UINT4 from QDQ models of any origin, and the same numbers as in 8 bits."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgec
from edgec import targets
from edgec.compress.qdq import insert_qdq
from edgec.emit import artifact
from edgec.emit.kernels import all_kernels, select
from edgec.errors import EdgecError, ModelError, ProgramError
from edgec.ir import interp, text
from edgec.ir.core import Program
from edgec.ir.verify import verify
from edgec.ops import OPERATORS
from edgec.ops.dense import dense_case
from edgec.ops.weights import pack_nibbles, unpack_nibbles
from edgec.plan import make_plan
from tests.models import compiled, network

CASES = [p for opcode in ("conv2d", "depthwise_conv2d", "dense") for p in OPERATORS[opcode].cases() if p.ops[0].attrs["weight_bits"] == 4]


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (3, 7), (2, 8), (5, 1)])
def test_nibbles_come_back(rows, count):
    values = np.random.default_rng(count).integers(-8, 8, (rows, count)).astype(np.int8)
    packed = pack_nibbles(values)
    assert packed.shape == (rows, (count + 1) // 2)
    np.testing.assert_array_equal(unpack_nibbles(packed, count), values)
    assert packed[0, 0] & 15 == values[0, 0] % 16, "the first value is in the low half"


def test_every_pair_of_nibbles():
    values = np.array([(low, high) for high in range(-8, 8) for low in range(-8, 8)], np.int8)
    np.testing.assert_array_equal(unpack_nibbles(pack_nibbles(values), 2), values)


def _encode(program: Program, name: str) -> bytes:
    target = targets.load(name)
    kernels = [select(op, target) for op in program.ops]
    return artifact.encode(program, make_plan(program, kernels), kernels, target, {})


@pytest.mark.parametrize("target", ["generic-c", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("program", CASES, ids=lambda p: p.name)
def test_artifacts_hold_the_program(program, target):
    assert text.to_text(artifact.decode(_encode(program, target)).program) == text.to_text(program)


def test_text_form():
    program = CASES[0]
    printed = text.to_text(program)
    assert "int4[16, 3, 3, 16]" in printed and "weight_bits=4" in printed
    assert text.to_text(text.parse(printed)) == printed


def _changed(program: Program, *, attrs=None, weights=None, dtype=None, bias=None, bias_dtype=None) -> Program:
    (op,) = program.ops
    constants = dict(program.constants)
    w, b, _ = (constants[c] for c in op.constants)
    constants[w.name] = replace(w, data=w.data if weights is None else weights, dtype=dtype or w.dtype)
    constants[b.name] = replace(b, data=b.data if bias is None else bias, dtype=bias_dtype or b.dtype)
    return replace(program, ops=(replace(op, attrs=dict(op.attrs) | (attrs or {})),), constants=constants)


def _deep(features: int) -> Program:
    """A dense layer of weights −8, without biases."""
    program = dense_case(OPERATORS["dense"], "deep", 1, features, 1, seed=1, bits=4)
    return _changed(program, weights=np.full((1, features), -8), bias=np.zeros(1))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p: _changed(p, attrs={"weight_bits": 8}), "constants of"),
        (lambda p: _changed(p, dtype="int8"), "constants of"),
        (lambda p: _changed(p, attrs={"weight_bits": 5}), "constants of"),
        (lambda p: _changed(p, weights=np.full_like(p.values(p.ops[0])[0], 8)), "outside int4"),
        (lambda p: _changed(p, bias_dtype="int32"), "constants of"),
        (lambda p: _deep(2**17), "beyond int28"),
    ],
)
def test_verifier(change, why):
    verify(CASES[0])
    with pytest.raises(ProgramError, match=why):
        verify(change(CASES[0]))


def test_as_many_taps_as_the_headroom_allows():
    verify(_deep(2**17 - 1))


@pytest.mark.parametrize("kernel", [k for k in all_kernels() if "_s8w4_" in k.symbol], ids=lambda k: k.symbol)
def test_device_packings_hold_biases_of_16_bits(kernel):
    """Both ends of int16 come back, what lies outside is refused: no program could hold it."""
    program = next(p for p in CASES if p.ops[0].opcode == kernel.opcode and OPERATORS[kernel.opcode].applies(p.ops[0], kernel.symbol))
    (op,) = program.ops
    w, _, multiplier = program.values(op)
    packing = OPERATORS[op.opcode].packings[kernel.packing]

    def unpacked(values: np.ndarray) -> np.ndarray:
        stored = [np.ascontiguousarray(v).reshape(-1).view(np.int8) for v in packing.pack(op, [w, values, multiplier])]
        found = packing.unpack(op, stored)[1]
        return found.view(np.int16) if found.dtype == np.int8 else found

    ends = np.resize(np.array([2**15 - 1, -(2**15)], np.int16), multiplier.size)
    np.testing.assert_array_equal(unpacked(ends), ends)
    assert unpacked(ends).dtype == np.int16
    if kernel.packing != "n1":
        for beyond in (2**15, -(2**15) - 1):
            with pytest.raises(ValueError, match="outside int16"):
                unpacked(np.full(multiplier.size, beyond, np.int32))


def test_the_arithmetic_is_that_of_8_bits():
    for program in CASES:
        x = {t: np.random.default_rng(1).integers(-128, 128, program.tensors[t].shape).astype(np.int8) for t in program.ops[0].inputs}
        wide = _changed(program, attrs={"weight_bits": 8}, dtype="int8", bias_dtype="int32")
        verify(wide)
        for a, b in zip(interp.run(program, x).values(), interp.run(wide, x).values(), strict=True):
            np.testing.assert_array_equal(a, b)


# --- QDQ models that others made ------------------------------------------------------------------------------------------------


def qdq(
    kind: str, x: tuple[int, ...], values: np.ndarray, scale: np.ndarray, zero: np.ndarray | None, *, bias: np.ndarray | None = None,
    axis: int = 0, block: int = 0, **attributes,
) -> onnx.ModelProto:  # fmt: skip
    """One Conv, Gemm, MatMul or ConvTranspose between QuantizeLinear and DequantizeLinear; values of an ml_dtypes 4-bit type."""
    s, z, ys, yz = np.float32(0.05), np.int8(-7), np.float32(0.4), np.int8(3)
    constants = {"s": s, "z": z, "ys": ys, "yz": yz, "w": values, "ws": scale.astype(np.float32)}
    stored = ["w", "ws"]
    if zero is not None:
        constants["wz"] = zero
        stored.append("wz")
    placed = ({"axis": axis} if scale.ndim else {}) | ({"block_size": block} if block else {})
    inputs = ["xd", "wd"]
    if bias is not None:
        constants["b"] = bias.astype(np.float32)
        inputs.append("b")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", stored, ["wd"], **placed),
        helper.make_node(kind, inputs, ["h"], name="layer", **attributes),
        helper.make_node("QuantizeLinear", ["h", "ys", "yz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "foreign", *ports, [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def agrees(model: onnx.ModelProto, bits: int) -> None:
    """Compiled, the layer's weights have so many bits, and its integers are ONNX Runtime's to within one step."""
    made = edgec.compile(model.SerializeToString(), "generic-c")
    (op,) = [op for op in made.program.ops if op.opcode not in ("transpose", "lookup")]
    assert made.program.constants[op.constants[0]].dtype == f"int{bits}" and op.attrs.get("weight_bits", 8) == bits
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(4).normal(0, 2, shape).astype(np.float32)
    want, got = session.run(None, {"x": x})[0], np.asarray(made.run(x, on="interpreter"))
    assert np.abs(want - got.reshape(want.shape)).max() <= 0.4 * 1.001


RNG = np.random.default_rng(11)
CONV = RNG.integers(-8, 8, (6, 5, 3, 3))


def int4(values) -> np.ndarray:
    return np.asarray(values).astype(ml_dtypes.int4)


def uint4(values) -> np.ndarray:
    return np.asarray(values).astype(ml_dtypes.uint4)


def test_per_channel():
    agrees(qdq("Conv", (1, 5, 8, 7), int4(CONV), RNG.uniform(0.01, 0.1, 6), int4(np.zeros(6)), bias=RNG.normal(0, 1, 6), pads=[1, 1, 1, 1]), 4)


def test_per_tensor_without_a_zero_point():
    agrees(qdq("Conv", (1, 5, 8, 7), int4(CONV), np.array(0.05), None, strides=[2, 2]), 4)


def test_depthwise():
    agrees(qdq("Conv", (1, 6, 8, 7), int4(CONV[:, :1]), RNG.uniform(0.05, 0.1, 6), int4(np.zeros(6)), group=6, pads=[1, 1, 1, 1]), 4)


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_dense(kind):
    w = RNG.integers(-8, 8, (31, 10))
    agrees(qdq(kind, (1, 31), int4(w), RNG.uniform(0.01, 0.1, 10), int4(np.zeros(10)), axis=1), 4)


def test_unsigned_around_8_is_int4():
    agrees(qdq("Conv", (1, 5, 8, 7), uint4(CONV + 8), RNG.uniform(0.01, 0.1, 6), uint4(np.full(6, 8)), pads=[1, 1, 1, 1]), 4)


def test_unsigned_around_other_numbers_is_exact_in_8_bits():
    agrees(qdq("Conv", (1, 5, 8, 7), uint4(CONV + 8), RNG.uniform(0.01, 0.1, 6), uint4([0, 3, 8, 15, 7, 8]), pads=[1, 1, 1, 1]), 8)


def test_transposed_convolution_takes_them_as_8_bits():
    agrees(qdq("ConvTranspose", (1, 6, 4, 5), int4(CONV[:, :2]), RNG.uniform(0.01, 0.1, 2), int4(np.zeros(2)), axis=1), 8)


def test_blocks_of_one_scale_are_that_scale():
    w, scale = RNG.integers(-8, 8, (32, 10)), RNG.uniform(0.01, 0.1, 10)
    agrees(qdq("MatMul", (1, 32), int4(w), np.tile(scale, (2, 1)), int4(np.zeros((2, 10))), axis=0, block=16), 4)


def test_blocks_with_scales_of_their_own_are_refused():
    model = qdq("MatMul", (1, 32), int4(RNG.integers(-8, 8, (32, 10))), RNG.uniform(0.01, 0.1, (2, 10)), int4(np.zeros((2, 10))), axis=0, block=16)
    with pytest.raises(ModelError) as caught:
        edgec.compile(model.SerializeToString(), "generic-c")
    assert "blocks of 16 along axis 0" in caught.value.why and "8 bits for this layer" in caught.value.fix


def test_scales_along_the_inputs_are_refused():
    model = qdq("MatMul", (1, 32), int4(RNG.integers(-8, 8, (32, 10))), RNG.uniform(0.01, 0.1, 32), int4(np.zeros(32)), axis=0)
    with pytest.raises(EdgecError):
        edgec.compile(model.SerializeToString(), "generic-c")


def test_a_bias_beyond_the_headroom_is_stored_in_8_bits():
    scale = np.full(6, 1e-7)
    model = qdq("Conv", (1, 5, 8, 7), int4(CONV), scale, int4(np.zeros(6)), bias=np.full(6, 3.0), pads=[1, 1, 1, 1])  # 6e8 steps
    agrees(model, 8)


@pytest.mark.parametrize(("steps", "bits"), [(32767, 4), (32768, 8), (-32768, 4), (-32769, 8)])
def test_a_folded_bias_beyond_int16_is_stored_in_8_bits(steps, bits):
    """The input's zero_point is −7: what counts is the bias with 7·Σw, here of one channel."""
    bias = np.zeros(6)
    bias[2] = steps - 7 * CONV[2].sum()
    model = qdq("Conv", (1, 5, 8, 7), int4(CONV), np.full(6, 2.0**-6), int4(np.zeros(6)), bias=bias * 0.05 * 2.0**-6, pads=[1, 1, 1, 1])
    agrees(model, bits)


# --- ours -------------------------------------------------------------------------------------------------------------------------


def test_saved_models_load_in_onnxruntime(tmp_path, monkeypatch):
    """insert_qdq writes INT4 where a layer says 4 bits; ONNX Runtime runs the file, and edgec reads it back."""

    def halved(model, placement, parameters, weights):
        for layer in weights.values():
            layer.q, layer.bits = (layer.q / 20).round().astype(np.int8), 4
            layer.scale = (layer.scale * 20).astype(np.float32)
            layer.bias = (layer.bias / 20).round().astype(np.int32)
        insert_qdq(model, placement, parameters, weights)

    monkeypatch.setattr("edgec.compress.quantization.insert_qdq", halved)
    net = network("digits")
    path = tmp_path / "digits.onnx"
    made = edgec.compile(net.path, "generic-c", calibration=net.calibration[:16], save_qdq=path, quantize={"residual_sums": False})
    assert {c.dtype for c in made.program.constants.values()} == {"int4", "int16", "int32"}
    saved = ir.load(path)
    assert saved.opset_imports[""] >= 21
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = net.samples[:8]
    want = np.concatenate([session.run(None, {session.get_inputs()[0].name: s[None]})[0] for s in x])
    step = made.program.tensors[made.program.outputs[0].tensor].scale
    assert np.abs(made.run(x, on="interpreter").reshape(want.shape) - want).max() <= 2 * step
    again = edgec.compile(path, "generic-c")
    np.testing.assert_array_equal(again.run(x, on="interpreter"), made.run(x, on="interpreter"))


def test_files_are_half_as_large():
    wide, narrow = compiled("digits", "generic-c"), compiled("digits_int4", "generic-c")
    saved = sum(wide.program.constants[c].nbytes - narrow.program.constants[c].nbytes for op in wide.program.ops if "weight_bits" in op.attrs for c in op.constants)
    assert wide.report()["weights_bytes"] - narrow.report()["weights_bytes"] >= saved - 16 * len(wide.program.ops)
