"""Distillation from end to end on the digits network: it helps, it resumes, it repeats, and it says what is wrong."""

from __future__ import annotations

import sys

import numpy as np
import onnx_ir as ir
import pytest

import edgec
from edgec import graph, importer
from edgec.compress import Options, augment, quantize_model
from edgec.compress.distillation import distill
from edgec.errors import ToolError, UsageError
from edgec.graph.channel_affine import set_weights_and_bias, weights_and_bias
from edgec.graph.edit import is_op
from tests.conftest import enable
from tests.models import network
from tests.onnx_graphs import model, node, run_float

REASON = enable("torch is not installed", "pip install torch==2.13.0")
LAYERS = ("Conv", "Gemm")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason=REASON)


@pytest.fixture(scope="module")
def teacher() -> ir.Model:
    return graph.optimize(importer.import_model(network("digits").path))[0]


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return network("digits").calibration[:400]


@pytest.fixture(scope="module")
def student(teacher) -> ir.Model:
    """The digits network with noise of a third of each channel on its weights."""
    rng = np.random.default_rng(0)
    noisy = teacher.clone()
    for layer in [n for n in noisy.graph if is_op(n, *LAYERS)]:
        weights, bias = weights_and_bias(layer)
        unit = np.sqrt(np.square(weights).mean(axis=tuple(range(1, weights.ndim)), keepdims=True))
        set_weights_and_bias(layer, weights + rng.normal(0, 0.33, weights.shape) * unit, bias)
    return noisy


@pytest.fixture(scope="module")
def quantized(teacher, data) -> ir.Model:
    """Quantized to 8 bits, then the weights shaken by up to two steps."""
    rng = np.random.default_rng(0)
    qdq = importer.fold(quantize_model(teacher, data[:64])[0])
    for layer in [n for n in qdq.graph if is_op(n, *LAYERS)]:
        stored = layer.inputs[1].producer().inputs[0]
        q = stored.const_value.numpy().astype(np.int32)
        stored.const_value = ir.Tensor(np.clip(q + rng.integers(-12, 13, q.shape), -127, 127).astype(np.int8), name=stored.name)
    return qdq


def weights_of(m: ir.Model) -> dict[str, bytes]:
    return {name: value.const_value.numpy().tobytes() for name, value in m.graph.initializers.items()}


def test_a_float_student_comes_nearer(torch, student, teacher, data):
    before = weights_of(student), weights_of(teacher)
    made, report = distill(student, teacher, data, steps=120, augment="mixup", threads=1)
    assert report["after"]["sqnr_db"] > report["before"]["sqnr_db"] + 8
    assert report["after"]["agreement"] >= report["before"]["agreement"]
    assert report["steps"] == 120 and report["samples"]["train"] > report["samples"]["select"] > 0 and report["not_held_out"] == ""
    assert (weights_of(student), weights_of(teacher)) == before
    x = network("digits").samples[:20]
    wanted, start, end = (np.concatenate([run_float(ir.to_proto(m), {"image": v.reshape(1, 1, 8, 8)})[0] for v in x]) for m in (teacher, student, made))
    assert np.square(end - wanted).mean() < 0.5 * np.square(start - wanted).mean()
    assert edgec.compile(ir.to_proto(made), "generic-c", calibration=data[:32]).program.ops


