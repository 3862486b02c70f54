"""The emulated device: that it counts, measures and fails as it says, and gives the interpreter's bytes on every target."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from edgec import device, plan, targets
from edgec.device import cache as store
from edgec.device import firmware, qemu, stack
from edgec.device.toolchain import Toolchain, include_folders, run_tool
from edgec.emit import artifact as format_
from edgec.emit.kernels import select, source_folder
from edgec.errors import DataError, FitError, ToolError, UsageError
from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from tests.models import ROOT

TARGETS = ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85", "cortex-a", "riscv32", "riscv64", "generic-c"]
BENCH = ["cortex-m3", "cortex-m4", "cortex-m33", "cortex-m55", "cortex-a", "riscv32", "riscv64", "generic-c"]


# --- the harness, with an engine that does as it is told -----------------------------------------------------------------


def bench(name: str):
    """Firmware with tests/device_engine.h; a call runs it on input bytes."""
    target = targets.load(name)
    toolchain = Toolchain(target)
    engine = ROOT / "tests" / "device_engine.h"
    config = f'#define EDGEC_HARNESS_ENGINE "{engine}"\n/* {store.key(engine.read_bytes())} */\n'
    key = store.key(toolchain.identity, config, *(p.read_bytes() for p in sorted((source_folder() / "firmware").glob("*"))))
    folder = store.cached("firmware", key, lambda folder: firmware.link_harness(folder, toolchain, target.emulator, [], config, 2) and None)

    def call(*values: int, timeout: float = 60.0, measure: bool = True) -> qemu.Outcome:
        records = np.array(values, np.uint8).view(np.int8).reshape(-1, 1)
        return qemu.execute(folder / "firmware.elf", target.emulator, records, 1, measure=measure, trace=False, timeout=timeout)

    return call


@pytest.mark.parametrize("name", BENCH)
def test_instructions_are_counted_exactly(name, needs_target, needs_tool):
    needs_target(name)
    if name == "generic-c":
        needs_tool("qemu-x86_64" if qemu.machine_name() == "x86_64" else "qemu-aarch64", "qemu-user")
    call = bench(name)
    counts = {turns: call(turns).instructions for turns in (0, 1, 2, 3, 7, 50, 99)}
    assert all(counts[turns] - counts[0] == 2 * turns for turns in counts), counts
    assert 4 < counts[0] < 30


@pytest.mark.parametrize("name", ["cortex-m0", *BENCH])
def test_stack_is_measured_exactly(name, needs_target):
    needs_target(name)
    outcome = bench(name)(100)
    assert outcome.stack_bytes == 1024
    assert outcome.outputs.tolist() == [[101]]


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m4", "cortex-m55", "riscv64", "generic-c"])
@pytest.mark.parametrize(
    ("value", "words"), [(101, "a byte behind the arena changed"), (102, "fault|signal|exit code"), (104, "no result"), (105, "exit code 7")]
)
def test_failures_are_errors(name, value, words, needs_target):
    needs_target(name)
    with pytest.raises(ToolError, match=words) as caught:
        bench(name)(1, value, measure=False)
    assert caught.value.where and caught.value.fix


def test_a_run_that_does_not_end_is_stopped(needs_target):
    needs_target("cortex-m4")
    with pytest.raises(ToolError, match="did not end"):
        bench("cortex-m4")(103, measure=False, timeout=1.0)


def test_many_samples_in_one_run(needs_target):
    needs_target("cortex-m4")
    outcome = bench("cortex-m4")(*range(99))
    assert outcome.outputs.reshape(-1).tolist() == list(range(1, 100))


# --- operators on devices ------------------------------------------------------------------------------------------------


def merged(programs: list[Program], name: str) -> Program:
    """One program that runs all of them, each with its own inputs and outputs: one start of the emulator for many cases."""
    return Program(
        name,
        {k: v for p in programs for k, v in p.tensors.items()},
        {k: v for p in programs for k, v in p.constants.items()},
        tuple(op for p in programs for op in p.ops),
        tuple(port for p in programs for port in p.inputs),
        tuple(port for p in programs for port in p.outputs),
    )


def encoded(program: Program, name: str) -> bytes:
    """An artifact with every tensor in a place of its own: merged cases are too many for a search, and need none."""
    target = targets.load(name)
    kernels = [select(op, target, worth=False) for op in program.ops]
    offsets, scratch, end = {}, {}, 0
    for tensor in program.tensors.values():
        offsets[tensor.name], end = end, end + -(-tensor.nbytes // plan.ALIGNMENT) * plan.ALIGNMENT
    for op, kernel in zip(program.ops, kernels, strict=True):
        size = OPERATORS[op.opcode].scratch(op, kernel.symbol)
        scratch[op.name] = (end, size) if size else (0, 0)
        end += -(-size // plan.ALIGNMENT) * plan.ALIGNMENT
    placed = plan.Plan(offsets, scratch, end, end)
    plan.verify_plan(program, kernels, placed)
    return format_.encode(program, placed, kernels, target, {"target": name})


def random_rows(program: Program, samples: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {p.name: rng.integers(-128, 128, (samples, program.tensors[p.tensor].nbytes)).astype(np.int8) for p in program.inputs}


def expected(program: Program, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    samples = len(next(iter(rows.values())))
    runs = [interp.run(program, {p.tensor: rows[p.name][i] for p in program.inputs}) for i in range(samples)]
    return {p.name: np.stack([r[p.tensor].reshape(-1) for r in runs]) for p in program.outputs}


def cases(limit: int) -> list[Program]:
    """Cases of every operator whose tensors take at most `limit` bytes."""
    found = [case for operator in OPERATORS.values() for case in operator.cases()]
    return [c for c in found if sum(t.nbytes for t in c.tensors.values()) <= limit]


@cache
def all_cases():
    program = merged(cases(1 << 20), "cases")
    rows = random_rows(program, 2)
    return program, rows, expected(program, rows)


@cache
def one_of_each():
    program = merged(list({c.ops[0].opcode: c for c in cases(900)}.values()), "cases")
    rows = random_rows(program, 2)
    return program, rows, expected(program, rows)


@pytest.mark.parametrize("engine", ["runtime", "c"])
@pytest.mark.parametrize("name", TARGETS)
def test_every_operator_gives_the_interpreters_bytes(name, engine, needs_target):
    needs_target(name)
    small = name == "cortex-m0"  # 16 KiB: one small case of each operator
    program, rows, want = one_of_each() if small else all_cases()
    result = device.run(encoded(program, name), rows, engine=engine, measure=small)
    wrong = [port for port in want if not np.array_equal(want[port], result.rows[port])]
    assert not wrong
    if small:
        assert result.machine == "microbit"
        assert 0 < result.stack_bytes <= result.stack_bound


@pytest.mark.parametrize("engine", ["runtime", "c"])
@pytest.mark.parametrize("name", TARGETS)
def test_figures_of_one_operator(name, engine, needs_target):
    needs_target(name)
    program = next(iter(OPERATORS["conv2d"].cases()))
    rows = random_rows(program, 3)
    data = encoded(program, name)
    result = device.run(data, rows, engine=engine)
    again = device.run(data, rows, engine=engine)
    macs = OPERATORS["conv2d"].macs(program.ops[0])
    assert np.array_equal(result.outputs[program.outputs[0].name], expected(program, rows)[program.outputs[0].name])
    if result.instructions is not None:
        assert result.instructions == again.instructions
        assert 0.05 * macs < result.instructions < 20 * macs
    assert 0 < result.stack_bytes <= result.stack_bound
    assert result.stack_bound - result.stack_bytes <= 160
    assert 300 < result.code_bytes < 10500
    assert (result.data_bytes, result.bss_bytes) == (0, 0)
    assert result.arena_refused is (True if engine == "runtime" else None)
    assert sum(c.data.nbytes for c in program.constants.values()) <= result.model_bytes <= len(data) + 16


@pytest.mark.parametrize("engine", ["runtime", "c"])
@pytest.mark.parametrize("name", ["cortex-m4", "riscv32"])
def test_trace_gives_every_operators_bytes(name, engine, needs_target):
    needs_target(name)
    program = merged(list({c.ops[0].opcode: c for c in cases(2000)}.values()), "traced")
    rows = random_rows(program, 1)
    traced = device.trace(encoded(program, name), rows, engine=engine)
    steps = list(interp.steps(program, {p.tensor: rows[p.name][0] for p in program.inputs}))
    assert len(traced) == len(steps)
    for (op, values), got in zip(steps, traced, strict=True):
        assert np.array_equal(next(iter(values.values())).reshape(-1), got), op.name


# --- errors --------------------------------------------------------------------------------------------------------------


def test_missing_tools_are_named_with_the_command(monkeypatch):
    program = next(iter(OPERATORS["dense"].cases()))
    data = encoded(program, "cortex-m4")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError, match="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        device.run(data, random_rows(program, 1))


def test_missing_emulator_is_named_with_the_command(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError, match="apt-get install qemu-system-arm"):
        qemu.execute(ROOT / "x.elf", targets.load("cortex-m4").emulator, np.zeros((1, 1), np.int8), 1, measure=False, trace=False)


def test_a_refused_artifact_is_named_as_edgec_h_names_it(needs_target):
    """A firmware whose artifact was altered: the loader's status reaches the user."""
    needs_target("cortex-m4")
    program = next(iter(OPERATORS["dense"].cases()))
    data = encoded(program, "cortex-m4")
    altered = bytearray(data)
    altered[12:16] = (len(data) + 16).to_bytes(4, "little")  # the header now promises more bytes than there are
    target = targets.load("cortex-m4")
    built = firmware.build(bytes(altered), format_.decode(data), Toolchain(target), target.emulator)
    with pytest.raises(ToolError, match="edgec_open gave status EDGEC_ERROR_TRUNCATED"):
        qemu.execute(built.elf, target.emulator, np.zeros((1, 1), np.int8), 1, measure=False, trace=False)


