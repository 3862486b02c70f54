"""Peers of the host engine, each as a function that runs one inference on prepared buffers, one thread.

A peer that is not installed, or that cannot read a model, is left out and named with the reason.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[[], object]


def edgec(data: bytes, tier: str = "") -> Run:
    """The engine on int8 buffers."""
    from edgec._core import Engine

    engine = Engine(data, tier)
    rng = np.random.default_rng(0)
    buffers = [rng.integers(-128, 128, n).astype(np.int8) for n in (*engine.input_bytes, *engine.output_bytes)]
    run = engine.run
    return lambda: run(*buffers)


def litert(path: Path) -> Run:
    """LiteRT with XNNPACK on an int8 .tflite; int8 in and out, the input set beforehand."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.random.default_rng(0).integers(-128, 128, detail["shape"]).astype(detail["dtype"]))
    return interpreter.invoke


def onnxruntime(path: Path) -> Run:
    """ONNX Runtime on a float or QDQ ONNX file, input and output bound beforehand."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for value in session.get_inputs():
        shape = [n if isinstance(n, int) else 1 for n in value.shape]
        binding.bind_ortvalue_input(value.name, ort.OrtValue.ortvalue_from_numpy(np.random.default_rng(0).random(shape, np.float32)))
    for value in session.get_outputs():
        binding.bind_output(value.name)
    session.run_with_iobinding(binding)
    return lambda: session.run_with_iobinding(binding)


def openvino(path: Path) -> Run:
    """OpenVINO on a float or QDQ ONNX file, one infer request."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(str(path))
    model.reshape({port: [d.get_length() if d.is_static else 1 for d in port.get_partial_shape()] for port in model.inputs})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    for i, port in enumerate(compiled.inputs):
        request.set_input_tensor(i, ov.Tensor(np.random.default_rng(0).random(list(port.shape), np.float32)))
    return request.infer


def mnn(path: Path) -> Run:
    """MNN on a float ONNX file, converted with its own tool."""
    import MNN

    folder = tempfile.mkdtemp()
    converted = Path(folder) / "model.mnn"
    tool = Path(sys.executable).parent / "mnnconvert"
    subprocess.run([tool, "-f", "ONNX", "--modelFile", path, "--MNNModel", converted, "--bizCode", "x"], check=True, capture_output=True)
    interpreter = MNN.Interpreter(str(converted))
    session = interpreter.createSession({"numThread": 1, "precision": "high"})
    for tensor in interpreter.getSessionInputAll(session).values():
        interpreter.resizeTensor(tensor, tuple(max(1, n) for n in tensor.getShape()))
    interpreter.resizeSession(session)
    return lambda: (interpreter.runSession(session), interpreter)[0]
