"""Layer, RMS and instance normalization, as operators and as exporters write them out: one length, one table, one quotient."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

import edgec
from edgec import graph, run
from edgec.importer import import_model
from tests.onnx_graphs import model, node, sqnr_db

RNG = np.random.default_rng(12)
SCALE, BIAS = RNG.normal(1, 0.2, 24).astype(np.float32), RNG.normal(0, 0.3, 24).astype(np.float32)
LOUDNESS = RNG.lognormal(0, 0.2, (64, 10, 1)).astype(np.float32)
SAMPLES = (RNG.normal(0.4, 1, (64, 10, 24)) * LOUDNESS).astype(np.float32)
X = {"x": [1, 10, 24]}
CONSTANTS = {"s": SCALE, "b": BIAS, "e": np.float32(1e-5), "two": np.float32(2), "axes": np.array([-1])}
SQUARE = {"Mul": node("Mul", ["d", "d"], ["q"]), "Pow": node("Pow", ["d", "two"], ["q"])}
ENDING = [node("Mul", ["n", "s"], ["m"]), node("Add", ["m", "b"], ["y"])]


def written_out(kind: str) -> list:
    """The nodes of exporters that have no operator for it."""
    if kind == "mean of squares less square of mean":
        parts = [node("ReduceMean", ["x", "axes"], ["u"]), node("Mul", ["x", "x"], ["q"]), node("ReduceMean", ["q", "axes"], ["v"])]
        parts += [node("Mul", ["u", "u"], ["uu"]), node("Sub", ["v", "uu"], ["var"]), node("Add", ["var", "e"], ["ve"]), node("Sub", ["x", "u"], ["d"])]
    elif kind.startswith("rms"):
        parts = [node("Identity", ["x"], ["d"]), SQUARE[kind[4:]], node("ReduceMean", ["q", "axes"], ["v"]), node("Add", ["e", "v"], ["ve"])]
    else:
        parts = [node("ReduceMean", ["x", "axes"], ["u"]), node("Sub", ["x", "u"], ["d"]), SQUARE[kind], node("ReduceMean", ["q", "axes"], ["v"])]
        parts += [node("Add", ["v", "e"], ["ve"])]
    return [*parts, node("Sqrt", ["ve"], ["r"]), node("Div", ["d", "r"], ["n"]), *ENDING]


GRAPHS = {
    "LayerNormalization": [node("LayerNormalization", ["x", "s", "b"], ["y"], axis=-1)],
    "without bias": [node("LayerNormalization", ["x", "s"], ["y"], axis=-1)],
    "RMSNormalization": [node("RMSNormalization", ["x", "s"], ["y"], axis=-1)],
    **{kind: written_out(kind) for kind in ("Mul", "Pow", "mean of squares less square of mean", "rms Mul", "rms Pow")},
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_normalization_of_rows(kind):
    proto = model(GRAPHS[kind], CONSTANTS, X, opset=23)
    artifact = edgec.compile(proto, "host", calibration=SAMPLES[:48])
    held = SAMPLES[48:]
    evaluator = ReferenceEvaluator(proto)
    want = np.concatenate([evaluator.run(None, {"x": x[None]})[0] for x in held])
    assert sqnr_db(want, artifact.run(held, on="interpreter")) > 31
    assert sum(op.opcode == "div" for op in artifact.program.ops) == 1
    assert sum(op.opcode == "table_pool2d" for op in artifact.program.ops) == 1
    assert not any(op.opcode == "mul" and op.inputs[0] == op.inputs[1] for op in artifact.program.ops), "no variance in int8"
    run.compare(artifact, held[:2])


def test_instance_normalization():
    samples = SAMPLES.reshape(64, 6, 5, 8)
    proto = model([node("InstanceNormalization", ["x", "s6", "b6"], ["y"])], {"s6": SCALE[:6], "b6": BIAS[:6]}, {"x": [1, 6, 5, 8]})
    artifact = edgec.compile(proto, "host", calibration=samples[:48])
    session = ort.InferenceSession(proto.SerializeToString())
    want = np.concatenate([session.run(None, {"x": x[None]})[0] for x in samples[48:]])
    assert sqnr_db(want, artifact.run(samples[48:], on="interpreter")) > 31


def test_all_outputs_of_layer_normalization():
    proto = model([node("LayerNormalization", ["x", "s", "b"], ["y", "mean", "inverse"], axis=2)], CONSTANTS, X, ["y", "mean", "inverse"])
    artifact = edgec.compile(proto, "host", calibration=SAMPLES[:48])
    got = artifact.run(SAMPLES[48:], on="interpreter")
    deviation = SAMPLES[48:] - SAMPLES[48:].mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(got["mean"], SAMPLES[48:].mean(axis=-1, keepdims=True), atol=0.06)
    inverse = 1 / np.sqrt(np.square(deviation).mean(axis=-1, keepdims=True) + 1e-5)
    assert np.abs(got["inverse"] - inverse).max() < 0.08 * inverse.max()


def test_a_variance_that_is_read_elsewhere_stays_and_other_formulas_are_left_alone():
    nodes = [*written_out("Pow"), node("Relu", ["v"], ["variance"])]
    proto = model(nodes, CONSTANTS, X, ["y", "variance"], opset=18)
    rewritten, _ = graph.optimize(import_model(proto))
    kinds = [n.op_type for n in rewritten.graph]
    assert "ReduceL2" in kinds and kinds.count("ReduceMean") == 2
    other = [node("ReduceMean", ["x", "axes"], ["u"]), node("Mul", ["x", "u"], ["q"]), node("ReduceMean", ["q", "axes"], ["v"]), node("Sqrt", ["v"], ["y"])]
    rewritten, notes = graph.optimize(import_model(model(other, CONSTANTS, X, opset=18)))
    assert "norms_decomposed" not in notes and "ReduceL2" not in [n.op_type for n in rewritten.graph]
