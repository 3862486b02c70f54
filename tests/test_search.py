"""The search within a budget: it keeps to the budget, gives the same front with any executor, and says why when nothing fits."""

from __future__ import annotations

import json
import xml.dom.minidom
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import edgec
from edgec.errors import FitError, UsageError
from edgec.search.budget import parse_budget
from edgec.search.candidate import Candidate, Point
from edgec.search.front import Front
from edgec.search.scores import Accuracy, FloatModel
from edgec.search.strategy import first_round, mixed_round, next_round, weight_limit
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


@pytest.mark.slow
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
