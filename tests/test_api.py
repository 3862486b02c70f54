"""The public API: shapes, kinds, dicts, files, costs."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest

import edgec
from edgec import cli
from tests.models import ROOT, compiled, network


@pytest.fixture(scope="module")
def artifact():
    return compiled("digits", "generic-c")


def test_import_is_light():
    """`import edgec` costs at most 40 ms of CPU beyond numpy and loads nothing heavy."""
    code = (
        "import time, sys, numpy\n"
        "t = time.process_time(); import edgec; t = time.process_time() - t\n"
        "print(t, [m for m in ('onnx', 'onnx_ir', 'onnxruntime', 'torch', 'scipy', 'onnxscript') if m in sys.modules])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split(" ", 1) for _ in range(3)]
    assert runs[0][1].strip() == "[]"
    assert min(float(seconds) for seconds, _ in runs) < 0.040


def test_running_an_artifact_needs_numpy_alone(artifact, tmp_path):
    path = artifact.save(tmp_path / "d.edgec")
    code = (
        "import sys, numpy as np, edgec\n"
        f"a = edgec.load({str(path)!r})\n"
        "a.run(np.zeros((1, 1, 8, 8), np.float32)); a.report(measure=False)\n"
        "print([m for m in ('onnx', 'onnx_ir', 'onnxruntime', 'mpmath', 'scipy', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def test_sample_bare_sample_and_batch(artifact):
    x = network("digits").samples[:5]
    batch = artifact.run(x)
    assert batch.shape == (5, 10) and batch.dtype == np.float32
    for i in range(5):
        np.testing.assert_array_equal(artifact.run(x[i : i + 1]), batch[i : i + 1])
        np.testing.assert_array_equal(artifact.run(x[i]), batch[i])
    q = artifact.quantize_input(x)
    quantized = artifact.run(q)
    assert q.dtype == quantized.dtype == np.int8
    np.testing.assert_array_equal(artifact.dequantize_output(quantized), batch)
    np.testing.assert_array_equal(artifact.run({artifact.program.inputs[0].name: x}), batch)


def test_prepared_buffers(artifact):
    x = network("digits").samples
    q = artifact.quantize_input(x[0])
    out = np.empty((1, 10), np.int8)
    artifact.run(q, out=out)
    np.testing.assert_array_equal(out[0], artifact.run(q).reshape(-1))


def test_interpreter_and_host_agree(artifact):
    x = network("digits").samples[:20]
    np.testing.assert_array_equal(artifact.run(x, on="host"), artifact.run(x, on="interpreter"))


def test_save_and_load_are_exact(artifact, tmp_path):
    path = artifact.save(tmp_path / "digits.edgec")
    loaded = edgec.load(path)
    assert loaded.data == artifact.data
    x = network("digits").samples[:3]
    np.testing.assert_array_equal(loaded.run(x), artifact.run(x))


def test_the_same_qdq_model_gives_the_same_file():
    assert compiled("digits", "cortex-m4").data == compiled("digits", "cortex-m4").data


def test_qdq_model_runs_in_onnx_runtime(tmp_path):
    net = network("digits")
    path = tmp_path / "qdq.onnx"
    artifact = edgec.compile(net.path, "host", calibration=net.calibration, save_qdq=path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    theirs = np.concatenate([session.run(None, {name: x[None]})[0] for x in net.samples])
    ours = artifact.run(net.samples)
    assert (theirs.argmax(-1) == ours.argmax(-1)).mean() > 0.99
    assert edgec.compile(path, "host").data == edgec.compile(path, "host").data


def test_benchmark(artifact):
    times = artifact.benchmark(50)
    assert 0 < times["min"] <= times["median"] and times["n"] == 50


def test_report_has_every_figure(artifact):
    report = artifact.report(measure=False)
    for field in ("macs", "macs_source", "arena_bytes", "weights_bytes", "code_bytes", "stack_bytes", "instructions", "flash_bytes"):
        assert isinstance(report[field], int) and report[field] > 0, field
    for field in ("code_source", "stack_source", "instructions_source"):
        assert report[field].startswith("table: ")
    assert sum(layer["macs"] for layer in report["layers"]) == report["macs"] <= report["macs_source"]
    json.dumps(report)


def test_calibration_takes_arrays_files_and_iterables(tmp_path):
    net = network("digits")
    x = net.calibration[:40]
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    sources = [x, tmp_path / "x.npy", str(tmp_path / "x.npz"), [s for s in x], (s for s in x), [x[:16], x[16:]], [{"input": s} for s in x]]
    name = edgec.compile(net.path, "host", calibration=x).program.inputs[0].name
    sources[-1] = [{name: s} for s in x]
    artifacts = {edgec.compile(net.path, "host", calibration=source).data for source in sources}
    assert len(artifacts) == 1


def test_samples_held_out_for_the_report_on_the_command_line(tmp_path, capsys):
    net = network("digits")
    np.save(tmp_path / "x.npy", net.calibration[:40])
    np.save(tmp_path / "other.npy", net.samples[:7])
    files = ["-c", str(tmp_path / "x.npy"), "--held-out", str(tmp_path / "other.npy")]
    argv = ["compile", str(net.path), "-t", "host", *files, "-o", str(tmp_path / "d.edgec"), "--json"]
    assert cli.main(argv) == 0
    found = json.loads(capsys.readouterr().out)["quantization"]
    assert found["held_out"] and found["samples"] == 47 and found["outputs"][0]["samples"] == 7
    assert cli.main(["compress", str(net.path), *files, "--quantize", "-o", str(tmp_path / "d.onnx"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passes"][0]["parts"]["report"] == 7
    assert cli.main([*argv[:4], *files[2:], "--json"]) != 0
    assert "without --calibration" in capsys.readouterr().out


def test_command_line(tmp_path, capsys):
    net = network("digits")
    np.save(tmp_path / "x.npy", net.calibration[:64])
    path = tmp_path / "d.edgec"
    argv = ["compile", str(net.path), "-t", "cortex-m4", "-c", str(tmp_path / "x.npy"), "-o", str(path), "--save-qdq", str(tmp_path / "q.onnx")]
    assert cli.main([*argv, "--no-measure", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["target"] == "cortex-m4" and path.is_file() and (tmp_path / "q.onnx").is_file()
    assert cli.main([*argv, "--no-measure"]) == 0
    text = capsys.readouterr()
    assert "arena_bytes" in text.out and "lower" in text.err
    np.save(tmp_path / "in.npy", net.samples[:4])
    assert cli.main(["run", str(path), "-i", str(tmp_path / "in.npy"), "-o", str(tmp_path / "out.npy"), "--check", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["bytes_compared_with_interpreter"] == 40
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), edgec.load(path).run(net.samples[:4]))
    assert cli.main(["inspect", str(path), "--text"]) == 0
    assert "conv2d" in capsys.readouterr().out
    assert cli.main(["inspect", str(path), "--no-measure", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arena_bytes"] == report["arena_bytes"]
    assert cli.main(["targets", "--json"]) == 0
    assert "cortex-m4" in json.loads(capsys.readouterr().out)["targets"]
