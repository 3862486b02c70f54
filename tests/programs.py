"""Integer programs made by hand: networks of known shape, and random ones, for tests of everything below `lower.py`."""

from __future__ import annotations

import numpy as np

from edgec import numerics
from edgec.ir.core import Constant, Op, Port, Program, Tensor
from edgec.ops import OPERATORS
from edgec.ops.conv import GEOMETRY
from edgec.ops.pooling import WINDOW


class Builder:
    """Adds operators one by one; tensors are named by the string each method returns. Weights come from one seed."""

    def __init__(self, name: str, *inputs: tuple[int, ...], seed: int = 0) -> None:
        self.name, self.rng = name, np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Constant] = {}
        self.ops: list[Op] = []
        self.inputs = [self._tensor(f"input{i}", shape) for i, shape in enumerate(inputs)]

    def program(self, *outputs: str) -> Program:
        ports = [tuple(Port(t, t, self.tensors[t].shape) for t in names) for names in (self.inputs, outputs)]
        return Program(self.name, self.tensors, self.constants, tuple(self.ops), *ports)

    def _tensor(self, name: str, shape: tuple[int, ...], zero_point: int | None = None) -> str:
        zero = int(self.rng.integers(-90, 90)) if zero_point is None else zero_point
        self.tensors[name] = Tensor(name, shape, scale=0.05, zero_point=zero)
        return name

    def _op(
        self, opcode: str, inputs: tuple[str, ...], shape: tuple[int, ...], attrs: dict[str, int], constants=(), zero_point=None
    ) -> str:
        name = f"{opcode}_{len(self.ops)}"
        output = self._tensor(f"t{len(self.ops)}", shape, zero_point)
        operator = OPERATORS[opcode]
        names = []
        for role, dtype, data in zip(operator.roles, operator.role_dtypes, constants, strict=True):
            names.append(f"{name}.{role}")
            self.constants[names[-1]] = Constant(names[-1], data, dtype)
        if "in_zero_point" in operator.fields:
            attrs = attrs | {"in_zero_point": self.tensors[inputs[0]].zero_point}
        if "out_zero_point" in operator.fields:
            attrs = attrs | {"out_zero_point": self.tensors[output].zero_point}
        self.ops.append(Op(opcode, name, inputs, (output,), tuple(names), attrs))
        return output

    def _weights(self, shape: tuple[int, ...], channels_last: bool = False):
        weights = self.rng.integers(-127, 128, shape)
        rows = np.moveaxis(weights, -1, 0) if channels_last else weights
        taps = rows[0].size
        scales = self.rng.uniform(0.3, 1.0, rows.shape[0]) * 100.0 / (taps**0.5 * 73 * 73)
        shift = numerics.layer_shift(scales)
        return [weights, self.rng.integers(-3000, 3000, rows.shape[0]), numerics.multipliers(scales, shift)], shift

    def _geometry(self, x: str, out_c: int, kernel, stride, same: bool) -> dict[str, int]:
        _, h, w, c = self.tensors[x].shape
        out, pad = [], []
        for size, k, s in zip((h, w), kernel, stride, strict=True):
            n = -(-size // s) if same else (size - k) // s + 1
            out.append(n)
            pad.append(max((n - 1) * s + k - size, 0) // 2 if same else 0)
        return dict(zip(GEOMETRY, (h, w, c, *out, out_c, *kernel, *stride, 1, 1, *pad), strict=True))

    def conv(self, x: str, out_c: int, kernel=(3, 3), stride=(1, 1), same: bool = True) -> str:
        a = self._geometry(x, out_c, kernel, stride, same)
        constants, shift = self._weights((out_c, *kernel, a["in_c"]))
        attrs = a | {"groups": 1, "clamp_min": -128, "clamp_max": 127, "shift": shift, "weight_bits": 8}
        return self._op("conv2d", (x,), (1, a["out_h"], a["out_w"], out_c), attrs, constants)

    def conv_add(self, x: str, residual: str, kernel=(3, 3), stride=(1, 1)) -> str:
        """A convolution of x to the shape of the residual, which is added before the rounding."""
        out_c, zero_y = self.tensors[residual].shape[-1], int(self.rng.integers(-90, 90))
        a = self._geometry(x, out_c, kernel, stride, True)
        (weights, bias, multiplier), shift = self._weights((out_c, *kernel, a["in_c"]))
        factors = multiplier * 2.0 ** (shift - 32 + numerics.SUM_FRACTION)
        shift = numerics.layer_shift(factors)
        r, c = numerics.residual_constants(float(self.rng.uniform(-1.5, 1.5)), self.tensors[residual].zero_point, zero_y)
        attrs = a | {"groups": 1, "clamp_min": -128, "clamp_max": 127, "shift": shift, "weight_bits": 8, "residual_multiplier": r, "residual_offset": c}
        constants = [weights, bias, numerics.multipliers(factors, shift)]
        return self._op("conv2d_add", (x, residual), self.tensors[residual].shape, attrs, constants, zero_point=zero_y)

    def depthwise(self, x: str, kernel=(3, 3), stride=(1, 1), multiplier: int = 1, same: bool = True) -> str:
        out_c = self.tensors[x].shape[-1] * multiplier
        a = self._geometry(x, out_c, kernel, stride, same)
        constants, shift = self._weights((*kernel, out_c), channels_last=True)
        return self._op(
            "depthwise_conv2d",
            (x,),
            (1, a["out_h"], a["out_w"], out_c),
            a | {"clamp_min": -128, "clamp_max": 127, "shift": shift, "weight_bits": 8},
            constants,
        )

    def dense(self, x: str, out_features: int) -> str:
        size = self.tensors[x].size
        constants, shift = self._weights((out_features, size))
        attrs = {"rows": 1, "in_features": size, "out_features": out_features, "clamp_min": -128, "clamp_max": 127, "shift": shift, "weight_bits": 8}
        return self._op("dense", (x,), (1, out_features), attrs, constants)

    def add(self, a: str, b: str) -> str:
        shape = self.tensors[a].shape
        zero_y = int(self.rng.integers(-90, 90))
        ma, mb, c, n, _ = numerics.add_constants(0.6, 0.7, self.tensors[a].zero_point, self.tensors[b].zero_point, zero_y)
        attrs = {"count": self.tensors[a].size, "multiplier_a": ma, "multiplier_b": mb, "offset": c, "shift": n}
        return self._op("add", (a, b), shape, attrs | {"clamp_min": -128, "clamp_max": 127}, zero_point=zero_y)

    def lookup(self, x: str) -> str:
        return self._op("lookup", (x,), self.tensors[x].shape, {"count": self.tensors[x].size}, [self.rng.integers(-128, 128, 256)])

    def average_pool(self, x: str, kernel, stride=None) -> str:
        a = self._pool(x, kernel, stride or kernel)
        scale = np.array([0.9 / (kernel[0] * kernel[1])])
        shift = numerics.layer_shift(scale)
        attrs = a | {"clamp_min": -128, "clamp_max": 127, "shift": shift, "multipliers": 1}
        return self._op("average_pool2d", (x,), (1, a["out_h"], a["out_w"], a["channels"]), attrs, [numerics.multipliers(scale, shift)])

    def max_pool(self, x: str, kernel, stride=None) -> str:
        a = self._pool(x, kernel, stride or kernel)
        return self._op("max_pool2d", (x,), (1, a["out_h"], a["out_w"], a["channels"]), a | {"clamp_min": -128, "clamp_max": 127})

    def _pool(self, x: str, kernel, stride) -> dict[str, int]:
        _, h, w, c = self.tensors[x].shape
        return dict(
            zip(WINDOW, (h, w, c, (h - kernel[0]) // stride[0] + 1, (w - kernel[1]) // stride[1] + 1, *kernel, *stride, 0, 0), strict=True)
        )

    def softmax(self, x: str) -> str:
        depth = self.tensors[x].shape[-1]
        table, factor, fraction = numerics.softmax_constants(0.05, depth, 1 / 256)
        attrs = {"rows": self.tensors[x].size // depth, "depth": depth, "factor": factor, "fraction": fraction}
        return self._op("softmax", (x,), self.tensors[x].shape, attrs, [table], zero_point=-128)

    def transpose(self, x: str, order: tuple[int, ...]) -> str:
        shape = self.tensors[x].shape
        operator = OPERATORS["transpose"]
        return self._op("transpose", (x,), tuple(shape[o] for o in order), operator.attrs_for(shape, order))


def resnet8(summed: bool = False) -> Program:
    """The shapes of MLPerf Tiny's image classification network, residual additions as operators of their own, or in the convolutions."""
    b = Builder("resnet8", (1, 32, 32, 3), seed=1)
    x = b.conv(b.inputs[0], 16)
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        y = b.conv(x, width, stride=(stride, stride))
        y = y if summed else b.conv(y, width)
        skip = x if stride == 1 else b.conv(x, width, (1, 1), (2, 2))
        x = b.conv_add(y, skip) if summed else b.add(y, skip)
    return b.program(b.softmax(b.dense(b.average_pool(x, (8, 8)), 10)))


def ds_cnn() -> Program:
    """The shapes of MLPerf Tiny's keyword spotting network."""
    b = Builder("ds_cnn", (1, 49, 10, 1), seed=2)
    x = b.conv(b.inputs[0], 64, (10, 4), (2, 2))
    for _ in range(4):
        x = b.conv(b.depthwise(x), 64, (1, 1))
    return b.program(b.softmax(b.dense(b.average_pool(x, (25, 5)), 12)))


def mobilenet() -> Program:
    """The shapes of MLPerf Tiny's visual wake words network: MobileNetV1, width 0.25, 96×96."""
    b = Builder("mobilenet", (1, 96, 96, 3), seed=3)
    x = b.conv(b.inputs[0], 8, stride=(2, 2))
    blocks = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
    for width, stride in blocks:
        x = b.conv(b.depthwise(x, stride=(stride, stride)), width, (1, 1))
    return b.program(b.softmax(b.dense(b.average_pool(x, (3, 3)), 2)))


def autoencoder() -> Program:
    """The shapes of MLPerf Tiny's anomaly detection network."""
    b = Builder("autoencoder", (1, 640), seed=4)
    x = b.inputs[0]
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128, 640):
        x = b.dense(x, width)
    return b.program(x)


def mobilenet_v2(size: int = 224, width: float = 1.0) -> Program:
    """Inverted residuals, at the size of the published network: 63 operators."""
    b = Builder("mobilenet_v2", (1, size, size, 3), seed=5)

    def channels(c: int) -> int:
        return max(8, int(c * width + 4) // 8 * 8)

    x = b.conv(b.inputs[0], channels(32), stride=(2, 2))
    for expand, out, repeats, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for r in range(repeats):
            s = stride if r == 0 else 1
            y = b.conv(x, b.tensors[x].shape[-1] * expand, (1, 1)) if expand > 1 else x
            y = b.conv(b.depthwise(y, stride=(s, s)), channels(out), (1, 1))
            x = b.add(x, y) if s == 1 and b.tensors[x].shape == b.tensors[y].shape else y
    return b.program(b.dense(b.average_pool(b.conv(x, 1280, (1, 1)), (7, 7)), 10) if size == 224 else x)


def resnet18(size: int = 224) -> Program:
    """Basic blocks at the size of the published network."""
    b = Builder("resnet18", (1, size, size, 3), seed=6)
    x = b.max_pool(b.conv(b.inputs[0], 64, (7, 7), (2, 2)), (2, 2))
    for width, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        y = b.conv(b.conv(x, width, stride=(stride, stride)), width)
        x = b.add(x if stride == 1 else b.conv(x, width, (1, 1), (2, 2)), y)
    return b.program(b.dense(b.average_pool(x, b.tensors[x].shape[1:3]), 10))


def random_program(seed: int, ops: int = 8) -> Program:
    """A connected program of small tensors with branches, joins, several inputs and outputs; everything from the seed."""
    rng = np.random.default_rng(seed)
    inputs = [(1, *rng.integers(1, 7, 2), rng.integers(1, 5)) for _ in range(rng.integers(1, 3))]
    b = Builder(f"random_{seed}", *(tuple(int(n) for n in shape) for shape in inputs), seed=seed)
    available = list(b.inputs)
    for _ in range(ops):
        x = available[int(rng.integers(max(0, len(available) - 4), len(available)))]
        shape = b.tensors[x].shape
        kind = int(rng.integers(0, 9))
        if len(shape) == 2:
            kind = 5 + kind % 3
        if kind in (0, 1):
            k = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
            y = b.conv(x, int(rng.integers(1, 7)), k, (int(rng.integers(1, 3)), int(rng.integers(1, 3))))
        elif kind == 2:
            s = int(rng.integers(1, 3))
            y = b.depthwise(x, (3, 3), (s, s), int(rng.integers(1, 3)))
        elif kind == 3:
            y = b.max_pool(x, (min(2, shape[1]), min(2, shape[2])), (1, 1))
        elif kind == 4:
            y = b.average_pool(x, (shape[1], shape[2]))
        elif kind == 5:
            y = b.dense(x, int(rng.integers(1, 20)))
        elif kind == 6:
            y = b.lookup(x)
        elif kind == 7:
            same = [t for t in available if b.tensors[t].shape == shape]
            other = same[int(rng.integers(0, len(same)))]
            y = b.conv_add(x, other, (3, 2)) if seed % 3 == 2 and len(shape) == 4 else b.add(x, other)
        else:
            y = b.transpose(x, (0, 3, 1, 2))
        available.append(y)
    read = {t for op in b.ops for t in op.inputs}
    ends = [t for t in available if t not in read and t not in b.inputs]
    extra = [t for t in available if t in read and t not in b.inputs and rng.random() < 0.1]
    return b.program(*ends, *extra)
