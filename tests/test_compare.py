"""edgec.compare: the mapping from ONNX values to tensors, the figures at outputs and layers, the causes."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime as ort
import pytest

import edgec
from edgec import cli
from edgec.activations import reference_of
from edgec.comparison import is_class_vector, wilson
from edgec.ir.core import Tensor
from edgec.layer_errors import TensorStatistics, _cause
from tests.models import MLPERF, ROOT, network

DIGITS = str(ROOT / "examples" / "digits" / "digits.npz")


def compiled_here(name: str, tmp_path, **options):
    """From the float model, so that the manifest says what quantization did."""
    net = network(name)
    path = tmp_path / f"{name}_qdq.onnx"
    return net, edgec.compile(net.path, "cortex-m4", calibration=net.calibration, save_qdq=path, **options), path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return compiled_here("digits", tmp_path_factory.mktemp("digits"))


@pytest.mark.parametrize("name", ["digits", "depthwise", *(pytest.param(n, marks=pytest.mark.slow) for n in MLPERF)])
def test_every_tensor_has_its_value(name, tmp_path):
    """Every operator is compared, and int8 is near float at each of them: the mapping and the order of axes are right."""
    net, artifact, _ = compiled_here(name, tmp_path)
    result = edgec.compare(net.path, artifact, net.samples[:24], layers=12)
    assert result["not_compared"] == [] and [r["name"] for r in result["layers"]] == [op.name for op in artifact.program.ops]
    assert min(r["sqnr_db"] for r in result["layers"]) > 12, result["layers"]
    assert set(result["histograms"]) == {op.name for op in artifact.program.ops} | {p.name for p in artifact.program.inputs}
    json.dumps(result)


def test_tensors_of_16_bits_are_compared(tmp_path):
    net, artifact, _ = compiled_here("digits", tmp_path, quantize={"activation_bits": 16})
    wide = {t for t, tensor in artifact.program.tensors.items() if tensor.dtype == "int16"}
    assert wide
    result = edgec.compare(net.path, artifact, net.samples[:24], layers=12)
    narrow = edgec.compare(net.path, edgec.compile(net.path, "cortex-m4", calibration=net.calibration), net.samples[:24], layers=12)
    opcodes = {op.name: op.opcode for op in artifact.program.ops}
    assert {opcodes[name] for name in result["not_compared"]} <= {"rescale_s16"}, "from 16 bits to 8 no ONNX value is made"
    rows, before = ({r["name"]: r for r in found["layers"]} for found in (result, narrow))
    made = [op.name for op in artifact.program.ops if op.outputs[0] in wide]
    assert all(rows[name]["sqnr_db"] > 12 and rows[name]["levels_used"] > 256 for name in made)
    assert np.mean([rows[n]["sqnr_db"] for n in made]) > np.mean([before[n]["sqnr_db"] for n in made if n in before])


def test_outputs_are_what_numpy_says(digits):
    net, artifact, _ = digits
    y = np.load(DIGITS)["y_test"]
    seen = []
    result = edgec.compare(net.path, artifact, net.samples, y, progress=lambda step, done: seen.append(done))
    session = ort.InferenceSession(net.path, providers=["CPUExecutionProvider"])
    want = np.concatenate([session.run(None, {session.get_inputs()[0].name: x[None]})[0] for x in net.samples])
    got = artifact.run(net.samples)
    output = result["outputs"][0]
    assert result["samples"] == len(y) and seen[-1] == 1.0
    assert output["sqnr_db"] == pytest.approx(10 * np.log10(np.sum(want**2) / np.sum((want - got) ** 2)), abs=0.02)
    assert output["largest_error"] == pytest.approx(np.abs(want - got).max(), rel=1e-4)
    assert output["agreement"] == round(100 * float((want.argmax(-1) == got.argmax(-1)).mean()), 2)
    for kind, scores in (("float", want), ("int8", got)):
        assert output[f"{kind}_accuracy"] == round(100 * float((scores.argmax(-1) == y).mean()), 2)
        low, high = output[f"{kind}_accuracy_interval"]
        assert low < output[f"{kind}_accuracy"] < high
    assert output["right_only_in_float"] - output["right_only_in_int8"] == ((want.argmax(-1) == y).sum() - (got.argmax(-1) == y).sum())


def test_layers_are_what_onnx_runtime_says(digits):
    """The logits in front of the softmax, which equalization does not scale, against a session of their own."""
    net, artifact, _ = digits
    result = edgec.compare(net.path, artifact, net.samples[:30], layers=30)
    reference = reference_of(net.path, artifact)
    logits = next(a for a in reference.activations if a.tensor == artifact.program.ops[-1].inputs[0])
    from edgec.compress.float_run import ModelRunner
    from edgec.ir import interp

    run = ModelRunner(reference.whole, [logits.name])
    t = artifact.program.tensors[logits.tensor]
    signal = noise = 0.0
    for x in net.samples[:30]:
        f = run({artifact.program.inputs[0].name: x[None]})[logits.name].astype(np.float64)
        values = {
            t: v
            for _, out in interp.steps(artifact.program, {artifact.program.inputs[0].tensor: artifact.quantize_input(x)})
            for t, v in out.items()
        }
        q = (logits.logical(values[logits.tensor]).astype(np.float64) - t.zero_point) * t.scale
        signal, noise = signal + np.square(f).sum(), noise + np.square(f - q).sum()
    row = next(r for r in result["layers"] if r["value"] == logits.name)
    assert row["sqnr_db"] == pytest.approx(10 * np.log10(signal / noise), abs=0.05)


def test_a_qdq_model_is_compared_with_itself(digits):
    net, _, path = digits
    artifact = edgec.compile(path, "generic-c")
    result = edgec.compare(path, artifact, net.samples[:40])
    assert result["not_compared"] == [] and min(r["sqnr_db"] for r in result["layers"]) > 38
    assert result["outputs"][0]["agreement"] == 100


def test_a_qdq_artifact_is_compared_with_its_float_model(digits):
    net, _, path = digits
    result = edgec.compare(net.path, edgec.compile(path, "generic-c"), net.samples[:40])
    assert result["outputs"][0]["agreement"] > 90 and result["layers"]


def test_a_cut_network_is_cut_for_the_comparison_too(digits, tmp_path):
    net, artifact, _ = digits
    name = artifact.program.ops[-1].name
    logits = reference_of(net.path, artifact).activations[-2].name
    cut = edgec.compile(net.path, "generic-c", calibration=net.calibration[:64], outputs=[logits])
    assert name not in {op.name for op in cut.program.ops}
    assert edgec.compare(net.path, cut, net.samples[:20])["outputs"][0]["sqnr_db"] > 20


@pytest.mark.parametrize(("scale", "cause"), [(0.35, "range clipped"), (12.0, "too few steps used")])
def test_wrong_calibration_data_is_named(scale, cause):
    """Calibrated with data that is too quiet, ranges clip; too loud, few steps are used."""
    net = network("digits")
    artifact = edgec.compile(net.path, "generic-c", calibration=net.calibration[:64] * scale)
    result = edgec.compare(net.path, artifact, net.samples[:64])
    assert cause in [w["cause"] for w in result["worst"]], result["worst"]
    assert all(w["help"] and w["why"] for w in result["worst"])


def statistics(values: np.ndarray, scale: float, noise: float = 0.0) -> TensorStatistics:
    """Of values [1, channels, n] rounded to int8 with a scale; noise (in steps) before rounding."""
    s = TensorStatistics(Tensor("t", values.shape, "int8", scale, 0), values.shape[1])
    rng = np.random.default_rng(0)
    q = np.clip(np.rint(values / scale + noise * rng.normal(size=values.shape)), -128, 127).astype(np.int8)
    s.add(values.astype(np.float32), q)
    return s


def cause_of(s: TensorStatistics, weighted: bool = True) -> str | None:
    row = {
        "clipped": s.clipped / s.count, "seen": [s.histogram.low, s.histogram.high],
        "dead_channels": int(s.dead.sum()), "channels": s.signal.size,
        "levels_used": s.q_high - s.q_low + 1, "input_sqnr_db": 50.0, "sqnr_db": s.sqnr_db, "value": "v", "added_noise": s.noise_ratio,
    }  # fmt: skip
    found = _cause(row, s, weighted, {"calibration": "data"})
    return None if found is None else found.cause


def test_causes():
    x = np.random.default_rng(1).normal(size=(1, 16, 400))
    spread = x * np.geomspace(1, 1 / 300, 16)[:, None]
    assert cause_of(statistics(x, 4 / 127)) == "rounding to int8"
    assert cause_of(statistics(x, 1 / 127)) == "range clipped"
    assert cause_of(statistics(x, 30 / 127)) == "too few steps used"
    assert cause_of(statistics(spread, 4 / 127)) == "channel spread"
    assert cause_of(statistics(x, 4 / 127, noise=4)) == "rounding of weights"
    assert cause_of(statistics(x, 4 / 127, noise=4), weighted=False) is None
    dead = x * 0.01
    dead[:, 3:] = 0.4
    s = TensorStatistics(Tensor("t", dead.shape, "int8", 1 / 32, 0), 16)
    q = np.rint(dead * 32)
    q[:, 3:] += 9
    s.add(dead.astype(np.float32), q.astype(np.int8))
    assert cause_of(s) == "dead channels"


def test_wilson_is_wilsons():
    """Against figures of his formula worked out elsewhere (10 of 20; 0 of 10)."""
    assert wilson(10, 20) == [29.93, 70.07]
    assert wilson(0, 10)[0] == 0.0 and wilson(0, 10)[1] == pytest.approx(27.75, abs=0.01)


def test_class_vectors():
    assert is_class_vector((1, 10)) and is_class_vector((1, 10, 1, 1))
    assert not is_class_vector((1, 4, 10)) and not is_class_vector((1, 1))


def test_mistakes_are_explained(digits, tmp_path):
    net, artifact, _ = digits
    other = network("depthwise")
    with pytest.raises(edgec.ModelError, match="do not belong together"):
        edgec.compare(other.path, artifact, net.samples[:4])
    with pytest.raises(edgec.DataError, match="differ in length"):
        edgec.compare(net.path, artifact, net.samples[:4], [1, 2, 3])
    with pytest.raises(edgec.DataError, match="differ in length"):
        edgec.compare(net.path, artifact, iter(list(net.samples[:4])), [1, 2, 3, 4, 5])
    with pytest.raises(edgec.DataError, match="no array 'nothing'"):
        edgec.compare(net.path, artifact, f"{DIGITS}:nothing")
    np.savez(tmp_path / "two.npz", a=net.samples[:2], b=net.samples[:2])
    with pytest.raises(edgec.DataError, match="not clear which"):
        edgec.compare(net.path, artifact, tmp_path / "two.npz")
    with pytest.raises(edgec.DataError, match="no such file"):
        edgec.compare(net.path, artifact, tmp_path / "absent.npy")


def test_command_line(digits, tmp_path, capsys):
    net, artifact, _ = digits
    path = str(artifact.save(tmp_path / "d.edgec"))
    argv = ["compare", str(net.path), path, "--data", f"{DIGITS}:x_test", "--labels", f"{DIGITS}:y_test", "--layers", "16"]
    assert cli.main([*argv, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["samples"] == 457 and result["layer_samples"] == 16
    assert cli.main(argv) == 0
    shown = capsys.readouterr().out
    assert f"{result['outputs'][0]['int8_accuracy']:.2f} %" in shown and max(map(len, shown.splitlines())) <= 120
    assert all(op.name in shown for op in artifact.program.ops)
    assert cli.main(["compare", str(network("depthwise").path), path, "--data", f"{DIGITS}:x_test", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"] == "ModelError"


def test_the_public_name_is_a_function():
    assert callable(edgec.compare) and "compare" in edgec.__all__
