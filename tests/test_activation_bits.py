"""Quantization with activations of 16 bits: asked for by name, for all, or chosen by gain; what it gives, and what is refused."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

import edgec
from edgec.errors import UsageError
from edgec.run import compare
from tests.models import network


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


@pytest.mark.parametrize(
    "bits, what", [(12, "activations of 12 bits"), ({"no such tensor": 16}, "no tensor"), ({"input": 16}, "cannot have 16 bits")]
)
def test_mistakes(digits, bits, what):
    if bits == {"input": 16}:
        bits = {edgec.compile(digits.path, "generic-c", calibration=digits.calibration, quantize={"output_ranges": False}).program.inputs[0].name: 16}
    with pytest.raises(UsageError, match=what):
        _compiled(digits, activation_bits=bits)
