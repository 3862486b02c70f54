"""The three parts of calibration data: fixed by the bytes of each sample, and disjoint."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.compress.splits import FEWEST, FRACTIONS, PARTS, Split, part_of, parts_of
from edgec.data import Calibration, Samples
from edgec.errors import DataError


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 5, 4), dtype=np.uint8)


def test_known_answers():
    """Fixed for ever: a changed hash, byte order or fraction would mix figures of different versions. First bytes by sha256sum: 15 8a b6 e2 be 36 f8 63."""
    assert [part_of(np.full(3, v, np.float32)) for v in range(8)] == ["fit", "select", "select", "report", "select", "fit", "report", "fit"]


def test_fractions():
    parts = parts_of(images(4000))
    for name in PARTS:
        assert abs(np.mean(parts == name) - FRACTIONS[name]) < 0.03


def test_a_sample_keeps_its_part_whatever_is_around_it():
    x = images(100)
    whole = parts_of(x)
    np.testing.assert_array_equal(parts_of(x[::-1]), whole[::-1])
    np.testing.assert_array_equal(parts_of(x[7:31]), whole[7:31])
    np.testing.assert_array_equal(parts_of(x.astype(np.float32)), whole)
    np.testing.assert_array_equal(parts_of(x.reshape(100, 1, 20)), whole)
    np.testing.assert_array_equal(parts_of(np.asfortranarray(x)), whole)


def test_several_inputs_do_not_depend_on_the_order_of_names():
    x, y = images(50), images(50, 1)
    np.testing.assert_array_equal(parts_of({"a": x, "b": y}), parts_of({"b": y, "a": x}))
    assert np.any(parts_of({"a": x, "b": y}) != parts_of(x)), "all inputs are hashed"


@pytest.mark.parametrize("streamed", [False, True])
def test_parts_of_a_stream(streamed):
    x = images(90)
    split = Split(Samples((v for v in x) if streamed else x, {"x": (1, 5, 4)}))
    assert not split.degraded and split.samples == 90 == sum(split.counts.values())
    found = {name: np.concatenate([b["x"] for b in split.part(name)]) for name in PARTS}
    for name in PARTS:
        np.testing.assert_array_equal(found[name], x[parts_of(x) == name].astype(np.float32))
        assert len(found[name]) == split.counts[name]
    assert [parts for _, parts in split.walk()] == [(part,) for part in parts_of(x)]


def test_duplicates_stay_together():
    x = np.repeat(images(40), 3, axis=0)
    parts = parts_of(x).reshape(40, 3)
    assert np.all(parts == parts[:, :1])


def test_few_samples_are_not_split_and_that_is_said():
    x = images(FEWEST - 1)
    split = Split(Samples(x, {"x": (1, 5, 4)}))
    assert "31 samples are too few" in split.degraded
    for name in PARTS:
        np.testing.assert_array_equal(np.concatenate([b["x"] for b in split.part(name)]), x)
    assert [parts for _, parts in split.walk()] == [PARTS] * len(x)


def test_equal_samples_are_not_split_and_that_is_said():
    split = Split(Samples(np.repeat(images(1), 200, axis=0), {"x": (1, 5, 4)}))
    assert "many are equal" in split.degraded and split.samples == 200


def stream(x: np.ndarray, held_out: np.ndarray) -> Samples:
    return Samples(Calibration(x, held_out), {"x": (1, 5, 4)})


def test_samples_to_be_judged_by_leave_all_others_to_fit_and_choose():
    x, other = images(90), images(20, seed=1)
    split, parts = Split(stream(x, other)), parts_of(x)
    assert not split.degraded and split.samples == 110 == sum(split.counts.values()) and split.counts["report"] == 20
    found = {name: np.concatenate([b["x"] for b in split.part(name)]) for name in PARTS}
    np.testing.assert_array_equal(found["fit"], x[parts != "select"])
    np.testing.assert_array_equal(found["select"], x[parts == "select"])
    np.testing.assert_array_equal(found["report"], other)


def test_few_samples_and_others_to_be_judged_by():
    x, other = images(10), images(3, seed=1)
    split = Split(stream(x, other))
    assert "10 samples are too few" in split.degraded and "choices are made on the samples fitted to" in split.degraded
    assert [parts for _, parts in split.walk()] == [("fit", "select")] * 10 + [("report",)] * 3


def test_no_sample_may_judge_what_was_fitted_to_it():
    x = images(60)
    split = Split(stream(x, np.concatenate([images(20, seed=1), x[5:7]])))
    assert split.left_out == 2 and split.samples == 80 == sum(split.counts.values()) and split.counts["report"] == 22
    fitted = np.concatenate([b["x"] for name in ("fit", "select") for b in split.part(name)])
    assert len(fitted) == 58 and not any((fitted == same).all(axis=(1, 2)).any() for same in x[5:7])
    with pytest.raises(DataError, match="all 60 samples are also among the held-out ones"):
        Split(stream(x, x))


def test_held_out_samples_are_checked_under_their_own_name():
    with pytest.raises(DataError, match="held_out, sample 0"):
        Split(stream(images(60), np.zeros((4, 3), np.float32)))
