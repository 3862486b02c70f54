"""Quantization with activations of 16 bits: asked for by name, for all, or chosen by gain; what it gives, and what is refused."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

import edgec
from edgec.errors import UsageError
from edgec.run import compare
from tests.models import network
from tests.test_graph_passes import Net


@pytest.fixture(scope="module")
def digits():
    return network("digits")


def _compiled(net, **options):
    return edgec.compile(net.path, "generic-c", calibration=net.calibration, quantize={"output_ranges": False, **options})


def _sqnr(net, artifact) -> float:
    session = ort.InferenceSession(net.path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    wanted = np.concatenate([session.run(None, {name: x[None]})[0] for x in net.samples[:100]])
    got = artifact.run(net.samples[:100])
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum()))


def test_all_that_can_have_16_bits(digits):
    wide = _compiled(digits, activation_bits=16)
    assert {"conv2d_s16"} <= {op.opcode for op in wide.program.ops}
    assert compare(wide, digits.samples[:8]) > 0
    assert _sqnr(digits, wide) > _sqnr(digits, _compiled(digits)) + 1


def test_the_qdq_model_runs_in_onnx_runtime(digits, tmp_path):
    path = edgec.Quantize(digits.calibration, activation_bits=16, output_ranges=False)(digits.path).save(tmp_path / "wide.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    artifact = edgec.compile(path, "generic-c")
    name = session.get_inputs()[0].name
    wanted = np.concatenate([session.run(None, {name: x[None]})[0] for x in digits.samples[:20]])
    assert np.abs(artifact.run(digits.samples[:20]) - wanted).max() <= 2 / 256


def test_one_tensor_by_name(digits):
    first = edgec.Quantize(digits.calibration, output_ranges=False)(digits.path).report["tensors"]
    able = next(t["name"] for t in first[1:-2])
    artifact = _compiled(digits, activation_bits={able: 16})
    assert sum(t.dtype == "int16" for t in artifact.program.tensors.values()) == 1
    assert compare(artifact, digits.samples[:4]) > 0


def test_a_rung_that_chooses(digits):
    artifact = _compiled(digits, wide_tensors=1)
    rungs = {r["name"]: r for r in artifact.manifest["quantization"]["rungs"]}
    wide = sum(t.dtype == "int16" for t in artifact.program.tensors.values())
    assert wide == (1 if rungs.get("16-bit activations", {}).get("kept") else 0)


def _classifier(last: str = "Softmax") -> Net:
    """Two convolutions that have nearly all MACs, → average → dense → last."""
    net = Net(("x", (1, 3, 16, 16)), seed=7)
    y = net.add("Relu", net.add("Conv", "x", net.random(24, 3, 3, 3), net.random(24), pads=[1, 1, 1, 1]))
    y = net.add("Relu", net.add("Conv", y, net.random(24, 24, 3, 3), net.random(24)))
    y = net.add("Flatten", net.add("GlobalAveragePool", y))
    logits = net.add("Gemm", y, net.random(6, 24), net.random(6), transB=1)
    net.result = net.add(last, logits) if last else logits
    return net


def _tried(net: Net, **options) -> tuple[edgec.Artifact, dict[str, bool]]:
    x = np.random.default_rng(8).standard_normal((60, 3, 16, 16)).astype(np.float32)
    artifact = edgec.compile(net.model(net.result), "generic-c", calibration=x, quantize={"output_ranges": False, **options})
    assert compare(artifact, x[:4]) > 0
    return artifact, {r["name"]: r["kept"] for r in artifact.manifest["quantization"]["rungs"] if r["name"].startswith("16 bits for ")}


def test_logits_are_tried_where_16_bits_cost_next_to_nothing():
    artifact, rungs = _tried(_classifier())
    wide = [t.name for t in artifact.program.tensors.values() if t.dtype == "int16"]
    assert len(rungs) == 1 and len(wide) == sum(rungs.values()) == 1
    assert [op.opcode for op in artifact.program.ops][-2:] == ["conv2d_s16", "softmax_s16"]


@pytest.mark.parametrize(
    "last, options", [("Softmax", {"wide_where_cheap": False}), ("", {}), ("Sigmoid", {}), ("Softmax", {"weight_bits": 4})],
    ids=["turned off", "the output is the user's", "its reader knows 8 bits", "weights of 4 bits"],
)  # fmt: skip
def test_what_is_not_tried(last, options):
    artifact, rungs = _tried(_classifier(last), **options)
    assert not rungs and not any(t.dtype == "int16" for t in artifact.program.tensors.values())


@pytest.mark.parametrize(
    "bits, what", [(12, "activations of 12 bits"), ({"no such tensor": 16}, "no tensor"), ({"input": 16}, "cannot have 16 bits")]
)
def test_mistakes(digits, bits, what):
    if bits == {"input": 16}:
        bits = {edgec.compile(digits.path, "generic-c", calibration=digits.calibration, quantize={"output_ranges": False}).program.inputs[0].name: 16}
    with pytest.raises(UsageError, match=what):
        _compiled(digits, activation_bits=bits)
