"""The search within a budget: it keeps to the budget, gives the same front with any executor, and says why when nothing fits."""

from __future__ import annotations

import json
import pickle
import xml.dom.minidom
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import onnx_ir
import pytest

import edgec
from edgec import graph, importer, targets
from edgec.errors import FitError, UsageError
from edgec.search.budget import parse_budget
from edgec.search.candidate import Candidate, Job, Narrowed, Point, narrow
from edgec.search.front import Front
from edgec.search.scores import Accuracy, FloatModel, Likeness, distance, expected_accuracy
from edgec.search.strategy import distilled_round, first_round, mixed_round, next_round, refitted_round, weight_limit
from tests.models import ROOT, network

DIGITS = ROOT / "examples" / "digits"


@pytest.fixture(scope="module")
def digits():
    return network("digits")


@pytest.fixture(scope="module")
def accuracy(digits):
    return Accuracy(digits.samples, np.load(DIGITS / "digits.npz")["y_test"])


@pytest.fixture(scope="module")
def found(digits, accuracy):
    whole = edgec.compile(digits.path, "generic-c", calibration=digits.calibration).report(measure=False)
    budget = {"weights": int(0.8 * whole["weights_bytes"])}
    return edgec.compile(digits.path, "generic-c", calibration=digits.calibration, budget=budget, max_drop=0.05, evaluate=accuracy), budget


def test_the_best_point_keeps_to_budget_and_drop(found, accuracy, digits):
    artifact, budget = found
    front = artifact.front
    assert artifact.report(measure=False)["weights_bytes"] <= budget["weights"]
    assert accuracy(artifact) == front.best.score >= front.float_score - 0.05
    assert front.float_score == accuracy(FloatModel(digits.path.read_bytes()))
    assert len([p for p in front.tried if not p.error]) >= 4
    assert front.evidence["samples"] > 0


def test_front_as_json_and_picture(found, tmp_path):
    front = found[0].front
    saved = json.loads(front.save_json(tmp_path / "front.json").read_text())
    assert [p["name"] for p in saved["points"]] == [str(p.candidate) for p in front.tried]
    assert sum(p.get("best", False) for p in saved["points"]) == 1
    picture = front.save_picture(tmp_path / "front.svg").read_text()
    drawn = xml.dom.minidom.parseString(picture).getElementsByTagName("circle")
    assert len(drawn) == sum(not p.error for p in front.tried)


def test_points_on_the_front_are_not_beaten(found):
    front = found[0].front
    for p in front.points:
        for q in front.points:
            assert p is q or p.score > q.score or any(p.costs[a] < q.costs[a] for a in front.axes) or (
                p.score == q.score and all(p.costs[a] == q.costs[a] for a in front.axes)
            )


def _points(front: Front) -> list[dict]:
    return [{k: v for k, v in p.as_dict().items() if k != "seconds"} for p in front.tried]


@pytest.mark.parametrize("name", targets.names())
def test_what_candidates_share_can_be_sent_to_processes(name):
    target = targets.load(name)
    assert pickle.loads(pickle.dumps(target)) == target


def test_processes_give_the_same_front(found, digits, accuracy):
    artifact, budget = found
    with ProcessPoolExecutor(2) as pool:
        other = edgec.compile(
            digits.path, "generic-c", calibration=digits.calibration, budget=budget, max_drop=0.05, evaluate=accuracy, executor=pool
        )
    assert other.data == artifact.data and _points(other.front) == _points(artifact.front)


def test_a_dask_cluster_works(found, digits, accuracy):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed; enable with: pip install distributed")
    artifact, budget = found
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, cluster.get_client() as client:
        other = edgec.compile(
            digits.path, "generic-c", calibration=digits.calibration, budget=budget, max_drop=0.05, evaluate=accuracy,
            executor=client.get_executor(),
        )  # fmt: skip
    # Dask gives each worker one thread, and float sums of calibration depend on that: the last bits of scales may differ.
    assert other.report(measure=False)["weights_bytes"] <= budget["weights"]
    assert [p.candidate for p in other.front.tried][:4] == [p.candidate for p in artifact.front.tried][:4]
    assert abs(other.front.best.score - artifact.front.best.score) < 0.03


def test_nothing_fits(digits):
    with pytest.raises(FitError, match="nothing keeps to budget") as caught:
        edgec.compile(digits.path, "generic-c", calibration=digits.calibration, budget={"macs": 50}, max_drop=0.0)
    assert "macs" in str(caught.value) and caught.value.front.tried


@pytest.mark.parametrize(
    "budget, what",
    [({"rom": 1}, "unknown budget"), ({"weights": "many"}, "cannot read the size"), ({"macs": "1.2.3"}, "cannot read the count")],
)
def test_bad_budgets(budget, what):
    with pytest.raises(UsageError, match=what):
        parse_budget(budget)


