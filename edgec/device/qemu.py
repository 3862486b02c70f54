"""Runs a built firmware in its emulator: files in, files out, and every way it can go wrong said in words."""

from __future__ import annotations

import math
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgec.device import cache as store
from edgec.device.elf import Elf
from edgec.device.toolchain import find_tool, machine_name, run_tool, source_hash
from edgec.emit.kernels import source_folder
from edgec.errors import ToolError

MAGIC, TRACE, MEASURE = 0x44434745, 1, 2
ICOUNT_SHIFT = 6
NS_PER_INSTRUCTION = 1 << ICOUNT_SHIFT
RESULT = struct.Struct("<11I")
TIMEOUT = 600.0
MODELS = {
    "cortex-m4": "estimate: Arm's instruction timings of Cortex-M4, no wait states, over the executed instructions (docs/cycles.md)",
}
"""Models of cycles that csrc/firmware/cycles_plugin.c has, and how an estimate by one is labelled."""
EXITS = {
    101: "the processor faulted",
    102: "the firmware could not open, read or write a file",
    103: "the firmware was built for another model",
    104: "the runtime refused the artifact",
    105: "a byte behind the arena changed: something wrote outside it",
    106: "the arena is not what the plan says",
}


@dataclass(frozen=True)
class Outcome:
    """What one run of the firmware wrote.

    Attributes:
        outputs: uint8 [samples, output bytes]; trace: one list of int8 arrays a sample, in order of operators.
        instructions: of the measured inference; None where nothing counts them. source: how they were counted.
        cycles: an estimate by the model that was asked for, cycles_range its bounds (least, most); None where there is none.
            cycles_source: the model, or why there is no estimate.
        stack_bytes: measured; refusal: the status that one byte less of arena got.
    """

    outputs: np.ndarray
    trace: list[list[np.ndarray]]
    instructions: int | None
    source: str
    stack_bytes: int
    refusal: int
    cycles: int | None = None
    cycles_range: tuple[int, int] | None = None
    cycles_source: str = "not measured"


def execute(
    elf: Path, machine: Mapping[str, Any], records: np.ndarray, output_bytes: int, *,
    measure: bool, trace: bool, model: str | None = None, timeout: float = TIMEOUT,
) -> Outcome:  # fmt: skip
    """Run the firmware on records, int8 [samples, input bytes]; with measure, the first is run twice, warm and measured.

    Args:
        model: of cycles, a key of MODELS, for the measured inference.

    Raises:
        ToolError: no emulator, a fault, a nonzero exit, no result, or more than `timeout` seconds.
    """
    samples = len(records)
    if measure and samples == 0:
        raise ValueError("nothing to measure without a sample")
    with tempfile.TemporaryDirectory(prefix="edgec-run-") as name:
        folder = Path(name)
        head = np.array([MAGIC, TRACE * trace | MEASURE * measure, samples, records.shape[1], output_bytes], "<u4")
        warm = records[:1] if measure else records[:0]
        (folder / "request.bin").write_bytes(head.tobytes() + warm.tobytes() + records.tobytes())
        command, note = _command(elf, machine, measure)
        if measure and model is not None and (why := no_cycles(command[0], machine)) == "":
            command[1:1] = ["-d", "plugin", "-D", "cycles.log", "-plugin", f"{plugin(command[0], 'cycles')},mark={_mark_address(elf):#x}"]
        log = _run(command, machine, folder, timeout)
        result = _result(folder, command, log)
        outputs = np.fromfile(folder / "outputs.bin", np.uint8)
        if result[1] != samples or outputs.size != samples * output_bytes:
            raise _failed("the firmware wrote an incomplete result", command, f"{outputs.size} bytes of {samples * output_bytes}", log)
        instructions, source = _instructions(folder, machine, result, note) if measure else (None, "not measured")
        cycles, bounds, cycles_source = None, None, "not measured" if not measure else "no model of this target's cycles"
        if measure and model is not None:
            cycles, bounds, cycles_source = _cycles(folder, MODELS[model], instructions) if why == "" else (None, None, why)
        return Outcome(
            outputs.reshape(samples, output_bytes), _trace(folder, samples) if trace else [], instructions, source, result[4], result[3],
            cycles, bounds, cycles_source,
        )  # fmt: skip