def test_a_quantized_student_comes_nearer_and_stays_in_its_form(torch, quantized, teacher, data):
    made, report = distill(quantized, teacher, data, steps=120, augment="mixup", threads=1)
    assert report["quantized"] and report["after"]["sqnr_db"] > report["before"]["sqnr_db"] + 3
    assert [(n.op_type, n.name) for n in made.graph] == [(n.op_type, n.name) for n in quantized.graph]
    for name, value in quantized.graph.initializers.items():
        new = made.graph.initializers[name].const_value
        assert new.dtype == value.const_value.dtype and tuple(new.shape) == tuple(value.const_value.shape)
    # the figures of the report are those of the artifact
    artifact = edgec.compile(ir.to_proto(made), "generic-c")
    from edgec.compress.distillation.samples import SampleStore

    store = SampleStore(data, {"image": (1, 1, 8, 8)})
    x = store.rows(store.report)["image"].reshape(-1, 1, 8, 8)
    scores = np.asarray(artifact.run(x, on="interpreter")).reshape(len(x), -1)
    float_scores = np.concatenate([run_float(ir.to_proto(teacher), {"image": v[None]})[0] for v in x])
    agreement = np.mean(scores.argmax(-1) == float_scores.argmax(-1))  # ties of int8 probabilities are decided by the logits there
    assert abs(agreement - report["after"]["agreement"]) <= 2 / len(x)


def test_a_float_student_is_quantized_first_where_asked(torch, teacher, data):
    made, report = distill(teacher, teacher, data, steps=10, quantize={"rounding": "nearest"}, threads=1)
    assert report["quantized"] and importer.is_quantized(made)


def test_passes_in_a_row(torch, student, teacher, data):
    """Distill after Quantize trains the integers, and before it the float weights; both end in a file that compiles."""
    model_bytes = ir.to_proto(student).SerializeToString()
    best = edgec.Distill(data, teacher=ir.to_proto(teacher).SerializeToString(), steps=40, threads=1)(model_bytes)
    assert best.report["after"]["sqnr_db"] > best.report["before"]["sqnr_db"]
    quantized_after = edgec.Quantize(data, rounding="nearest")(best)
    trained = edgec.Distill(data, teacher=ir.to_proto(teacher).SerializeToString(), steps=20, threads=1)(quantized_after)
    assert trained.report["quantized"] and trained.report["after"]["sqnr_db"] >= trained.report["before"]["sqnr_db"] - 0.5
    assert edgec.compile(trained.proto(), "generic-c").program.ops


def test_four_bit_weights_stay_four_bits(torch, teacher, data):
    qdq = importer.fold(quantize_model(teacher, data[:64], options=Options(residual_sums=False))[0])
    qdq.graph.opset_imports[""] = 21
    changed = 0
    for layer in [n for n in qdq.graph if is_op(n, *LAYERS)]:
        dequantize = layer.inputs[1].producer()
        values, scale, zero = dequantize.inputs
        import ml_dtypes

        q, s = values.const_value.numpy().astype(np.float32), scale.const_value.numpy()
        values.const_value = ir.Tensor(np.clip(np.rint(q / 18), -7, 7).astype(ml_dtypes.int4), dtype=ir.DataType.INT4, name=values.name)
        scale.const_value = ir.Tensor((s * 18).astype(np.float32), name=scale.name)
        zero.const_value = ir.Tensor(np.zeros(s.shape, ml_dtypes.int4), dtype=ir.DataType.INT4, name=zero.name)
        values.dtype = zero.dtype = ir.DataType.INT4
        bias = layer.inputs[2].producer()
        b = bias.inputs[0].const_value.numpy()
        bias.inputs[0].const_value = ir.Tensor(np.rint(b / 18).astype(np.int32), name=bias.inputs[0].name)
        bias.inputs[1].const_value = ir.Tensor((bias.inputs[1].const_value.numpy() * 18).astype(np.float32), name=bias.inputs[1].name)
        changed += 1
    made, report = distill(qdq, teacher, data, steps=200, augment="mixup", threads=1)
    assert report["after"]["sqnr_db"] > report["before"]["sqnr_db"] + 2
    kinds = [layer.inputs[1].producer().inputs[0].const_value for layer in made.graph if is_op(layer, *LAYERS)]
    assert len(kinds) == changed and all(k.dtype == ir.DataType.INT4 and k.numpy().astype(int).max() <= 7 for k in kinds)
    program = edgec.compile(ir.to_proto(made), "generic-c").program
    assert {op.attrs["weight_bits"] for op in program.ops if "weight_bits" in op.attrs} == {4}


