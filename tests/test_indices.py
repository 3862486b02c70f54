"""ArgMax and ArgMin: int32 outputs from the graph to the firmware engineer, the same bytes everywhere."""

from __future__ import annotations

import ctypes
import re
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import edgec
from edgec import plan, run
from edgec.emit import artifact as format_
from edgec.ir.verify import verify
from tests import native
from tests.onnx_graphs import model, node, run_float

RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(0, 1, (6, 3, 3, 3)).astype(np.float32)
SAMPLES = RNG.normal(0, 1, (24, 3, 5, 7)).astype(np.float32)


def segmenter(*after: onnx.NodeProto, kind: str = "ArgMax", output: str = "y", dtype: int = TensorProto.INT64, **attributes) -> onnx.ModelProto:
    """A convolution whose greatest channel at each position is wanted, and nodes behind that."""
    nodes = [node("Conv", ["x", "w"], ["scores"], pads=[1, 1, 1, 1]), node(kind, ["scores"], ["y"], **attributes), *after]
    proto = model(nodes, {"w": WEIGHTS, "shape": np.array([1, -1]), "two": np.array(2)}, {"x": [1, 3, 5, 7]}, [output])
    proto.graph.output[0].type.tensor_type.elem_type = dtype
    return proto


def scores_of(artifact: edgec.Artifact, x: np.ndarray) -> np.ndarray:
    """What the int8 network has before its last operator, as int8 [N, 6, 5, 7]."""
    (conv, _) = artifact.program.ops
    rows, _ = run.rows_of(artifact, x)
    traced = [artifact.host.engine.trace(row)[0] for row in rows["x"]]
    return np.stack([np.frombuffer(t, np.int8).reshape(5, 7, 6) for t in traced]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
def test_indices_are_those_of_the_int8_scores(kind, keepdims, axis):
    artifact = edgec.compile(segmenter(kind=kind, axis=axis, keepdims=keepdims), "host", calibration=SAMPLES)
    got = artifact.run(SAMPLES)
    scores = scores_of(artifact, SAMPLES)
    find = np.argmax if kind == "ArgMax" else np.argmin
    wanted = np.stack([find(s[None], axis=axis, keepdims=bool(keepdims)) for s in scores]).reshape(got.shape)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(artifact.run(SAMPLES, on="interpreter"), got)
    assert run.compare(artifact, SAMPLES) == wanted.size * 4


def test_nearly_all_indices_are_those_of_the_float_model():
    proto = segmenter(axis=1)
    artifact = edgec.compile(proto, "host", calibration=SAMPLES)
    wanted = np.concatenate([run_float(proto, {"x": x[None]})[0] for x in SAMPLES])
    assert (artifact.run(SAMPLES) == wanted).mean() > 0.97


def test_last_of_equal_scores():
    flat = np.zeros((1, 3, 5, 7), np.float32)
    for last in (0, 1):
        artifact = edgec.compile(segmenter(axis=3, select_last_index=last), "host", calibration=SAMPLES)
        inner = artifact.run(flat)[0, :, 2, 0]  # columns 1 to 5 are equal, far from the padding
        scores = scores_of(artifact, flat)[0, :, 2]
        wanted = [6 - s[::-1].argmax() if last else s.argmax() for s in scores]
        np.testing.assert_array_equal(inner, wanted)


@pytest.mark.parametrize("tier", ["ref", "avx2", "avx512vnni"])
def test_host_tiers(tier):
    from edgec import _core

    if tier not in _core.tiers():
        pytest.skip(f"this processor has no {tier}; enable with: run on one that has it")
    artifact = edgec.compile(segmenter(axis=1), "host", calibration=SAMPLES)
    rows, _ = run.rows_of(artifact, SAMPLES)
    np.testing.assert_array_equal(run.HostEngine(artifact, tier).run(rows)["y"], run.interpret(artifact, rows)["y"])


def test_raw_api_gives_int32_and_writes_into_a_prepared_array():
    artifact = edgec.compile(segmenter(axis=1, keepdims=0), "host", calibration=SAMPLES)
    q = artifact.quantize_input(SAMPLES[:1])
    raw = artifact.run(q)
    assert raw.dtype == np.int32 and raw.shape == (1, 5, 7)
    out = np.full((1, 5, 7), -1, np.int32)
    physical = np.ascontiguousarray(q.transpose(0, 2, 3, 1))
    assert artifact.run(physical, out=out) is out
    np.testing.assert_array_equal(out, raw)
    assert artifact.dequantize_output(raw).dtype == np.int64
    with pytest.raises(edgec.DataError, match="prepared buffers"):
        artifact.run(physical, out=np.zeros((1, 5, 7), np.int64))


def test_layout_operators_and_casts_behind_indices():
    after = [node("Cast", ["y"], ["narrow"], to=TensorProto.INT32), node("Reshape", ["narrow", "shape"], ["flat"])]
    proto = segmenter(*after, axis=1, keepdims=1, output="flat", dtype=TensorProto.INT32)
    artifact = edgec.compile(proto, "host", calibration=SAMPLES)
    np.testing.assert_array_equal(artifact.run(SAMPLES).reshape(-1), edgec.compile(segmenter(axis=1), "host", calibration=SAMPLES).run(SAMPLES).reshape(-1))


@pytest.mark.parametrize("kind", ["Add", "Mul", "Concat", "Transpose then Reshape", "Abs"])
def test_arithmetic_on_indices_is_refused(kind):
    if kind == "Transpose then Reshape":
        after = [node("Transpose", ["y"], ["t"], perm=[0, 3, 2, 1]), node("Reshape", ["t", "shape"], ["z"])]
    elif kind == "Concat":
        after = [node("Concat", ["y", "y"], ["z"], axis=1)]
    else:
        after = [node(kind, ["y"] if kind == "Abs" else ["y", "two"], ["z"])]
    with pytest.raises(edgec.ModelError, match="of indices is not supported") as caught:
        edgec.compile(segmenter(*after, axis=1, output="z"), "host", calibration=SAMPLES)
    assert "--cut-output" in caught.value.fix


def test_scores_may_leave_too_and_be_compared():
    proto = segmenter(axis=1)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 6, 5, 7]))
    artifact = edgec.compile(proto, "host", calibration=SAMPLES)
    got = artifact.run(SAMPLES)
    np.testing.assert_array_equal(got["y"], got["scores"].argmax(axis=1, keepdims=True))
    found = edgec.compare(proto, artifact, SAMPLES)
    indices, scores = found["outputs"]
    assert indices["name"] == "y" and indices["agreement"] > 97 and "sqnr_db" not in indices and scores["sqnr_db"] > 30
    from edgec.console import compare_text

    assert "same index as float" in compare_text(found)
    assert artifact.report(measure=False)["outputs"][0]["dtype"] == "int32"
    if len(artifact.quantization["output_sqnr_db"]) != 2:
        raise AssertionError("the scores in front of the indices judge the ladder")


