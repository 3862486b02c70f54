"""MobileNetV2-224 and ResNet-18 of random weights, beside LiteRT on the same network: `bench/models.py --large`."""

from __future__ import annotations

from pathlib import Path

from bench import peers
from bench.kernels import encode
from bench.tflite import to_tflite
from tests import programs

NETWORKS = {"mobilenet_v2_224": programs.mobilenet_v2, "resnet18_224": programs.resnet18}


def runners_of(name: str, tier: str, folder: Path) -> tuple[dict[str, peers.Run], dict[str, str]]:
    """edgec, checked, and LiteRT on a .tflite of the same shapes and weights."""
    from bench.models import check

    program = NETWORKS[name]()
    data = encode(program)
    check(data, tier)
    runners, missing = {"edgec": peers.edgec(data, tier)}, {}
    try:
        path = folder / f"{name}.tflite"
        path.write_bytes(to_tflite(program))
        runners["litert int8"] = peers.litert(path)
    except Exception as problem:  # named, not hidden
        missing["litert int8"] = f"{type(problem).__name__}: {problem}"
    return runners, missing
