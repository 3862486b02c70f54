"""The ladder: what is judged by what, what is kept, and what it says of samples that chose nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import onnx
import pytest
from onnx_ir import to_proto

import edgec
from edgec import cli
from edgec.compress import Options, quantize
from edgec.compress.candidate import Candidate, Judgement, RangeOptions
from edgec.compress.ladder import HARMLESS, MORE_CODE, OTHER_CODE
from edgec.compress.layerwise import ensure_bias
from edgec.compress.noise_report import noise_report
from edgec.compress.output_ranges import OutputRanges
from edgec.compress.placement import place
from edgec.compress.ranges import moved_range
from edgec.compress.splits import REPORT, Split, parts_of
from edgec.console import ladder_lines
from edgec.data import Samples
from edgec.errors import UsageError
from edgec.page.sensitivity import sensitivity_picture
from tests.models import ROOT
from tests.test_graph_passes import Net, static
from tests.test_quantize import samples, small_net

QUICK = Options(output_ranges=False, equalize=(0.0, 0.0))


def small():
    net = small_net()
    return static(net.model(net.result))


def candidate(model, x):
    model = model.clone()
    ensure_bias(model, place(model.graph).layers)
    shapes = {v.name: tuple(v.shape) for v in model.graph.inputs}
    return Candidate(model, Split(Samples(x, shapes)), 64)


def test_report_is_of_samples_that_chose_nothing():
    x = samples(60)
    held = parts_of(x) == REPORT
    _, report = quantize(small(), x, options=QUICK)
    assert not report.degraded and report.samples == 60 and report.parts["report"] == held.sum() == report.outputs[0].samples
    assert report.outputs[0].agreement is not None and report.output_sqnr_db[report.outputs[0].name] > 20
    # most of them left out, the rest elsewhere: nothing but the report changes
    a, b = (quantize(small(), data, options=QUICK)[0] for data in (x, np.concatenate([x[~held], x[held][:4]])))
    assert to_proto(a).SerializeToString(deterministic=True) == to_proto(b).SerializeToString(deterministic=True)


def test_rungs_are_in_order_and_judged():
    _, report = quantize(small(), samples(64))
    names = [r.name for r in report.rungs]
    assert names[:3] == ["minmax ranges", "bias correction", "MSE ranges"] and "second-order rounding" in names
    assert all(np.isfinite([r.sqnr_db, r.gain_db, r.chance_db]).all() for r in report.rungs)
    assert all(r.kept == (r.gain_db > -r.chance_db) for r in report.rungs[1:]) and report.rungs[0].kept
    text = "\n".join(ladder_lines(json.loads(json.dumps(report.as_dict()))))
    assert all(name in text for name in names) and "chose nothing" in text


def test_few_samples_take_every_rung_and_say_so():
    _, report = quantize(small(), samples(10))
    assert "10 samples are too few" in report.degraded and all(r.kept for r in report.rungs) and report.outputs[0].samples == 10
    assert "too few" in "\n".join(ladder_lines(report.as_dict()))


def said(report) -> str:
    """What the command line says of it, wherever its lines break."""
    return " ".join(" ".join(ladder_lines(report.as_dict())).split())


def test_samples_held_out_for_the_report_leave_more_to_fit_to():
    x, other = samples(60), samples(90)[60:]
    made, report = quantize(small(), edgec.Calibration(x, other[:20]), options=QUICK)
    again, elsewhere = quantize(small(), edgec.Calibration(x, other[20:]), options=QUICK)
    without, plain = quantize(small(), x, options=QUICK)
    assert report.samples == 80 and report.outputs[0].samples == report.parts["report"] == 20 and elsewhere.outputs[0].samples == 10
    assert report.probes == plain.probes + plain.parts["report"] and report.parts["fit"] > plain.parts["fit"]
    first, second, third = (to_proto(m).SerializeToString(deterministic=True) for m in (made, again, without))
    assert first == second != third
    assert "on 20 held-out samples" in said(report)
    _, both = quantize(small(), edgec.Calibration(x, np.concatenate([other, x[:3]])), options=QUICK)
    assert both.left_out == 3 and "3 samples to fit to were also" in said(both)


def test_few_samples_and_others_for_the_report():
    _, report = quantize(small(), edgec.Calibration(samples(10), samples(90)[60:]), options=QUICK)
    assert "10 samples are too few" in report.degraded and all(r.kept for r in report.rungs) and report.outputs[0].samples == 30
    assert "on 30 held-out samples" in said(report)


def test_gain_and_chance():
    noise = np.random.default_rng(0).uniform(0.5, 1.5, (1, 400))
    half, same, before = Judgement(0.0, noise / 2, 1), Judgement(0.0, noise[:, ::-1], 1), Judgement(0.0, noise, 1)
    gain, chance = half.gain_over(before)
    assert np.isclose(gain, 10 * np.log10(2)) and chance < 1e-9, "every sample says the same"
    gain, chance = same.gain_over(before)
    assert abs(gain) < 1e-9 and 0.05 < chance < 0.2
    assert HARMLESS.cleared_by(gain, chance) and not OTHER_CODE.cleared_by(gain, chance) and not MORE_CODE.cleared_by(gain, chance)


def test_more_code_needs_evidence():
    """Of a tenth less noise ten samples that scatter prove nothing, and a thousand do; what is in front of the outputs does not count."""
    for count, proven in ((10, False), (1000, True)):
        rng = np.random.default_rng(3)
        outputs = [rng.uniform(0.5, 1.5, count) * np.linspace(0.95, 1.05, count) for _ in range(2)]
        features = rng.uniform(0.5, 1.5, count)
        before = Judgement(0.0, np.array([outputs[0], features]), 1)
        gain, chance = MORE_CODE.gain(Judgement(0.0, np.array([0.9 * outputs[1], features]), 1), before)
        assert MORE_CODE.cleared_by(gain, chance) == proven
        assert MORE_CODE.gain(Judgement(0.0, np.array([outputs[0], features / 2]), 1), before) == (0.0, 0.0)


def test_search_cuts_what_an_addition_and_relu_hide():
    """z is large and negative in half of the values, where the sum is never above zero: its range loses the negative end."""
    net = Net(("x", (1, 4, 8, 8)), seed=3)
    y = net.add("Conv", "x", net.constant(np.eye(4, dtype=np.float32)[:, :, None, None]))
    z = net.add("LeakyRelu", net.add("Conv", "x", net.constant(0.5 * np.eye(4, dtype=np.float32)[:, :, None, None])), alpha=16.0)
    summed = net.add("Relu", net.add("Add", y, z))
    model = static(net.model(net.add("Conv", summed, net.random(3, 4, 1, 1))))
    c = candidate(model, samples(60, (4, 8, 8)))
    ranges = c.ranges(RangeOptions())
    search = OutputRanges(c.quantizer, c.judged, np.flatnonzero(c.found.fit))
    before = search.activations_alone(ranges.parameters)
    moves = search.search(ranges.parameters, lambda group: False)
    assert moves[z][0] > 8, "the negative end of z moves inwards"
    after = search.activations_alone(c.ranges(RangeOptions(moves=moves)).parameters)
    assert after[z] < 0.5 * before[z] and all(after[n] <= before[n] * 1.1 for n in before)


def test_noise_report_and_picture(tmp_path):
    report = noise_report(small(), samples(60))
    assert [r["operator"] for r in report["layers"]] == ["Conv", "Conv", "Conv", "Gemm"]
    assert all(r["noise_4"] >= r["noise_8"] > 0 and r["bytes_4"] < r["bytes_8"] for r in report["layers"])
    assert {a["name"] for a in report["activations"]} >= {"x"} and report["sqnr_db"] > 20
    picture = ET.fromstring(sensitivity_picture(report))
    bars = [r for r in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(bars) == 3 + 2 * len(report["layers"]) + len(report["activations"])
    json.dumps(report)


def test_command_line(tmp_path, capsys):
    net = small_net()
    path, data, svg = tmp_path / "m.onnx", tmp_path / "x.npy", tmp_path / "s.svg"
    onnx.save(net.model(net.result), path)
    np.save(data, samples(40))
    assert cli.main(["sensitivity", str(path), "-c", str(data), "--svg", str(svg), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["layers"]) == 4 and found["svg"] == str(svg)
    assert ET.parse(svg).getroot().tag.endswith("svg")
    assert cli.main(["sensitivity", str(path), "-c", str(data), "-q"]) == 0
    assert "dB at 8" in capsys.readouterr().out


def test_sensitivity_of_a_quantized_model_is_an_error(tmp_path):
    from edgec.cli_sensitivity import sensitivity

    path = tmp_path / "q.onnx"
    onnx.save(to_proto(quantize(small(), samples(8), options=QUICK)[0]), path)
    with pytest.raises(UsageError, match="quantized already"):
        sensitivity(path, samples(40), {}, None)


@pytest.mark.parametrize("kind", ["constant", "dead channel", "zero layer"])
def test_awkward_data_with_every_rung(kind):
    """Enough samples that everything is judged: figures stay finite, and the network right."""
    x = samples(48)
    if kind == "constant":
        x[:] = 0.75
        x += np.arange(48, dtype=np.float32).reshape(-1, 1, 1, 1) * 2**-20  # not equal, so that they are split
    net = small_net(0.6 if kind == "dead channel" else None)
    if kind == "zero layer":
        net = Net(("x", (1, 3, 8, 8)), seed=7)
        y = net.add("Relu", net.add("Conv", "x", net.constant(np.zeros((4, 3, 3, 3), np.float32)), net.random(4)))
        net.result = net.add("Conv", y, net.random(2, 4, 1, 1), net.random(2))
    _, report = quantize(static(net.model(net.result)), x)
    assert not report.degraded and all(np.isfinite([r.sqnr_db, r.gain_db, r.chance_db]).all() for r in report.rungs)
    assert report.outputs[0].sqnr_db > 25
    json.dumps(report.as_dict(), allow_nan=False)


def test_gradients_predict_what_quantizing_an_activation_costs():
    c = candidate(small(), samples(100))
    ranges = c.ranges(RangeOptions()).parameters
    search = OutputRanges(c.quantizer, c.judged, np.flatnonzero(c.found.fit))
    search._prepare()
    models = search._first_order([g for g in c.placement.all_groups() if not any(v in c.judged for v in g.members)])
    assert len(models) >= 4
    for group, model in models.items():
        q, model = ranges[group.members[0]], model.finished()
        narrow = moved_range(q, 6, 6)
        for tried in (q, narrow):
            assert 0.4 < model.error(tried) / search._error(search.exact, group, tried) < 2.5
        assert model.error(narrow) > 3 * model.error(q), "clipping costs more than finer steps gain"


def test_results_do_not_depend_on_threads(tmp_path):
    """The digits network's dense sums are long enough for a BLAS to share out."""
    program = (
        "import edgec, sys; from tests.models import network; n = network('digits');"
        "edgec.compile(n.path, 'generic-c', calibration=n.calibration[:128], save_qdq=sys.argv[1])"
    )
    made = []
    for threads in ("1", "4"):
        path = tmp_path / f"{threads}.onnx"
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, env=environment, cwd=ROOT)
        made.append(path.read_bytes())
    assert made[0] == made[1]
