"""The figures of an artifact: what the compiler knows exactly, what a tool chain measured, what a table says, each labelled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import edgec
from edgec.errors import FitError, ToolError
from edgec.ops import OPERATORS

if TYPE_CHECKING:
    from edgec.artifact import Artifact
    from edgec.ir.core import Op, Program
    from edgec.targets import Target

TABLE = Path(__file__).parent / "targets" / "measured.json"
UNVERIFIED = "unverified"


def manifest_of(program: Program, target: Target, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What goes into the artifact: plain values only, the same on every machine."""
    quantization = facts.get("quantization")
    manifest = {
        "edgec": edgec.__version__,
        "target": target.name,
        "macs": sum(OPERATORS[op.opcode].macs(op) for op in program.ops),
        "macs_source": facts["macs_source"],
        "calibration": facts["calibration"],
        "accuracy": UNVERIFIED if facts["calibration"] == "synthetic" else "not measured",
        "passes": dict(facts.get("passes", {})),
        "left_to_caller": facts.get("left_to_caller", {}),
    }
    if facts.get("skip_passes"):
        manifest["skip_passes"] = list(facts["skip_passes"])
    if facts.get("compression"):  # numbers and words; tables and curves would be too large for a device's flash
        manifest["compression"] = [{k: v for k, v in r.items() if isinstance(v, (int, float, str, bool))} for r in facts["compression"]]
    if quantization is not None:  # ranges and histograms are too large for a device's flash: Artifact.quantization has them
        manifest["quantization"] = {name: quantization[name] for name in ("samples", "parts", "degraded", "held_out", "left_out", "outputs", "output_sqnr_db", "rungs")}
    return manifest


def layers(artifact: Artifact) -> list[dict[str, Any]]:
    """One dict an operator, in order of execution."""
    rows = []
    for op, kernel in zip(artifact.program.ops, artifact.kernels, strict=True):
        output = artifact.program.tensors[op.outputs[0]]
        rows.append(
            {
                "name": op.name,
                "opcode": op.opcode,
                "kernel": kernel.symbol,
                "macs": OPERATORS[op.opcode].macs(op),
                "weights_bytes": sum(artifact.program.constants[c].nbytes for c in op.constants),
                "output_shape": list(output.shape),
                "output_bytes": output.nbytes,
                "scratch_bytes": artifact.plan.scratch[op.name][1],
            }
        )
    return rows


def report(artifact: Artifact, *, measure: bool = True) -> dict[str, Any]:
    """See Artifact.report."""
    from edgec.emit.artifact import WEIGHTS, sections_of

    program, plan, manifest = artifact.program, artifact.plan, artifact.manifest
    weights = len(sections_of(artifact.data)[1][WEIGHTS])
    figures = _measured(artifact) if measure else None
    figures = figures or _from_table(artifact)
    result = {
        "model": program.name,
        "target": artifact.target.name,
        "layout": artifact.header.layout,
        "edgec": manifest["edgec"],
        "macs": manifest["macs"],
        "macs_source": manifest["macs_source"],
        "arena_bytes": plan.arena_bytes,
        "arena_lower_bound": plan.lower_bound,
        "weights_bytes": weights,
        "artifact_bytes": len(artifact.data),
        **figures,
        "flash_bytes": len(artifact.data) + figures["code_bytes"],
        "ram_bytes": plan.arena_bytes + figures.get("stack_bound_bytes", figures["stack_bytes"]),
        "accuracy": manifest["accuracy"],
        "calibration": manifest["calibration"],
        **({"quantization": manifest["quantization"]} if manifest.get("quantization", {}).get("outputs") else {}),
        "left_to_caller": manifest["left_to_caller"],
        "inputs": [_port(program, p) for p in program.inputs],
        "outputs": [_port(program, p) for p in program.outputs],
        "layers": layers(artifact),
    }
    return result | _time(artifact, figures, measure)