def test_an_interrupted_run_ends_in_the_same_bits(torch, quantized, teacher, data, tmp_path):
    straight, _ = distill(quantized, teacher, data, steps=30, augment="image", threads=1, checkpoint=tmp_path / "a")

    class Stop(Exception):
        pass

    def stop_at(limit):
        def progress(_, fraction):
            if fraction >= limit:
                raise Stop

        return progress

    import edgec.compress.distillation.training as training

    kept, training.CHECKPOINT_SECONDS = training.CHECKPOINT_SECONDS, 0.0  # after every step
    try:
        for limit in (0.2, 0.21, 0.7):
            with pytest.raises(Stop):
                distill(quantized, teacher, data, steps=30, augment="image", threads=1, checkpoint=tmp_path / "b", progress=stop_at(limit))
    finally:
        training.CHECKPOINT_SECONDS = kept
    resumed, report = distill(quantized, teacher, data, steps=30, augment="image", threads=1, checkpoint=tmp_path / "b")
    assert 0 < report["resumed_from"] < 30
    assert weights_of(resumed) == weights_of(straight)
    again, report = distill(quantized, teacher, data, steps=30, augment="image", threads=1, checkpoint=tmp_path / "b")
    assert report["resumed_from"] == 30 and weights_of(again) == weights_of(straight)


def test_a_seed_repeats_and_another_does_not(torch, student, teacher, data):
    runs = [weights_of(distill(student, teacher, data, steps=8, seed=seed, threads=1)[0]) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_a_checkpoint_of_another_run_is_refused(torch, student, teacher, data, tmp_path):
    distill(student, teacher, data, steps=3, threads=1, checkpoint=tmp_path / "c")
    with pytest.raises(UsageError, match="does not belong") as error:
        distill(student, teacher, data, steps=4, threads=1, checkpoint=tmp_path / "c")
    assert "steps is 4, was 3" in error.value.why
    (tmp_path / "c").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match="does not belong"):
        distill(student, teacher, data, steps=3, threads=1, checkpoint=tmp_path / "c")


def test_seconds_end_a_run_and_progress_reaches_one(torch, student, teacher, data):
    seen = []
    _, report = distill(student, teacher, data, seconds=1.0, threads=1, progress=lambda what, fraction: seen.append((what, fraction)))
    assert seen[-1] == ("distill", 1.0) and report["steps"] > 0 and [s for s, _ in report["loss"]["select"]][0] == 0


def test_other_data_for_the_figures_leaves_more_to_train_on(torch, student, teacher, data):
    _, some = distill(student, teacher, data, steps=2, threads=1)
    _, more = distill(student, teacher, edgec.Calibration(data, network("digits").samples[:40]), steps=2, threads=1)
    assert more["samples"]["train"] > some["samples"]["train"] and more["samples"]["report"] == 40


def test_a_student_is_quantized_with_the_same_parts(torch, student, teacher, data):
    held = network("digits").samples[:40]
    _, report = distill(student, teacher, edgec.Calibration(data, held), steps=1, threads=1, quantize={"output_ranges": False})
    assert report["quantized"] and report["samples"]["report"] == 40


def test_the_last_state_and_more_data_instead_of_a_choice(torch, student, teacher, data):
    _, chosen = distill(student, teacher, data, steps=40, threads=1)
    _, last = distill(student, teacher, data, steps=40, threads=1, choose="last")
    assert last["samples"]["train"] == chosen["samples"]["train"] + chosen["samples"]["select"] and last["samples"]["select"] == 0
    assert last["selected_step"] == 40 and last["loss"]["select"] == [] and last["after"]["sqnr_db"] > last["before"]["sqnr_db"] + 4


def test_matching_activations_of_the_same_name(torch, student, teacher, data):
    _, report = distill(student, teacher, data, steps=60, features=1.0, threads=1)
    assert report["after"]["sqnr_db"] > report["before"]["sqnr_db"]


