"""Which kernel runs an operator on a target: reads csrc/kernels/kernels.inc, the one list of device kernels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from edgec.errors import ProgramError
from edgec.ir.core import Op, Program
from edgec.ops import OPERATORS
from edgec.targets import Target

_LINE = re.compile(r"EDGEC_KERNEL\((0x[0-9a-f]{4}), (\w+), (\w+), (\w+), (\w+), (\w+)\)")


@dataclass(frozen=True)
class Kernel:
    """One line of kernels.inc. id = opcode code << 8 | variant."""

    id: int
    opcode: str
    packing: str
    isa: str
    symbol: str
    family: str

    @property
    def files(self) -> tuple[str, ...]:
        """Source files under csrc/kernels that hold it."""
        return (f"{self.family}/{self.family}_check.c", f"{self.family}/{self.family}_{self.isa}.c")


def source_folder() -> Path:
    """csrc: beside the package in a checkout, inside it when installed."""
    inside = Path(__file__).parent.parent / "csrc"
    return inside if inside.is_dir() else Path(__file__).parent.parent.parent / "csrc"


@cache
def all_kernels() -> tuple[Kernel, ...]:
    """Every device kernel, in the order of kernels.inc."""
    text = (source_folder() / "kernels" / "kernels.inc").read_text()
    return tuple(Kernel(int(number, 16), *rest) for number, *rest in _LINE.findall(text))


@cache
def kernel_by_id(number: int) -> Kernel | None:
    return next((k for k in all_kernels() if k.id == number), None)


def select(op: Op, target: Target, *, worth: bool = True) -> Kernel:
    """The kernel that runs op on target: the first isa of the target, in its order, with a kernel that applies.

    worth: and is worth its flash for so much work as op is; tests of kernels do not ask for that.
    """
    for isa in target.isa:
        for kernel in all_kernels():
            if kernel.isa != isa or kernel.opcode != op.opcode:
                continue
            operator = OPERATORS[op.opcode]
            if operator.applies(op, kernel.symbol) and (not worth or operator.worth(op, kernel.symbol)):
                return kernel
    raise ProgramError(
        f"no kernel runs {op.opcode} on {target.name}",
        where=f"op {op.name}",
        why=f"kernels.inc has none for {', '.join(target.isa)} that applies",
        fix="this is a defect of edgec: every opcode needs a reference kernel; please report it",
    )


def packed_constants(program: Program, op: Op, kernel: Kernel) -> list[np.ndarray]:
    """The constants of op as the kernel wants them, in order of roles."""
    return OPERATORS[op.opcode].packings[kernel.packing].pack(op, program.values(op))