def _time(artifact: Artifact, figures: Mapping[str, Any], measure: bool) -> dict[str, Any]:
    """Milliseconds of one inference: measured where this machine is the target, else an estimate from the target's TOML."""
    timing = artifact.target.timing
    if measure and artifact.target.name == "host":
        try:
            median = round(1e3 * artifact.benchmark(50)["median"], 4)
            return {"estimated_ms": median, "estimated_ms_source": "measured: median of 50 inferences on this machine, one thread"}
        except ImportError:
            pass
    clock, cycles = timing.get("clock_hz"), timing.get("cycles_per_instruction")
    if clock and figures.get("cycles"):
        source = f"{figures['cycles']:,} cycles at {clock / 1e6:g} MHz; {figures['cycles_source']}"
        return {"estimated_ms": round(1e3 * figures["cycles"] / clock, 3), "estimated_ms_source": source}
    if not clock or not cycles:
        return {}
    source = f"estimate: {cycles:g} cycles an instruction at {clock / 1e6:g} MHz (edgec/targets/{artifact.target.name}.toml)"
    return {"estimated_ms": round(1e3 * figures["instructions"] * cycles / clock, 3), "estimated_ms_source": source}


def _port(program: Program, port: Any) -> dict[str, Any]:
    t = program.tensors[port.tensor]
    return {
        "name": port.name,
        "shape": list(port.shape),
        "layout": "as the model has it" if port.order is None else f"axes {list(port.order)} of the model, outermost first",
        "bytes": t.nbytes,
        "dtype": t.dtype,
        "scale": t.scale,
        "zero_point": t.zero_point,
    }


def _measured(artifact: Artifact) -> dict[str, Any] | None:
    """Code, stack and instructions from the target's own tools; None where they are not installed or there are none."""
    if not artifact.target.toolchain or not artifact.target.emulator:
        return None
    from edgec import device

    rows = {p.name: np.zeros((1, artifact.program.tensors[p.tensor].nbytes), np.int8) for p in artifact.program.inputs}
    try:
        run = device.run(artifact, rows)
    except (ToolError, FitError):  # the emulated board may be smaller than the device
        return None
    return {
        "code_bytes": run.code_bytes,
        "code_source": f"measured: {artifact.target.toolchain['compiler']}, runtime and the kernels this network needs",
        "stack_bytes": run.stack_bytes,
        "stack_source": f"measured: high-water mark of one inference on {run.machine}",
        "stack_bound_bytes": run.stack_bound,
        "instructions": run.instructions,
        "instructions_source": run.instructions_source,
        "cycles": run.cycles,
        "cycles_source": run.cycles_source,
    }


@cache
def measured_table() -> dict[str, Any]:
    """The committed table that `bench/measure_targets.py` writes."""
    return json.loads(TABLE.read_text())


def _from_table(artifact: Artifact) -> dict[str, Any]:
    """The same figures from the committed table: kernels' code, deepest stack, instructions for each MAC and output byte."""
    table = measured_table()
    rows = table["targets"].get(artifact.target.name) or table["targets"]["generic-c"]
    kernels = {k.symbol: k for k in artifact.kernels}
    known = {s: rows["kernels"].get(s) or rows["kernels"]["default"] for s in kernels}
    twins = {(k.opcode, k.isa, k.packing): s for s, k in kernels.items()}
    shared = [twins.get((OPERATORS[k.opcode].built_on, k.isa, k.packing)) for k in kernels.values()]
    instructions = rows["runtime"]["instructions"]
    for op, kernel in zip(artifact.program.ops, artifact.kernels, strict=True):
        row = rows["kernels"].get(kernel.symbol) or rows["kernels"]["default"]
        instructions += rows["runtime"]["instructions_per_op"] + row["per_mac"] * OPERATORS[op.opcode].macs(op) + row["per_byte"] * _moved(artifact.program, op)
    source = f"table: measured on {rows['measured_on']} when this edgec was made"
    return {
        "code_bytes": int(rows["runtime"]["code_bytes"] + sum(row["code_bytes"] for row in known.values()) - sum(known[s]["code_bytes"] for s in shared if s)),
        "code_source": source,
        "stack_bytes": int(rows["runtime"]["stack_bytes"] + max(row["stack_bytes"] for row in known.values())),
        "stack_source": source,
        "instructions": int(instructions),
        "instructions_source": source,
        "cycles": None,
        "cycles_source": "not estimated: the table counts instructions only",
    }


def _moved(program: Program, op: Op) -> int:
    return program.tensors[op.outputs[0]].nbytes