def test_wrong_rows_and_engine_are_errors(needs_target):
    needs_target("cortex-m4")
    program = next(iter(OPERATORS["dense"].cases()))
    data = encoded(program, "cortex-m4")
    rows = random_rows(program, 1)
    with pytest.raises(UsageError, match="unknown engine"):
        device.run(data, rows, engine="interpreter")
    with pytest.raises(DataError, match="do not fit"):
        device.run(data, {k: v[:, 1:] for k, v in rows.items()})
    with pytest.raises(DataError, match="do not fit"):
        device.run(data, {k: v.astype(np.float32) for k, v in rows.items()})
    with pytest.raises(DataError, match="no rows for input"):
        device.run(data, {})


def test_a_target_without_compiler_is_an_error():
    program = next(iter(OPERATORS["dense"].cases()))
    with pytest.raises(ToolError, match="has no C compiler"):
        device.run(encoded(program, "host"), random_rows(program, 1))


def test_too_large_for_the_machine_is_a_fit_error(needs_target):
    needs_target("cortex-m4")
    target = targets.load("cortex-m4")
    program = next(iter(OPERATORS["conv2d"].cases()))
    data = encoded(program, "cortex-m4")
    tiny = dict(target.emulator) | {"ram_bytes": 0x400, "stack_bytes": 0x300}
    with pytest.raises(FitError, match="exceeded: RAM by"):
        firmware.build(data, format_.decode(data), Toolchain(target), tiny)


