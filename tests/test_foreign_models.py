"""Models quantized by ONNX Runtime: int8 and uint8, QDQ and QLinear operators. Every layer, fed with ONNX Runtime's own
integers, gives ONNX Runtime's integers to within one step; how often they differ is printed (pytest -s)."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import edgec
from edgec.importer import import_model
from edgec.lower import Lowering
from edgec.ops import OPERATORS
from tests.models import MLPERF, network


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
            assert "zero_point" in str(error) and "symmetrically" in str(error)  # uint8 weights not around 128
            continue
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        theirs = np.concatenate([session.run(None, {port: x[None]})[0] for x in samples[:20]])
        assert (theirs.argmax(-1) == artifact.run(samples[:20], on="interpreter").argmax(-1)).mean() >= 0.95
