"""Models quantized by ONNX Runtime: int8 and uint8, QDQ and QLinear operators. Every layer, fed with ONNX Runtime's own
integers, gives ONNX Runtime's integers to within one step; how often they differ is printed (pytest -s)."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import edgec
from edgec import run
from edgec.importer import import_model
from edgec.lower import Lowering
from edgec.ops import OPERATORS
from tests.models import MLPERF, network
from tests.onnx_graphs import model, node


class _Reader(CalibrationDataReader):
    def __init__(self, name, samples):
        self.rows = iter([{name: s[None]} for s in samples])

    def get_next(self):
        return next(self.rows, None)


def quantized(name, folder, form, activation, per_channel=True, weights=QuantType.QInt8):
    net = network(name)
    pre, path = folder / "pre.onnx", folder / "q.onnx"
    quant_pre_process(str(net.path), str(pre), skip_symbolic_shape=True)
    port = onnx.load(pre).graph.input[0].name
    quantize_static(str(pre), str(path), _Reader(port, net.calibration[:16]), quant_format=form, per_channel=per_channel, activation_type=activation, weight_type=weights)
    return path, port, net.samples


@pytest.mark.parametrize("activation", [QuantType.QInt8, QuantType.QUInt8], ids=["int8", "uint8"])
@pytest.mark.parametrize("name", ["digits", *MLPERF])
def test_layers_of_qdq_models(name, activation, tmp_path):
    path, port, samples = quantized(name, tmp_path, QuantFormat.QDQ, activation)
    model = import_model(path)
    walk = Lowering(model)
    program = walk.walk()
    physical = _integers(path, port, samples[0], walk)
    compared = differing = 0
    for op in program.ops:
        if not all(t in physical for t in op.inputs) or op.outputs[0] not in physical:
            continue
        got = OPERATORS[op.opcode].golden(op, [physical[t] for t in op.inputs], program.values(op))[0].reshape(-1).astype(int)
        steps = np.abs(got - physical[op.outputs[0]].reshape(-1))
        assert steps.max() <= 1, f"{op.name}: {steps.max()} steps"
        compared, differing = compared + steps.size, differing + int((steps > 0).sum())
    assert compared > 0
    print(f"{name}: {differing} of {compared} values differ by one step")


def _integers(path, port, sample, walk):
    """ONNX Runtime's 8-bit tensors of one sample by program tensor, int8 in physical order.

    Graph optimizations are off: each operator then computes in float between its DequantizeLinear and QuantizeLinear.
    """
    proto = onnx.load(path)
    wanted = {n.output[0]: n for n in proto.graph.node if n.op_type == "QuantizeLinear"}
    known = {v.name: view for v, view in walk.views.items() if v.name in wanted and view.flattened is None}
    types = {t.name: t.data_type for t in proto.graph.initializer}
    for name in known:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, types[wanted[name].input[2]], None))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = session.run(list(known), {port: sample[None]})
    result = {}
    for (_, view), array in zip(known.items(), arrays, strict=True):
        shifted = array.astype(int) - (128 if array.dtype == np.uint8 else 0)
        result[view.tensor.name] = shifted.reshape(view.shape).transpose(view.order).astype(np.int8)
    return result


@pytest.mark.parametrize("activation", [QuantType.QInt8, QuantType.QUInt8], ids=["int8", "uint8"])
@pytest.mark.parametrize("name", ["digits", "ds_cnn", "mobilenet_v1_025_vww"])
def test_qlinear_operators(name, activation, tmp_path):
    path, port, samples = quantized(name, tmp_path, QuantFormat.QOperator, activation)
    assert any(n.op_type == "QLinearConv" for n in onnx.load(path).graph.node)
    artifact = edgec.compile(path, "host")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    theirs = np.concatenate([session.run(None, {port: x[None]})[0] for x in samples[:20]])
    ours = artifact.run(samples[:20], on="interpreter")
    assert (theirs.argmax(-1) == ours.argmax(-1)).mean() >= 0.95
    assert np.abs(theirs - ours).max() < 0.1


def test_uint8_weights_and_per_tensor_weights(tmp_path):
    for weights, per_channel in ((QuantType.QUInt8, False), (QuantType.QInt8, False)):
        try:
            path, port, samples = quantized("digits", tmp_path, QuantFormat.QDQ, QuantType.QUInt8, per_channel, weights)
            artifact = edgec.compile(path, "host")
        except edgec.ModelError as error:
            assert "zero_point" in str(error) and "symmetrically" in str(error)  # uint8 weights far from around 128
            continue
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        theirs = np.concatenate([session.run(None, {port: x[None]})[0] for x in samples[:20]])
        assert (theirs.argmax(-1) == artifact.run(samples[:20], on="interpreter").argmax(-1)).mean() >= 0.95


def _qdq_layer(kind, weights, zero_point, axis=None):
    """x → Q → DQ → Conv or Gemm with weights behind DequantizeLinear with a zero_point → Q → DQ → y."""
    shape = [1, 3, 6, 5] if kind == "Conv" else [1, 12]
    scale = np.full(np.shape(zero_point), 0.01, np.float32) * (1 + np.arange(np.size(zero_point)).reshape(np.shape(zero_point)))
    constants = {"sx": np.float32(0.03), "zx": np.uint8(110), "sy": np.float32(0.11), "zy": np.uint8(130)}
    constants |= {"w": weights, "sw": scale.astype(np.float32), "zw": zero_point}
    dequantize = node("DequantizeLinear", ["w", "sw", "zw"], ["wd"], **({} if axis is None else {"axis": axis}))
    nodes = [
        node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]), node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]), dequantize,
        node(kind, ["xd", "wd"], ["c"], **({"transB": 1} if kind == "Gemm" else {"pads": [1, 1, 1, 1]})),
        node("QuantizeLinear", ["c", "sy", "zy"], ["cq"]), node("DequantizeLinear", ["cq", "sy", "zy"], ["y"]),
    ]  # fmt: skip
    return model(nodes, constants, {"x": shape})


@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
@pytest.mark.parametrize("case", ["uint8", "int8", "per channel"])
def test_zero_points_of_weights_are_taken_off(kind, case):
    rng = np.random.default_rng(3)
    shape = (4, 3, 3, 3) if kind == "Conv" else (4, 12)
    if case == "uint8":
        proto = _qdq_layer(kind, rng.integers(0, 238, shape).astype(np.uint8), np.uint8(110))
    elif case == "int8":
        proto = _qdq_layer(kind, rng.integers(-128, 101, shape).astype(np.int8), np.int8(-27))
    else:
        zero = np.array([100, 120, 128, 140], np.uint8)
        low, high = zero.astype(int) - 128, zero.astype(int) + 127
        weights = np.stack([rng.integers(max(a, 0), min(b, 255) + 1, shape[1:]) for a, b in zip(low, high, strict=True)]).astype(np.uint8)
        proto = _qdq_layer(kind, weights, zero, 0)
    artifact = edgec.compile(proto, "host")
    x = rng.normal(0, 1.2, (16, *[d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim[1:]])).astype(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # each operator in float between its integers
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    theirs = np.concatenate([session.run(None, {"x": v[None]})[0] for v in x])
    steps = np.abs(artifact.run(x) - theirs) / 0.11
    assert steps.max() < 1.01 and (steps > 0.5).mean() < 0.01
    assert run.compare(artifact, x[:2]) > 0


def test_weights_beyond_8_bits_around_their_zero_point_are_refused():
    weights = np.full((4, 3, 3, 3), 250, np.uint8)
    with pytest.raises(edgec.ModelError, match="do not fit 8 bits") as caught:
        edgec.compile(_qdq_layer("Conv", weights, np.uint8(100)), "host")
    assert "150" in caught.value.why and "symmetrically" in caught.value.fix