def machine_label(machine: Mapping[str, Any]) -> str:
    """What runs the firmware, for people."""
    if machine["kind"] == "native":
        return f"this machine ({machine_name()})"
    return str(machine.get("machine", machine["program"]))


def _command(elf: Path, machine: Mapping[str, Any], measure: bool) -> tuple[list[str], str]:
    """The emulator's command line, and why nothing is counted (empty where something is)."""
    kind = machine["kind"]
    if kind == "system":
        program = find_tool(machine["program"], machine["package"], "running firmware")
        command = [program, "-M", machine["machine"], "-nographic", "-monitor", "none", "-serial", "none"]
        command += ["-semihosting-config", "enable=on,target=native"]
        if measure and "counter" in machine:
            command += ["-icount", f"shift={ICOUNT_SHIFT},sleep=off"]
        return [*command, "-kernel", str(elf)], "" if "counter" in machine else f"machine {machine['machine']} has no counter"
    program = _counter(machine)
    if kind == "native":
        if not measure:
            return [str(elf)], ""
        if shutil.which(program) is None:
            return [str(elf)], f"not counted: {program} is not installed (apt-get install {machine['package']})"
    path = find_tool(program, machine["package"], "running firmware")
    command = [path, *machine.get("flags", ())]
    if measure:
        command += ["-d", "plugin", "-D", "count.log", "-plugin", str(plugin(path, "count"))]
    return [*command, str(elf)], ""


def _counter(machine: Mapping[str, Any]) -> str:
    """The user-mode emulator that runs, or for native code only counts."""
    return str(machine.get("program", machine.get("count_program"))).replace("{machine}", machine_name())


def plugin(qemu: str, name: str) -> Path:
    """csrc/firmware/`name`_plugin.c, compiled for this machine and this QEMU's plugin interface."""
    version = 2 if _about(qemu)[0] >= 9 else 1
    compiler = find_tool("gcc", "gcc", "building the plugin that counts instructions")
    source = source_folder() / "firmware" / f"{name}_plugin.c"

    def make(folder: Path) -> None:
        run_tool(
            [compiler, "-O2", "-shared", "-fPIC", f"-DEDGEC_QEMU_PLUGIN_VERSION={version}", source, "-o", folder / f"{name}.so"],
            f"compiling {source.name}",
        )

    return store.cached("plugin", store.key(compiler, str(version), source_hash(source)), make) / f"{name}.so"


@cache
def _about(qemu: str) -> tuple[int, bool]:
    """The emulator's major version, and whether it loads plugins."""
    found = re.search(r"version (\d+)\.", run_tool([qemu, "--version"], "asking its version"))
    return int(found[1]) if found else 0, "-plugin" in run_tool([qemu, "--help"], "asking what it can do")


def no_cycles(qemu: str, machine: Mapping[str, Any]) -> str:
    """Why this emulator gives no estimate of cycles; empty where it does."""
    if machine["kind"] != "system":
        return "cycles are estimated for emulated microcontrollers only"
    if not _about(qemu)[1]:
        return f"not estimated: this {Path(qemu).name} was built without plugins"
    return "" if shutil.which("gcc") else "not estimated: gcc, which builds the emulator's plugin, is not installed (apt-get install gcc)"


def _mark_address(elf: Path) -> int:
    return Elf(elf).functions()["edgec_harness_mark"]


