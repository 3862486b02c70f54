"""int8 quantizers on the same network and data: edgec, ONNX Runtime, NNCF: `python bench/quantizers.py [--json] [ds_cnn resnet8 …]`.

Every one makes a QDQ ONNX file without training, from the same samples; the files are run in the same way (ONNX Runtime, node by
node, no fusions) on samples that none of them saw, and compared with float at the logits, that is in front of a final softmax.
resnet8 and mobilenet are calibrated with images of x_train, of which edgec leaves a quarter aside for its report, and judged on
x_val; ds_cnn with the fit and select parts of the 500 samples (by hash), judged on their report part. NNCF has many dependencies:
where it lives in an environment of its own (pip install nncf onnx onnxruntime), NNCF_PYTHON names that environment's python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

METHODS = ("MinMax", "Entropy", "Percentile")

NNCF_PROGRAM = """
import sys, numpy as np, onnx, nncf
model, data, output, fast = onnx.load(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3], sys.argv[4] == "fast"
name = model.graph.input[0].name
samples = nncf.Dataset([x[None] for x in data], lambda x: {name: x})
made = nncf.quantize(model, samples, subset_size=len(data), fast_bias_correction=fast)
onnx.save(made, output)
print("version", nncf.__version__)
"""


def onnxruntime_static(path: Path, x: np.ndarray, method: str, output: Path) -> None:
    """Static quantization of ONNX Runtime: QDQ, weights per channel, symmetric weights and asymmetric int8 activations."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.name = onnx.load(path).graph.input[0].name
            self.left = iter(x)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self.left, None)
            return None if sample is None else {self.name: sample[None]}

    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared), str(output), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8, calibrate_method=getattr(CalibrationMethod, method),
    )  # fmt: skip


def nncf_quantize(path: Path, x: np.ndarray, output: Path, *, fast: bool = True) -> str:
    """Post-training quantization of NNCF with its defaults (fast: fast bias correction). Returns "", or why it could not run."""
    python = os.environ.get("NNCF_PYTHON", sys.executable)
    data = output.with_suffix(".npy")
    np.save(data, x)
    command = [python, "-c", NNCF_PROGRAM, str(path), str(data), str(output), "fast" if fast else "full"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return f"NNCF did not run: {(done.stderr.strip().splitlines() or ['no message'])[-1]}; pip install nncf, or set NNCF_PYTHON"
    return ""


def edgec_quantize(path: Path, x: np.ndarray, output: Path) -> dict[str, Any]:
    """edgec's ladder with its defaults. Returns its report."""
    import onnx_ir as ir

    from edgec import graph
    from edgec.compress import quantize_model
    from edgec.importer import import_model

    model, report = quantize_model(graph.optimize(import_model(path))[0], x)
    onnx.save(ir.to_proto(model), output)
    return report


def logits(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """float32 [samples, …]: the first output, or what the final softmax reads; node by node, as the file says."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    made = {o: n for n in model.graph.node for o in n.output}
    node = made[model.graph.output[0].name]
    while node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        node = made[node.input[0]]
    if node.op_type in ("Softmax", "Sigmoid"):
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    return np.concatenate([session.run(None, {port.name: v[None]})[0] for v in x])


def compared(exact: np.ndarray, given: np.ndarray) -> dict[str, Any]:
    """Agreement in percent with Wilson's 95 % interval, and SQNR in dB."""
    from edgec.comparison import wilson
    from edgec.compress.report import sqnr_db

    exact, given = exact.reshape(len(exact), -1), given.reshape(len(given), -1)
    same = int((exact.argmax(1) == given.argmax(1)).sum())
    return {
        "samples": len(exact), "agreement": round(100 * same / len(exact), 2), "agreement_interval": wilson(same, len(exact)),
        "sqnr_db": round(sqnr_db(exact, given), 2),
    }  # fmt: skip


def compare(
    path: Path, calibration: np.ndarray, samples: np.ndarray, *, own: np.ndarray | None = None, peers_only: bool = False
) -> list[dict[str, Any]]:
    """One row a quantizer: name, agreement, sqnr_db, seconds of CPU (or "error").

    Args:
        path: float ONNX. calibration, samples: float32 [N, …], disjoint; figures are on samples.
        own: what edgec gets where it is to keep its report part out by itself.
    """
    exact = logits(onnx.load(path), samples)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        makers: list[tuple[str, Callable[[Path], Any]]] = [
            (f"ONNX Runtime {ort.__version__}, {m}", lambda out, m=m: onnxruntime_static(path, calibration, m, out)) for m in METHODS
        ]
        makers.append(("NNCF, fast bias correction", lambda out: nncf_quantize(path, calibration, out)))
        makers.append(("NNCF, full bias correction", lambda out: nncf_quantize(path, calibration, out, fast=False)))
        if not peers_only:
            makers.append(("edgec", lambda out: edgec_quantize(path, calibration if own is None else own, out)))
        for i, (name, make) in enumerate(makers):
            start, output = sum(os.times()[:4]), Path(folder) / f"{i}.onnx"
            clock = time.monotonic()
            try:
                said = make(output)
            except Exception as error:  # a peer that fails is a row too
                said = f"{type(error).__name__}: {error}".splitlines()[0]
            row: dict[str, Any] = {"quantizer": name, "cpu_seconds": round(sum(os.times()[:4]) - start, 1), "seconds": round(time.monotonic() - clock, 1)}
            rows.append(row | (compared(exact, logits(onnx.load(output), samples)) if output.is_file() else {"error": str(said)}))
    return rows


def data(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(calibration, samples, what edgec gets), as the module says."""
    from edgec.compress.splits import REPORT, parts_of
    from tests.models import SHARED

    if name == "ds_cnn":
        d = np.load(SHARED / "data" / "kws.npz")
        x = ((d["x"].astype(np.float32) - d["zero_point"]) * d["scale"]).astype(np.float32)
        held = parts_of(x) == REPORT
        return x[~held], x[held], x
    d = np.load(SHARED / "data" / "cifar10.npz")
    train, val = (d[k].astype(np.float32) for k in ("x_train", "x_val"))
    if name == "resnet8":
        return train[:512], val, train[:512]
    wide = lambda a: np.repeat(np.repeat(a, 3, 1), 3, 2) / np.float32(255)  # noqa: E731
    calibration = wide(train[:128])
    return calibration, wide(val[:200]), calibration


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("networks", nargs="*", default=["ds_cnn", "resnet8"])
    args = parser.parse_args()
    from tests.models import SHARED

    found = {}
    for name in args.networks:
        calibration, samples, own = data(name)
        found[name] = compare(SHARED / "models" / f"{name}.onnx", calibration, samples, own=own)
    if args.json:
        print(json.dumps(found))
        return
    for name, rows in found.items():
        print(name)
        for r in rows:
            figures = r.get("error") or "agreement {agreement:6.2f} % ({agreement_interval[0]} to {agreement_interval[1]})  {sqnr_db:5.2f} dB".format(**r)
            print(f"  {r['quantizer']:34} {figures}  {r['cpu_seconds']:6.1f} s CPU")


if __name__ == "__main__":
    main()
