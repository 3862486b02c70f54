"""Float models as torch modules: the same numbers as ONNX Runtime, for one sample and for several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from edgec import graph, importer
from edgec.errors import EdgecError, ModelError
from tests import onnx_nodes
from tests.conftest import enable
from tests.models import COMMITTED, MLPERF, network
from tests.onnx_graphs import model, node, run_float

torch = pytest.importorskip("torch", reason=enable("torch is not installed", "pip install torch==2.13.0"))

from edgec.compress.distillation.network import FloatNetwork  # noqa: E402
from edgec.compress.distillation.operators import OPERATORS  # noqa: E402

EXPORTS = sorted((Path(__file__).parent / "networks" / "torch").glob("*.onnx"))
LEAST_NODES = 330
"""ONNX backend node tests whose operator has a counterpart."""


def outputs_of(net: FloatNetwork, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: y.numpy() for name, y in net({k: torch.from_numpy(v) for k, v in feeds.items()}).items()}


def check(imported: ir.Model, feeds: dict[str, np.ndarray], tolerance: float = 2e-5) -> None:
    """feeds: [samples, *shape]. Errors relative to the output's largest value."""
    net = FloatNetwork(imported)
    got = outputs_of(net, feeds)
    proto = ir.to_proto(imported)
    for i in range(len(next(iter(feeds.values())))):
        for name, want in zip(net.outputs, run_float(proto, {k: v[i] for k, v in feeds.items()}), strict=True):
            assert got[name][i].shape == want.shape
            finite = np.isfinite(want)
            np.testing.assert_array_equal(np.isfinite(got[name][i]), finite)
            largest = max(float(np.abs(want[finite]).max(initial=0)), 1e-30)
            assert np.abs(got[name][i][finite] - want[finite]).max(initial=0) <= tolerance * largest


@pytest.mark.parametrize("name", [*COMMITTED, *MLPERF])
@pytest.mark.parametrize("optimized", [False, True])
def test_networks(name, optimized):
    net = network(name)
    imported = importer.import_model(net.path)
    imported = graph.optimize(imported)[0] if optimized else imported
    value = imported.graph.inputs[0]
    check(imported, {value.name: net.samples[:3].astype(np.float32).reshape(3, *value.shape)})


@pytest.mark.parametrize("path", EXPORTS, ids=lambda p: p.stem)
def test_torch_exports(path):
    imported = importer.import_model(path)
    rng = np.random.default_rng(5)
    check(imported, {v.name: rng.normal(0, 1, (2, *v.shape)).astype(np.float32) for v in imported.graph.inputs})


def test_onnx_node_tests():
    """Every backend node test of an operator that has a counterpart, on two samples; most have shapes without a leading 1."""
    done = 0
    for case in onnx_nodes.cases():
        if any(n.op_type not in OPERATORS for n in case.model.graph.node):
            continue
        proto = onnx.ModelProto()
        proto.CopyFrom(case.model)
        inputs = [x for x in case.data_sets[0][0]]
        if any(not isinstance(x, np.ndarray) for x in inputs):
            continue
        feeds = {}
        parameters = {name for n in proto.graph.node if n.op_type in onnx_nodes.PARAMETERS for name in n.input[1:]}
        for port, x in zip(list(proto.graph.input), inputs, strict=False):
            if x.dtype == np.float32 and x.ndim > 0 and port.name not in parameters:
                feeds[port.name] = np.stack([x, x[::-1]])
            else:
                proto.graph.initializer.append(numpy_helper.from_array(x, port.name))
                proto.graph.input.remove(port)
        if not feeds:
            continue
        try:
            imported = importer.import_model(proto)
            net = FloatNetwork(imported)
        except EdgecError:
            continue
        if any(o.dtype != ir.DataType.FLOAT for o in imported.graph.outputs):
            continue
        try:
            want = [run_float(ir.to_proto(imported), {k: v[i] for k, v in feeds.items()}) for i in (0, 1)]
        except Exception:  # noqa: S112 - ONNX Runtime lacks it
            continue
        got = outputs_of(net, feeds)
        for i in (0, 1):
            for name, expected in zip(net.outputs, want[i], strict=True):
                np.testing.assert_allclose(got[name][i], expected, rtol=1e-4, atol=1e-5, err_msg=case.name)
        done += 1
    assert done >= LEAST_NODES


def test_constants_with_a_leading_axis_of_one_reach_every_sample():
    rng = np.random.default_rng(0)
    constants = {"c": rng.normal(0, 1, (1, 3, 1, 1)), "k": rng.normal(0, 1, (1, 2, 4, 4)), "s": np.array([1, 80])}
    nodes = [
        node("Mul", ["x", "c"], ["a"]),
        node("Concat", ["a", "k"], ["b"], axis=1),
        node("Reshape", ["b", "s"], ["y"]),
    ]
    proto = model(nodes, {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in constants.items()}, {"x": (1, 3, 4, 4)})
    check(importer.import_model(proto), {"x": rng.normal(0, 1, (5, 1, 3, 4, 4)).astype(np.float32)})


def test_a_node_without_counterpart_is_named():
    proto = model([node("Relu", ["x"], ["a"]), node("LRN", ["a"], ["y"], size=3, name="odd")], {}, {"x": (1, 4, 5, 5)})
    with pytest.raises(ModelError, match="odd") as error:
        FloatNetwork(importer.import_model(proto))
    assert "LRN" in error.value.why and "cannot be trained" in error.value.what


def test_weights_are_parameters_and_other_constants_are_not():
    rng = np.random.default_rng(0)
    constants = {n: rng.normal(0, 1, s).astype(np.float32) for n, s in (("w", (4, 3, 3, 3)), ("b", (4,)), ("m", (1, 4, 1, 1)))}
    proto = model([node("Conv", ["x", "w", "b"], ["a"]), node("Mul", ["a", "m"], ["y"])], constants, {"x": (1, 3, 6, 6)})
    net = FloatNetwork(importer.import_model(proto))
    assert set(net.trained) == {"w", "b"} and set(net.arrays()) == {"w", "b"}
    np.testing.assert_array_equal(net.arrays()["w"], constants["w"])
    assert not list(FloatNetwork(importer.import_model(proto), trainable=False).parameters())