def test_matching_activations_of_a_quantized_student(torch, quantized, teacher, data):
    plain, _ = distill(quantized, teacher, data, steps=5, threads=1)
    made, report = distill(quantized, teacher, data, steps=5, features=1.0, threads=1)
    assert np.isfinite([loss for _, loss in report["loss"]["train"]]).all() and weights_of(made) != weights_of(plain)


def test_channels_of_a_narrower_student_are_found_again(torch):
    from edgec.compress.distillation.objective import Objective, Target, matched

    wide = torch.randn(20, 1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    narrow = wide[:, :, [1, 3, 4]] * 0.9 + 0.1
    target = matched(Target("a", "a", (1, 6, 4, 4), (0, 1, 2, 3)), wide, narrow)
    assert target.channels == ((1, 3, 4), (True, True, True))
    objective = Objective([], [target], feature_weight=1.0)
    objective.measure({"a": wide})
    wanted = objective.wanted({"a": wide})
    assert float(objective(wanted, {"a": wide[:, :, [1, 3, 4]]})) == 0.0 < float(objective(wanted, {"a": narrow}))
    other = narrow.clone()
    other[:, :, 1] = torch.randn(20, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    partly = matched(target, wide, other)
    assert partly.channels[0][::2] == (1, 4) and partly.channels[1] == (True, False, True)
    expected = float((wide[:, :, [1, 4]] - other[:, :, ::2]).square().mean())
    assert float(partly.error(partly.wanted(wide), other)) == pytest.approx(expected, rel=1e-5)
    assert matched(target, wide, torch.randn(20, 1, 3, 4, 4, generator=torch.Generator().manual_seed(1))) is None


def test_nodes_are_found_whatever_their_names(torch, quantized, teacher, data):
    renamed = quantized.clone()
    for node_ in renamed.graph:
        node_.name = "a/name/that/is/longer/than/operators/keep;fused/" + ("x" if is_op(node_, "Conv") else str(node_.name))
    plain, _ = distill(quantized, teacher, data, steps=5, threads=1)
    made, _ = distill(renamed, teacher, data, steps=5, threads=1)
    assert weights_of(made) == weights_of(plain)


def test_a_network_without_classes(torch, data):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (200, 1, 6)).astype(np.float32)
    w = {"w": rng.normal(0, 1, (6, 4)).astype(np.float32)}
    proto = model([node("MatMul", ["x", "w"], ["a"]), node("Sigmoid", ["a"], ["y"])], w, {"x": (1, 6)})
    target = graph.optimize(importer.import_model(proto))[0]
    w["w"] = w["w"] + rng.normal(0, 0.3, (6, 4)).astype(np.float32)
    start = graph.optimize(importer.import_model(model([node("MatMul", ["x", "w"], ["a"]), node("Sigmoid", ["a"], ["y"])], w, {"x": (1, 6)})))[0]
    _, report = distill(start, target, x.reshape(200, 6), steps=200, learning_rate=0.02, threads=1)
    assert "agreement" not in report["after"] and report["after"]["sqnr_db"] > report["before"]["sqnr_db"] + 10


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, "a budget is needed"), ({"steps": 3, "seconds": 2.0}, "two budgets"), ({"steps": 0}, "positive"), ({"steps": 3, "augment": "zoom"}, "unknown augmentation"), ({"steps": 3, "warmup": 1.0}, "warmup"), ({"steps": 3, "precision": "half"}, "unknown precision")],
)
def test_options_that_cannot_be(torch, student, teacher, data, options, words):
    with pytest.raises(UsageError, match=words):
        distill(student, teacher, data, **options)


def test_an_augmentation_of_ones_own(torch, student, teacher, data):
    seen = []

    def halved(batch, rng):
        seen.append(batch.shape)
        return batch / 2

    _, report = distill(student, teacher, data, steps=3, batch=16, augment=halved, threads=1)
    assert set(seen) == {(16, 1, 1, 8, 8)} and "halved" in report["options"]["augment"]
    with pytest.raises(UsageError, match="changes the shape"):
        distill(student, teacher, data, steps=3, augment=lambda batch, rng: batch[:, 0], threads=1)


