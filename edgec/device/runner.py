"""run and trace: from an artifact and int8 rows to the device's bytes and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.device import firmware, qemu
from edgec.device.toolchain import Toolchain
from edgec.emit.artifact import Decoded, decode
from edgec.errors import DataError, FitError, ToolError
from edgec.targets import Target, load

Rows = Mapping[str, np.ndarray]
"""int8 [N, bytes] a port, by the port's name, in the order in memory."""


@dataclass(frozen=True)
class DeviceRun:
    """What the emulated device gave.

    Attributes:
        outputs: the same as `rows`, or what `with_outputs` put there: the caller's shapes.
        rows: int8 [N, bytes] an output port.
        instructions: executed by one warm inference; instructions_source says how they were counted (None: not counted, and why).
        cycles: an estimate for the same inference, cycles_range its least and most; cycles_source names the model, or says why
            there is none (None): see docs/cycles.md.
        stack_bytes: measured on a painted stack, one inference; stack_bound: computed from the call graph, at least as large.
        code_bytes: linked instructions and constants of runtime (or generated C), kernels and compiler helpers,
            rodata_bytes the constants among them;
            model_bytes: weights and parameters; data_bytes, bss_bytes: variables besides the arena (none are expected).
        arena_bytes: what the firmware gave, exactly; arena_refused: whether one byte less was refused (None: generated C,
            whose arena is a constant of the header).
        machine: what ran it.
    """

    outputs: Any
    rows: dict[str, np.ndarray]
    instructions: int | None
    instructions_source: str
    cycles: int | None
    cycles_range: tuple[int, int] | None
    cycles_source: str
    stack_bytes: int
    stack_bound: int
    code_bytes: int
    rodata_bytes: int
    model_bytes: int
    data_bytes: int
    bss_bytes: int
    arena_bytes: int
    arena_refused: bool | None
    target: str
    machine: str
    engine: str

    def with_outputs(self, outputs: Any) -> DeviceRun:
        """The same run with outputs in the caller's shapes."""
        return dataclasses.replace(self, outputs=outputs)

    def as_dict(self) -> dict[str, Any]:
        """The figures, without outputs."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("outputs", "rows")}


def run(
    artifact: Any, rows: Rows | np.ndarray, *, engine: str = "runtime", target: str | Target | None = None, optimize: str = "-O2",
    measure: bool = True, timeout: float = qemu.TIMEOUT,
) -> DeviceRun:  # fmt: skip
    """Run an artifact on its target's emulated device.

    Args:
        artifact: an edgec.Artifact, or the bytes of one with `target`.
        rows: int8 [N, bytes] for each input port by name; an array where there is one input. N ≥ 1; one start of the emulator
            runs them all, and the first also once more, measured.
        engine: "runtime" runs the artifact, "c" the generated C.
        target: another target than the artifact's, of the same layout.
        optimize: level for runtime and kernels.
        measure: False leaves out instructions and stack (0), and is faster.

    Raises:
        ToolError: compiler or emulator missing or failed, a fault, no result, a timeout. FitError: it does not fit the machine.
    """
    device = _Device(artifact, target, optimize)
    records = device.records(rows)
    built, machine = device.build(engine)
    model = device.target.timing.get("model")
    outcome = qemu.execute(built.elf, machine, records, device.output_bytes, measure=measure, trace=False, model=model, timeout=timeout)
    instructions, source = outcome.instructions, outcome.source
    if measure and "count_on" in machine:
        other = load(machine["count_on"]).emulator
        counter = firmware.build(device.data, device.decoded, device.toolchain, other, engine=engine)
        counted = qemu.execute(counter.elf, other, records[:1], device.output_bytes, measure=True, trace=False, timeout=timeout)
        instructions, source = counted.instructions, f"{counted.source}, the {device.target.name} build on a {machine['count_on']}"
    named = device.split(outcome.outputs)
    return DeviceRun(
        named, named, instructions, source, outcome.cycles, outcome.cycles_range, outcome.cycles_source,
        outcome.stack_bytes, built.stack_bound, built.code_bytes, built.rodata_bytes, built.model_bytes,
        built.data_bytes, built.bss_bytes, device.decoded.plan.arena_bytes, bool(outcome.refusal) if engine == "runtime" else None,
        device.target.name, qemu.machine_label(machine), engine,
    )  # fmt: skip


def trace(artifact: Any, rows: Rows | np.ndarray, *, engine: str = "runtime", target: str | Target | None = None) -> list[np.ndarray]:
    """Every operator's output of one sample, int8 and flat, in order of execution: for finding the first layer that differs."""
    device = _Device(artifact, target, "-O2")
    built, machine = device.build(engine, trace=True)
    outcome = qemu.execute(built.elf, machine, device.records(rows)[:1], device.output_bytes, measure=False, trace=True)
    return outcome.trace[0]