def test_the_arena_holds_indices_at_words_and_the_verifier_wants_int32():
    artifact = edgec.compile(segmenter(axis=1), "cortex-m4", calibration=SAMPLES)
    assert artifact.plan.offsets[artifact.program.outputs[0].tensor] % 4 == 0
    from dataclasses import replace

    tensors = dict(artifact.program.tensors)
    tensors["y"] = replace(tensors["y"], dtype="int8")
    with pytest.raises(edgec.errors.ProgramError, match="gives int32"):
        verify(replace(artifact.program, tensors=tensors))


def test_the_port_says_its_element_type_in_c(tmp_path):
    artifact = edgec.compile(segmenter(axis=1), "generic-c", calibration=SAMPLES[:4])
    library = native.library()

    class Port(ctypes.Structure):
        _fields_ = [(n, ctypes.c_uint32) for n in ("offset", "bytes")] + [("zero_point", ctypes.c_int32)] + [(n, ctypes.c_uint32) for n in ("scale_bits", "element_bytes")]

    library.edgec_output_port.restype = library.edgec_input_port.restype = Port
    library.edgec_output_indices.restype = ctypes.c_void_p
    arena = native.aligned(artifact.plan.arena_bytes)
    opened = native.Model(library, artifact.data, arena)
    port, first = library.edgec_output_port(opened.model, 0), library.edgec_input_port(opened.model, 0)
    assert (port.element_bytes, port.bytes, port.zero_point, first.element_bytes) == (4, 4 * 35, 0, 1)
    assert first.zero_point == artifact.program.tensors["x"].zero_point
    assert library.edgec_output_indices(opened.model, 0) == arena.ctypes.data + port.offset
    header = next(artifact.export_c(tmp_path / "c", name="net").rglob("net.h"))
    text = header.read_text()
    assert "#define NET_OUTPUT_0_TYPE int32_t" in text and "const int32_t *net_output_0_indices(const void *arena)" in text
    assert re.search(r"OUTPUT_0_BYTES 140u", text)
    (tmp_path / "use.c").write_text('#include "net.h"\nint32_t first(void *arena) { net_run(arena); return net_output_0_indices(arena)[0]; }\n')
    command = [native.compiler(), "-std=c99", *native.WARNINGS, f"-I{header.parent}", "-fsyntax-only", tmp_path / "use.c"]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0


@pytest.mark.parametrize("change", [(8, 2), (10, 2), (10, 4), (11, 1)], ids=["zero_point", "elements of two bytes", "an input of words", "reserved"])
def test_altered_ports_are_refused(change):
    artifact = edgec.compile(segmenter(axis=1), "generic-c", calibration=SAMPLES[:4])
    header, sections, _ = format_.sections_of(artifact.data)
    program = bytearray(sections[format_.PROGRAM])
    at, value = change
    program[8 + at] = value
    altered = format_.assemble([(n, bytes(program) if n == format_.PROGRAM else s) for n, s in sections.items()], header)
    with pytest.raises(edgec.ArtifactError):
        edgec.Artifact(altered)
    if change[0] != 8:  # a zero_point is for people: the runtime does not read it
        with pytest.raises(RuntimeError, match="status 7"):
            native.Model(native.library(), altered, native.aligned(artifact.plan.arena_bytes))


@pytest.mark.parametrize("engine", ["runtime", "c"])
def test_firmware(engine, needs_target):
    needs_target("cortex-m4")
    artifact = edgec.compile(segmenter(axis=1, keepdims=0), "cortex-m4", calibration=SAMPLES)
    device = artifact.run(SAMPLES[:2], on="qemu", engine=engine)
    np.testing.assert_array_equal(device.outputs, artifact.run(SAMPLES[:2], on="interpreter"))
    assert device.outputs.dtype == np.int64


def test_plan_is_exact():
    artifact = edgec.compile(segmenter(axis=1), "cortex-m4", calibration=SAMPLES)
    plan.verify_plan(artifact.program, artifact.kernels, artifact.plan)
