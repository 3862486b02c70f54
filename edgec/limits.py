"""Limits of flash and RAM: reading them, and saying what does not fit, by how much, why, and what helps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgec.errors import FitError, UsageError
from edgec.targets import Target

if TYPE_CHECKING:
    from edgec.artifact import Artifact

KINDS = ("flash", "ram")
UNITS = {"": 1, "B": 1, "K": 1024, "KB": 1024, "KIB": 1024, "M": 1024**2, "MB": 1024**2, "MIB": 1024**2}
"""Data sheets of microcontrollers mean 1024 by KB, and so does edgec."""

TARGET = "target"
_LINES = "\n         "
"""Continues a part of an error message below its beginning."""


def parse_size(size: int | str, where: str) -> int:
    """Bytes of 65536, "65536", "64K", "64KB", "64 KiB", "1M", "0.5M".

    Raises:
        UsageError: not a size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KM]?I?B?)\s*", str(size).upper())
    if found is None or found[2] not in UNITS or isinstance(size, bool):
        raise UsageError(
            f"cannot read the size {size!r}",
            where=where,
            why="a size is a number of bytes, or one with K or M (1024, 1024²)",
            fix="write, for example, 262144, 256K or 1M",
        )
    return int(float(found[1]) * UNITS[found[2]])


def parse_limits(limits: Mapping[str, int | str] | str | None, target: Target) -> dict[str, int]:
    """{"flash": bytes, "ram": bytes}, what is not limited left out; "target" stands for the target's typical part.

    Raises:
        UsageError: an unknown kind or size, or a target without memory figures.
    """
    if limits is None:
        return {}
    if isinstance(limits, str):
        if limits != TARGET or not target.memory:
            why = f"{target.name} names no typical part" if limits == TARGET else 'it is {"flash": …, "ram": …} or "target"'
            raise UsageError(f"cannot take limits from {limits!r}", where="limits", why=why, fix="give flash and ram in bytes, or as 256K")
        return {kind: int(target.memory[kind]) for kind in KINDS if kind in target.memory}
    unknown = [k for k in limits if k not in KINDS]
    if unknown:
        raise UsageError(f"unknown limit {unknown[0]!r}", where="limits", why="limits are flash and ram", fix="use these names")
    return {kind: parse_size(size, f"limits, {kind}") for kind, size in limits.items() if size is not None}


def check_limits(artifact: Artifact, limits: Mapping[str, int], *, measure: bool = True) -> None:
    """Nothing, where artifact and code fit limits["flash"], and arena and stack limits["ram"].

    Raises:
        FitError: what does not fit, by how much, the layers that are the reason, and what helps.
    """
    figures = artifact.report(measure=measure)
    over, parts, fixes = [], [], []
    if "flash" in limits and figures["flash_bytes"] > limits["flash"]:
        missing = figures["flash_bytes"] - limits["flash"]
        over.append(f"flash by {missing:,} bytes")
        parts.append(
            f"flash: {figures['flash_bytes']:,} needed ({figures['artifact_bytes']:,} artifact + {figures['code_bytes']:,} code, "
            f"{_short(figures['code_source'])}), "
            f"{limits['flash']:,} given; {_largest_weights(artifact)}"
        )
        fixes.append("flash: " + _flash_help(artifact, missing, figures["code_bytes"], limits["flash"]))
    if "ram" in limits and figures["ram_bytes"] > limits["ram"]:
        missing = figures["ram_bytes"] - limits["ram"]
        over.append(f"RAM by {missing:,} bytes")
        stack = figures["ram_bytes"] - figures["arena_bytes"]
        parts.append(
            f"RAM: {figures['ram_bytes']:,} needed ({figures['arena_bytes']:,} arena + {stack:,} stack, "
            f"{_short(figures['stack_source'])}), "
            f"{limits['ram']:,} given; the arena is decided by {_peak(artifact)}"
        )
        fixes.append("RAM: " + _ram_help(artifact, limits["ram"] - stack))
    if over:
        raise FitError(
            f"{artifact.program.name} exceeds {' and '.join(over)} on {artifact.target.name}",
            where=f"limits: {', '.join(f'{k} {v:,}' for k, v in limits.items())}",
            why=_LINES.join(parts),
            fix=_LINES.join(fixes),
        )


def _short(source: str) -> str:
    return source.split(":")[0] if source.startswith(("measured", "table")) else source


def _largest_weights(artifact: Artifact) -> str:
    program = artifact.program
    sizes = sorted(((sum(program.constants[c].data.nbytes for c in op.constants), op.name, op.opcode) for op in program.ops), reverse=True)
    total = sum(size for size, _, _ in sizes) or 1
    shown = [f"{name} ({opcode}) {size:,} bytes, {100 * size / total:.0f} %" for size, name, opcode in sizes[:3] if size]
    return f"largest weights: {', '.join(shown)}" if shown else "it has no weights"


def _flash_help(artifact: Artifact, missing: int, code: int, limit: int) -> str:
    if code > limit:
        return (
            f"code alone needs {code:,} bytes: export generated C (--export-c), which leaves out loader and file format, "
            "or take a part with more flash"
        )
    weights = sum(c.data.nbytes for c in artifact.program.constants.values())
    if missing < weights:
        return (
            f"take {missing:,} bytes ({100 * missing / weights:.0f} %) out of the weights: fewer channels in the layers named; "
            "generated C (--export-c) needs less code than the artifact runtime"
        )
    return "a smaller network, or a part with more flash"


def _peak(artifact: Artifact) -> str:
    from edgec.plan import explain

    plan = explain(artifact.program, artifact.kernels, artifact.plan)
    return f"{plan.bound_by} (bytes)"


def _ram_help(artifact: Artifact, arena: int) -> str:
    from edgec.plan import explain

    program = artifact.program
    ports = sum(program.tensors[p.tensor].nbytes for p in program.inputs)
    if arena <= 0:
        return "the stack alone needs all of it: take a part with more RAM"
    if arena < ports:
        return f"the input alone has {ports:,} bytes: feed a smaller input, or take a part with more RAM"
    plan = explain(program, artifact.kernels, artifact.plan)
    steps = [("the input", 0)] + [(op.name, i + 1) for i, op in enumerate(program.ops)]
    above = [name for name, i in steps if plan.steps[i] > arena]
    where = ""
    if above:
        listed = ", ".join(above[:4]) + (" …" if len(above) > 4 else "")
        where = f"; {len(above)} step{'s' if len(above) > 1 else ''} need more than the {arena:,} bytes left for the arena: {listed}"
    bound = "; the plan is proven smallest for this order" if plan.arena_bytes == plan.lower_bound else ""
    return f"a smaller input, an earlier stride, or fewer channels at that step{where}{bound}"
