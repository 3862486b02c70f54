"""Threads and batches of the host engine: the same bytes with any number, started only where they gain, safe with fork and with each other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import edgec
from edgec import errors
from tests import programs
from tests.conftest import enable
from tests.test_host_engine import core, encode

ROOT = Path(__file__).resolve().parent.parent
FAST = core.tiers()[1:]


def branches(size: int, seed: int) -> object:
    """Every kind of step that can be cut, large enough that it is; a layer with few positions and many channels among them."""
    b = programs.Builder(f"branches_{size}_{seed}", (1, size, size + 3, 5), seed=seed)
    x = b.conv(b.inputs[0], 70)
    y = b.depthwise(b.conv(x, 70, (1, 1)))
    z = b.lookup(b.add(b.depthwise(y, (5, 3)), y))
    s = b.depthwise(z, (3, 3), (2, 2))
    m = b.max_pool(s, (2, 2), (2, 2))
    n = b.max_pool(m, (4, 4), (4, 4))
    w = b.conv(n, 900, (3, 3))
    return b.program(b.add(b.conv(w, 200, (1, 1)), b.conv(n, 200, (1, 1))), z, b.dense(w, 33))


@cache
def large() -> bytes:
    return encode(branches(64, 1))


def ports(engine, batch: int = 1, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(-128, 128, (batch, n)).astype(np.int8) for n in engine.input_bytes]
    return inputs, [np.zeros((batch, n), np.int8) for n in engine.output_bytes]


def outputs_of(engine, inputs: list[np.ndarray]) -> list[np.ndarray]:
    out = [np.zeros((len(inputs[0]), n), np.int8) for n in engine.output_bytes]
    engine.run(*inputs, *out)
    return out


def same(a: list[np.ndarray], b: list[np.ndarray], what: str = "") -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y, what)


@pytest.mark.parametrize("tier", FAST)
def test_bytes_do_not_depend_on_the_number_of_threads(tier):
    reference = core.Engine(large(), "ref")
    inputs, _ = ports(reference)
    wanted = outputs_of(reference, inputs)
    for threads in (1, 2, 3, 4):
        engine = core.Engine(large(), tier, threads)
        assert engine.uses_threads == (threads > 1)
        for _ in range(10):
            same(outputs_of(engine, inputs), wanted, f"{threads} threads")
        assert engine.has_started_threads == (threads > 1)
        parts = [count for _, _, count in engine.costs]
        assert threads == 1 or max(parts) > 1


@pytest.mark.parametrize("tier", FAST)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_batches(tier, threads):
    """Every number of samples round the 8 that go together; one after the other stands in for the specification."""
    for program in (programs.autoencoder(), programs.resnet8(), programs.random_program(3, ops=9), programs.random_program(8, ops=9)):
        engine, single = core.Engine(encode(program), tier, threads), core.Engine(encode(program), tier)
        inputs, _ = ports(engine, 40)
        wanted = [np.concatenate(rows) for rows in zip(*(outputs_of(single, [x[i : i + 1] for x in inputs]) for i in range(40)), strict=True)]
        for batch in (1, 2, 7, 8, 9, 16, 23, 40):
            same(outputs_of(engine, [x[:batch] for x in inputs]), [y[:batch] for y in wanted], f"{program.name}, batch {batch}")


def dense_chain(rows: int = 1) -> object:
    b = programs.Builder("dense_chain", (1, 200), seed=3)
    y = b.lookup(b.dense(b.inputs[0], 128))
    z = b.add(b.dense(y, 128), y)
    return b.program(b.softmax(b.dense(z, 30)), y)


@pytest.mark.parametrize("tier", FAST)
def test_samples_go_together_where_it_pays(tier):
    assert core.Engine(encode(programs.autoencoder()), tier).samples_at_once == 8
    assert core.Engine(encode(programs.resnet8()), tier).samples_at_once == 1
    engine = core.Engine(encode(dense_chain()), tier)
    assert engine.samples_at_once == 8
    inputs, _ = ports(engine, 19)
    reference = core.Engine(encode(dense_chain()), "ref")
    assert reference.samples_at_once == 1
    same(outputs_of(engine, inputs), outputs_of(reference, inputs))


def test_no_thread_for_a_small_network():
    """A ResNet-8 takes some 60 µs, as long as starting a thread."""
    engine = core.Engine(encode(programs.resnet8()), "", 4)
    inputs, _ = ports(engine)
    for _ in range(3):
        outputs_of(engine, inputs)
    assert not engine.uses_threads and not engine.has_started_threads
    many, _ = ports(engine, 64)
    same(outputs_of(engine, many), outputs_of(core.Engine(encode(programs.resnet8())), many))
    assert engine.has_started_threads
    small = core.Engine(encode(programs.autoencoder()), "", 2)
    outputs_of(small, ports(small, 16)[0])
    assert not small.has_started_threads, "16 samples of 2 µs take less than threads cost"


@pytest.mark.parametrize("tier", FAST)
def test_several_callers_of_an_engine_with_threads(tier):
    engine, single = core.Engine(large(), tier, 3), core.Engine(large(), tier)
    cases = [ports(engine, seed=s)[0] for s in range(4)]
    wanted = [outputs_of(single, x) for x in cases]
    wrong = []

    def work(k: int) -> None:
        for _ in range(15):
            if any(not np.array_equal(a, b) for a, b in zip(outputs_of(engine, cases[k]), wanted[k], strict=True)):
                wrong.append(k)

    callers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for c in callers:
        c.start()
    for c in callers:
        c.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork: not on this system")
def test_a_forked_process_has_its_own_threads():
    """Forked while another thread is in a run: the child neither waits for threads that are not there nor for their locks."""
    engine = core.Engine(large(), FAST[-1] if FAST else "ref", 2)
    inputs, _ = ports(engine)
    wanted = outputs_of(engine, inputs)
    stop = threading.Event()
    busy = threading.Thread(target=lambda: [outputs_of(engine, inputs) for _ in iter(stop.is_set, True)])
    busy.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                right = all(all(np.array_equal(a, b) for a, b in zip(outputs_of(engine, inputs), wanted, strict=True)) for _ in range(3))
                os._exit(0 if right else 1)
            _, status = os.waitpid(child, 0)
            assert status == 0
    finally:
        stop.set()
        busy.join()


def test_interpreter_exits_with_threads_asleep(tmp_path):
    path = tmp_path / "large.edgec"
    path.write_bytes(large())
    script = (
        "import sys, numpy as np, edgec._core as c\n"
        "e = c.Engine(open(sys.argv[1], 'rb').read(), '', 2)\n"
        "e.run(*(np.zeros(n, np.int8) for n in (*e.input_bytes, *e.output_bytes)))\n"
    )
    subprocess.run([sys.executable, "-c", script, path], check=True, timeout=60, cwd=ROOT)


def test_artifact_takes_threads(tmp_path):
    artifact = edgec.Artifact(large())
    x = np.random.default_rng(1).integers(-128, 128, (3, *artifact.program.inputs[0].shape[1:])).astype(np.int8)
    wanted = artifact.run(x)
    loaded = edgec.load(artifact.save(tmp_path / "a.edgec"), threads=2)
    assert (artifact.threads, loaded.threads, loaded.host.engine.threads) == (1, 2, 2)
    same([*loaded.run(x).values()], [*wanted.values()])
    loaded.threads = 3
    assert loaded.host.engine.threads == 3
    same([*loaded.run(x).values()], [*wanted.values()])
    for wrong in (0, 65, -1, 2.0, "2", True, None):
        with pytest.raises(errors.UsageError, match="no number of threads"):
            loaded.threads = wrong


def test_costs_of_threads_are_measured():
    start, asleep, awake = core.thread_costs(2)
    assert 0 < start < 1 and 0 < awake <= max(asleep, 1e-3)


@pytest.mark.slow
def test_no_race_is_found(tmp_path):
    """Engine, pool and kernels under ThreadSanitizer: several callers, jobs in parts, batches shared out, engines made and deleted."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip(enable("no C++ compiler", "apt-get install g++"))
    from tests.host_check import build_check

    artifacts = {"large": large(), "batch": encode(programs.autoencoder())}
    for name, data in artifacts.items():
        (tmp_path / name).write_bytes(data)
    program = build_check(tmp_path, "thread")
    run = subprocess.run([program, "threads", *(tmp_path / n for n in artifacts)], capture_output=True, text=True, env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"})
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-6000:]
