"""Small networks of the families that people export from torch, with seeded random weights, and their export by both exporters.

`python -m tests.networks.torch.modules` writes the .onnx files of this folder again (needs torch==2.13.0, CPU, with onnx and
onnxscript). Each family keeps what its exports are known for: MobileNetV3's squeeze and hard-swish, ShuffleNet's channel
shuffle, the U-Net's upsampling and concatenation, the detector's SiLU, split and anchors, the TCN's 1-D dilations.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from torch import nn

HERE = Path(__file__).parent


def conv(cin: int, cout: int, k: int = 3, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(cin, cout, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Head(nn.Sequential):
    """Global average pooling and a classifier."""

    def __init__(self, channels: int, classes: int = 10) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class BasicBlock(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(cin, cout, 3, stride), conv(cout, cout, act=None))
        self.skip = conv(cin, cout, 1, stride, act=None) if stride > 1 or cin != cout else nn.Identity()

    def forward(self, x):
        return F.relu(self.body(x) + self.skip(x))


class ResNet(nn.Sequential):
    size = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__(conv(3, 8), nn.MaxPool2d(3, 2, 1), BasicBlock(8, 8, 1), BasicBlock(8, 16, 2), BasicBlock(16, 24, 2), Head(24))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, gate: type[nn.Module]) -> None:
        super().__init__()
        self.pool, self.gate = nn.AdaptiveAvgPool2d(1), gate()
        self.reduce, self.expand = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        return x * self.gate(self.expand(F.relu(self.reduce(self.pool(x)))))


class Inverted(nn.Module):
    """Expand, depthwise, (squeeze,) project; the skip where the shape allows it."""

    def __init__(self, cin, cout, stride, k=3, ratio=3, act=nn.ReLU6, gate=None) -> None:
        super().__init__()
        wide = cin * ratio
        squeeze = [SqueezeExcite(wide, gate)] if gate else []
        self.body = nn.Sequential(conv(cin, wide, 1, act=act), conv(wide, wide, k, stride, wide, act), *squeeze, conv(wide, cout, 1, act=None))
        self.same = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.body(x) if self.same else self.body(x)


class MobileNetV2(nn.Sequential):
    size = (3, 32, 32)

    def __init__(self) -> None:
        blocks = (Inverted(8, 8, 1), Inverted(8, 12, 2), Inverted(12, 12, 1), Inverted(12, 16, 2))
        super().__init__(conv(3, 8, 3, 2, act=nn.ReLU6), *blocks, conv(16, 32, 1, act=nn.ReLU6), nn.Dropout(0.2), Head(32))


class MobileNetV3(nn.Sequential):
    size = (3, 32, 32)

    def __init__(self) -> None:
        blocks = (
            Inverted(8, 8, 1, 3, 2, nn.ReLU, nn.Hardsigmoid),
            Inverted(8, 12, 2, 5, 3, nn.Hardswish, nn.Hardsigmoid),
            Inverted(12, 12, 1, 5, 3, nn.Hardswish),
        )
        super().__init__(conv(3, 8, 3, 2, act=nn.Hardswish), *blocks, conv(12, 32, 1, act=nn.Hardswish), Head(32))


class EfficientNetLite(nn.Sequential):
    size = (3, 32, 32)

    def __init__(self) -> None:
        blocks = (Inverted(8, 8, 1, 3, 1), Inverted(8, 12, 2, 3, 4), Inverted(12, 12, 1, 5, 4), Inverted(12, 20, 2, 5, 4))
        super().__init__(conv(3, 8, 3, 2, act=nn.ReLU6), *blocks, conv(20, 40, 1, act=nn.ReLU6), Head(40))


class ShuffleUnit(nn.Module):
    """ShuffleNetV2: half of the channels pass, then two groups are interleaved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(conv(half, half, 1), conv(half, half, 3, groups=half, act=None), conv(half, half, 1))

    def forward(self, x):
        kept, worked = x.chunk(2, dim=1)
        x = torch.cat((kept, self.body(worked)), dim=1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleNet(nn.Sequential):
    size = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__(conv(3, 16, 3, 2), nn.MaxPool2d(3, 2, 1), ShuffleUnit(16), ShuffleUnit(16), conv(16, 32, 1), Head(32))


class Fire(nn.Module):
    def __init__(self, cin: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(cin, squeezed, 1)
        self.left, self.right = nn.Conv2d(squeezed, expanded, 1), nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat((F.relu(self.left(x)), F.relu(self.right(x))), 1)


class SqueezeNet(nn.Sequential):
    size = (3, 35, 35)

    def __init__(self) -> None:
        first = (nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(16, 8, 12), nn.MaxPool2d(3, 2, ceil_mode=True))
        super().__init__(*first, Fire(24, 8, 16), nn.Dropout(0.5), nn.Conv2d(32, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class UNet(nn.Module):
    """One level upsampled bilinearly, one by a transposed convolution; skips concatenated."""

    size = (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = conv(1, 8), conv(8, 12), conv(12, 16)
        self.up, self.join = nn.ConvTranspose2d(16, 12, 2, 2), conv(24, 12)
        self.last, self.out = conv(20, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        one = self.one(x)
        two = self.two(F.max_pool2d(one, 2))
        three = self.three(F.max_pool2d(two, 2))
        x = self.join(torch.cat((self.up(three), two), 1))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.out(self.last(torch.cat((x, one), 1)))


class C2f(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.first, self.last = conv(channels, channels, 1, act=nn.SiLU), conv(3 * half, channels, 1, act=nn.SiLU)
        self.inner = nn.Sequential(conv(half, half, act=nn.SiLU), conv(half, half, act=nn.SiLU))

    def forward(self, x):
        parts = list(self.first(x).chunk(2, 1))
        parts.append(parts[-1] + self.inner(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Yolo(nn.Module):
    """SiLU blocks, a pyramid pooling, nearest upsampling, and a head whose two scales are flattened and concatenated.

    Short, because random weights carry every rounding on to the output, and SiLU keeps most values near 0 of a wide range.
    """

    size = (3, 32, 32)
    outputs = 8

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, 3, 2, act=nn.SiLU), conv(8, 12, 3, 2, act=nn.SiLU), C2f(12))
        self.down = conv(12, 16, 3, 2, act=nn.SiLU)
        self.spread, self.pool = conv(48, 16, 1, act=nn.SiLU), nn.MaxPool2d(5, 1, 2)
        self.heads = nn.ModuleList([nn.Conv2d(28, self.outputs, 1), nn.Conv2d(16, self.outputs, 1)])

    def forward(self, x):
        fine = self.stem(x)
        coarse = self.down(fine)
        once = self.pool(coarse)
        coarse = self.spread(torch.cat((coarse, once, self.pool(once)), 1))
        fine = torch.cat((F.interpolate(coarse, scale_factor=2.0, mode="nearest"), fine), 1)
        maps = [head(level).flatten(2) for head, level in zip(self.heads, (fine, coarse), strict=True)]
        box, score = torch.cat(maps, 2).split((4, self.outputs - 4), 1)
        return torch.cat((box, score.sigmoid()), 1)


class Residual1d(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.pad = nn.ConstantPad1d((2 * dilation, 0), 0.0)  # causal
        self.conv = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.norm, self.act, self.mix = nn.BatchNorm1d(channels), nn.PReLU(channels), nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        return x + self.mix(self.act(self.norm(self.conv(self.pad(x)))))


class Tcn(nn.Module):
    size = (8, 64)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(8, 16, 1)
        self.body = nn.Sequential(*(Residual1d(16, 2**i) for i in range(4)))
        self.out = nn.Linear(16, 6)

    def forward(self, x):
        return self.out(self.body(self.first(x)).mean(dim=2))


FAMILIES: dict[str, type[nn.Module]] = {
    "resnet": ResNet,
    "mobilenet_v2": MobileNetV2,
    "mobilenet_v3": MobileNetV3,
    "efficientnet_lite": EfficientNetLite,
    "shufflenet": ShuffleNet,
    "squeezenet": SqueezeNet,
    "unet": UNet,
    "yolo": Yolo,
    "tcn": Tcn,
}
EXPORTERS = ("dynamo", "torchscript")


def built(family: str) -> nn.Module:
    """The network in inference mode, with statistics of BatchNorm that differ from channel to channel as trained ones do."""
    torch.manual_seed(sorted(FAMILIES).index(family))
    module = FAMILIES[family]()
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(part.weight, 0.6, 1.4)
            nn.init.uniform_(part.bias, -0.3, 0.3)
    module.train()
    size = FAMILIES[family].size
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                part.momentum = None  # the average over the batches below
        for _ in range(2):
            module(torch.randn(16, *size))
    return module.eval()


def export(family: str, exporter: str) -> bytes:
    """The .onnx file of a family by one of torch's two exporters, as their defaults write it."""
    module, x = built(family), torch.zeros(1, *FAMILIES[family].size)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
            return program.model_proto.SerializeToString()
        torch.onnx.export(module, (x,), buffer, dynamo=False)
    return buffer.getvalue()


COMMITTED = (("mobilenet_v3", "dynamo"), ("shufflenet", "torchscript"), ("unet", "dynamo"), ("yolo", "dynamo"), ("tcn", "torchscript"))


def without_traces(data: bytes) -> bytes:
    """The same file without the stack traces that the dynamo exporter leaves on nodes and values: they name folders."""
    model = onnx.load_from_string(data)
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer, model.graph):
        del part.metadata_props[:]
        part.doc_string = ""
    return model.SerializeToString(deterministic=True)


def main() -> int:
    for family, exporter in COMMITTED:
        data = without_traces(export(family, exporter))
        (HERE / f"{family}_{exporter}.onnx").write_bytes(data)
        print(f"{family}_{exporter}.onnx: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
