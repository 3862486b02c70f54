"""Write edgec/targets/measured.json: code, stack and instruction figures for machines without the tool chains.

`python bench/measure_targets.py` runs one-operator programs of every kernel on every emulated target and keeps, for each
kernel, the code it adds, the deepest stack, and instructions for each MAC (or output byte where there are no MACs).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from edgec import device, targets
from edgec.emit import artifact
from edgec.emit.kernels import Kernel, all_kernels
from edgec.files import write_file
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from edgec.plan import make_plan
from edgec.report import TABLE


def one(program: Program, kernel: Kernel, target: targets.Target) -> device.DeviceRun:
    data = artifact.encode(program, make_plan(program, [kernel]), [kernel], target, {})
    rng = np.random.default_rng(0)
    rows = {p.name: rng.integers(-128, 128, (1, program.tensors[p.tensor].nbytes)).astype(np.int8) for p in program.inputs}
    return device.run(data, rows, target=target)


def typical(kernel: Kernel) -> Program | None:
    """The case of most work that the kernel takes."""
    operator = OPERATORS[kernel.opcode]
    fitting = [p for p in operator.cases() if operator.applies(p.ops[0], kernel.symbol) and sum(t.nbytes for t in p.tensors.values()) < 8000]
    return max(fitting, key=lambda p: operator.macs(p.ops[0]) + p.tensors[p.ops[0].outputs[0]].nbytes, default=None)


def measure(target: targets.Target) -> dict[str, Any]:
    kernels = {k.symbol: k for k in all_kernels() if k.isa in target.isa}
    lookup = kernels["edgec_s8_lookup__ref"]
    smallest = next(iter(OPERATORS["lookup"].cases()))
    base = one(smallest, lookup, target)
    rows: dict[str, Any] = {}
    for symbol, kernel in kernels.items():
        program = typical(kernel)
        if program is None:
            continue
        run = one(program, kernel, target)
        macs = OPERATORS[kernel.opcode].macs(program.ops[0])
        work = max(0, run.instructions - base.instructions)
        size = program.tensors[program.ops[0].outputs[0]].nbytes
        rows[symbol] = {
            "code_bytes": max(0, run.code_bytes - base.code_bytes),
            "stack_bytes": max(0, run.stack_bytes - base.stack_bytes),
            "per_mac": round(work / macs, 4) if macs else 0.0,
            "per_byte": 0.0 if macs else round(work / size, 4),
        }
    # For a kernel that is newer than the table: the reference convolution stands in until the table is made again.
    rows["default"] = rows["edgec_s8_conv2d__ref"]
    return {
        "measured_on": f"{target.toolchain['compiler']} -O2, {base.machine}",
        "runtime": {"code_bytes": base.code_bytes, "stack_bytes": base.stack_bytes, "instructions": base.instructions, "instructions_per_op": base.instructions},
        "kernels": rows,
    }


def main() -> None:
    table = {}
    for name in targets.names():
        target = targets.load(name)
        if target.toolchain and target.emulator:
            print(name, flush=True)
            table[name] = measure(target)
    write_file(TABLE, (json.dumps({"targets": table}, indent=1, sort_keys=True) + "\n").encode())


if __name__ == "__main__":
    main()
