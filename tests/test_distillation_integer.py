"""Integer programs as torch modules: the bytes of the interpreter, and gradients that lead somewhere."""

from __future__ import annotations

import numpy as np
import pytest

import edgec
from edgec import importer, numerics
from edgec.ir import interp
from edgec.ir.core import DTYPE_BITS, DTYPES
from edgec.lower import lower
from edgec.ops import OPERATORS
from edgec.ops.wide import elements
from tests.conftest import enable
from tests.models import network

torch = pytest.importorskip("torch", reason=enable("torch is not installed", "pip install torch==2.13.0"))

from edgec.compress.distillation.integer_network import IntegerNetwork  # noqa: E402
from edgec.compress.distillation.integer_operators import FUNCTIONS, LAYERS  # noqa: E402
from edgec.errors import ModelError  # noqa: E402

REFUSED = ("conv_transpose2d_2",)
"""Cases refused with an error: transposed convolution in groups."""

FAST_DIFFERS = 0.05
"""Greatest share of the logits that the form of training steps may give one step apart."""


def real_inputs(program, q: dict[str, np.ndarray]) -> dict:
    """The float inputs that quantize to q [samples, *port shape]."""
    inputs = {}
    for port in program.inputs:
        t = program.tensors[port.tensor]
        inputs[port.name] = torch.from_numpy((q[port.name].astype(np.float32) - t.zero_point) * np.float32(t.scale))
    return inputs


def interpreted(program, q: dict[str, np.ndarray], sample: int) -> dict[str, np.ndarray]:
    feeds = {}
    for port in program.inputs:
        x = q[port.name][sample]
        x = np.ascontiguousarray(x if port.order is None else x.transpose(port.order))
        feeds[port.tensor] = x.reshape(-1).view(np.int8)
    outputs = interp.run(program, feeds)
    return {name: elements(value, DTYPE_BITS[program.tensors[name].dtype]) for name, value in outputs.items()}


def test_an_operator_without_counterpart_is_named():
    assert {*FUNCTIONS, *LAYERS} <= set(OPERATORS)
    program = next(OPERATORS["argmax"].cases())
    with pytest.raises(ModelError, match=program.ops[0].name):
        IntegerNetwork(program)


@pytest.mark.parametrize("opcode", [*LAYERS, *FUNCTIONS])
def test_cases_give_the_interpreters_bytes(opcode):
    rng = np.random.default_rng(1)
    for program in OPERATORS[opcode].cases():
        if program.name in REFUSED:
            with pytest.raises(ModelError, match="groups"):
                IntegerNetwork(program)
            continue
        net = IntegerNetwork(program)
        q = {}
        for port in program.inputs:
            kind = DTYPES[program.tensors[port.tensor].dtype]
            least, most = np.iinfo(kind).min, np.iinfo(kind).max
            q[port.name] = np.stack([rng.integers(least, most + 1, port.shape), rng.choice([least, most], port.shape), np.full(port.shape, most)]).astype(kind)
        got = net.integers(real_inputs(program, q))
        for i in range(3):
            want = interpreted(program, q, i)
            for port in program.outputs:
                np.testing.assert_array_equal(got[port.name][i].reshape(-1), want[port.tensor].reshape(-1), err_msg=program.name)


@pytest.mark.parametrize("name", ["digits", "depthwise", "resnet8", "ds_cnn"])
def test_networks_give_the_interpreters_bytes(name, tmp_path):
    net = network(name)
    edgec.compile(net.path, "generic-c", calibration=net.calibration[:32], save_qdq=tmp_path / "q.onnx")
    program = lower(importer.import_model(tmp_path / "q.onnx"))
    trained = IntegerNetwork(program)
    port, x = program.inputs[0], net.samples[:6].astype(np.float32)
    t = program.tensors[port.tensor]
    q = {port.name: numerics.quantize(x.reshape(len(x), *port.shape), t.scale, t.zero_point)}
    inputs = {port.name: torch.from_numpy(x.reshape(len(x), *port.shape).copy())}
    got = trained.integers(inputs)
    for i in range(len(x)):
        want = interpreted(program, q, i)
        for out in program.outputs:
            np.testing.assert_array_equal(got[out.name][i].reshape(-1), want[out.tensor].reshape(-1))
    logits = program.ops[-1].inputs[0]
    with torch.no_grad():
        fast = trained(inputs, (logits,))[logits]
        trained.exact = True
        exact = trained(inputs, (logits,))[logits]
    t = program.tensors[logits]
    steps = (fast - exact).abs() / (t.scale * 2 ** (DTYPE_BITS[t.dtype] - 8))  # of 8 bits, whatever the logits have
    assert float((steps > 0.5).float().mean()) <= FAST_DIFFERS and float(steps.max()) < 2.5


def test_gradients_reach_every_layer_and_descend():
    """One small step against the gradient lowers the loss: on resnet8's kind of network the straight-through gradient is right."""
    net = network("digits")
    from edgec import graph
    from edgec.compress import quantize_model

    model = graph.optimize(importer.import_model(net.path))[0]
    quantized = importer.fold(quantize_model(model, net.calibration[:64])[0])
    trained = IntegerNetwork(lower(quantized))
    port = trained.program.inputs[0]
    inputs = {port.name: torch.from_numpy(net.samples[:64].astype(np.float32).reshape(64, *port.shape))}
    logits = trained.program.ops[-1].inputs[0]
    target = torch.randn(64, 10, generator=torch.Generator().manual_seed(0)) * 5

    def loss():
        return (trained(inputs, (logits,))[logits].reshape(64, -1) - target).square().mean()

    before = loss()
    before.backward()
    for layer in trained.layers.values():
        assert float(layer.weights.grad.abs().max()) > 0 and float(layer.bias.grad.abs().max()) > 0
    with torch.no_grad():
        for layer in trained.layers.values():
            layer.weights -= 0.5 * layer.weights.grad / layer.weights.grad.abs().mean()
    with torch.no_grad():
        assert float(loss()) < float(before.detach())
