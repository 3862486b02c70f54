"""Whole networks, the same bytes everywhere: interpreter, host, artifact runtime and generated C on emulated devices."""

import numpy as np
import onnxruntime as ort
import pytest

from edgec import run
from tests.models import COMMITTED, MLPERF, NARROW, compiled, network

SAMPLES = 20


def int8_samples(artifact, name, count=SAMPLES):
    """Real inputs of the network, and two made of extremes."""
    x = artifact.quantize_input(network(name).samples[: count - 2])
    extremes = np.stack([np.full(x.shape[1:], -128, np.int8), np.random.default_rng(0).choice(np.array([-128, 127], np.int8), x.shape[1:])])
    return np.concatenate([x, extremes])


@pytest.mark.parametrize("target", ["host", "cortex-m4", "cortex-m55", "generic-c"])
@pytest.mark.parametrize("name", COMMITTED + NARROW + MLPERF)
def test_host_gives_the_interpreters_bytes(name, target):
    artifact = compiled(name, target)
    x = int8_samples(artifact, name)
    assert run.compare(artifact, x) == len(x) * artifact.run(x[:1]).size


FULL = ("cortex-m4", "cortex-m55", "cortex-a", "generic-c")
DEVICES = [
    *((name, target) for name in COMMITTED for target in ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-a", "riscv32", "riscv64", "generic-c")),
    *((name, target) for name in NARROW for target in ("cortex-m0", "cortex-m4", "cortex-m33", "cortex-m55", "riscv32", "generic-c")),
    *((name, target) for name in MLPERF for target in FULL),
    *((name, target) for name in MLPERF for target in ("cortex-m0", "cortex-m3", "cortex-m7", "cortex-m33")),
]


@pytest.mark.parametrize("engine", ["runtime", "c"])
@pytest.mark.parametrize(("name", "target"), DEVICES)
def test_devices_give_the_interpreters_bytes(name, target, engine, needs_target):
    needs_target(target)
    artifact = compiled(name, target)
    x = int8_samples(artifact, name, SAMPLES if name in COMMITTED or target in FULL else 4)
    assert run.compare(artifact, x, on="qemu", engine=engine) == len(x) * artifact.run(x[:1]).size


@pytest.mark.parametrize(("name", "least"), [("ds_cnn", 0.988), ("resnet8", 0.982), ("digits", 0.98)])
def test_int8_agrees_with_float(name, least):
    """Top-1 agreement on inputs that calibration never saw; bench/accuracy.py prints the intervals."""
    net = network(name)
    session = ort.InferenceSession(net.path, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0].name
    want = np.concatenate([session.run(None, {port: x[None]})[0] for x in net.samples])
    got = compiled(name, "host").run(net.samples)
    assert (got.argmax(-1) == want.argmax(-1)).mean() >= least
