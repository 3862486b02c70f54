"""The registry of operators. One line here and one file beside it is all the compiler knows of an operator."""

from __future__ import annotations

from edgec.ops.base import Operator
from edgec.ops.conv import Conv2d, DepthwiseConv2d
from edgec.ops.dense import Dense
from edgec.ops.elementwise import Add, AddWide
from edgec.ops.layout import Transpose
from edgec.ops.pooling import AveragePool2d, MaxPool2d
from edgec.ops.softmax import Softmax
from edgec.ops.unary import Lookup

OPERATORS: dict[str, Operator] = {
    op.opcode: op
    for op in (Conv2d(), DepthwiseConv2d(), Dense(), Add(), AddWide(), AveragePool2d(), MaxPool2d(), Lookup(), Softmax(), Transpose())
}
BY_CODE: dict[int, Operator] = {op.code: op for op in OPERATORS.values()}
