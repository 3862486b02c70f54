"""What exporters write, however they write it, ends in the same small graph: or in an error that says what to do."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgec
from edgec.importer import import_model, left_out
from tests.onnx_graphs import model, node, run_float

RNG = np.random.default_rng(11)
WEIGHTS = RNG.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
X = {"x": [1, 3, 8, 8]}
CONV = node("Conv", ["x", "w"], ["y"])


def kinds(imported) -> list[str]:
    return [n.op_type for n in imported.graph]


def shape(imported) -> tuple[int, ...]:
    return tuple(imported.graph.outputs[0].shape)


def old_and_new(opset: int) -> onnx.ModelProto:
    """Operators whose form changed between opset 9 and now, as that opset writes them."""
    nodes = [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("BatchNormalization", ["a", "one", "zero", "zero", "one"], ["b"])]
    if opset < 11:
        nodes += [node("Clip", ["b"], ["c"], min=0.0, max=6.0), node("Pad", ["c"], ["p"], pads=[0, 0, 1, 1, 0, 0, 1, 1])]
    else:
        nodes += [node("Clip", ["b", "low", "high"], ["c"]), node("Pad", ["c", "pads"], ["p"])]
    if opset < 10:
        nodes += [node("Slice", ["p"], ["s"], axes=[1], starts=[0], ends=[2]), node("Upsample", ["s", "scales"], ["u"], mode="nearest")]
    else:
        nodes += [node("Slice", ["p", "first", "two", "axis"], ["s"])]
        nodes += [node("Resize", ["s", "scales"] if opset == 10 else ["s", "roi", "scales"], ["u"], mode="nearest")]
    nodes += [node("Dropout", ["u"], ["d"])]
    nodes += [node("ReduceMean", ["d"], ["r"], axes=[2, 3]) if opset < 18 else node("ReduceMean", ["d", "spatial"], ["r"])]
    if opset < 13:
        nodes += [node("Squeeze", ["r"], ["q"], axes=[2, 3]), node("Split", ["q"], ["s1", "s2"], axis=1, split=[1, 1])]
    else:
        nodes += [node("Squeeze", ["r", "spatial"], ["q"]), node("Split", ["q", "halves"], ["s1", "s2"], axis=1)]
    nodes += [node("Concat", ["s2", "s1"], ["k"], axis=1), node("Softmax", ["k"], ["y"], axis=1)]
    constants = {
        "w": WEIGHTS, "one": np.ones(4, np.float32), "zero": np.zeros(4, np.float32), "low": np.float32(0), "high": np.float32(6),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "first": np.array([0]), "two": np.array([2]), "axis": np.array([1]),
        "spatial": np.array([2, 3]), "halves": np.array([1, 1]), "scales": np.array([1, 1, 2, 2], np.float32), "roi": np.zeros(0, np.float32),
    }  # fmt: skip
    return model(nodes, constants, X, opset=opset)


@pytest.mark.parametrize("opset", range(9, 27))
def test_opsets(opset):
    x = RNG.normal(0, 1, (8, 3, 8, 8)).astype(np.float32)
    artifact = edgec.compile(old_and_new(opset), "generic-c", calibration=x)
    want = np.concatenate([run_float(old_and_new(18), {"x": v[None]})[0] for v in x])
    assert np.abs(artifact.run(x, on="interpreter") - want).max() < 0.03


def test_opset_8_is_refused_with_advice():
    with pytest.raises(edgec.ModelError, match="9 to"):
        import_model(model([CONV], {"w": WEIGHTS}, X, opset=8))


def test_initializers_listed_as_inputs():
    proto = model([CONV], {"w": WEIGHTS}, {**X, "w": WEIGHTS.shape})
    assert [v.name for v in import_model(proto).graph.inputs] == ["x"]


def test_constant_nodes():
    proto = model([node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHTS)), CONV], {}, X)
    assert kinds(import_model(proto)) == ["Conv"]


def test_shape_arithmetic():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Shape", ["a"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axis"], ["u"]),
        node("Concat", ["u", "rest"], ["t"], axis=0),
        node("Reshape", ["a", "t"], ["y"]),
    ]
    constants = {"w": WEIGHTS, "zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1])}
    imported = import_model(model(nodes, constants, {"x": ["N", 3, 8, 8]}))
    assert kinds(imported) == ["Conv", "Reshape"] and shape(imported) == (1, 144)


def branches():
    then = helper.make_graph([node("Conv", ["x", "w"], ["t"], pads=[1, 1, 1, 1])], "then", [], [helper.make_tensor_value_info("t", 1, None)])
    other = helper.make_graph([node("Exp", ["x"], ["e"])], "else", [], [helper.make_tensor_value_info("e", 1, None)])
    return {"then_branch": then, "else_branch": other}


@pytest.mark.parametrize(("condition", "taken"), [(True, "Conv"), (False, "Exp")])
def test_the_taken_branch_of_an_if_is_inlined(condition, taken):
    nodes = [node("If", ["c"], ["i"], **branches()), node("Relu", ["i"], ["y"])]
    assert kinds(import_model(model(nodes, {"c": np.array(condition), "w": WEIGHTS}, X))) == [taken, "Relu"]


def test_an_if_on_a_shape_is_inlined():
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "one"], ["n"]),
        node("Equal", ["n", "three"], ["c"]),
        node("If", ["c"], ["y"], **branches()),
    ]
    assert kinds(import_model(model(nodes, {"one": np.array(1), "three": np.array(3), "w": WEIGHTS}, X))) == ["Conv"]


def test_an_if_on_data_is_refused():
    nodes = [node("ReduceMax", ["x"], ["m"], keepdims=0), node("Greater", ["m", "zero"], ["c"]), node("If", ["c"], ["y"], **branches())]
    with pytest.raises(edgec.ModelError, match="If"):
        import_model(model(nodes, {"zero": np.float32(0), "w": WEIGHTS}, X))


def external(folder):
    path = folder / "model.onnx"
    onnx.save(model([CONV], {"w": WEIGHTS}, X), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_external_data(tmp_path):
    imported = import_model(external(tmp_path))
    np.testing.assert_array_equal(imported.graph.initializers["w"].const_value.numpy(), WEIGHTS)


def test_missing_external_data_is_named(tmp_path):
    path = external(tmp_path)
    with pytest.raises(edgec.ModelError, match=r"weights\.bin"):
        import_model(path.read_bytes())
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(edgec.ModelError, match=r"weights\.bin"):
        import_model(path)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_models_of_other_float_types(kind):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Mul", ["a", "two"], ["y"])]
    imported = import_model(model(nodes, {"w": WEIGHTS.astype(dtype), "two": np.array(2, dtype)}, X, kind=kind))
    assert kinds(imported) == ["Conv", "Mul"]
    assert {str(v.dtype) for v in (*imported.graph.inputs, *imported.graph.outputs, *imported.graph.initializers.values())} == {"FLOAT"}
    np.testing.assert_array_equal(imported.graph.initializers["w"].const_value.numpy(), WEIGHTS.astype(dtype).astype(np.float32))


def test_float16_inside_a_float32_model():
    half = WEIGHTS.astype(np.float16)
    nodes = [node("Cast", ["x"], ["h"], to=10), node("Conv", ["h", "w"], ["a"]), node("Cast", ["a"], ["y"], to=1)]
    assert kinds(import_model(model(nodes, {"w": half}, X))) == ["Conv"]
    nodes = [node("Cast", ["w"], ["f"], to=1), node("Conv", ["x", "f"], ["y"])]
    assert kinds(import_model(model(nodes, {"w": half}, X))) == ["Conv"]


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_behind_dequantize_linear_in_a_float_model(per_channel):
    stored = RNG.integers(-127, 128, WEIGHTS.shape).astype(np.int8)
    scale = RNG.uniform(0.001, 0.01, 4).astype(np.float32) if per_channel else np.float32(0.01)
    nodes = [node("DequantizeLinear", ["q", "s"], ["w"], axis=0), CONV]
    imported = import_model(model(nodes, {"q": stored, "s": scale}, X))
    assert kinds(imported) == ["Conv"]
    want = stored.astype(np.float32) * np.reshape(scale, (-1, 1, 1, 1))
    np.testing.assert_array_equal(imported.graph[0].inputs[1].const_value.numpy(), want)


def test_constants_fold_whatever_their_size():
    nodes = [
        node("ConstantOfShape", ["sizes"], ["c"], value=helper.make_tensor("v", 1, [1], [0.02])),
        node("Equal", ["sizes", "four"], ["e"]),
        node("Where", ["e", "sizes", "four"], ["t"]),
        node("Cast", ["t"], ["f"], to=1),
        node("ReduceSum", ["f"], ["k"], keepdims=0),
        node("Mul", ["c", "k"], ["w"]),
        CONV,
    ]
    imported = import_model(model(nodes, {"sizes": np.array([1024, 3, 3, 3]), "four": np.array([4, 4, 4, 4])}, X))
    assert kinds(imported) == ["Conv"]
    np.testing.assert_allclose(imported.graph[0].inputs[1].const_value.numpy(), np.full((1024, 3, 3, 3), 0.02 * 16), rtol=1e-6)


def test_open_dimensions():
    proto = model([CONV], {"w": WEIGHTS}, {"x": ["N", 3, "H", "W"]})
    with pytest.raises(edgec.ModelError, match=r"--shape x="):
        import_model(proto)
    assert shape(import_model(proto, shapes={"x": (1, 3, 10, 12)})) == (1, 4, 8, 10)
    with pytest.raises(edgec.ModelError, match="contradicts"):
        import_model(proto, shapes={"x": (1, 4, 10, 12)})
    assert shape(import_model(model([CONV], {"w": WEIGHTS}, {"x": None}), shapes={"x": (1, 3, 5, 5)})) == (1, 4, 3, 3)


def test_a_batch_of_several_is_refused_with_advice():
    with pytest.raises(edgec.ModelError, match="batch size 1"):
        edgec.compile(model([CONV], {"w": WEIGHTS}, {"x": [2, 3, 8, 8]}), "generic-c", calibration="synthetic")


def chain():
    names = ["x", "a", "b", "c", "y"]
    return model([node(k, [i], [o]) for k, i, o in zip(("Sigmoid", "Tanh", "Abs", "Neg"), names, names[1:], strict=False)], {}, {"x": [1, 8]})


def test_cuts():
    imported = import_model(chain(), inputs=["a"], outputs=["c"])
    assert kinds(imported) == ["Tanh", "Abs"]
    assert [(v.name) for v in (*imported.graph.inputs, *imported.graph.outputs)] == ["a", "c"]
    said = left_out(imported)
    assert [s.split()[-1] for s in said["before"]] == ["(Sigmoid)"] and [s.split()[-1] for s in said["after"]] == ["(Neg)"]
    artifact = edgec.compile(chain(), "generic-c", calibration=RNG.normal(0, 1, (8, 8)).astype(np.float32), outputs=["b", "a"])
    assert [p.name for p in artifact.program.outputs] == ["b", "a"]
    with pytest.raises(edgec.ModelError, match="no tensor is called"):
        import_model(chain(), outputs=["nothing"])


def test_empty_tensors_are_refused():
    nodes = [node("Slice", ["x", "start", "end", "axis"], ["y"])]
    proto = model(nodes, {"start": np.array([9]), "end": np.array([12]), "axis": np.array([2])}, X)
    with pytest.raises(edgec.ModelError, match="'y' has no elements"):
        import_model(proto)
