"""Which layers get 4 bits: sensitivities, the choice within a number of bytes, and that the chosen network has them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import edgec
from edgec import graph
from edgec.compress import Options, quantize
from edgec.compress.candidate import Candidate, RangeOptions
from edgec.compress.ladder import Choice
from edgec.compress.layerwise import LayerOptions, ensure_bias
from edgec.compress.mixed_precision import TRIES, choose_bits, search_bits
from edgec.compress.placement import place
from edgec.compress.sensitivity import LayerSensitivity, sensitivity
from edgec.compress.splits import Split
from edgec.compress.weight_bytes import weight_bytes
from edgec.data import Samples
from edgec.errors import FitError, UsageError
from edgec.importer import import_model
from tests.models import network
from tests.test_graph_passes import Net
from tests.test_quantize import checked, run, samples, small_net
from tests.test_weight_bits import model_of


def layer(name: str, size: int, noise: float, cautious: bool = False, saved: int | None = None) -> LayerSensitivity:
    return LayerSensitivity(name, "Conv", size, size - (size // 2 if saved is None else saved), noise, 30.0, 36.0, cautious)


def predicted(layers: list[LayerSensitivity], bits: dict[str, int]) -> tuple[int, float]:
    """Bytes and added noise of a choice."""
    return sum(s.bytes_4 if bits[s.name] == 4 else s.bytes_8 for s in layers), sum(s.noise for s in layers if bits[s.name] == 4)


# --- the choice -----------------------------------------------------------------------------------------------------------


def test_nothing_is_given_up_without_need():
    layers = [layer("a", 100, 1e-3), layer("b", 200, 1e-4)]
    assert choose_bits(layers, 300) == {"a": 8, "b": 8}
    assert choose_bits(layers, 299) == {"a": 8, "b": 4}


def test_cautious_layers_keep_8_bits_where_the_budget_allows():
    layers = [layer("first", 100, 1e-9, cautious=True), layer("b", 200, 1e-3)]
    assert choose_bits(layers, 250) == {"first": 8, "b": 4}
    assert choose_bits(layers, 250, cautious=False)["first"] == 4 or predicted(layers, choose_bits(layers, 250, cautious=False))[0] <= 250
    assert choose_bits(layers, 160) == {"first": 4, "b": 4}


def test_layers_without_a_4_bit_form():
    layers = [layer("a", 100, 0.0, saved=0), layer("b", 200, 1e-3)]
    assert choose_bits(layers, 200) == {"a": 8, "b": 4}


def test_too_few_bytes_say_how_many_are_needed():
    with pytest.raises(FitError, match="1,500"):
        choose_bits([layer("a", 1000, 1e-3), layer("b", 2000, 1e-3)], 1499)


@pytest.mark.parametrize("seed", range(12))
def test_choice_is_near_the_best_of_all(seed):
    """Beside every combination there is: never over the budget, and seldom far above the least noise."""
    rng = np.random.default_rng(seed)
    layers = [layer(f"l{i}", int(rng.integers(20, 2000)), float(rng.exponential(1e-3))) for i in range(9)]
    budget = int(sum(s.bytes_8 for s in layers) * rng.uniform(0.55, 0.95))
    size, noise = predicted(layers, choose_bits(layers, budget))
    everything = [predicted(layers, dict(zip((s.name for s in layers), bits, strict=True))) for bits in itertools.product((4, 8), repeat=9)]
    least = min(n for b, n in everything if b <= budget)
    assert size <= budget and noise <= 1.1 * least + 1e-12


# --- measured on networks -------------------------------------------------------------------------------------------------


def test_sensitivity_of_every_layer():
    found = sensitivity(model_of(small_net()), samples(64))
    assert [s.operator for s in found] == ["Conv", "Conv", "Conv", "Gemm"]
    assert [s.cautious for s in found] == [True, True, False, False]
    assert all(s.noise > 0 and s.sqnr_db < s.base_sqnr_db and s.saved > 0 and np.isfinite(s.noise_per_byte) for s in found)
    assert sum(s.bytes_4 for s in found) == weight_bytes(model_of(small_net()), 4)


def test_network_within_bytes():
    model = model_of(small_net())
    budget = (weight_bytes(model, 4) + weight_bytes(model, 8)) // 2
    _, report = checked(model, calibration=samples(64), options=Options(weight_bytes=budget))
    assert weight_bytes(model, report.weight_bits) == report.weight_bytes <= budget
    assert set(report.weight_bits.values()) == {4, 8} and len(report.sensitivities) == 4


def test_combinations_are_judged_on_held_out_samples():
    """A budget that several pairs of layers meet: the neighbours of the predicted best one are quantized too, and the best judged is taken."""
    net = Net(("x", (1, 8, 6, 6)), seed=3)
    y = "x"
    for _ in range(5):
        y = net.add("Relu", net.add("Conv", y, net.constant(net.rng.standard_normal((8, 8, 3, 3)).astype(np.float32) / 8), net.random(8), pads=[1, 1, 1, 1]))
    net.result = y
    model = model_of(net)
    ensure_bias(model, place(model.graph).layers)
    candidate = Candidate(model, Split(Samples(samples(64, (8, 6, 6)), {"x": (1, 8, 6, 6)})), 64)
    judged: list[str] = []
    choice = Choice(candidate, RangeOptions(), LayerOptions())
    budget = weight_bytes(model) - 2 * 8 * 36
    bits, found = search_bits(choice, budget, lambda step, done: judged.append(step))
    assert judged.count("mixed precision") == 1 + TRIES and weight_bytes(model, bits) <= budget
    best = replace(choice, layers=LayerOptions(bits=bits)).judge().sqnr_db
    assert best >= replace(choice, layers=LayerOptions(bits=choose_bits(found, budget))).judge().sqnr_db


def test_compiled_mixed_network_is_the_program_of_its_qdq_model(tmp_path):
    """From the float file to outputs: host and interpreter give the same bytes, and onnxruntime on the saved QDQ model the same to a step."""
    model, net = model_of(small_net()), small_net()
    budget = (weight_bytes(model, 4) + weight_bytes(model, 8)) // 2
    artifact = edgec.compile(net.model(net.result), "host", calibration=samples(64), quantize={"weight_bytes": budget}, save_qdq=tmp_path / "q.onnx")
    assert {op.attrs["weight_bits"] for op in artifact.program.ops if "weight_bits" in op.attrs} == {4, 8}
    x = samples(16, seed=5)
    np.testing.assert_array_equal(artifact.run(x), artifact.run(x, on="interpreter"))
    simulated = run(import_model(tmp_path / "q.onnx"), x)
    np.testing.assert_allclose(artifact.run(x).reshape(16, -1), simulated.reshape(16, -1), atol=1.01 / 256)


def test_enough_bytes_change_nothing():
    model = model_of(small_net())
    _, report = quantize(model, samples(40), options=Options(weight_bytes=weight_bytes(model)))
    assert set(report.weight_bits.values()) == {8} and not report.sensitivities


def test_budget_below_4_bits_is_an_error():
    model = model_of(small_net())
    with pytest.raises(FitError, match="prune"):
        quantize(model, samples(40), options=Options(weight_bytes=weight_bytes(model, 4) - 1))


def test_bits_and_bytes_together_are_an_error():
    with pytest.raises(UsageError, match="both"):
        Options(weight_bits=4, weight_bytes=1000)


def test_constant_data_and_one_sample():
    """Nothing to measure: no noise anywhere, and still a choice that fits."""
    model = model_of(small_net())
    budget = (weight_bytes(model, 4) + weight_bytes(model, 8)) // 2
    for data in (np.zeros((40, 3, 8, 8), np.float32), samples(1)):
        _, report = quantize(model, data, options=Options(weight_bytes=budget))
        assert report.weight_bytes <= budget


@pytest.mark.slow
def test_resnet8_at_55_percent():
    net = network("resnet8")
    model, _ = graph.optimize(import_model(net.path))
    budget = int(0.55 * weight_bytes(model))
    _, report = quantize(model, np.load(net.path.parent.parent / "data" / "cifar10.npz")["x_train"][:2048].astype(np.float32), options=Options(weight_bytes=budget))
    (output,) = report.outputs
    assert report.weight_bytes <= budget and output.sqnr_db > 20 and output.agreement > 96.5
