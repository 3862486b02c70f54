"""The models beside their peers: one thread, one process, interleaved; medians, and the ratio to each peer with its spread.

    python bench/models.py [--json] [--tier avx2] [--seconds 2] [--models resnet8,ds_cnn] [--large]

Models and .tflite files come from the shared folder (EDGEC_SHARED, default ../shared beside the checkout). Every artifact is
checked against the reference tier before it is timed. Round by round every runner runs for about a millisecond, in an order
that rotates; a ratio is taken within a round, so that what slows the machine slows both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import peers  # noqa: E402

SHARED = Path(os.environ.get("EDGEC_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
MODELS = ("resnet8", "ds_cnn", "mobilenet_v1_025_vww", "fc_autoencoder", "streaming_wakeword")


def calibration(name: str) -> np.ndarray:
    """Real data of the model's kind, float32 [N, …] as its input; noise where there is none."""
    data = SHARED / "data"
    if name == "ds_cnn":
        d = np.load(data / "kws.npz")
        return ((d["x"][:64].astype(np.float32) - d["zero_point"]) * d["scale"]).astype(np.float32)
    if name == "resnet8":
        return np.load(data / "cifar10.npz")["x_train"][:64].astype(np.float32)
    if name == "mobilenet_v1_025_vww":
        return np.load(data / "cifar10.npz")["x_train"][:64].repeat(3, axis=1).repeat(3, axis=2).astype(np.float32) / 255
    if name == "fc_autoencoder":
        return np.load(data / "toycar.npz")["x"].astype(np.float32)
    return np.random.default_rng(0).normal(0, 1, (64, 30, 1, 40)).astype(np.float32)


def check(data: bytes, tier: str) -> None:
    """The tier's bytes equal the reference tier's on random inputs."""
    from edgec._core import Engine

    reference, engine = Engine(data, "ref"), Engine(data, tier)
    rng = np.random.default_rng(1)
    for _ in range(3):
        inputs = [rng.integers(-128, 128, n).astype(np.int8) for n in engine.input_bytes]
        outputs = [[np.empty(n, np.int8) for n in engine.output_bytes] for _ in range(2)]
        reference.run(*inputs, *outputs[0])
        engine.run(*inputs, *outputs[1])
        for a, b in zip(*outputs, strict=True):
            np.testing.assert_array_equal(a, b)


def runners_of(name: str, tier: str, folder: Path) -> tuple[dict[str, peers.Run], dict[str, str]]:
    """What can be run for a model, edgec first, and what cannot with the reason."""
    import edgec

    path, qdq = SHARED / "models" / f"{name}.onnx", folder / f"{name}_qdq.onnx"
    artifact = edgec.compile(path, "host", calibration=calibration(name), save_qdq=qdq)
    check(artifact.data, tier)
    runners, missing = {"edgec": peers.edgec(artifact.data, tier)}, {}
    if name == "mobilenet_v1_025_vww":
        whole = edgec.compile(path, "host", calibration=calibration(name), skip_passes=["remove_constant_channels"])
        check(whole.data, tier)
        runners["edgec, all channels"] = peers.edgec(whole.data, tier)
    candidates: dict[str, Callable[[], peers.Run]] = {
        "litert int8": lambda: peers.litert(SHARED / "peers" / f"{name}_int8.tflite"),
        "onnxruntime f32": lambda: peers.onnxruntime(path),
        "onnxruntime int8": lambda: peers.onnxruntime(qdq),
        "openvino f32": lambda: peers.openvino(path),
        "openvino int8": lambda: peers.openvino(qdq),
        "mnn f32": lambda: peers.mnn(path),
    }
    for peer, make in candidates.items():
        try:
            runners[peer] = make()
        except Exception as problem:  # a peer may fail in any way of its own; it is named, not hidden
            missing[peer] = f"{type(problem).__name__}: {str(problem).splitlines()[0][:160] if str(problem) else ''}"
    return runners, missing


def measure(runners: dict[str, peers.Run], seconds: float) -> dict[str, np.ndarray]:
    """Seconds per inference of every runner in every round."""
    counts = {}
    for name, run in runners.items():
        for _ in range(20):
            run()
        start = time.perf_counter()
        run()
        once = max(time.perf_counter() - start, 1e-7)
        counts[name] = max(1, round(1e-3 / once))
    names, rounds = list(runners), []
    deadline = time.perf_counter() + seconds * len(names)
    while time.perf_counter() < deadline or len(rounds) < 20:
        times = {}
        shift = len(rounds) % len(names)
        for name in names[shift:] + names[:shift]:
            run, count = runners[name], counts[name]
            run()  # warm again after the others
            start = time.perf_counter()
            for _ in range(count):
                run()
            times[name] = (time.perf_counter() - start) / count
        rounds.append(times)
    return {name: np.array([r[name] for r in rounds]) for name in names}


def summary(times: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """For each runner: median µs, and its time over edgec's in the same round (median, quartiles)."""
    result = {}
    for name, t in times.items():
        low, ratio, high = np.quantile(t / times["edgec"], [0.25, 0.5, 0.75])
        result[name] = {"median_us": float(np.median(t) * 1e6), "min_us": float(t.min() * 1e6), "ratio": float(ratio), "ratio_q1": float(low), "ratio_q3": float(high)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tier", default="", help="host tier, default the best that EDGEC_CPU allows")
    parser.add_argument("--seconds", type=float, default=2.0, help="per runner")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--large", action="store_true", help="also MobileNetV2-224 and ResNet-18 built here, without peers that need a model file")
    options = parser.parse_args()

    from edgec import _core

    results, left_out = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(None, options.models.split(",")):
            runners, missing = runners_of(name, options.tier, Path(folder))
            results[name], left_out[name] = summary(measure(runners, options.seconds)), missing
        if options.large:
            for name in ("mobilenet_v2_224", "resnet18_224"):
                from bench import large

                runners, missing = large.runners_of(name, options.tier, Path(folder))
                results[name], left_out[name] = summary(measure(runners, options.seconds)), missing
    tier = options.tier or os.environ.get("EDGEC_CPU", "") or _core.tiers()[-1]
    means = {}
    for peer in ("litert int8", "onnxruntime f32", "openvino int8"):
        ratios = [r[peer]["ratio"] for n, r in results.items() if peer in r and n in MODELS]
        if ratios:
            means[peer] = float(np.exp(np.mean(np.log(ratios))))
    if options.json:
        print(json.dumps({"tier": tier, "models": results, "geometric_mean": means, "left_out": left_out}, indent=1))
        return
    print(f"tier {tier}; µs per inference, and time over edgec's in the same round (median, quartiles)")
    for name, rows in results.items():
        print(name)
        for runner, row in rows.items():
            print(f"  {runner:22} {row['median_us']:10.2f} µs   {row['ratio']:6.2f}  [{row['ratio_q1']:.2f}, {row['ratio_q3']:.2f}]")
        for peer, why in left_out[name].items():
            print(f"  {peer:22} left out: {why}")
    for peer, mean in means.items():
        print(f"geometric mean over {peer}: {mean:.2f}")


if __name__ == "__main__":
    main()