def _cycles(folder: Path, model: str, instructions: int | None) -> tuple[int | None, tuple[int, int] | None, str]:
    """Estimate, bounds and source; the plugin's own count of instructions must be the emulator's, or nothing is claimed."""
    log = (folder / "cycles.log").read_text()
    marks = np.array([[int(n) for n in line] for line in re.findall(r"edgec cycles (\d+) (\d+) (\d+) (\d+)", log)], np.int64)
    if len(marks) != 4:
        return None, None, f"not estimated: {len(marks)} marks of 4"
    counted, cycles, least, most = (int(n) for n in (marks[3] - marks[2]) - (marks[1] - marks[0]))
    if instructions is not None and counted != instructions:
        return None, None, f"not estimated: the plugin saw {counted} instructions, the emulator's counter {instructions}"
    return cycles, (least, most), model


def _run(command: list[str], machine: Mapping[str, Any], folder: Path, timeout: float) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace") + (error.stdout or b"").decode(errors="replace")
        raise _failed("the firmware did not end", command, f"stopped after {timeout:g} s", said) from None
    log = (done.stderr + done.stdout).decode(errors="replace")
    if done.returncode != 0:
        why = EXITS.get(done.returncode) or (f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}")
        raise _failed("the firmware failed", command, why, log)
    return log


def _result(folder: Path, command: list[str], log: str) -> tuple[int, ...]:
    path = folder / "result.bin"
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != RESULT.size or RESULT.unpack(data)[0] != MAGIC:
        raise _failed("the firmware gave no result", command, f"it ended without an error, but result.bin has {len(data)} bytes", log)
    return RESULT.unpack(data)


def _instructions(folder: Path, machine: Mapping[str, Any], result: tuple[int, ...], note: str) -> tuple[int | None, str]:
    """Four marks: the first two with nothing between, the last two around the inference."""
    if note:
        return None, note
    if machine["kind"] == "system":
        tick = int(machine["tick_ns"])
        # Ticks are the floor of virtual time, which is a whole number of instructions long: with ticks shorter than an
        # instruction each tick value belongs to one instruction, so rounding up gives it back exactly.
        marks = [math.ceil(ticks * tick / NS_PER_INSTRUCTION) for ticks in result[5:9]]
        source = f"counted exactly: {machine['program']} -M {machine['machine']} -icount shift={ICOUNT_SHIFT},sleep=off"
    else:
        marks = [int(n) for n in re.findall(r"edgec mark (\d+)", (folder / "count.log").read_text())]
        source = f"counted exactly: {_counter(machine)} with a counting plugin"
    if len(marks) != 4:
        raise _failed("the instruction count is incomplete", [machine_label(machine)], f"{len(marks)} marks of 4", "")
    return (marks[3] - marks[2]) - (marks[1] - marks[0]), source


def _trace(folder: Path, samples: int) -> list[list[np.ndarray]]:
    data = (folder / "trace.bin").read_bytes()
    traces: list[list[np.ndarray]] = []
    at = 0
    while at < len(data):
        index, size = struct.unpack_from("<II", data, at)
        if index == 0:
            traces.append([])
        traces[-1].append(np.frombuffer(data, np.int8, size, at + 8))
        at += 8 + size
    return traces if traces else [[] for _ in range(samples)]


def _failed(what: str, command: list[str], why: str, log: str) -> ToolError:
    said = re.sub(r"status 0x([0-9a-f]{8})", lambda found: f"status {_status_name(int(found[1], 16))}", log.strip()[-2000:])
    return ToolError(
        what,
        where=" ".join(command),
        why=f"{why}{'; it said: ' + said if said else ''}",
        fix="please report this with the artifact; edgec run --on interpreter shows what the bytes should be",
    )


def _status_name(status: int) -> str:
    """EDGEC_ERROR_… of a number, as edgec.h has it."""
    text = (source_folder() / "runtime" / "edgec.h").read_text()
    return next((name for name, number in re.findall(r"(EDGEC_\w+) = (\d+),? ", text) if int(number) == status), str(status))
