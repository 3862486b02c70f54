"""Threads and batches of the host engine: time of one thread over that of several, and of a sample alone over one of a batch; interleaved.

    python bench/threads.py [--threads 2] [--rounds 40] [--tier avx2]

Bytes are compared in the same call. Medians of the ratio over rounds, with quartiles; and what starting and waking a worker costs here.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kernels import encode  # noqa: E402
from edgec import _core  # noqa: E402
from tests import programs  # noqa: E402


def seconds(engine: _core.Engine, buffers: list[np.ndarray], count: int) -> float:
    engine.run(*buffers)  # warm again after the other
    start = time.perf_counter()
    for _ in range(count):
        engine.run(*buffers)
    return (time.perf_counter() - start) / count


def compare(a: _core.Engine, b: _core.Engine, batch: tuple[int, int], rounds: int) -> str:
    """Time a sample of `a` on batches of batch[0], over that of `b` on batches of batch[1]."""
    rng = np.random.default_rng(0)
    inputs = [rng.integers(-128, 128, (max(batch), n)).astype(np.int8) for n in a.input_bytes]
    sides = [([x[:size].copy() for x in inputs], [np.zeros((size, n), np.int8) for n in a.output_bytes]) for size in batch]
    times = np.zeros((rounds, 2))
    for r in range(rounds):
        for i, (engine, (x, y)) in enumerate(zip((a, b), sides, strict=True)):
            times[r, i] = seconds(engine, x + y, max(1, 128 // batch[i]) if a.macs < 1e7 else 1) / batch[i]
    for left, right in zip(sides[0][1], sides[1][1], strict=True):
        np.testing.assert_array_equal(left[: min(batch)], right[: min(batch)])
    low, ratio, high = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
    before, after = np.median(times, axis=0) * 1e6
    return f"{before:9.2f} µs to {after:9.2f} µs a sample   ratio {ratio:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--tier", default="")
    options = parser.parse_args()
    start, asleep, awake = (1e6 * s for s in _core.thread_costs(options.threads))
    print(f"starting the workers {start:.1f} µs, a job with them asleep {asleep:.1f} µs, awake {awake:.2f} µs")
    for name in ("mobilenet_v2", "resnet18"):
        data = encode(getattr(programs, name)())
        engines = [_core.Engine(data, options.tier, n) for n in (1, options.threads)]
        print(f"{name:14} {options.threads} threads   {compare(*engines, (1, 1), options.rounds)}")
    for name in ("autoencoder", "resnet8"):
        engine = _core.Engine(encode(getattr(programs, name)()), options.tier)
        print(f"{name:14} batch of 8  {compare(engine, engine, (1, 8), options.rounds)}")


if __name__ == "__main__":
    main()
