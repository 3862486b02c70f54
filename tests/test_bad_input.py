"""Every mistake of a user ends in one EdgecError that says what, where, why and what to do."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx import numpy_helper as nh

import edgec
from edgec import cli
from edgec.errors import ArtifactError, DataError, EdgecError, ModelError, UsageError
from tests.models import ROOT, network

DIGITS = ROOT / "examples" / "digits" / "digits.onnx"


def explained(error: EdgecError, *words: str) -> None:
    """All four parts are there, on four lines, and the words appear."""
    assert error.what and error.where and error.why and error.fix
    assert len(str(error).splitlines()) == 4
    for word in words:
        assert word in str(error), f"{word!r} is not in:\n{error}"


def float_model(nodes, shape=(1, 4), initializers=(), opset=18, out_shape=(1, 4)):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape)],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture(scope="module")
def artifact():
    return edgec.compile(DIGITS, "generic-c", calibration=network("digits").calibration)


# --- models ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"not onnx", DIGITS.read_bytes()[:100] if DIGITS.is_file() else b"x", b"\x00" * 1000])
def test_corrupt_or_truncated_onnx(content, tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(ModelError) as e:
            edgec.compile(source, "host", calibration="synthetic")
        explained(e.value)


@pytest.mark.slow
def test_every_truncation_of_a_model_is_explained():
    whole = DIGITS.read_bytes()
    for end in range(0, len(whole), 97):
        with pytest.raises(ModelError) as e:
            edgec.compile(whole[:end], "host", calibration="synthetic")
        explained(e.value)


def test_missing_file():
    with pytest.raises(ModelError) as e:
        edgec.compile("/nowhere/model.onnx", "host")
    explained(e.value, "/nowhere/model.onnx", "no such file")


def test_all_unsupported_operators_at_once():
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("Einsum", ["x", "x"], ["b"], name="second", equation="ij,ij->ij"),
        helper.make_node("Foo", ["b"], ["y"], name="third", domain="com.example"),
    ]
    model = float_model(nodes, (4, 4), out_shape=(4, 4))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.output[0].name = "b"
    del model.graph.node[2]
    with pytest.raises(ModelError) as e:
        model.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, []))
        edgec.compile(model, "host", calibration="synthetic")
    explained(e.value, "Det", "Einsum", "first", "second", "4×4", "2 nodes")


def test_open_dimensions():
    model = float_model([helper.make_node("Relu", ["x"], ["y"])], ("batch", "length"), out_shape=("batch", "length"))
    with pytest.raises(ModelError) as e:
        edgec.compile(model, "host", calibration="synthetic")
    explained(e.value, "length", "shapes=")
    assert edgec.compile(model, "host", calibration="synthetic", shapes={"x": (1, 6)}).program.inputs[0].shape == (1, 6)
    with pytest.raises(ModelError) as e:
        edgec.compile(model, "host", calibration="synthetic", shapes={"z": (1, 2)})
    explained(e.value, "'z'", "x")
    with pytest.raises(ModelError) as e:
        edgec.compile(float_model([helper.make_node("Relu", ["x"], ["y"])], (1, 4)), "host", calibration="synthetic", shapes={"x": (1, 5)})
    explained(e.value, "contradicts")


@pytest.mark.parametrize("opset", [8, 60])
def test_opsets_outside_the_range(opset):
    model = float_model([helper.make_node("Relu", ["x"], ["y"])], opset=opset)
    with pytest.raises(ModelError) as e:
        edgec.compile(model, "host", calibration="synthetic")
    explained(e.value)


def test_a_tensor_that_is_not_quantized_is_never_a_silent_fallback():
    s, z = nh.from_array(np.float32(0.1), "s"), nh.from_array(np.int8(0), "z")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["y"], name="last"),
    ]
    with pytest.raises(ModelError) as e:
        edgec.compile(float_model(nodes, initializers=[s, z], out_shape=(1, 4)), "host")
    explained(e.value, "last", "not quantized")


# --- arguments and data ---------------------------------------------------------------------------------------------------


def test_unknown_target():
    with pytest.raises(UsageError) as e:
        edgec.compile(DIGITS, "cortex-m99", calibration="synthetic")
    explained(e.value, "cortex-m99", "cortex-m4")


def test_float_model_without_calibration_names_the_argument():
    with pytest.raises(UsageError) as e:
        edgec.compile(DIGITS, "host")
    explained(e.value, "calibration", "synthetic")


def test_synthetic_calibration_is_marked_unverified():
    artifact = edgec.compile(DIGITS, "host", calibration="synthetic")
    assert artifact.report(measure=False)["accuracy"] == "unverified" == artifact.manifest["accuracy"]


def test_unknown_pass():
    with pytest.raises(UsageError) as e:
        edgec.compile(DIGITS, "host", calibration="synthetic", skip_passes=["nope"])
    explained(e.value, "nope", "remove_constant_channels")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: x[:, :, :-1], ("wrong shape",)),
        (lambda x: x[:0], ("no samples",)),
        (lambda x: np.where(np.arange(len(x)).reshape(-1, 1, 1, 1) == 3, np.nan, x), ("NaN", "sample 3")),
        (lambda x: np.where(np.arange(len(x)).reshape(-1, 1, 1, 1) == 2, np.inf, x), ("infinite", "sample 2")),
        (lambda x: x.astype(str), ("numeric",)),
        (lambda x: {"nope": x}, ("nope",)),
        (lambda x: 7, ("int",)),
        (lambda x: "/nowhere/data.npz", ("/nowhere/data.npz",)),
    ],
)
def test_bad_calibration(spoil, words):
    x = network("digits").calibration[:8]
    with pytest.raises(DataError) as e:
        edgec.compile(DIGITS, "host", calibration=spoil(x))
    explained(e.value, "calibration", *words)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: x[0, :, :-1], ("wrong shape", "1, 1, 8, 8")),
        (lambda x: x[:0], ("wrong shape",)),
        (lambda x: np.full_like(x[:1], np.nan), ("NaN", "index")),
        (lambda x: x[:1].astype(np.int32), ("int32",)),
        (lambda x: x[:1].astype(complex), ("complex",)),
        (lambda x: {"nope": x[:1]}, ("nope",)),
    ],
)
def test_bad_run_input(artifact, spoil, words):
    with pytest.raises(DataError) as e:
        artifact.run(spoil(network("digits").samples))
    explained(e.value, *words)


def test_prepared_buffers_that_do_not_fit(artifact):
    x = np.zeros(64, np.int8)
    for bad_x, bad_out in [(x[:-1], np.zeros(10, np.int8)), (x, np.zeros(9, np.int8)), (x.astype(np.int32), np.zeros(10, np.int8)), (np.zeros(128, np.int8)[::2], np.zeros(10, np.int8))]:
        with pytest.raises(DataError) as e:
            artifact.run(bad_x, out=bad_out)
        explained(e.value)


# --- artifacts -------------------------------------------------------------------------------------------------------------


def test_truncated_or_altered_artifact(artifact, tmp_path):
    data = artifact.data
    for end in [*range(0, 400, 7), *range(400, len(data), 501), len(data) - 1]:
        with pytest.raises(ArtifactError) as e:
            edgec.Artifact(data[:end])
        explained(e.value)
    for byte in [*range(0, 512, 3), *range(512, len(data), 211)]:
        altered = bytearray(data)
        altered[byte] ^= 1 << byte % 8
        with pytest.raises(ArtifactError) as e:
            edgec.Artifact(bytes(altered))
        explained(e.value)
    path = tmp_path / "x.edgec"
    path.write_bytes(data[:50])
    with pytest.raises(ArtifactError) as e:
        edgec.load(path)
    explained(e.value, str(path), "50 bytes")
    with pytest.raises(ArtifactError):
        edgec.load(tmp_path / "absent.edgec")


def test_nothing_is_partly_written(artifact, tmp_path):
    with pytest.raises(UsageError) as e:
        artifact.save(tmp_path / "absent" / "x.edgec")
    explained(e.value)
    assert list(tmp_path.iterdir()) == []


# --- command line ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["compile", "/nowhere.onnx", "-t", "host"], 3),
        (["compile", str(DIGITS), "-t", "nope"], 2),
        (["compile", str(DIGITS), "-t", "host"], 2),
        (["compile", str(DIGITS), "-t", "host", "-c", "/nowhere.npz"], 4),
        (["compile", str(DIGITS), "-t", "host", "-c", "synthetic", "--shape", "x=a"], 2),
        (["run", "/nowhere.edgec"], 5),
        (["inspect", "/nowhere.edgec"], 5),
    ],
)
def test_exit_codes_and_json_errors(argv, code, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(argv) == code
    text = capsys.readouterr().err
    assert "\nedgec: " in f"\n{text}" and "fix:" in text and "Traceback" not in text
    assert cli.main([*argv, "--json"]) == code
    assert set(json.loads(capsys.readouterr().out)) == {"error", "what", "where", "why", "fix"}
    assert list(tmp_path.iterdir()) == []


def test_onnx_checker_is_asked():
    model = onnx.load(DIGITS)
    model.graph.node[0].input[0] = "undefined"
    with pytest.raises(ModelError) as e:
        edgec.compile(model, "host", calibration="synthetic")
    explained(e.value)
