"""Learned rounding: weights settle on integers one by one, and quantization with it is better and of the same form."""

from __future__ import annotations

import sys

import numpy as np
import onnx_ir as ir
import pytest

import edgec
from edgec import graph, importer
from edgec.compress import Options, adaround, quantize
from edgec.compress.distillation import distill
from edgec.errors import ToolError, UsageError
from edgec.graph.edit import is_op
from tests.conftest import enable
from tests.models import network


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason=enable("torch is not installed", "pip install torch==2.13.0"))


@pytest.fixture(scope="module")
def exact() -> ir.Model:
    return graph.optimize(importer.import_model(network("digits").path))[0]


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return network("digits").calibration[:400]


@pytest.fixture(scope="module")
def narrow(exact, data):
    """Four bits everywhere in closed form: model and report."""
    return quantize(exact, data, options=Options(weight_bits=4))


def integers(m: ir.Model) -> dict[str, bytes]:
    return {name: v.const_value.numpy().tobytes() for name, v in m.graph.initializers.items() if name.endswith(".quantized")}


def test_weights_settle_nearest_first_and_stay(torch):
    from edgec.compress.distillation.settling import SETTLED_AT, Settling, share_settled

    weights = torch.nn.Parameter(torch.linspace(-9, 9, 400).reshape(4, 10, 2, 5).contiguous(memory_format=torch.channels_last))
    settling = Settling(weights, (-7, 7))
    assert share_settled(0.0) == 0.0 and share_settled(SETTLED_AT) == 1.0
    for part in (0.1, 0.4, 0.8, 1.0):
        before = settling.settled.clone()
        settling.settle(part)
        distance = (weights - weights.round()).abs().detach()
        assert settling.settled[before].all() and settling.settled.float().mean().item() == pytest.approx(share_settled(part), abs=0.01)
        assert distance[settling.settled].max() == 0 and (settling.settled.all() or distance[~settling.settled].min() > 0)
        assert torch.equal(settling.values()[settling.settled], weights.detach()[settling.settled])
        with torch.no_grad():
            weights += 0.01  # a step's momentum moves settled ones too
    settling.values().sum().backward()
    assert settling.settled.all() and weights.grad.abs().max() == 0 and settling.values().abs().max() <= 7


def test_four_bits_come_nearer_to_float(torch, exact, data):
    """From weights rounded to nearest, and nearer than by rounding straight through in every step; twice the same."""
    qdq = importer.fold(quantize(exact, data, options=Options(weight_bits=4, rounding="nearest"))[0])
    runs = [distill(qdq, exact, data, steps=300, batch=32, augment="mixup", learned_rounding=which) for which in ("narrow", "narrow", "none")]
    learned, again, straight = (r for _, r in runs)
    assert learned["after"]["sqnr_db"] > learned["before"]["sqnr_db"] + 1 and learned["selected_step"] >= 270
    assert min(loss for _, loss in learned["loss"]["select"]) < min(loss for _, loss in straight["loss"]["select"])
    assert integers(runs[0][0]) == integers(runs[1][0]) != integers(qdq) and learned["select"] == again["select"] != {}


def test_an_interrupted_run_settles_alike(torch, narrow, exact, data, tmp_path):
    import edgec.compress.distillation.training as training

    class Stop(Exception):
        pass

    def stop(_, fraction):
        if fraction >= 0.5:
            raise Stop

    straight, _ = distill(narrow[0], exact, data, steps=20, choose="last")
    kept, training.CHECKPOINT_SECONDS = training.CHECKPOINT_SECONDS, 0.0
    try:
        with pytest.raises(Stop):
            distill(narrow[0], exact, data, steps=20, choose="last", checkpoint=tmp_path / "c", progress=stop)
    finally:
        training.CHECKPOINT_SECONDS = kept
    resumed, report = distill(narrow[0], exact, data, steps=20, choose="last", checkpoint=tmp_path / "c")
    assert report["resumed_from"] > 0 and integers(resumed) == integers(straight)


def test_which_weights_settle(torch, narrow, exact):
    from edgec.compress.distillation.students import student_of

    bits = narrow[1].weight_bits
    assert len(student_of(narrow[0], exact).settling) == sum(b == 4 for b in bits.values()) > 0
    assert student_of(narrow[0], exact, learned="none").settling == []
    assert student_of(exact, exact).settling == []


@pytest.mark.parametrize("bits", [4, 8])
def test_adaround_is_the_last_rung(torch, exact, data, monkeypatch, bits):
    monkeypatch.setattr(adaround, "STEPS", 200)
    plain, before = quantize(exact, data, options=Options(weight_bits=bits))
    made, after = quantize(exact, data, options=Options(weight_bits=bits, rounding="adaround"))
    rung = after.rungs[-1]
    assert rung.name == "learned rounding" and [r.name for r in after.rungs[:-1]] == [r.name for r in before.rungs]
    assert rung.kept == (rung.gain_db > 0) == (integers(made) != integers(plain))
    assert after.outputs[0].sqnr_db >= before.outputs[0].sqnr_db - 0.5
    stored = [n.inputs[1].producer().inputs[0].const_value.dtype for n in made.graph if is_op(n, "Conv", "Gemm")]
    assert set(stored) == {ir.DataType.INT4 if bits == 4 else ir.DataType.INT8}
    assert edgec.compile(ir.to_proto(made), "generic-c").program.ops


def test_unknown_and_missing(exact, data, monkeypatch):
    with pytest.raises(UsageError, match="unknown rounding"):
        Options(rounding="adarond")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ToolError, match="torch is not installed") as error:
        quantize(exact, data, options=Options(rounding="adaround"))
    assert "second_order" in error.value.fix


def test_unknown_choice_of_weights(torch, narrow, exact, data):
    with pytest.raises(UsageError, match="unknown learned_rounding"):
        distill(narrow[0], exact, data, steps=1, learned_rounding="most")
