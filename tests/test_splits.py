"""The three parts of calibration data: fixed by the bytes of each sample, and disjoint."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.compress.splits import FEWEST, FRACTIONS, PARTS, Split, part_of, parts_of
from edgec.data import Samples


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
    np.testing.assert_array_equal(np.concatenate([b["x"] for b in split.part(*PARTS)]), x)
    both = np.concatenate([b["x"] for b in split.part("fit", "select")])
    np.testing.assert_array_equal(both, x[parts_of(x) != "report"])


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
    assert split.of({"x": x[:1].astype(np.float32)}) == PARTS


def test_equal_samples_are_not_split_and_that_is_said():
    split = Split(Samples(np.repeat(images(1), 200, axis=0), {"x": (1, 5, 4)}))
    assert "many are equal" in split.degraded and split.samples == 200
