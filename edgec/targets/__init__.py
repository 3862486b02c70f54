"""Targets: one TOML a target, data and no code. `load("cortex-m4")` reads one, `names()` lists them."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgec.errors import UsageError

FOLDER = Path(__file__).parent
LAYOUTS = {"generic": 0, "dsp": 1, "mve": 2}


@dataclass(frozen=True)
class Target:
    """What the compiler needs to know of a device.

    Attributes:
        isa: kernel families it can run, best first; "ref" always last.
        layout: how weights are packed in the artifact; "generic" runs anywhere.
        memory: flash and ram in bytes of a typical part, or empty.
        toolchain: compiler (program), flags, package (what to install); empty for the host.
        emulator: program, machine, memory map and counter, as `edgec.emit.firmware` reads them; empty where there is none.
        timing: clock_hz and cycles_per_instruction, for estimates that are labelled as such; model, where there is one of
            the executed instructions' cycles (a key of edgec.device.qemu.MODELS).
    """

    name: str
    description: str
    isa: tuple[str, ...] = ("ref",)
    layout: str = "generic"
    memory: Mapping[str, int] = field(default_factory=dict)
    toolchain: Mapping[str, Any] = field(default_factory=dict)
    emulator: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("memory", "toolchain", "emulator", "timing"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[type[Target], tuple[Any, ...]]:
        """A search sends targets to other processes; read-only views of dicts cannot be pickled."""
        values = (getattr(self, f.name) for f in fields(self))
        return Target, tuple(dict(v) if isinstance(v, Mapping) else v for v in values)

    @property
    def tested_on(self) -> str:
        """What runs this target's firmware in the test suite."""
        e = self.emulator
        if not e:
            return "this machine"
        if e["kind"] == "native":
            return f"this machine, counted by {str(e['count_program']).format(machine=platform.machine())}"
        counted = f", counted on {e['count_on']}" if "count_on" in e else ""
        return f"{e['program']} {e['machine']}{counted}" if e["kind"] == "system" else " ".join([str(e["program"]), *e.get("flags", ())])


def names() -> list[str]:
    """Names of all targets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(target: str | Target) -> Target:
    """A target by name, or the Target itself.

    Raises:
        UsageError: no such target.
    """
    if isinstance(target, Target):
        return target
    path = FOLDER / f"{target}.toml"
    if not isinstance(target, str) or target not in names():
        raise UsageError(
            f"unknown target {target!r}",
            where="target",
            why=f"known targets are {', '.join(names())}",
            fix="name one of them, or pass an edgec.Target",
        )
    data = tomllib.loads(path.read_text())
    data["isa"] = tuple(data.get("isa", ("ref",)))
    return Target(name=target, **data)