def test_a_run_that_diverges_says_so(torch, student, teacher, data):
    with pytest.raises(UsageError, match="training diverged") as error:
        distill(student, teacher, data, steps=30, learning_rate=1e12, threads=1)
    assert "learning rate 1e+12" in error.value.why


def test_a_pair_that_does_not_fit(torch, student, teacher, quantized, data):
    other = graph.optimize(importer.import_model(model([node("Relu", ["x"], ["y"])], {}, {"x": (1, 3)})))[0]
    with pytest.raises(UsageError, match="different inputs"):
        distill(student, other, data, steps=1)
    with pytest.raises(UsageError, match="teacher is quantized"):
        distill(student, quantized, data, steps=1)


def test_without_torch_the_error_says_what_to_install(monkeypatch, student, teacher, data):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ToolError, match="pip install torch"):
        distill(student, teacher, data, steps=1)


@pytest.mark.parametrize("name", list(augment.NAMED))
def test_augmentations_keep_shape_range_and_repeat(name):
    rng = np.random.default_rng(0)
    for shape in ((8, 1, 3, 16, 16), (8, 1, 16, 16, 3), (8, 1, 49, 10, 1)):
        batch = rng.integers(0, 256, shape).astype(np.float32)
        kept = batch.copy()
        first, second = (augment.NAMED[name](batch, np.random.default_rng(5)) for _ in (0, 1))
        assert first.shape == shape and first.dtype == np.float32
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(batch, kept)
        if (augment.suited(shape[1:]) if name == "auto" else name) != "features":  # whose noise may leave the range
            assert first.min() >= -1e-3 and first.max() <= 255.001
        assert (name == "none") == np.array_equal(first, batch)


@pytest.mark.parametrize(
    "shape, name",
    [
        ((1, 49, 10, 1), "features"), ((1, 128, 9), "features"), ((1, 1, 40, 101), "features"), ((1, 3, 32, 32), "image"), ((1, 96, 96, 3), "image"),
        ((1, 8, 8, 1), "image"), ((1, 640), "mixup"), ((1, 640, 1), "mixup"), ((1, 30, 1, 40), "mixup"), ((1, 16, 12, 12), "mixup"), ((1, 4), "mixup"),
    ],
)  # fmt: skip
def test_the_shape_says_which_augmentation(shape, name):
    assert augment.suited(shape) == name
    batch = np.random.default_rng(0).standard_normal((6, *shape)).astype(np.float32)
    first, second = (f(batch, np.random.default_rng(3)) for f in (augment.auto, augment.NAMED[name]))
    np.testing.assert_array_equal(first, second)


def test_features_move_along_time_and_stay_near():
    """A ramp along time, the same for all samples, is moved by at most a tenth and stretched by a tenth; steps of the noise are a tenth."""
    ramp = np.broadcast_to(np.arange(100, dtype=np.float32)[:, None], (64, 1, 100, 2))
    got = augment.features(ramp, np.random.default_rng(0))
    assert 5 < np.abs(got - ramp).mean() < 15
    assert np.corrcoef(got.ravel(), ramp.ravel())[0, 1] > 0.9
    turned = augment.features(np.moveaxis(ramp, 2, 3), np.random.default_rng(0))
    np.testing.assert_allclose(np.moveaxis(turned, 3, 2), got, rtol=1e-5, atol=1e-4)


def test_images_of_both_layouts_are_augmented_alike():
    batch = np.random.default_rng(0).integers(0, 256, (6, 1, 3, 12, 10)).astype(np.float32)
    first = augment.image(batch, np.random.default_rng(1))
    second = augment.image(np.moveaxis(batch, 2, 4), np.random.default_rng(1))
    np.testing.assert_allclose(first, np.moveaxis(second, 4, 2), rtol=1e-6)
