"""The host engine's contract: what it accepts and refuses, batches, threads, tiers, and no byte touched outside the buffers."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from edgec import errors, targets
from edgec.emit import artifact
from edgec.emit.kernels import select
from edgec.ir import interp
from edgec.ir.core import Op, Port, Program, Tensor
from edgec.ops import OPERATORS
from edgec.plan import make_plan
from tests import wide_rows

core = pytest.importorskip("edgec._core", reason="the host module is not built: cmake --preset dev && cmake --build --preset dev")


def encode(program: Program) -> bytes:
    """The artifact of a program for target host."""
    target = targets.load("host")
    kernels = tuple(select(op, target) for op in program.ops)
    return artifact.encode(program, make_plan(program, kernels), kernels, target, {})


def chain(*cases: Program) -> Program:
    """Programs of one operator each, one after the other; sizes of neighbours must agree."""
    tensors, constants, ops = dict(cases[0].tensors), {}, []
    current = cases[0].inputs[0].tensor
    for i, case in enumerate(cases):
        (op,) = case.ops
        rename = {c: f"{i}.{c}" for c in op.constants}
        constants.update({rename[c]: case.constants[c] for c in op.constants})
        out = f"{i}.{op.outputs[0]}"
        tensors[out] = Tensor(out, case.tensors[op.outputs[0]].shape, zero_point=case.tensors[op.outputs[0]].zero_point)
        ops.append(Op(op.opcode, f"{i}.{op.name}", (current,), (out,), tuple(rename.values()), op.attrs))
        current = out
    first = cases[0].inputs[0]
    return Program("chain", tensors, constants, tuple(ops), (first,), (Port(current, current, tensors[current].shape),))


def case(opcode: str, name: str) -> Program:
    return next(p for p in OPERATORS[opcode].cases() if p.name == name)


@pytest.fixture(scope="module")
def program() -> Program:
    return case("conv2d", "conv2d_0")


@pytest.fixture(scope="module")
def data(program: Program) -> bytes:
    return encode(program)


def sample(program: Program, seed: int, batch: int = 1) -> np.ndarray:
    shape = program.tensors[program.inputs[0].tensor].shape
    return np.random.default_rng(seed).integers(-128, 128, (batch, *shape[1:]), dtype=np.int8)


def expected(program: Program, x: np.ndarray) -> np.ndarray:
    rows = [next(iter(interp.run(program, {program.inputs[0].tensor: row}).values())) for row in x]
    return np.concatenate([r.reshape(1, -1) for r in rows])


def test_batch(program, data):
    x = sample(program, 1, batch=5)
    y = np.zeros((5, program.tensors[program.outputs[0].tensor].size), np.int8)
    core.Engine(data).run(x, y)
    np.testing.assert_array_equal(y, expected(program, x))


def test_properties(data):
    engine = core.Engine(data, "ref")
    assert engine.tier == "ref" and engine.op_count == 1
    assert engine.input_bytes == (1024,) and engine.output_bytes == (1024,)
    assert engine.macs == 8 * 8 * 16 * 16 * 9
    assert engine.arena_bytes >= 1024
    assert core.tiers()[0] == "ref" and set(core.tiers()) <= set(core.compiled_tiers())


@pytest.mark.parametrize("tier", core.tiers())
def test_threads_share_an_engine(program, data, tier):
    engine = core.Engine(data, tier)
    inputs = [sample(program, seed) for seed in range(8)]
    wanted = [expected(program, x) for x in inputs]
    wrong = []

    def work(k: int) -> None:
        y = np.zeros_like(wanted[k])
        for _ in range(200):
            y[:] = 0
            engine.run(inputs[k], y)
            if not np.array_equal(y, wanted[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_benchmark_and_profile(data):
    engine = core.Engine(data)
    times = engine.benchmark(5)
    assert len(times) == 5 and all(0 < t < 1 for t in times)
    assert all(seconds < 1 for _, _, seconds in engine.profile(5))
    with pytest.raises(errors.DataError, match="wrong number of bytes"):
        engine.benchmark(1, inputs=[b"123"])


@pytest.mark.parametrize("truncate", [0, 3, 100, 127, 200, -1])
def test_truncated_artifact_is_refused(data, truncate):
    with pytest.raises(errors.ArtifactError):
        core.Engine(data[:truncate])


def test_wrong_buffers_are_refused(program, data):
    engine = core.Engine(data)
    x, y = sample(program, 1), np.zeros(1024, np.int8)
    with pytest.raises(errors.UsageError, match="wrong number of buffers"):
        engine.run(x)
    with pytest.raises(errors.DataError, match="output 0"):
        engine.run(x, y[:5])
    with pytest.raises(errors.DataError, match="dtype"):
        engine.run(x.astype(np.float32), y)
    with pytest.raises(errors.DataError, match="dtype"):
        engine.run(x.view(np.uint8), y)
    with pytest.raises(errors.DataError, match="input 0"):
        engine.run(np.repeat(x, 2, axis=1)[:, ::2], y)
    with pytest.raises(errors.DataError, match="output 0"):
        engine.run(np.concatenate([x, x]), y)
    y.flags.writeable = False
    with pytest.raises(errors.DataError, match="output 0"):
        engine.run(x, y)
    with pytest.raises(errors.DataError):
        engine.run(x, None)


def test_environment_masks_the_tier(data, tmp_path):
    path = tmp_path / "a.edgec"
    path.write_bytes(data)
    script = "import sys, edgec._core as c; print(c.Engine(open(sys.argv[1], 'rb').read()).tier)"
    for tier in core.tiers():
        run = subprocess.run([sys.executable, "-c", script, path], env={**os.environ, "EDGEC_CPU": tier}, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == tier
    with pytest.raises(errors.UsageError, match="nonsense"):
        core.Engine(data, "nonsense")
    run = subprocess.run([sys.executable, "-c", script, path], env={**os.environ, "EDGEC_CPU": "nonsense"}, capture_output=True, text=True)
    assert run.returncode != 0 and "EDGEC_CPU" in run.stderr


class GuardedBytes:
    """Bytes that end exactly at an unreadable page (or start right after one): an access beyond them kills the process."""

    def __init__(self, size: int, at_end: bool) -> None:
        page = mmap.PAGESIZE
        inner = -(-size // page) * page
        self._map = mmap.mmap(-1, inner + 2 * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (base, base + page + inner):
            assert libc.mprotect(ctypes.c_void_p(guard), page, 0) == 0
        start = page + (inner - size if at_end else 0)
        self.array = np.frombuffer(self._map, np.int8, size, start)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("at_end", [False, True])
def test_no_byte_outside_the_callers_buffers(tier, at_end):
    for program in (case("conv2d", "conv2d_1"), case("conv2d", "conv2d_3"), case("depthwise_conv2d", "depthwise_3"), case("dense", "dense_3"),
                    case("average_pool2d", "average_pool2d_2"), case("max_pool2d", "max_pool2d_1"), case("lookup", "lookup_1"),
                    case("softmax", "softmax_0"), case("add", "add_1"), case("transpose", "transpose_1"),
                    *(p for p in wide_rows.wide_programs() if len(p.outputs) == 1)):  # fmt: skip
        engine = core.Engine(encode(program), tier)
        guarded = [GuardedBytes(n, at_end) for n in (*engine.input_bytes, *engine.output_bytes)]
        rng = np.random.default_rng(7)
        for g in guarded:
            g.array[:] = rng.integers(-128, 128, g.array.size, dtype=np.int8)
        engine.run(*(g.array for g in guarded))
        inputs = {port.tensor: g.array for port, g in zip(program.inputs, guarded, strict=False)}
        np.testing.assert_array_equal(guarded[-1].array, next(iter(interp.run(program, inputs).values())).reshape(-1), program.name)


@pytest.mark.parametrize("tier", core.tiers())
def test_no_byte_written_outside_the_output(program, data, tier):
    x = sample(program, 3)
    canvas = np.full(1024 + 256, 77, np.int8)
    core.Engine(data, tier).run(x, canvas[128:-128])
    assert (canvas[:128] == 77).all() and (canvas[-128:] == 77).all()
    np.testing.assert_array_equal(canvas[None, 128:-128], expected(program, x))


def test_entry_costs_little():
    """A call of a network of one byte: what Python pays to get in and out (0.3 µs wanted; the bound leaves room for a busy machine)."""
    program = case("lookup", "lookup_0")
    engine = core.Engine(encode(program))
    x, y = np.zeros(1, np.int8), np.zeros(1, np.int8)
    import timeit

    assert min(timeit.repeat(lambda: engine.run(x, y), number=2000, repeat=20)) / 2000 < 2e-6
