"""White coordinates: the rows are what the weights meet, a step there is the step in the weights, and inputs come out white."""

from __future__ import annotations

import numpy as np
import pytest

from edgec import graph, importer
from tests.conftest import enable
from tests.onnx_graphs import model, node

torch = pytest.importorskip("torch", reason=enable("torch is not installed", "pip install torch==2.13.0"))

rng = np.random.default_rng(3)
f = lambda *shape: rng.normal(0, 1, shape).astype(np.float32)  # noqa: E731

CASES = {
    "conv": (node("Conv", ["x", "w", "b"], ["y"], strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]), {"w": f(5, 4, 3, 2), "b": f(5)}, (1, 4, 9, 7)),
    "groups": (node("Conv", ["x", "w", "b"], ["y"], group=2, pads=[1, 1, 1, 1]), {"w": f(6, 2, 3, 3), "b": f(6)}, (1, 4, 5, 6)),
    "depthwise": (node("Conv", ["x", "w"], ["y"], group=4), {"w": f(4, 1, 3, 3)}, (1, 4, 6, 6)),
    "gemm": (node("Gemm", ["x", "w", "b"], ["y"], transB=1), {"w": f(3, 8), "b": f(3)}, (1, 8)),
    "gemm as it is": (node("Gemm", ["x", "w", "b"], ["y"]), {"w": f(8, 3), "b": f(3)}, (1, 8)),
    "matmul": (node("MatMul", ["x", "w"], ["y"]), {"w": f(8, 3)}, (1, 5, 8)),
}


def trainable(name):
    """The layer's Trainable on correlated samples of a large mean, its network, the samples, and the rows that its weights meet."""
    from edgec.compress.distillation.network import FloatNetwork

    layer, weights, shape = CASES[name]
    network = FloatNetwork(graph.optimize(importer.import_model(model([layer], weights, {"x": shape})))[0])
    x = rng.normal(0, 1, (300, *shape)).cumsum(-1).astype(np.float32) * 3 + 20
    samples = {"x": torch.from_numpy(x)}
    found = network.trainables(samples)[0]
    rows = network._layers[0].rows(samples["x"].squeeze(1))
    return found, network, samples, rows


@pytest.mark.parametrize("name", CASES)
def test_rows_times_weights_are_the_layer(name):
    found, network, samples, rows = trainable(name)
    weights, white = found.weights.detach(), found.white
    answers = rows @ (white._rows(weights).transpose(1, 2))
    answers = answers if found.bias is None else answers + found.bias.detach().reshape(len(rows), 1, -1)
    with torch.no_grad():
        y = network(samples)["y"].squeeze(1)
    channels = y.shape[1] if y.ndim == 4 else y.shape[-1]
    every = (y.permute(1, 0, 2, 3) if y.ndim == 4 else y.reshape(-1, channels).T).reshape(channels, -1)
    got = answers.permute(0, 2, 1).reshape(channels, -1)
    assert rows.shape[1] == every.shape[1]  # so few positions that all are taken
    np.testing.assert_allclose(got, every, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("name", CASES)
def test_inputs_are_white(name):
    found, _, _, rows = trainable(name)
    white = (rows - found.white.mean[:, None]) @ found.white.inverse.transpose(1, 2)
    of_inputs = white.transpose(1, 2) @ white / white.shape[1]
    eigenvalues = np.linalg.eigvalsh(of_inputs.numpy())
    assert eigenvalues.max() < 1.001 and np.median(eigenvalues) > 0.2, "the ridge takes from the smallest alone"
    if found.bias is not None:
        assert abs(white.mean(1)).max() < 1e-3


@pytest.mark.parametrize("name", CASES)
def test_a_step_in_white_coordinates_is_one_in_the_weights(name):
    """By the chain rule: a change c of the weights made of a change s of white ones has gradient(g)·s = g·c, for all g and s."""
    found, _, _, _ = trainable(name)
    white, weights, bias = found.white, found.weights.detach(), found.bias
    g, g_bias = torch.randn_like(weights), None if bias is None else torch.randn_like(bias)
    there, there_bias = white.gradient(g, g_bias)
    s, s_bias = torch.randn_like(there), None if bias is None else torch.randn_like(there_bias)
    c, c_bias = white.change(s, s_bias, weights)
    product = lambda a, b: 0.0 if a is None else float((a.double() * b.double()).sum())  # noqa: E731
    assert c.shape == weights.shape
    assert product(there, s) + product(there_bias, s_bias) == pytest.approx(product(g, c) + product(g_bias, c_bias), rel=1e-3)


def test_layers_that_stay_as_they_are():
    from edgec.compress.distillation.white import MOST_ENTRIES, rows_of

    wide = node("Gemm", ["x", "w"], ["y"], transB=1), {"w": f(2, MOST_ENTRIES + 1)}, (1, MOST_ENTRIES + 1)
    line = node("Conv", ["x", "w"], ["y"]), {"w": f(2, 3, 3)}, (1, 3, 9)
    back = node("ConvTranspose", ["x", "w"], ["y"]), {"w": f(4, 2, 3, 3)}, (1, 4, 5, 5)
    for layer, weights, shape in (wide, line, back):
        made = importer.import_model(model([layer], weights, {"x": shape}))
        assert rows_of(next(iter(made.graph))) is None


def test_a_silent_input_keeps_its_weights_small():
    """A channel that is always 0 must not be moved far by noise in its gradient."""
    from edgec.compress.distillation.white import White

    x = torch.randn(1, 500, 4)
    x[:, :, 2] = 0
    white = White.of(torch.randn(3, 4), 0, True, x)
    step, of_bias = white.units()
    change, _ = white.change(step.expand(1, 3, 4), of_bias, torch.empty(3, 4))
    assert torch.isfinite(change).all() and change[:, 2].abs().max() < 50 * change[:, 0].abs().max()
