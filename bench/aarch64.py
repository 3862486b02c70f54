"""Instructions of the AArch64 tiers under QEMU, counted exactly, beside the reference kernels: networks, layers, inner loops.

    python bench/aarch64.py                       all of it
    python bench/aarch64.py --write               … and keep it in bench/results/aarch64.json
    … --networks digits,resnet8 --no-layers --json

per MAC: instructions of everything between input and output bytes over the multiply-accumulates of the network. dots: the share of
instructions that multiply: sdot and smmla, for `neon` smull, smlal and smlal2. One sdot is 16 MACs and one smmla 32: not fewer
than 0.0625 and 0.0313 instructions a MAC are possible; smull, smlal2 and sadalp are 3 for 16 MACs, 0.1875. Every output is compared
with the reference kernels'. Instructions are not time: cores differ in how many of which they start a cycle.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kernels import encode, layers  # noqa: E402
from edgec.device.qemu import plugin  # noqa: E402
from edgec.ir.core import Program  # noqa: E402
from edgec.ops import OPERATORS  # noqa: E402
from tests import aarch64  # noqa: E402
from tests.models import MLPERF, compiled  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "aarch64.json"
TIERS = ("ref", *aarch64.TIERS)
SDOT, SMMLA = ("ffe0fc00:4e809400", "ffc0f400:4f80e000"), ("ffe0fc00:4e80a400",)
LONG_PRODUCTS = ("bfe0fc00:0e20c000", "bfe0fc00:0e208000")
"""MASK:VALUE of the instructions that multiply bytes: sdot by vector and by element, smmla, smull and smlal of both halves."""
MACS_OF = {"sdot": 16, "smmla": 32, "sadalp": 16}
"""Multiply-accumulates that a turn of an inner loop has done for each of these."""

Figures = dict[str, Any]


def steps(data: bytes, samples: np.ndarray, tier: str, folder: Path) -> tuple[list[tuple[str, int, int]], bytes]:
    """(name, instructions, of them multiplications) of every step of the plan, and the output bytes."""
    program, log = aarch64.host(), folder / "log"
    (folder / "a.edgec").write_bytes(data)
    (folder / "in").write_bytes(samples.tobytes())
    matches = ",".join(f"match={m}" for m in (*SDOT, *SMMLA, *LONG_PRODUCTS))
    command = [
        "qemu-aarch64",
        "-cpu",
        "max",
        "-d",
        "plugin",
        "-D",
        str(log),
        "-plugin",
        f"{plugin('qemu-aarch64', 'count')},{matches}",
        str(program),
    ]
    files = [str(folder / name) for name in ("a.edgec", "in", "out")]
    done = subprocess.run([*command, "--tier", tier, "--marks", *files], capture_output=True, text=True, check=True)
    marks = np.array(re.findall(r"edgec mark (\d+) (\d+)", log.read_text()), np.int64).reshape(-1, 2, 2)
    spans = (marks[:, 1] - marks[:, 0]).tolist()
    names = [line.split(" ", 1)[1] for line in done.stdout.splitlines()]
    return [(name, n, dots) for name, (n, dots) in zip(names, spans, strict=True)], (folder / "out").read_bytes()


def measure(data: bytes, program: Program, folder: Path) -> Figures:
    """Figures of every tier; raises where one gives other bytes than the reference kernels."""
    macs = sum(OPERATORS[op.opcode].macs(op) for op in program.ops)
    size = sum(program.tensors[p.tensor].nbytes for p in program.inputs)
    samples = np.random.default_rng(1).integers(-128, 128, size).astype(np.int8)
    result: Figures = {"macs": macs}
    reference = b""
    for tier in TIERS:
        found, output = steps(data, samples, tier, folder)
        reference = reference or output
        if output != reference:
            raise SystemExit(f"{program.name}: {tier} gives other bytes than ref")
        instructions, dots = sum(n for _, n, _ in found), sum(d for _, _, d in found)
        result[tier] = {"instructions": instructions, "per_mac": round(instructions / macs, 4) if macs else None}
        if tier != "ref":
            result[tier]["dots"] = round(dots / instructions, 3)
            result[tier]["steps"] = [name for name, _, _ in found if name != "convert"] if len(program.ops) == 1 else len(found)
    return result


def inner_loops(tier: str) -> Figures:
    """Tile → instructions of a turn of its loop over K, and per MAC; of the form for weights above −128."""
    result = {}
    for name, loops in aarch64.inner_loops(tier).items():
        if name.startswith("conv") and loops:
            loop = min(loops, key=len)
            macs = sum(MACS_OF.get(line.split()[0], 0) for line in loop)
            result[name] = {"instructions": len(loop), "macs": macs, "per_mac": round(len(loop) / macs, 4)}
    return dict(sorted(result.items()))


def row(name: str, figures: Figures) -> str:
    parts = [
        f"{figures[t]['per_mac'] or figures[t]['instructions']:>9}" + (f" {figures[t]['dots']:5.0%}" if t != "ref" else "") for t in TIERS
    ]
    return f"{name:46} {figures['macs']:>10} {'  '.join(parts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--networks", default=",".join(("digits", *MLPERF)))
    parser.add_argument("--no-layers", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    version = subprocess.run(["aarch64-linux-gnu-g++", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    result: Figures = {
        "compiler": version,
        "networks": {},
        "layers": {},
        "inner_loops": {tier: inner_loops(tier) for tier in aarch64.TIERS},
    }
    header = f"{'':46} {'MACs':>10} {'  '.join(f'{t:>9}' + (' dots ' if t != 'ref' else '') for t in TIERS)}  (instructions per MAC)"
    with tempfile.TemporaryDirectory() as folder:
        if not asked.json:
            print(header)
        for name in asked.networks.split(","):
            artifact = compiled(name, "host")
            result["networks"][name] = measure(artifact.data, artifact.program, Path(folder))
            if not asked.json:
                print(row(name, result["networks"][name]), flush=True)
        for program in () if asked.no_layers else layers():
            result["layers"][program.name] = measure(encode(program), program, Path(folder))
            if not asked.json:
                print(row(program.name, result["layers"][program.name]), flush=True)
    if asked.json:
        print(json.dumps(result))
    if asked.write:
        RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
