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

TIME_SHIFT, NOISE = 0.1, 0.02
"""Largest shift of `features` along time, as a fraction of it; noise as a fraction of the batch's standard deviation."""

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
    """Spectrograms and sensor windows: shifted along the longest axis by up to a tenth, a little noise, some mixed."""
    axis = 1 + int(np.argmax(batch.shape[1:]))
    n, length = batch.shape[0], batch.shape[axis]
    reach = int(length * TIME_SHIFT)
    at = np.clip(np.arange(length) + rng.integers(-reach, reach + 1, (n, 1)), 0, length - 1)
    moved = np.moveaxis(np.moveaxis(batch, axis, 1)[np.arange(n)[:, None], at], 1, axis)
    noise = rng.standard_normal(batch.shape, dtype=np.float32) * np.float32(NOISE * batch.std())
    return mixup(moved + noise, rng)


NAMED: dict[str, Augment] = {"none": none, "mixup": mixup, "image": image, "features": features}


def _spatial(shape: tuple[int, ...]) -> tuple[int, int]:
    """The axes of rows and columns of [n, 1, …]."""
    if len(shape) < 4:
        raise UsageError("augment=\"image\" needs images", where="augment", why=f"a batch has shape {shape}", fix='use augment="features", "mixup" or "none"')
    return (3, 4) if len(shape) == 5 and shape[2] <= shape[4] else (2, 3)
