"""The memory plan: as small as the issue asks, as small as brute force finds, right when the kernels run in it, and checked."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec import targets
from edgec.emit import artifact
from edgec.emit.kernels import Kernel, select
from edgec.errors import ArtifactError, ProgramError
from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ir.verify import verify
from edgec.ops import OPERATORS
from edgec.plan import Plan, explain, make_plan, schedule, verify_plan
from edgec.planning import order, search
from edgec.planning.buffers import Conflict, make_buffers, round_up
from edgec.planning.picture import plan_picture
from tests import native, programs

GENERIC = targets.load("generic-c")


def kernels_of(program: Program) -> list[Kernel]:
    return [select(op, GENERIC) for op in program.ops]


def inputs_of(program: Program, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {p.tensor: rng.integers(-128, 128, program.tensors[p.tensor].nbytes).astype(np.int8) for p in program.inputs}


def assert_runs(program: Program, kernels, plan: Plan) -> None:
    """The runtime gives the interpreter's bytes in an arena of exactly the planned size."""
    inputs = inputs_of(program)
    got, wanted = native.run_in_arena(program, kernels, plan, inputs), interp.run(program, inputs)
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value.reshape(-1), f"{program.name}: {name}")


LIMITS = [(programs.resnet8, 34000), (programs.ds_cnn, 9500), (programs.mobilenet, 40000), (programs.autoencoder, 800)]


