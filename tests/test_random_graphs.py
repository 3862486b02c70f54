"""Random small ONNX graphs of supported operators: compiling ends in an artifact or in an EdgecError, and the host's bytes are the
interpreter's.

Fast by default; EDGEC_EXAMPLES=2000 looks longer.
"""

import os

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import shape_inference

import edgec
from edgec import run
from edgec.errors import EdgecError, MismatchError, ProgramError
from tests.onnx_graphs import model, node

UNARY = (
    "Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Softplus", "Elu", "Abs", "Neg", "Exp", "Sqrt", "Gelu", "LeakyRelu", "Erf",
    "Mish", "Softsign", "Identity", "Floor", "Selu",
)  # fmt: skip


class Builder:
    """Grows a graph node by node; every value's shape is known by ONNX's own inference."""

    def __init__(self, draw, rank: int) -> None:
        self.draw, self.nodes, self.constants = draw, [], {}
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.input = (1, *(draw(st.integers(1, 9)) for _ in range(rank - 1)))
        self.values: dict[str, tuple[int, ...]] = {"x": self.input}

    def constant(self, array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def weights(self, *shape: int) -> str:
        return self.constant((self.rng.normal(0, 1, shape) / max(1, np.prod(shape[1:])) ** 0.5).astype(np.float32))

    def put(self, kind: str, inputs: list[str], outputs: int = 1, **attributes) -> None:
        """Keeps the node if ONNX's own rules allow it."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        made = node(kind, inputs, names, name=f"n{len(self.nodes)}", **attributes)
        proto = model([*self.nodes, made], self.constants, {"x": self.input}, names, opset=20)
        try:
            inferred = shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
        except shape_inference.InferenceError:
            return
        shapes = [tuple(d.dim_value for d in o.type.tensor_type.shape.dim) for o in inferred.graph.output]
        if all(s and min(s) >= 1 and np.prod(s) <= 4096 for s in shapes):
            self.nodes.append(made)
            self.values.update(zip(names, shapes, strict=True))

    def step(self) -> None:
        draw = self.draw
        x = draw(st.sampled_from(list(self.values)[-3:]))
        shape = self.values[x]
        rank, axis = len(shape), draw(st.integers(0, len(shape) - 1))
        spatial = rank - 2
        kind = draw(st.sampled_from(("unary", "scalar", "binary", "channel", "conv", "pool", "reduce", "dense", "move", "slice", "pad", "resize", "softmax", "variadic")))
        if kind == "unary":
            self.put(draw(st.sampled_from(UNARY)), [x])
        elif kind == "scalar":
            c = self.constant(np.float32(draw(st.sampled_from((-1.5, 0.25, 0.5, 2.0, 3.0)))))
            pair = [x, c] if draw(st.booleans()) else [c, x]
            self.put(draw(st.sampled_from(("Add", "Sub", "Mul", "Div", "Min", "Max"))), pair)
        elif kind in ("binary", "variadic"):
            others = [draw(st.sampled_from(list(self.values))) for _ in range(draw(st.integers(1, 3)) if kind == "variadic" else 1)]
            operators = ("Sum", "Mean", "Max", "Min", "Concat") if kind == "variadic" else ("Add", "Sub", "Mul", "Min", "Max")
            chosen = draw(st.sampled_from(operators))
            self.put(chosen, [x, *others], **({"axis": axis} if chosen == "Concat" else {}))
        elif kind == "channel" and rank >= 2:
            c = self.weights(shape[1], *[1] * (rank - 2))
            self.put(draw(st.sampled_from(("Add", "Mul", "PRelu", "Sub"))), [x, c])
        elif kind == "conv" and spatial in (1, 2):
            groups = shape[1] if draw(st.booleans()) else 1
            out = groups * draw(st.integers(1, 6)) if groups == 1 else groups
            kernel = [draw(st.integers(1, 3)) for _ in range(spatial)]
            common = {"strides": [draw(st.integers(1, 2)) for _ in kernel], "pads": [draw(st.integers(0, k - 1)) for k in kernel * 2], "group": groups}
            if draw(st.integers(0, 3)):
                self.put("Conv", [x, self.weights(out, shape[1] // groups, *kernel), self.weights(out)], dilations=[draw(st.integers(1, 2)) for _ in kernel], **common)
            else:
                self.put("ConvTranspose", [x, self.weights(shape[1], out // groups, *kernel)], **common)
        elif kind == "pool" and spatial in (1, 2):
            chosen = draw(st.sampled_from(("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")))
            kernel = [draw(st.integers(1, 3)) for _ in range(spatial)]
            attributes = {"kernel_shape": kernel, "strides": [draw(st.integers(1, 3)) for _ in kernel], "pads": [draw(st.integers(0, k - 1)) for k in kernel * 2]}
            attributes |= {"ceil_mode": int(draw(st.booleans()))} | ({"dilations": [draw(st.integers(1, 2)) for _ in kernel]} if chosen == "MaxPool" else {})
            self.put(chosen, [x], **({} if chosen.startswith("Global") else attributes))
        elif kind == "reduce":
            chosen = draw(st.sampled_from(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp")))
            self.put(chosen, [x, self.constant(np.array([axis]))], keepdims=int(draw(st.booleans())))
        elif kind == "dense" and rank >= 2:
            self.put("MatMul", [x, self.weights(shape[-1], draw(st.integers(1, 7)))])
        elif kind == "move":
            chosen = draw(st.sampled_from(("Transpose", "Flatten", "Reshape", "Unsqueeze", "Gather", "Expand")))
            if chosen == "Transpose":
                self.put("Transpose", [x], perm=draw(st.permutations(range(rank))))
            elif chosen == "Flatten":
                self.put("Flatten", [x])
            elif chosen == "Gather":
                index = self.rng.integers(0, shape[axis], draw(st.integers(1, 3)))
                self.put("Gather", [x, self.constant(index)], axis=axis)
            else:
                target = {"Reshape": [shape[0], -1], "Unsqueeze": [axis], "Expand": [2, *shape] if draw(st.booleans()) else list(shape)}[chosen]
                self.put(chosen, [x, self.constant(np.array(target))])
        elif kind == "slice":
            if draw(st.booleans()) and shape[axis] % 2 == 0:
                self.put("Split", [x], 2, axis=axis, num_outputs=2)
            else:
                step = draw(st.sampled_from((1, 2, -1)))
                ends = (0, shape[axis]) if step > 0 else (shape[axis] - 1, -shape[axis] - 1)
                start = draw(st.integers(0, shape[axis] - 1)) if step > 0 else ends[0]
                self.put("Slice", [x, *(self.constant(np.array([v])) for v in (start, ends[1], axis, step))])
        elif kind == "pad":
            pads = [draw(st.integers(-1, 2)) if a == axis else 0 for a in range(rank)] + [draw(st.integers(0, 2)) if a == axis else 0 for a in range(rank)]
            self.put("Pad", [x, self.constant(np.array(pads))], mode=draw(st.sampled_from(("constant", "reflect", "edge"))))
        elif kind == "resize" and spatial in (1, 2):
            scales = self.constant(np.array([1, 1, *(draw(st.sampled_from((1.0, 2.0, 0.5, 1.5))) for _ in range(spatial))], np.float32))
            self.put("Resize", [x, "", scales], mode=draw(st.sampled_from(("nearest", "linear"))))
        elif kind == "softmax":
            self.put(draw(st.sampled_from(("Softmax", "LogSoftmax"))), [x], axis=axis)


@st.composite
def graphs(draw) -> tuple[onnx.ModelProto, np.ndarray]:
    """A model of up to eight nodes, and a batch of inputs."""
    builder = Builder(draw, draw(st.integers(2, 4)))
    for _ in range(draw(st.integers(1, 8))):
        builder.step()
    if not builder.nodes:
        builder.put("Relu", ["x"])
    read = {name for n in builder.nodes for name in n.input}
    ends = [name for n in builder.nodes for name in n.output if name not in read]
    x = builder.rng.normal(0, 1, (4, *builder.input[1:])).astype(np.float32)
    return model(builder.nodes, builder.constants, {"x": builder.input}, ends, opset=20), x


@settings(max_examples=int(os.environ.get("EDGEC_EXAMPLES", "40")), deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_random_graphs(drawn):
    proto, x = drawn
    try:
        artifact = edgec.compile(proto, "host", calibration=x)
    except (ProgramError, MismatchError):
        raise  # defects of edgec, not the graph's
    except EdgecError as error:
        assert error.what and error.fix
        return
    assert run.compare(artifact, x[:2]) > 0
