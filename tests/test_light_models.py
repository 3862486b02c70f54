"""The light models inside the onnx package: real architectures whose weights are constants made by ConstantOfShape.

Their weights are all alike, so what they compute says nothing about accuracy; that they import, plan and run on the host with the
interpreter's bytes, does.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest

import edgec
from edgec import run

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
QUICK = {"rounding": "nearest", "weight_search": False, "bias_correction": False, "equalize": (0, 0)}
SMALL = ("squeezenet", "shufflenet", "inception_v1")
LARGE = ("bvlc_alexnet", "densenet121", "inception_v2", "resnet50", "vgg19", "zfnet512")


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_light_model(name):
    path = LIGHT / f"light_{name}.onnx"
    x = np.random.default_rng(1).normal(0, 1, (1, 3, 224, 224)).astype(np.float32)
    artifact = edgec.compile(path, "host", calibration=x, quantize=QUICK)
    assert run.compare(artifact, x) == 1000
