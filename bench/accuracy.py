"""Agreement of int8 with float, accuracy and SQNR of the shared networks: `python bench/accuracy.py [--json]`.

Calibration uses data that the evaluation never sees (kws: the first 100 of 500; CIFAR-10: 256 of the train part, evaluated on
x_val; toycar: 20 of 40; mobilenet: CIFAR-10 resized, its labels mean nothing there). Intervals are Wilson's at 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).parent.parent))

import edgec
from edgec.comparison import wilson
from tests.models import COMMITTED, MLPERF, SHARED, network


def labels(name: str) -> np.ndarray | None:
    """True classes of network(name).samples, where there are any."""
    if name == "ds_cnn":
        return np.load(SHARED / "data" / "kws.npz")["y"][100:]
    if name == "resnet8":
        return np.load(SHARED / "data" / "cifar10.npz")["y_val"]
    if name == "digits":
        return np.load(Path(__file__).parent.parent / "examples" / "digits" / "digits.npz")["y_test"]
    return None


def evaluate(name: str) -> dict[str, object]:
    net = network(name)
    start = time.process_time()
    artifact = edgec.compile(net.path, "host", calibration=net.calibration)
    seconds = time.process_time() - start
    session = ort.InferenceSession(net.path, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0].name
    float_out = np.concatenate([session.run(None, {port: x[None]})[0] for x in net.samples])
    int8_out = artifact.run(net.samples)
    noise = np.sum((float_out - int8_out) ** 2)
    row: dict[str, object] = {
        "network": name,
        "calibration_samples": len(net.calibration),
        "evaluation_samples": len(net.samples),
        "compile_cpu_seconds": round(seconds, 2),
        "output_sqnr_db": round(float(10 * np.log10(np.sum(float_out**2) / noise)), 2) if noise else None,
    }
    if name != "fc_autoencoder":
        same = int((float_out.argmax(-1) == int8_out.argmax(-1)).sum())
        row |= {"agreement": round(100 * same / len(float_out), 2), "agreement_interval": wilson(same, len(float_out))}
    y = labels(name)
    if y is not None:
        for kind, out in (("float", float_out), ("int8", int8_out)):
            right = int((out.argmax(-1) == y).sum())
            row |= {f"{kind}_accuracy": round(100 * right / len(y), 2), f"{kind}_interval": wilson(right, len(y))}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("networks", nargs="*", default=[*COMMITTED, *MLPERF])
    args = parser.parse_args()
    rows = []
    for name in args.networks:
        rows.append(evaluate(name))
        if not args.json:
            print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
