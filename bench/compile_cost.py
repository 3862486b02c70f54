"""What compiling costs: `python bench/compile_cost.py [--json]`.

CPU seconds of ds_cnn from its QDQ model and from float with 100 calibration samples, and peak memory with 500 and 10,000
samples of resnet8 from a generator; each in a process of its own, imports included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PROGRAM = """
import resource, sys
sys.path.insert(0, {root!r})
import numpy as np, edgec
from tests.models import network
net = network({name!r})
calibration = net.calibration
count = {count}
if count > len(calibration):
    calibration = (net.calibration[i % len(net.calibration)] + 0.01 * (i // len(net.calibration)) for i in range(count))
elif count:
    calibration = calibration[:count]
model = {qdq!r} if not count else net.path
edgec.compile(model, "cortex-m4", calibration=calibration if count else None, save_qdq={qdq!r} if count else None)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def cost(name: str, count: int, qdq: str) -> tuple[float, float]:
    """(CPU seconds, peak MiB) of one compile; count 0 compiles the QDQ file that an earlier call wrote."""
    code = PROGRAM.format(root=str(ROOT), name=name, count=count, qdq=qdq)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, mebibytes = done.stdout.split()
    return float(seconds), float(mebibytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        qdq = str(Path(folder) / "qdq.onnx")
        calibrated, _ = cost("ds_cnn", 100, qdq)
        from_qdq, _ = cost("ds_cnn", 0, qdq)
        rows = {
            "ds_cnn_from_qdq_cpu_seconds": round(from_qdq, 2),
            "ds_cnn_calibration_of_100_adds_cpu_seconds": round(calibrated - from_qdq, 2),
            "resnet8_peak_mebibytes_500_samples": round(cost("resnet8", 500, qdq)[1]),
            "resnet8_peak_mebibytes_10000_samples": round(cost("resnet8", 10000, qdq)[1]),
        }
    print(json.dumps(rows) if args.json else "\n".join(f"{k:45} {v}" for k, v in rows.items()))


if __name__ == "__main__":
    main()
