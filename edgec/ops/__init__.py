"""The registry of operators. One line here and one file beside it is all the compiler knows of an operator."""

from __future__ import annotations

from edgec.ops.argmax import ArgMax, ArgMaxS16
from edgec.ops.base import Operator
from edgec.ops.conv import Conv2d, DepthwiseConv2d
from edgec.ops.conv_add import Conv2dAdd
from edgec.ops.conv_transpose import ConvTranspose2d
from edgec.ops.dense import Dense
from edgec.ops.division import Div
from edgec.ops.elementwise import Add, AddWide
from edgec.ops.layout import ONNX_LAYOUT, Transpose
from edgec.ops.movement import ONNX_MOVEMENT, Concat, ConstantTensor, Gather, Pad, StridedCopy
from edgec.ops.pooling import AveragePool2d, MaxPool2d
from edgec.ops.product import ONNX_PRODUCT, Maximum, Minimum, Mul
from edgec.ops.resize import Resize
from edgec.ops.softmax import Softmax, SoftmaxS16
from edgec.ops.table_pool import TablePool2d
from edgec.ops.unary import Lookup
from edgec.ops.wide import AddS16, AveragePool2dS16, Conv2dS16, RescaleS16

OPERATORS: dict[str, Operator] = {
    op.opcode: op
    for op in (
        Conv2d(), DepthwiseConv2d(), Dense(), Add(), AddWide(), AveragePool2d(), MaxPool2d(), Lookup(), Softmax(), Transpose(),
        StridedCopy(), Concat(), Pad(), Gather(), ConstantTensor(), Mul(), Minimum(), Maximum(), Resize(), ConvTranspose2d(),
        ArgMax(), TablePool2d(), Div(), Conv2dAdd(),
        Conv2dS16(), AveragePool2dS16(), AddS16(), RescaleS16(), SoftmaxS16(), ArgMaxS16(),
    )  # fmt: skip
}
BY_CODE: dict[int, Operator] = {op.code: op for op in OPERATORS.values()}


def _refuse_unfolded(ctx, node) -> None:
    raise ctx.refuse(node, f"{node.op_type} could not be folded", "it is compiled only where it folds into the operator beside it", "move it next to a convolution or dense layer, with constant operands")


FOLDED = ("BatchNormalization", "QuantizeLinear", "DequantizeLinear")
"""ONNX types that passes or the lowering itself take away."""

REWRITTEN = ("Sum", "Mean", "LRN", "LayerNormalization", "RMSNormalization", "InstanceNormalization", "LogSoftmax", "ReduceLogSum", "ReduceLogSumExp")
"""ONNX types that passes of a float model write with other operators."""


def _refuse_unrewritten(ctx, node) -> None:
    why = "edgec writes it with other operators, in a float model, with constant axes"
    raise ctx.refuse(node, f"this {node.op_type} is not supported", why, "compile the float model, or use constant axes")


ONNX_OPERATORS = {
    **{kind: _refuse_unfolded for kind in FOLDED},
    **{kind: _refuse_unrewritten for kind in REWRITTEN},
    **ONNX_LAYOUT,
    **ONNX_MOVEMENT,
    **ONNX_PRODUCT,
    **{kind: op.lower for op in OPERATORS.values() for kind in op.onnx},
}
"""ONNX operator type → lowering."""
