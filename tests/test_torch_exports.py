"""Networks exported by torch: nine families, both exporters, random weights.

The committed files are compiled always; with torch installed, every family is built, exported and compiled anew. SQNR is that of the
int8 network's outputs against ONNX Runtime's in float, on inputs that calibration has not seen (pytest -s prints it).
"""

from pathlib import Path

import numpy as np
import onnx
import pytest

import edgec
from edgec import run
from tests.conftest import enable
from tests.onnx_graphs import run_float, sqnr_db

FILES = sorted((Path(__file__).parent / "networks" / "torch").glob("*.onnx"))
LEAST_DB = {"efficientnet_lite": 22.0, "yolo": 18.0}
"""Lower floors, 25 dB for all others: random weights lift the rounding noise in each layer (docs/DESIGN.md, What random weights cost)."""
FAMILIES = ("resnet", "mobilenet_v2", "mobilenet_v3", "efficientnet_lite", "shufflenet", "squeezenet", "unet", "yolo", "tcn")


def check(family: str, proto: onnx.ModelProto) -> None:
    rng = np.random.default_rng(4)
    port = proto.graph.input[0]
    shape = tuple(d.dim_value for d in port.type.tensor_type.shape.dim)
    calibration, held = (rng.normal(0, 1, (n, *shape[1:])).astype(np.float32) for n in (64, 8))
    artifact = edgec.compile(proto, "host", calibration=calibration)
    assert run.compare(artifact, held[:3]) > 0
    want = np.concatenate([run_float(proto, {port.name: x[None]})[0] for x in held])
    figure = sqnr_db(want, artifact.run(held))
    print(f"{family}: {figure:.1f} dB, {len(artifact.program.ops)} operators")
    assert figure >= LEAST_DB.get(family, 25.0)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_committed_exports(path):
    check(path.stem.rsplit("_", 1)[0], onnx.load(path))


def test_silu_as_torch_writes_it_is_one_lookup():
    proto = onnx.load(next(p for p in FILES if p.stem.startswith("yolo")))
    program = edgec.compile(proto, "generic-c", calibration=np.random.default_rng(0).normal(0, 1, (8, 3, 32, 32)).astype(np.float32)).program
    assert any(n.op_type == "Mul" for n in proto.graph.node) and not any(op.opcode == "mul" for op in program.ops)


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize("family", FAMILIES)
def test_exports_made_now(family, exporter):
    reason = enable("torch is not installed", "pip install torch==2.13.0")
    pytest.importorskip("torch", reason=reason)
    from tests.networks.torch import modules

    assert tuple(modules.FAMILIES) == FAMILIES
    check(family, onnx.load_from_string(modules.export(family, exporter)))