def test_weights_beyond_the_flash_go_to_the_large_memory():
    machine = targets.load("cortex-m55").emulator
    template = (source_folder() / "firmware" / "firmware.ld.in").read_text()
    assert "LARGE" not in firmware.linker_script(template, machine, 100_000)
    assert re.search(r"\.edgec_model .*> LARGE", firmware.linker_script(template, machine, 600_000))


# --- the computed stack --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "operands", "size"),
    [
        ("push", "{r4, r5, lr}", 12),
        ("stmdb", "sp!, {r4, r5, r6, r7, r8, r9, sl, lr}", 32),
        ("vpush", "{d8-d15}", 64),
        ("stmdb", "r0!, {r4, r5}", 0),
        ("sub", "sp, #24", 24),
        ("sub.w", "sp, sp, #4096", 4096),
        ("str.w", "lr, [sp, #-8]!", 8),
        ("stp", "x29, x30, [sp, #-32]!", 32),
        ("sub", "sp, sp, #0x40", 64),
        ("addi", "sp,sp,-48", 48),
        ("addi", "sp,sp,48", 0),
        ("push", "%rbx", 8),
        ("sub", "$0x48,%rsp", 72),
        ("add", "r0, sp, #4", 0),
    ],
)
def test_stack_of_one_instruction(operation, operands, size):
    assert stack.lowered(operation, operands) == size


