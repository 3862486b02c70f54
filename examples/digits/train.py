"""Trains the network that edgec ships as an example, on scikit-learn's handwritten digits. Nobody needs to run it again.

1,797 real handwritten digits of 8 × 8 pixels (UCI "Optical Recognition of Handwritten Digits", inside scikit-learn).
The split is by a hash of the pixels, so equal pictures fall into one part: about 60 % to train, 15 % to calibrate
(labels unused), 25 % to report. The last part is not looked at before the figures at the end.

    python3.11 -m venv /tmp/train && /tmp/train/bin/pip install torch==2.13.0 onnx onnxscript onnxruntime scikit-learn
    /tmp/train/bin/python examples/digits/train.py        about half a minute on one core

writes digits.onnx and digits.npz (x_calibration, x_test: float32 [n, 1, 8, 8] in 0…1; y_test: int64 [n]) beside this
file. The random seed, the number of threads and the versions above are fixed; another processor may round differently.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

FOLDER = Path(__file__).parent
SEED, EPOCHS, BATCH = 7, 120, 64
CHANNELS, WIDE = 16, 32


def split() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pictures float32 [n, 1, 8, 8] in 0…1 and labels, by part."""
    data = load_digits()
    pixels = data.images.astype(np.uint8)
    bucket = np.array([hashlib.sha256(p.tobytes()).digest()[0] for p in pixels]) / 256
    parts = {"train": bucket < 0.6, "calibration": (bucket >= 0.6) & (bucket < 0.75), "test": bucket >= 0.75}
    return {k: ((pixels[m, None] / np.float32(16)).astype(np.float32), data.target[m].astype(np.int64)) for k, m in parts.items()}


def convolution(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs))


class Digits(nn.Module):
    """A 3×3 convolution, a depthwise-separable block with a residual, max pooling, a wider block, average pooling, dense."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(1, CHANNELS, 3)
        self.depthwise_1 = convolution(CHANNELS, CHANNELS, 3, CHANNELS)
        self.pointwise_1 = convolution(CHANNELS, CHANNELS, 1)
        self.depthwise_2 = convolution(CHANNELS, CHANNELS, 3, CHANNELS)
        self.pointwise_2 = convolution(CHANNELS, WIDE, 1)
        self.head = nn.Linear(WIDE, 10)

    def logits(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.pointwise_1(torch.relu(self.depthwise_1(x))))
        x = nn.functional.max_pool2d(x, 2)
        x = torch.relu(self.pointwise_2(torch.relu(self.depthwise_2(x))))
        return self.head(nn.functional.avg_pool2d(x, 4).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.logits(x), dim=1)


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures shifted by up to half a pixel, turned by up to 10 degrees and scaled by up to 10 %, each its own way."""
    n = len(x)
    angle, scale = (torch.rand(n, generator=generator) * 2 - 1) * 0.17, 1 + (torch.rand(n, generator=generator) * 2 - 1) * 0.1
    shift = (torch.rand(n, 2, generator=generator) * 2 - 1) * 0.125
    theta = torch.stack(
        [torch.cos(angle) * scale, -torch.sin(angle), shift[:, 0], torch.sin(angle), torch.cos(angle) * scale, shift[:, 1]], 1
    )
    grid = nn.functional.affine_grid(theta.reshape(n, 2, 3), list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def train(x: Tensor, y: Tensor) -> Digits:
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    network = Digits()
    steps = EPOCHS * -(-len(x) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=6e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        for batch in order.split(BATCH):
            loss = nn.functional.cross_entropy(network.logits(augmented(x[batch], generator)), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if (epoch + 1) % 20 == 0:
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)
    return network.eval()


def export(network: Digits, path: Path) -> None:
    """ONNX with a symbolic batch. What the exporter notes about this machine (paths, stack traces) is left out."""
    network.eval()
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 1, 8, 8),),
        dynamo=True,
        opset_version=18,
        input_names=["image"],
        output_names=["scores"],
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
    )
    model = program.model_proto
    for item in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
    ):
        del item.metadata_props[:]
        item.doc_string = ""
    model.graph.name = "digits"
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    torch.set_num_threads(1)
    parts = split()
    network = train(*(torch.from_numpy(v) for v in parts["train"]))
    export(network, FOLDER / "digits.onnx")
    (x_test, y_test), x_calibration = parts["test"], parts["calibration"][0]
    np.savez_compressed(FOLDER / "digits.npz", x_calibration=x_calibration, x_test=x_test, y_test=y_test)
    session = onnxruntime.InferenceSession(FOLDER / "digits.onnx")
    right = (session.run(None, {"image": x_test})[0].argmax(1) == y_test).sum()
    parameters = sum(p.numel() for p in network.parameters())
    sizes = ", ".join(f"{len(v[1])} {k}" for k, v in parts.items())
    print(f"{sizes}; {parameters} parameters; test accuracy {right}/{len(y_test)} = {right / len(y_test):.4f}")


if __name__ == "__main__":
    main()
