"""Makes depthwise.onnx: a small depthwise-separable network with seeded random weights, and its calibration data.

It has what exports from TensorFlow have and the digits network has not: an NHWC graph input with a Transpose inside, a
symbolic batch, asymmetric padding, an unfused BatchNormalization, Relu6 as Clip, a depthwise convolution along one axis,
and MatMul + Add instead of Gemm. With digits.onnx it carries every byte-equality test where the shared models are absent.

    python tests/networks/depthwise.py      writes depthwise.onnx beside this file, the same bytes every time
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("depthwise.onnx")
INPUT_SHAPE = (12, 10, 3)
CLASSES = 5
SEED = 4


def samples(count: int, seed: int) -> np.ndarray:
    """Inputs like those the network is made for: float32 [count, 12, 10, 3] in 0…1, smooth in space, as pictures are.

    Args:
        seed: 1 is calibration's; tests take another one for the inputs they run.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, 5, 4, 3)) * rng.random((count, 1, 1, 3))
    rows, cols = np.linspace(0, 3.999, INPUT_SHAPE[0]), np.linspace(0, 2.999, INPUT_SHAPE[1])
    r, c = rows.astype(int), cols.astype(int)
    fr, fc = (rows - r)[None, :, None, None], (cols - c)[None, None, :, None]
    upper = coarse[:, r][:, :, c] * (1 - fc) + coarse[:, r][:, :, c + 1] * fc
    lower = coarse[:, r + 1][:, :, c] * (1 - fc) + coarse[:, r + 1][:, :, c + 1] * fc
    return (upper * (1 - fr) + lower * fr).astype(np.float32)


def calibration(count: int = 100) -> np.ndarray:
    """What the network is calibrated on: samples of seed 1."""
    return samples(count, 1)


def model():
    """The network as an onnx.ModelProto (opset 18)."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(SEED)
    nodes, initializers = [], []

    def constant(name: str, value: np.ndarray) -> str:
        initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(x: str, name: str, shape: tuple[int, ...], pads: list[int], strides: list[int], group: int = 1, bias: bool = True) -> str:
        fan_in = shape[1] * shape[2] * shape[3]
        weights = rng.normal(0.0, (2.0 / fan_in) ** 0.5, shape) * rng.uniform(0.4, 1.6, (shape[0], 1, 1, 1))
        inputs = [x, constant(f"{name}.weight", weights.astype(np.float32))]
        if bias:
            inputs.append(constant(f"{name}.bias", rng.normal(0.0, 0.1, shape[0]).astype(np.float32)))
        kernel = [shape[2], shape[3]]
        return node("Conv", inputs, name, kernel_shape=kernel, pads=pads, strides=strides, dilations=[1, 1], group=group)

    def batch_norm(x: str, name: str, channels: int) -> str:
        values = {
            "scale": rng.uniform(0.6, 1.4, channels),
            "bias": rng.normal(0.1, 0.2, channels),
            "mean": rng.normal(0.0, 0.2, channels),
            "var": rng.uniform(0.5, 1.5, channels),
        }
        inputs = [x, *(constant(f"{name}.{k}", v.astype(np.float32)) for k, v in values.items())]
        return node("BatchNormalization", inputs, name, epsilon=1e-3)

    x = node("Transpose", ["image"], "nchw", perm=[0, 3, 1, 2])
    x = node("Relu", [conv(x, "stem", (8, 3, 3, 3), [0, 0, 1, 1], [2, 2])], "stem.relu")
    x = conv(x, "depthwise_1", (8, 1, 3, 3), [1, 1, 1, 1], [1, 1], group=8, bias=False)
    six = [constant("zero", np.float32(0)), constant("six", np.float32(6))]
    x = node("Clip", [batch_norm(x, "depthwise_1.norm", 8), *six], "depthwise_1.relu6")
    x = node("Relu", [batch_norm(conv(x, "pointwise_1", (16, 8, 1, 1), [0] * 4, [1, 1]), "pointwise_1.norm", 16)], "pointwise_1.relu")
    x = node("Relu", [conv(x, "depthwise_2", (16, 1, 3, 3), [0, 1, 1, 1], [2, 2], group=16)], "depthwise_2.relu")
    skip = node("Relu", [conv(x, "pointwise_2", (16, 16, 1, 1), [0] * 4, [1, 1])], "pointwise_2.relu")
    x = node("Relu", [conv(skip, "depthwise_3", (16, 1, 3, 1), [1, 0, 1, 0], [1, 1], group=16)], "depthwise_3.relu")
    x = node("Add", [skip, conv(x, "pointwise_3", (16, 16, 1, 1), [0] * 4, [1, 1])], "residual")
    x = node("GlobalAveragePool", [node("Relu", [x], "residual.relu")], "pool")
    x = node("Reshape", [x, constant("flat_shape", np.array([-1, 16], np.int64))], "flat")
    head = rng.normal(0.0, 4.0, (16, CLASSES))  # columns of mean zero: what all features share must not decide the class
    x = node("MatMul", [x, constant("head.weight", (head - head.mean(axis=0)).astype(np.float32))], "head.matmul")
    x = node("Add", [x, constant("head.bias", rng.normal(0.0, 0.2, CLASSES).astype(np.float32))], "head")
    node("Softmax", [x], "scores", axis=-1)

    graph = helper.make_graph(
        nodes,
        "depthwise",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *INPUT_SHAPE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", CLASSES])],
        initializers,
    )
    return helper.make_model(graph, producer_name="edgec tests", ir_version=8, opset_imports=[helper.make_opsetid("", 18)])


if __name__ == "__main__":
    import onnx

    made = model()
    onnx.checker.check_model(made, full_check=True)
    PATH.write_bytes(made.SerializeToString(deterministic=True))
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")
