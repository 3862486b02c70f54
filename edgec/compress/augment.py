"""Augmentations: the teacher labels whatever it is shown, so every variant of a sample is one more labelled sample.

An augmentation is a function (batch, rng) → batch: float32 [samples, *shape of one sample, batch axis 1 included], of the same
shape. Inputs of one sample are augmented alike: each call gets a generator in the same state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.errors import UsageError

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]

SHIFT, HOLE = 0.125, 0.3
"""Largest shift and largest hole of `image`, as fractions of a side."""

MOVED, STRETCHED = 0.1, 0.1
"""Largest shift of `features` along time, as a fraction of it, and largest logarithm of the factor that time is stretched by."""

LOUDER, OFFSET, NOISE = 0.1, 0.1, 0.1
"""Of `features`: largest logarithm of the factor on what differs from the mean; standard deviation of what is added to a channel all the
time, and to each number, both as a fraction of the standard deviation there and both themselves times a random number up to 1."""

SPLICED = 0.25
"""Share of the samples that `features` cuts in two at some time, with another sample on one side."""

LONG, WIDE = 16, 8
"""Fewest steps of time and fewest rows and columns of a picture for `auto`."""

MIXED, MIXED_AT_MOST = 0.5, 0.5
"""Share of the samples that mixing touches, and the largest weight of the other sample."""


def chosen(augment: str | Augment) -> Augment:
    """The augmentation of that name, or the function itself.

    Raises:
        UsageError: an unknown name.
    """
    if callable(augment):
        return augment
    if augment not in NAMED:
        raise UsageError(f"unknown augmentation {augment!r}", where="augment", why=f"known are {', '.join(NAMED)}", fix="use one of these names, or a function (batch, rng) → batch")
    return NAMED[augment]


def none(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The samples as they are."""
    return batch


def mixup(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the samples are blended with another one, at most evenly (Zhang et al. 2018, arXiv:1710.09412)."""
    n = len(batch)
    weight = np.where(rng.random(n) < MIXED, rng.uniform(0, MIXED_AT_MOST, n), 0.0).astype(np.float32)
    weight = weight.reshape(-1, *(1,) * (batch.ndim - 1))
    return batch * (1 - weight) + batch[rng.permutation(n)] * weight


def image(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrored left to right, shifted by up to an eighth (what comes in repeats the border), half of them with a grey hole; some mixed.

    Takes [n, 1, channels, H, W] and [n, 1, H, W, channels]; the shorter of the two ends is the channels.
    """
    rows, columns = _spatial(batch.shape)
    batch = np.moveaxis(batch, (rows, columns), (1, 2))  # [n, H, W, …]
    n, h, w = batch.shape[:3]
    down, right = (rng.integers(-int(s * SHIFT), int(s * SHIFT) + 1, (n, 1)) for s in (h, w))
    y = np.clip(np.arange(h) + down, 0, h - 1)
    x = np.clip(np.arange(w) + right, 0, w - 1)
    x = np.where(rng.random((n, 1)) < 0.5, x[:, ::-1], x)
    out = batch[np.arange(n)[:, None, None], y[:, :, None], x[:, None, :]]
    size = rng.uniform(0, HOLE, (n, 2)) * (rng.random((n, 1)) < 0.5)
    centre = rng.random((n, 2))
    inside = [np.abs((np.arange(s) + 0.5) / s - centre[:, i, None]) < size[:, i, None] / 2 for i, s in enumerate((h, w))]
    hole = (inside[0][:, :, None] & inside[1][:, None, :]).reshape(n, h, w, *(1,) * (out.ndim - 3))
    mean = out.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    out = np.moveaxis(np.where(hole, mean, out), (1, 2), (rows, columns))
    return mixup(out, rng)


def features(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spectrograms and sensor windows, their longest axis being time: moved and stretched along it, blended with or spliced to another
    such sample, louder or softer, with an offset of each channel and a little noise. Sizes are relative to the batch's own spread."""
    axis = 1 + int(np.argmax(batch.shape[1:]))
    x = np.moveaxis(batch, axis, 1)  # [n, time, …]
    n, length = x.shape[:2]
    each = (n, *(1,) * (x.ndim - 1))
    mean, spread = x.mean(axis=(0, 1), keepdims=True), x.std(axis=(0, 1), keepdims=True)
    one, other = _moved(x, rng), _moved(x[rng.permutation(n)], rng)
    kind = rng.random(n)
    part = np.where(kind < MIXED, rng.uniform(0, MIXED_AT_MOST, n), 0.0)
    cut, side = rng.uniform(0, length, (n, 1)), rng.random((n, 1)) < 0.5
    spliced = ((kind >= MIXED) & (kind < MIXED + SPLICED))[:, None] & ((np.arange(length) < cut) == side)
    one += (other - one) * np.where(spliced, 1.0, part[:, None]).reshape(n, length, *each[2:]).astype(np.float32)
    factor = np.exp(rng.uniform(-LOUDER, LOUDER, each))
    offset = OFFSET * rng.random(each) * rng.standard_normal((n, 1, *x.shape[2:]))
    noise = (NOISE * rng.random(each)).astype(np.float32) * rng.standard_normal(x.shape, dtype=np.float32)
    result = mean + (one - mean) * factor.astype(np.float32) + spread * (offset.astype(np.float32) + noise)
    return np.moveaxis(result, 1, axis)


def _moved(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """x [n, time, …] resampled: each sample at another place and pace, its ends repeated."""
    n, length = x.shape[:2]
    pace = np.exp(rng.uniform(-STRETCHED, STRETCHED, (n, 1)))
    middle = (length - 1) / 2
    at = np.clip((np.arange(length) - middle) * pace + middle + rng.uniform(-MOVED, MOVED, (n, 1)) * length, 0, length - 1)
    before = np.minimum(at.astype(int), max(length - 2, 0))
    part = (at - before).astype(np.float32).reshape(n, length, *(1,) * (x.ndim - 2))
    rows = np.arange(n)[:, None]
    return x[rows, before] * (1 - part) + x[rows, np.minimum(before + 1, length - 1)] * part


def auto(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What suits the shape: see `suited`."""
    return NAMED[suited(batch.shape[1:])](batch, rng)


def suited(shape: tuple[int, ...]) -> str:
    """The name of the augmentation for samples of that shape, batch axis 1 included.

    "features" where one axis of several is LONG and at least twice as long as the others, which is then time; "image" with two sides of WIDE or
    more and 1 or 3 channels; "mixup" for all else, which assumes nothing.
    """
    sides = sorted(shape[1:], reverse=True)
    if len(sides) >= 2 and sides[1] > 1 and sides[0] >= LONG and sides[0] >= 2 * sides[1]:
        return "features"
    if len(sides) == 3 and min(sides[:2]) >= WIDE and (shape[1] in (1, 3) or shape[3] in (1, 3)):
        return "image"
    return "mixup"


NAMED: dict[str, Augment] = {"auto": auto, "none": none, "mixup": mixup, "image": image, "features": features}


def _spatial(shape: tuple[int, ...]) -> tuple[int, int]:
    """The axes of rows and columns of [n, 1, …]."""
    if len(shape) < 4:
        raise UsageError("augment=\"image\" needs images", where="augment", why=f"a batch has shape {shape}", fix='use augment="features", "mixup" or "none"')
    return (3, 4) if len(shape) == 5 and shape[2] <= shape[4] else (2, 3)
