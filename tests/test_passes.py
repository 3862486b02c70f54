"""Compression passes: alone, in a row, in compile(); mistakes are UsageErrors."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import edgec
from edgec.errors import UsageError
from tests.models import network


@pytest.fixture(scope="module")
def digits():
    return network("digits")


def test_quantize_alone_is_what_compile_does(digits, tmp_path):
    made = edgec.Quantize(digits.calibration)(digits.path)
    onnx.checker.check_model(made.proto())
    path = made.save(tmp_path / "digits.qdq.onnx")
    alone = edgec.compile(path, "generic-c")
    inside = edgec.compile(digits.path, "generic-c", calibration=digits.calibration)
    x = digits.samples[:20]
    assert np.array_equal(alone.run(alone.quantize_input(x)), inside.run(inside.quantize_input(x)))
    assert made.report["pass"] == "Quantize" and made.report["samples"] > 0


def test_options_reach_the_quantizer(digits):
    minmax = edgec.compile(digits.path, "generic-c", calibration=digits.calibration, quantize={"ranges": "minmax"})
    same = edgec.compile(digits.path, "generic-c", passes=[edgec.Quantize(digits.calibration, ranges="minmax")])
    assert minmax.program.constants.keys() == same.program.constants.keys()
    assert all(np.array_equal(minmax.program.constants[k].data, same.program.constants[k].data) for k in same.program.constants)


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda d: edgec.Quantize()(d.path), "Quantize needs samples"),
        (lambda d: edgec.Quantize(d.calibration, range="mse"), "unknown quantization option"),
        (lambda d: edgec.Quantize(d.calibration)(edgec.Quantize(d.calibration)(d.path)), "Quantize needs a float model"),
        (lambda d: edgec.compile(d.path, "host", calibration=d.calibration, passes=["prune"]), "is not a pass"),
        (lambda d: edgec.compile(d.path, "host", passes=[edgec.Quantize()]), "needs calibration data"),
    ],
)
def test_mistakes(digits, call, what):
    with pytest.raises(UsageError, match=what):
        call(digits)


def test_passes_want_a_float_model(digits):
    qdq = edgec.Quantize(digits.calibration)(digits.path).proto()
    with pytest.raises(UsageError, match="cannot be compressed further"):
        edgec.compile(qdq, "host", passes=[edgec.Quantize(digits.calibration)])