def test_budget_units():
    assert parse_budget({"weights": "14K", "macs": "2.5M", "instructions": 7, "ram": None}) == {"weights": 14336, "macs": 2500000, "instructions": 7}


def test_budget_and_passes_exclude_each_other(digits):
    with pytest.raises(UsageError, match="exclude each other"):
        edgec.compile(digits.path, "host", calibration=digits.calibration, budget={}, passes=[edgec.Quantize()])


def _point(macs: float, weights: int | None, score: float, size: int, work: int) -> Point:
    return Point(Candidate(macs, weights), score, {"weights": size, "macs": work, "flash": size + 1000, "ram": 10, "instructions": 2 * work})


def test_rounds_follow_the_budget():
    base = _point(1.0, None, 1.0, 1000, 500)
    assert weight_limit(base, {"weights": 700, "flash": 1600}) == 600
    assert first_round(base, {"weights": 600}) == [Candidate(1.0), Candidate(0.85), Candidate(0.7), Candidate(0.55)]
    grid = Front((base, _point(0.55, None, 0.9, 590, 270)), {"weights": 600}, 1.0, 0.01, ("weights",))
    assert mixed_round(grid) == [Candidate(1.0, 600), Candidate(1.0, 800)]
    assert max(c.macs for c in first_round(base, {"instructions": 500})) == 0.5
    made = Front((base, _point(0.7, 600, 0.98, 600, 350), _point(0.55, 600, 0.9, 590, 270)), {"weights": 600}, 1.0, 0.01, ("weights",))
    assert {c.macs for c in next_round(made)} == {0.85, 0.625}
    nothing = Front((base,), {"weights": 300}, 1.0, 0.01, ("weights",))
    assert all(c.macs < 1 for c in next_round(nothing))
    assert Front((base,), {}, 1.0, 0.01, ("weights",)).best is base


class _Fixed:
    def __init__(self, outputs: np.ndarray) -> None:
        self.outputs = outputs

    def run(self, x):
        return self.outputs


def test_likeness_weighs_a_flip_by_what_the_float_model_thinks_of_it():
    exact = np.array([[0.5, 0.45, 0.05], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]], np.float32)
    near, far = exact[:, [1, 0, 2]].copy(), exact.copy()
    near[1:] = exact[1:]  # the first sample flips, which was nearly even
    far[1] = exact[1, [1, 0, 2]]  # the second, which was not
    judge = Likeness(None, exact)
    assert judge(_Fixed(exact)) == pytest.approx((0.5 + 0.9 + 0.8) / 3) and judge.judge(_Fixed(exact))[1] == 0
    assert judge(_Fixed(near)) == pytest.approx((0.45 + 0.9 + 0.8) / 3)
    assert judge(_Fixed(far)) == pytest.approx((0.5 + 0.05 + 0.8) / 3)
    assert 0 < distance(exact, near) < distance(exact, far)
    numbers = np.array([[1.0, -2.0], [3.0, 4.0]], np.float32)  # no probabilities: agreement of the best entry
    assert expected_accuracy(numbers, numbers[:, ::-1]) == 0 and distance(numbers, 2 * numbers) == pytest.approx(1.0)


def test_the_nearest_within_the_drop_is_the_best():
    points = [replace(_point(m, None, score, 500, 100), distance=d) for m, score, d in ((0.9, 0.95, 0.03), (0.8, 0.94, 0.01), (0.7, 0.90, 0.005))]
    front = Front(tuple(points), {"weights": 600}, 0.95, 0.02, ("weights",))
    assert front.best is points[1]
    assert refitted_round(front) == [Candidate(0.8, refitted=True)]
    assert distilled_round(front) == [Candidate(m, None, True, True, True) for m in (0.8, 0.9)]


def test_what_a_width_is_made_from():
    assert Candidate(0.7).before is None and Candidate(1.0, 600, True, True).before is None
    assert Candidate(0.7, careful=True, refitted=True).before == Candidate(0.7)
    assert Candidate(0.7, 600, True, True, True).before == Candidate(0.7, refitted=True)


def test_a_pruned_point_is_refitted_to_the_samples_that_chose_it(digits):
    """Same widths, other weights."""
    job = Job(
        Narrowed(onnx_ir.to_proto(graph.optimize(importer.import_model(digits.path))[0]).SerializeToString()), "generic-c", digits.calibration,
        len, False, {}, {}, {"search_steps": 6, "refine_steps": 5}, None,
    )  # fmt: skip
    first = narrow(job, Candidate(0.7))
    second = narrow(job, Candidate(0.7, refitted=True), first)
    assert not first.error and not second.error and first.model != second.model
    assert [g["kept"] for g in first.reports[-1]["groups"]] == [g["kept"] for g in second.reports[-1]["groups"]]
