"""What weights of 4 bits cost and save beside 8: instructions, flash, weights and arena on devices, time on the host.

    python bench/int4.py [--networks resnet8,ds_cnn] [--targets cortex-m4,cortex-m55] [--layers] [--host] [--json]

The same networks twice, all weights rounded to 8 and to 4 bits (how well is for bench/compression.py to say). flash is code with
constants, weights and parameters of generated C; weights is the WEIGHTS section of the artifact, biases and multipliers included.
Instructions are of one warm inference, counted exactly under QEMU, and checked against the interpreter in the same run.
--layers: instructions of each layer with weights, as the program cut to that layer. --host: the ratio of times, interleaved.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edgec import device  # noqa: E402
from edgec.artifact import Artifact  # noqa: E402
from edgec.emit import artifact as file  # noqa: E402
from edgec.ir import interp  # noqa: E402
from edgec.ir.core import Op, Port, Program  # noqa: E402
from edgec.plan import make_plan  # noqa: E402
from edgec.targets import load  # noqa: E402
from tests.models import INT4, MLPERF, compiled  # noqa: E402


def inputs_of(program: Program) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {p.tensor: rng.integers(-128, 128, program.tensors[p.tensor].size).astype(np.int8) for p in program.inputs}


def measure(artifact: Artifact) -> dict[str, int]:
    """One warm inference of generated C, its bytes compared with the interpreter's."""
    program, x = artifact.program, inputs_of(artifact.program)
    run = device.run(artifact.data, {p.name: x[p.tensor].reshape(1, -1) for p in program.inputs}, engine="c")
    for port, want in zip(program.outputs, interp.run(program, {k: v.reshape(program.tensors[k].shape) for k, v in x.items()}).values(), strict=True):
        np.testing.assert_array_equal(run.rows[port.name][0].view(np.int8), want.reshape(-1).view(np.int8))
    return {
        "instructions": run.instructions, "flash": run.code_bytes + run.model_bytes, "code": run.code_bytes,
        "weights": artifact.report(measure=False)["weights_bytes"], "arena": run.arena_bytes,
    }  # fmt: skip


def alone(program: Program, op: Op) -> Program:
    """The program of one operator of it."""
    names = (*op.inputs, *op.outputs)
    ports = tuple(tuple(Port(t, t, program.tensors[t].shape) for t in side) for side in (op.inputs, op.outputs))
    return Program(op.name, {t: program.tensors[t] for t in names}, {c: program.constants[c] for c in op.constants}, (op,), *ports)


def layers(artifact: Artifact, target: str) -> dict[str, int]:
    """Instructions of each layer with weights, by name; how many bits they have is in the name."""
    found = {}
    for op, kernel in zip(artifact.program.ops, artifact.kernels, strict=True):
        if "weight_bits" in op.attrs:
            program = alone(artifact.program, op)
            data = file.encode(program, make_plan(program, [kernel]), [kernel], load(target), {"target": target})
            x = inputs_of(program)
            run = device.run(data, {p.name: x[p.tensor].reshape(1, -1) for p in program.inputs}, engine="c")
            found[f"{op.name} ({op.opcode})"] = run.instructions
    return found


def host_ratio(wide: Artifact, narrow: Artifact, rounds: int = 60) -> float:
    """Median over rounds of time(4 bits) / time(8 bits), each round both in turn."""
    from edgec._core import Engine

    runners = []
    for artifact in (wide, narrow):
        x = [inputs_of(artifact.program)[p.tensor] for p in artifact.program.inputs]
        out = [np.empty(artifact.program.tensors[p.tensor].nbytes, np.int8) for p in artifact.program.outputs]
        runners.append(lambda engine=Engine(artifact.data), buffers=(*x, *out): engine.run(*buffers))
    ratios = []
    for i in range(rounds):
        seconds = [0.0, 0.0]
        for k in (0, 1) if i % 2 else (1, 0):
            start = time.perf_counter()
            for _ in range(20):
                runners[k]()
            seconds[k] = time.perf_counter() - start
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(MLPERF))
    parser.add_argument("--targets", default="cortex-m4,cortex-m55")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    for name in options.networks.split(","):
        for target in filter(None, options.targets.split(",")):
            wide, narrow = compiled(name, target), compiled(name + INT4, target)
            key = f"{name} / {target}"
            if options.layers:
                rows[key] = {"int8": layers(wide, target), "int4": layers(narrow, target)}
            else:
                rows[key] = {"int8": measure(wide), "int4": measure(narrow)}
        if options.host:
            ratio = host_ratio(compiled(name, "host"), compiled(name + INT4, "host"))
            rows[f"{name} / host"] = {"int8": {"time": 1.0}, "int4": {"time": round(ratio, 3)}}
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for key, row in rows.items():
        print(key)
        for what, wide in row["int8"].items():
            narrow = row["int4"][what]
            print(f"  {what:40} {wide:>12,} {narrow:>12,} {narrow / wide - 1:+7.1%}")


if __name__ == "__main__":
    main()
