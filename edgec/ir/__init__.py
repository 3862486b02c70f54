"""The integer program and its meaning: core (data), verify (rules), text (print and parse), interp (specification)."""

from edgec.ir.core import Constant, Op, Port, Program, Tensor

__all__ = ["Constant", "Op", "Port", "Program", "Tensor"]
