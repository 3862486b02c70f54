"""Operators and patterns of float models, compiled with calibration: host and interpreter give the same bytes, close to float, and a
pattern costs the operators it should."""

import numpy as np
import pytest

import edgec
from edgec import run
from tests.onnx_graphs import model, node, run_float, sqnr_db

RNG = np.random.default_rng(21)
IMAGE = (1, 6, 9, 10)


def compiled(nodes, constants, shape=IMAGE, *, least: float, opset: int = 20):
    """Compile, compare bytes, check SQNR in dB; returns the opcodes."""
    proto = model(nodes, constants, {"x": shape}, opset=opset)
    x = RNG.normal(0, 1.5, (24, *shape[1:])).astype(np.float32)
    artifact = edgec.compile(proto, "host", calibration=x)
    run.compare(artifact, x[:3])
    want = np.concatenate([run_float(proto, {"x": v[None]})[0].reshape(1, -1) for v in x])
    figure = sqnr_db(want, artifact.run(x).reshape(want.shape))
    assert figure >= least, f"{figure:.1f} dB"
    return [op.opcode for op in artifact.program.ops]


def scalar(value):
    return np.float32(value)


PATTERNS = {
    "silu": ([node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])], {}),
    "gelu_by_erf": (
        [
            node("Div", ["x", "root"], ["d"]),
            node("Erf", ["d"], ["e"]),
            node("Add", ["e", "one"], ["a"]),
            node("Mul", ["x", "a"], ["m"]),
            node("Mul", ["m", "half"], ["y"]),
        ],
        {"root": scalar(2**0.5), "one": scalar(1), "half": scalar(0.5)},
    ),
    "hardswish_by_clip": (
        [
            node("Add", ["x", "three"], ["a"]),
            node("Clip", ["a", "zero", "six"], ["c"]),
            node("Mul", ["x", "c"], ["m"]),
            node("Div", ["m", "six"], ["y"]),
        ],
        {"three": scalar(3), "zero": scalar(0), "six": scalar(6)},
    ),
    "mish": ([node("Softplus", ["x"], ["s"]), node("Tanh", ["s"], ["t"]), node("Mul", ["x", "t"], ["y"])], {}),
    "square_root_of_squares": ([node("Mul", ["x", "x"], ["m"]), node("Add", ["m", "one"], ["a"]), node("Sqrt", ["a"], ["y"])], {"one": scalar(1)}),
    "prelu_of_one_slope": ([node("PRelu", ["x", "slope"], ["y"])], {"slope": np.array([0.3], np.float32)}),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_function_of_one_value_is_one_lookup(name):
    assert compiled(*PATTERNS[name], least=34) == ["lookup"]


def test_a_value_that_others_read_ends_a_pattern():
    nodes = [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["m"]), node("MaxPool", ["s"], ["p"], kernel_shape=[1, 1]), node("Add", ["m", "p"], ["y"])]
    opcodes = compiled(nodes, {}, least=30)
    assert opcodes.count("lookup") == opcodes.count("mul") == 1


def test_relu_stays_in_the_clamp_of_the_layer_before_it():
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), node("Mul", ["r", "half"], ["m"]), node("Exp", ["m"], ["y"])]
    constants = {"w": RNG.normal(0, 0.2, (4, 6, 3, 3)).astype(np.float32), "half": scalar(-0.5)}
    assert compiled(nodes, constants, least=30) == ["conv2d", "lookup"]


OPERATORS = {
    "prelu": ([node("PRelu", ["x", "slope"], ["y"])], {"slope": RNG.normal(0, 0.5, (6, 1, 1)).astype(np.float32)}, 33),
    "max_pool_ceil": ([node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}, 35),
    "average_pool_ceil": ([node("AveragePool", ["x"], ["y"], kernel_shape=[2, 3], strides=[2, 3], ceil_mode=1)], {}, 35),
    "max_pool_dilated": ([node("MaxPool", ["x"], ["y"], kernel_shape=[2, 3], strides=[2, 1], dilations=[3, 2], pads=[1, 2, 0, 1])], {}, 35),
    "lrn": ([node("LRN", ["x"], ["y"], size=3, alpha=0.5, beta=0.6, bias=1.0)], {}, 30),
    "sum_of_three": ([node("Neg", ["x"], ["n"]), node("Abs", ["n"], ["e"]), node("Sum", ["x", "e", "half"], ["y"])], {"half": np.full((6, 1, 1), 0.5, np.float32)}, 30),
    "mean_of_two": ([node("Abs", ["x"], ["a"]), node("Mean", ["x", "a"], ["y"])], {}, 30),
    "log_softmax": ([node("LogSoftmax", ["x"], ["y"], axis=1)], {}, 33),
    "reduce_l2": ([node("ReduceL2", ["x", "axes"], ["y"])], {"axes": np.array([1])}, 33),
    "reduce_log_sum_exp": ([node("ReduceLogSumExp", ["x", "axes"], ["y"], keepdims=0)], {"axes": np.array([2, 3])}, 33),
    "global_lp_pool": ([node("GlobalLpPool", ["x"], ["y"], p=2)], {}, 30),
    "concat_with_a_constant": ([node("Concat", ["x", "c"], ["y"], axis=1)], {"c": RNG.normal(0, 1, (1, 2, 9, 10)).astype(np.float32)}, 33),
    "pad_negative": ([node("Pad", ["x", "pads"], ["y"])], {"pads": np.array([0, 0, -2, 1, 0, 0, 1, -3])}, 35),
    "resize_linear": ([node("Resize", ["x", "", "scales"], ["y"], mode="linear")], {"scales": np.array([1, 1, 2, 2], np.float32)}, 33),
    "matmul_of_rank_4": ([node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])], {"w": RNG.normal(0, 0.3, (10, 7)).astype(np.float32), "b": RNG.normal(0, 1, 7).astype(np.float32)}, 30),
    "conv_transpose_of_groups": ([node("ConvTranspose", ["x", "w"], ["y"], group=2, strides=[2, 2])], {"w": RNG.normal(0, 0.3, (6, 2, 3, 3)).astype(np.float32)}, 30),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    nodes, constants, least = OPERATORS[name]
    assert compiled(nodes, constants, least=least)


def test_one_dimensional_resize():
    assert compiled([node("Resize", ["x", "", "s"], ["y"], mode="linear")], {"s": np.array([1, 1, 2], np.float32)}, (1, 4, 12), least=33)


REFUSED = {
    "cubic": ([node("Resize", ["x", "", "s"], ["y"], mode="cubic")], {"s": np.array([1, 1, 2, 2], np.float32)}, "nearest or linear"),
    "roi": ([node("Resize", ["x", "roi", "s"], ["y"], mode="linear", coordinate_transformation_mode="tf_crop_and_resize")], {"s": np.array([1, 1, 2, 2], np.float32), "roi": np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)}, "half_pixel"),
    "matmul_of_activations": ([node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"], ["y"])], {}, "constant W"),
    "einsum": ([node("Einsum", ["x"], ["y"], equation="nchw->nhwc")], {}, "Einsum"),
    "lp_pool": ([node("LpPool", ["x"], ["y"], kernel_shape=[2, 2], p=9)], {}, "count as nothing"),
    "average_pool_dilated": ([node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1])], {}, "count_include_pad"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_advice(name):
    nodes, constants, words = REFUSED[name]
    with pytest.raises(edgec.ModelError, match=words):
        edgec.compile(model(nodes, constants, {"x": IMAGE}, opset=20), "generic-c", calibration="synthetic")