class _Device:
    """An artifact, decoded, with its target's compiler and machine."""

    def __init__(self, artifact: Any, target: str | Target | None, optimize: str) -> None:
        if isinstance(artifact, (bytes, bytearray, memoryview)):
            self.data = bytes(artifact)
            self.decoded: Decoded = decode(self.data)
            self.target = load(target if target is not None else self.decoded.manifest.get("target", ""))
        else:
            self.data, self.target = bytes(artifact.data), load(target if target is not None else artifact.target)
            self.decoded = decode(self.data)
        self.toolchain = Toolchain(self.target, optimize)
        if not self.target.emulator:
            raise ToolError(
                f"nothing emulates {self.target.name}",
                where=f"edgec/targets/{self.target.name}.toml",
                why="the target has no [emulator] section",
                fix="run it on the host, or compile for one of the emulated targets, for example cortex-m4",
            )
        program = self.decoded.program
        self.inputs = [(p.name, program.tensors[p.tensor].nbytes) for p in program.inputs]
        self.outputs = [(p.name, program.tensors[p.tensor].nbytes) for p in program.outputs]
        self.output_bytes = sum(n for _, n in self.outputs)

    def build(self, engine: str, trace: bool = False) -> tuple[firmware.Firmware, Mapping[str, Any]]:
        """For the target's machine; where that is too small and another one counts for it, for the other one."""
        machine = self.target.emulator
        try:
            return firmware.build(self.data, self.decoded, self.toolchain, machine, engine=engine, trace=trace), machine
        except FitError:
            if "count_on" not in machine:
                raise
            machine = load(machine["count_on"]).emulator
            return firmware.build(self.data, self.decoded, self.toolchain, machine, engine=engine, trace=trace), machine

    def records(self, rows: Rows | np.ndarray) -> np.ndarray:
        """int8 [N, input bytes of all ports]."""
        if not isinstance(rows, Mapping):
            rows = {self.inputs[0][0]: np.asarray(rows)}
        parts = []
        for name, size in self.inputs:
            if name not in rows:
                raise DataError(f"no rows for input {name!r}", where="rows", why=f"the network has inputs {[n for n, _ in self.inputs]}", fix="give int8 rows for each of them")
            array = np.asarray(rows[name])
            if array.dtype != np.int8 or array.ndim == 0 or len(array) == 0 or array.size != len(array) * size:
                raise DataError(
                    f"rows of input {name!r} do not fit",
                    where=f"rows[{name!r}]",
                    why=f"{array.dtype} {array.shape}; it takes int8 [N, {size}], N of at least 1",
                    fix="quantize with Artifact.quantize_input, and add a batch axis",
                )
            parts.append(array.reshape(len(array), size))
        if len({len(p) for p in parts}) != 1:
            raise DataError("inputs of different batch sizes", where="rows", why=f"{[len(p) for p in parts]} samples", fix="give as many of each")
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def split(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [N, output bytes] → int8 rows by port."""
        named, at = {}, 0
        for name, size in self.outputs:
            named[name] = np.ascontiguousarray(outputs[:, at : at + size]).view(np.int8)
            at += size
        return named