def test_recursion_and_unknown_pointers_have_no_bound(tmp_path):
    graph = tmp_path / "a.ci"
    node = 'node: {{ title: "{0}" label: "{0}\\na.c:1:1\\n{1} bytes (static)" }}\n'
    edge = 'edge: {{ sourcename: "{0}" targetname: "{1}" }}\n'
    graph.write_text(node.format("f", 8) + node.format("g", 16) + edge.format("f", "g") + edge.format("g", "f"))
    with pytest.raises(ToolError, match="f calls g calls f"):
        stack.bound([graph], "f", {}, "", {})
    graph.write_text(node.format("f", 8) + node.format("g", 16) + node.format("k", 40) + edge.format("f", "g") + edge.format("f", "__indirect_call"))
    with pytest.raises(ToolError, match="f calls through a pointer"):
        stack.bound([graph], "f", {}, "", {})
    assert stack.bound([graph], "f", {"f": ["k"]}, "", {}) == 48


def test_library_code_is_bounded_by_all_that_it_falls_or_jumps_into():
    listing = """
00000100 <helper>:
 100:\tpush\t{r4, lr}
 102:\tbl\t200 <other>
00000104 <helper_tail>:
 104:\tpush\t{r0}
 106:\tbne.n\t100 <helper>
 108:\tpop\t{r4, pc}
00000200 <other>:
 200:\tsub\tsp, #16
 202:\tbx\tlr
"""
    assert stack.bound([], "helper", {}, listing, {"helper": 0x100, "helper_tail": 0x104, "other": 0x200}) == 12 + 16


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m4", "cortex-m55", "cortex-a", "riscv32", "riscv64", "generic-c"])
def test_the_harness_compiles_without_warnings(name, needs_target, tmp_path):
    needs_target(name)
    target = targets.load(name)
    toolchain = Toolchain(target)
    (tmp_path / "harness_config.h").write_text(
        '#define EDGEC_HARNESS_ENGINE "firmware/engine_runtime.h"\n#define EDGEC_HARNESS_ARENA_BYTES 64u\n#define EDGEC_HARNESS_COUNTER 0x40028000u\n'
    )
    port = ["harness_cortex_m.c"] if target.emulator["kind"] == "system" else ["harness_user.c", "helpers.c"]
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-fsyntax-only", "-I", tmp_path]
    includes = [flag for folder in include_folders() for flag in ("-I", folder)]
    for source in ["harness_main.c", *port]:
        run_tool([toolchain.compiler, *toolchain.flags, "-std=gnu99", *warnings, *includes, source_folder() / "firmware" / source], f"checking {source}")