@pytest.mark.parametrize("target", ["cortex-m0", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize(("network", "limit"), LIMITS)
def test_arenas_with_the_kernels_of_each_core(network, limit: int, target: str) -> None:
    """Distances and scratch of the reference, DSP and Helium kernels against the bytes each network may take; every plan proven."""
    program = network()
    program, kernels = schedule(program, [select(op, targets.load(target)) for op in program.ops])
    plan = make_plan(program, kernels)
    assert plan.arena_bytes == plan.lower_bound <= limit, plan.bound_by


@pytest.mark.parametrize(("network", "limit"), LIMITS)
def test_arenas_of_the_benchmark_networks(network, limit: int) -> None:
    program, kernels = schedule(network(), kernels_of(network()))
    plan = make_plan(program, kernels)
    assert plan.arena_bytes <= limit
    assert plan.lower_bound == plan.arena_bytes == max(plan.steps)
    assert_runs(program, kernels, plan)


@pytest.mark.parametrize("network", [programs.mobilenet_v2, programs.resnet18])
def test_larger_networks_are_exact(network) -> None:
    program = network(96) if network is programs.resnet18 else network(96, 0.5)
    plan = make_plan(program, kernels_of(program))
    assert plan.lower_bound == plan.arena_bytes


def test_plan_fields() -> None:
    program = programs.resnet8()
    plan = make_plan(program, kernels_of(program))
    assert set(plan.offsets) == set(program.tensors)
    assert set(plan.scratch) == {op.name for op in program.ops}
    assert len(plan.steps) == len(program.ops) + 2
    assert plan.steps[plan.peak_step + 1] == max(plan.steps)
    assert program.ops[plan.peak_step].name in plan.bound_by and "overlapping" in plan.bound_by


@given(st.integers(0, 10**6), st.integers(2, 14))
@settings(max_examples=60, deadline=None)
def test_random_programs_run_in_their_arena(seed: int, ops: int) -> None:
    program = programs.random_program(seed, ops)
    kernels = kernels_of(program)
    plan = make_plan(program, kernels)
    # A dozen tensors of a few bytes alive at once is harder than any network: there the last bytes may stay unproven.
    assert plan.lower_bound <= plan.arena_bytes <= plan.lower_bound + 8
    assert_runs(program, kernels, plan)
    reordered, moved = schedule(program, kernels)
    verify(reordered)
    better = make_plan(reordered, moved)
    assert better.arena_bytes <= plan.arena_bytes
    assert_runs(reordered, moved, better)


@given(st.integers(0, 10**6), st.data())
@settings(max_examples=150, deadline=None)
def test_what_the_verifier_accepts_runs(seed: int, data) -> None:
    """Move buffers of a good plan about: either it is refused, or it still computes the right bytes."""
    program = programs.random_program(seed, 5)
    kernels = kernels_of(program)
    plan = make_plan(program, kernels)
    offsets = dict(plan.offsets)
    for name in data.draw(st.lists(st.sampled_from(sorted(offsets)), min_size=1, max_size=3)):
        other = data.draw(st.sampled_from(sorted(offsets)))
        offsets[name] = max(0, round_up(offsets[other] + data.draw(st.integers(-40, 40)), 4))
    moved = replace(plan, offsets=offsets, arena_bytes=max(offsets[t] + program.tensors[t].nbytes for t in offsets))
    try:
        verify_plan(program, kernels, moved)
    except ProgramError:
        return
    assert_runs(program, kernels, moved)


@pytest.mark.parametrize("case", [c for o in OPERATORS.values() for c in o.cases()], ids=lambda c: c.name)
def test_kernels_keep_their_declared_distance(case: Program) -> None:
    """Output at every allowed extreme around the input, byte by byte: the reference kernel still gives the golden's bytes."""
    (op,) = case.ops
    kernel, operator = select(op, GENERIC), OPERATORS[op.opcode]
    below, above, second = (
        operator.distance(op, kernel.symbol),
        operator.distance_above(op, kernel.symbol),
        operator.over_second(op, kernel.symbol),
    )
    lib = native.library()
    assert bool(native.descriptor(lib, kernel).overlap) == (below is not None or above is not None), "kernel descriptor and operator differ"
    values = list(inputs_of(case, 3).values())
    (wanted,) = interp.run(case, dict(zip(op.inputs, values, strict=True))).values()
    size, out = values[0].size, wanted.size

    def check(delta: int, index: int = 0) -> None:
        memory = native.aligned(3 * (size + out) + 64)
        at = size + out + 16
        addresses = []
        for i, value in enumerate(values):
            start = at if i == index else 2 * size + 2 * out + 32
            memory[start : start + value.size] = value.reshape(-1)
            addresses.append(memory.ctypes.data + start)
        native.call(lib, case, op, kernel, addresses, memory.ctypes.data + at + delta)
        np.testing.assert_array_equal(memory[at + delta : at + delta + out], wanted.reshape(-1), f"output {delta} bytes from input {index}")

    if below is not None:
        assert not (above is not None and below < 0), "a kernel that chooses its way by the addresses must not find them ambiguous"
        below = min(below, out)
        for extra in (0, 1, 3, 17):
            if below + extra <= out + 16:
                check(-below - extra)
    if above is not None:
        for extra in (0, 1, 3, 17):
            check(min(max(above, 1) + extra, size + 16))
    if second:
        check(0, 1)


def brute_force(sizes, alignments, conflicts) -> int:
    """Least height over every choice of every pair, by longest paths."""
    best = None
    for ways in itertools.product(*[(0, 1, 2) if c.exact else (0, 1) for c in conflicts]):
        arcs = []
        for c, way in zip(conflicts, ways, strict=True):
            arcs += [(c.a, c.b, c.gap_ab)] if way == 0 else [(c.b, c.a, c.gap_ba)] if way == 1 else [(c.a, c.b, 0), (c.b, c.a, 0)]
        x = [0] * len(sizes)
        for _ in range(200):
            before = list(x)
            for i, j, gap in arcs:
                x[j] = max(x[j], round_up(x[i] + gap, alignments[j]))
            if x == before:
                height = max(a + b for a, b in zip(x, sizes, strict=True))
                best = height if best is None else min(best, height)
                break
    assert best is not None
    return best


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_search_is_exact(data) -> None:
    n = data.draw(st.integers(2, 5))
    sizes = [data.draw(st.integers(1, 40)) for _ in range(n)]
    alignments = [data.draw(st.sampled_from([4, 4, 4, 16])) for _ in range(n)]
    conflicts = []
    for j, i in ((j, i) for j in range(n) for i in range(j)):
        kind = data.draw(st.sampled_from("disjoint disjoint none below both".split())) if len(conflicts) < 7 else "none"
        if kind == "disjoint":
            conflicts.append(Conflict(i, j, sizes[i], sizes[j]))
        elif kind == "below":
            conflicts.append(Conflict(i, j, sizes[i], data.draw(st.integers(-10, sizes[j])), data.draw(st.booleans())))
        elif kind == "both":
            conflicts.append(Conflict(i, j, data.draw(st.integers(1, sizes[i])), data.draw(st.integers(0, sizes[j]))))
    orders = [list(range(n)), sorted(range(n), key=lambda i: -sizes[i])]
    packing = search.pack(sizes, alignments, conflicts, max(sizes), orders)
    assert packing.height == packing.lower_bound == brute_force(sizes, alignments, conflicts)
    assert packing.height == search.height_of(packing.offsets, sizes)
    assert all(x % a == 0 for x, a in zip(packing.offsets, alignments, strict=True))


def test_chains_that_can_only_drift_are_proven() -> None:
    """Each step needs 8384 bytes, all together 10304: the search must find that out, not only the bound of the steps."""
    packing = search.pack([8000] * 7, [4] * 7, [Conflict(i, i + 1, 8000, 384) for i in range(6)], 8384, [range(7)])
    assert packing.height == packing.lower_bound == 8000 + 6 * 384


def test_search_reports_its_gap_at_the_node_limit() -> None:
    """Buffers of random sizes and lives: solved exactly as they are, with a gap that is told where the search is cut short."""
    rng = np.random.default_rng(4)
    n = 30
    sizes = [int(s) * 4 for s in rng.integers(20, 400, n)]
    starts = [int(s) for s in rng.integers(0, 15, n)]
    ends = [s + int(e) for s, e in zip(starts, rng.integers(1, 8, n), strict=True)]
    conflicts = [Conflict(i, j, sizes[i], sizes[j]) for j in range(n) for i in range(j) if starts[i] <= ends[j] and starts[j] <= ends[i]]
    bound = max(sum(s for s, a, b in zip(sizes, starts, ends, strict=True) if a <= t <= b) for t in range(45))
    orders = [sorted(range(n), key=lambda i: -sizes[i])]
    exact = search.pack(sizes, [4] * n, conflicts, bound, orders)
    short = search.pack(sizes, [4] * n, conflicts, bound, orders, node_limit=0)
    assert bound <= exact.lower_bound == exact.height <= short.height
    assert short.lower_bound <= exact.height and short.lower_bound < short.height
    for c in conflicts:
        assert short.offsets[c.a] + c.gap_ab <= short.offsets[c.b] or short.offsets[c.b] + c.gap_ba <= short.offsets[c.a]


def topological_orders(program: Program):
    def extend(done: list[int]):
        if len(done) == len(program.ops):
            yield tuple(done)
            return
        have = {p.tensor for p in program.inputs} | {t for i in done for t in program.ops[i].outputs}
        for i, op in enumerate(program.ops):
            if i not in done and set(op.inputs) <= have:
                yield from extend([*done, i])

    yield from extend([])


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_order_is_the_best_of_all(seed: int) -> None:
    program = programs.random_program(seed, 6)
    kernels = kernels_of(program)
    found = order.least_peak(program, kernels)
    peaks = [order.peak_of(program, kernels, o) for o in itertools.islice(topological_orders(program), 800)]
    assert found.proven and found.peak <= min(peaks)
    assert order.peak_of(program, kernels, found.ops) == found.peak
    if len(peaks) < 800:
        assert found.peak == min(peaks)


def test_order_beyond_the_state_limit_is_still_good(monkeypatch) -> None:
    b = programs.Builder("wide", (1, 8, 8, 8))
    branches = [b.conv(b.conv(b.inputs[0], 32), 4, (1, 1)) for _ in range(6)]
    # Written breadth first: all wide tensors alive together.
    wide_first = sorted(range(len(b.ops)), key=lambda i: (i % 2, i))
    total = branches[0]
    for t in branches[1:]:
        total = b.add(total, t)
    program = b.program(total)
    program = program.with_ops(tuple(program.ops[i] for i in wide_first) + program.ops[12:])
    kernels = kernels_of(program)
    exact = order.least_peak(program, kernels)
    assert exact.proven and exact.peak < order.peak_of(program, kernels, range(len(program.ops)))
    monkeypatch.setattr(order, "STATE_LIMIT", 5)
    beam = order.least_peak(program, kernels)
    assert not beam.proven and beam.peak == exact.peak
    reordered, moved = schedule(program, kernels)
    assert make_plan(reordered, moved).arena_bytes < make_plan(program, kernels).arena_bytes
    assert_runs(reordered, moved, make_plan(reordered, moved))


def test_scratch_is_planned_and_kept_apart(monkeypatch) -> None:
    """With scratch that overwrites its bytes at every run the results stay right, and the loader agrees with the plan."""
    monkeypatch.setattr(type(OPERATORS["conv2d"]), "scratch", lambda self, op, kernel: 100 + op.attrs["out_c"])
    for program in (programs.resnet8(), programs.random_program(12, 10)):
        kernels = kernels_of(program)
        plan = make_plan(program, kernels)
        assert plan.lower_bound == plan.arena_bytes
        for op in program.ops:
            at, size = plan.scratch[op.name]
            assert size == (100 + op.attrs["out_c"] if op.opcode == "conv2d" else 0) and at % 16 == 0
            for t in (*op.inputs, *op.outputs) if size else ():
                assert plan.offsets[t] + program.tensors[t].nbytes <= at or at + size <= plan.offsets[t]
        assert_runs(program, kernels, plan)


def test_verifier_refuses_bad_plans() -> None:
    program = programs.resnet8()
    kernels = kernels_of(program)
    plan = make_plan(program, kernels)
    verify_plan(program, kernels, plan)

    def refused(message: str, **changes) -> None:
        with pytest.raises(ProgramError, match=message):
            verify_plan(program, kernels, replace(plan, **changes))

    refused("outside the arena", arena_bytes=plan.arena_bytes - 1)
    refused("outside the arena", offsets={k: v for k, v in plan.offsets.items() if k != "t3"})
    refused("not aligned", offsets=dict(plan.offsets) | {"t3": plan.offsets["t3"] + 2})
    refused("alive at one step overlap", offsets=dict(plan.offsets) | {"t1": plan.offsets["t0"]})
    refused("does not allow|alive at one step", offsets=dict(plan.offsets) | {"t2": plan.offsets["t1"]})
    refused("scratch", scratch=dict(plan.scratch) | {program.ops[0].name: (0, 16)})
    with pytest.raises(ProgramError, match="do not belong together"):
        verify_plan(program, kernels[::-1], plan)
    # One byte less of a distance is refused wherever the plan uses it to the last four bytes.
    closest = 0
    life = {b.name: (b.start, b.end) for b in make_buffers(program, kernels)}
    for step, (op, kernel) in enumerate(zip(program.ops, kernels, strict=True)):
        d = OPERATORS[op.opcode].distance(op, kernel.symbol)
        x, y = op.inputs[0], op.outputs[0]
        if d is not None and life[x][1] == step and plan.offsets[x] - plan.offsets[y] == round_up(d, 4) and plan.offsets[x] >= 4 and d > 0:
            closest += 1
            refused("alive at one step|does not allow", offsets=dict(plan.offsets) | {x: plan.offsets[x] - 4})
    assert closest > 0


def test_plan_is_the_same_whatever_the_hash_seed() -> None:
    code = "from tests import test_plan as t; p = t.programs.random_program(77, 14); print(dict(t.make_plan(p, t.kernels_of(p)).offsets))"
    root = str(targets.FOLDER.parent.parent)
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root},
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(texts) == 1


@pytest.mark.parametrize("network", [programs.resnet8, programs.ds_cnn, programs.mobilenet_v2])
def test_picture_is_well_formed_and_shows_every_buffer(network) -> None:
    program = network()
    kernels = kernels_of(program)
    plan = make_plan(program, kernels)
    root = ElementTree.fromstring(plan_picture(program, plan))
    space = "{http://www.w3.org/2000/svg}"
    boxes = {t.text.split(":")[0]: r for r in root.iter(f"{space}rect") for t in r.iter(f"{space}title")}
    assert set(program.tensors) <= set(boxes)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    for box in boxes.values():
        assert 0 <= float(box.attrib["x"]) and float(box.attrib["x"]) + float(box.attrib["width"]) <= width + 0.2
        assert 0 <= float(box.attrib["y"]) and float(box.attrib["y"]) + float(box.attrib["height"]) <= height + 0.2
    assert f"{plan.arena_bytes:,}" in "".join(root.itertext())
    bare = Plan(plan.offsets, plan.scratch, plan.arena_bytes, plan.lower_bound)  # as read from an artifact
    assert explain(program, kernels, bare) == plan
    ElementTree.fromstring(plan_picture(program, bare))


def test_loading_checks_the_plan() -> None:
    program = programs.ds_cnn()
    kernels = kernels_of(program)
    plan = make_plan(program, kernels)
    good = artifact.decode(artifact.encode(program, plan, kernels, GENERIC, {}))
    assert dict(good.plan.offsets) == dict(plan.offsets) and explain(good.program, good.kernels, good.plan).steps == plan.steps
    for changes in ({"t1": plan.offsets["t0"]}, {"input0": plan.arena_bytes}):
        bad = replace(plan, offsets=dict(plan.offsets) | changes)
        with pytest.raises(ArtifactError, match="overlap|outside the arena"):
            artifact.decode(artifact.encode(program, bad, kernels, GENERIC, {}))
