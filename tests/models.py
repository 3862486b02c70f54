"""The networks that end-to-end tests compile: the committed ones always, the shared ones where EDGEC_SHARED has them.

Each is quantized once for all test processes: the QDQ model is kept beside pytest's temporary folders, and compiling it for a
target takes well under a second.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import edgec
from edgec.artifact import Artifact
from edgec.files import write_file
from tests.narrow import narrowed

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("EDGEC_SHARED", ROOT.parent / "shared"))
COMMITTED = ("digits", "depthwise")
INT4 = "_int4"
"""Behind a network's name: the same float model and inputs, all weights rounded to 4 bits, nearest."""
WITH_INT4 = {"residual_sums": False, "wide_where_cheap": False}
"""Quantization options of these: what layers of 4 bits do not have."""
NARROW = ("digits_int4", "ds_cnn_int4")
MLPERF = ("ds_cnn", "resnet8", "mobilenet_v1_025_vww", "fc_autoencoder", "streaming_wakeword")


@dataclass(frozen=True)
class Network:
    """A float model with real (or, where there are none, seeded) inputs: calibration and samples are float32 [N, …]."""

    name: str
    path: Path
    calibration: np.ndarray
    samples: np.ndarray


def network(name: str) -> Network:
    """The network of that name; skips the test where the shared models are absent."""
    if name.endswith(INT4):
        return replace(network(name.removesuffix(INT4)), name=name)
    if name == "digits":
        data = np.load(ROOT / "examples" / "digits" / "digits.npz")
        return Network(name, ROOT / "examples" / "digits" / "digits.onnx", data["x_calibration"], data["x_test"])
    if name == "depthwise":
        from tests.networks.depthwise import calibration

        x = calibration()
        return Network(name, ROOT / "tests" / "networks" / "depthwise.onnx", x, x[::-1])
    path = SHARED / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"the shared models are absent; enable with: EDGEC_SHARED=<folder with models/{name}.onnx>")
    return Network(name, path, *_shared_inputs(name))


def _shared_inputs(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "ds_cnn":
        data = np.load(SHARED / "data" / "kws.npz")
        x = ((data["x"].astype(np.float32) - data["zero_point"]) * data["scale"]).astype(np.float32)
        return x[:100], x[100:]
    if name == "fc_autoencoder":
        x = np.load(SHARED / "data" / "toycar.npz")["x"]
        return x[:20], x[20:]
    if name == "streaming_wakeword":
        rng = np.random.default_rng(3)
        x = rng.normal(0, 1, (120, 30, 1, 40)).cumsum(axis=1).astype(np.float32)
        return x[:60], x[60:]
    data = np.load(SHARED / "data" / "cifar10.npz")
    if name == "resnet8":
        return data["x_train"][:256].astype(np.float32), data["x_val"].astype(np.float32)
    large = [np.repeat(np.repeat(data[k][:n], 3, 1), 3, 2).astype(np.float32) / 255 for k, n in (("x_train", 64), ("x_val", 40))]
    return large[0], large[1]


def compiled(name: str, target: str) -> Artifact:
    """The network compiled for target, from its cached QDQ model."""
    net = network(name)
    key = hashlib.sha256(net.path.read_bytes() + _sources()).hexdigest()[:16]
    cache = Path(tempfile.gettempdir()) / f"edgec-tests-{os.getuid()}"
    cache.mkdir(exist_ok=True)
    qdq = cache / f"{name}-{key}.onnx"
    if not qdq.is_file():
        made = cache / f"{name}-{key}-{os.getpid()}.onnx"
        edgec.compile(net.path, "generic-c", calibration=net.calibration, save_qdq=made, quantize=WITH_INT4 if name.endswith(INT4) else None)
        model = made.read_bytes()
        write_file(qdq, narrowed(onnx.load_from_string(model)).SerializeToString() if name.endswith(INT4) else model)
        made.unlink()
    return edgec.compile(qdq, target)


def _sources() -> bytes:
    """The Python sources that the QDQ model depends on."""
    files = sorted(p for folder in ("graph", "compress") for p in (ROOT / "edgec" / folder).glob("*.py*"))
    return b"".join(p.read_bytes() for p in [*files, ROOT / "edgec" / "importer.py", ROOT / "tests" / "narrow.py"] if p.suffix in (".py", ".pyx"))
