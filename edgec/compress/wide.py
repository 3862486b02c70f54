"""Activations of 16 bits: which may have them, who can read them, and their scale."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgec.compress.placement import Group, Placement
from edgec.compress.ranges import Quantization
from edgec.errors import UsageError
from edgec.graph.edit import has_static_shape, integer, is_op, shape_of
from edgec.graph.macs import node_macs
from edgec.ops.wide import WIDE_OPERATORS

MOVES_NOTHING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
MARGIN = 1.25
"""How much further than calibration saw an int16 range reaches: its steps are fine enough for that to cost nothing."""

CHEAP_WORK = 0.001
CHEAP_BYTES = 1 / 16
"""Where 16 bits cost next to nothing: operators whose MACs (or elements) are so little beside the network's MACs, a tensor of so much
of the largest one. A reference kernel takes some hundred times the instructions for a MAC that Helium takes: this is a tenth of the network there."""


def reads_wide(node: ir.Node, placement: Placement) -> bool:
    """Whether node takes an int16 activation as it is; others get it rounded to 8 bits."""
    if is_op(node, "Softmax"):
        return _is_row(node.inputs[0])
    if is_op(node, "ArgMax", "ArgMin"):
        return not is_op(node.inputs[0].producer(), *MOVES_NOTHING) or _is_row(node.inputs[0])
    return is_op(node, *MOVES_NOTHING) or gives_wide(node, placement)


def gives_wide(node: ir.Node, placement: Placement) -> bool:
    """Whether node can give an int16 activation; it reads them too."""
    if not is_op(node, *WIDE_OPERATORS):
        return False
    if is_op(node, "Add", "Sub"):
        return all(v in placement.groups and has_static_shape(v) for v in node.inputs) and len({shape_of(v) for v in node.inputs}) == 1
    return integer(node, "ceil_mode", 0) == 0


def _is_row(value: ir.Value) -> bool:
    """Whether value has one axis longer than 1 and so has what it was reshaped from: bytes in any layout are in order then."""
    while is_op(value.producer(), *MOVES_NOTHING):
        value = value.producer().inputs[0]
    return sum(n > 1 for n in shape_of(value)) <= 1


def can_be_wide(group: Group, placement: Placement) -> bool:
    """Whether operators that give int16 make all values of the group."""
    makers = [n for v in group.members if not is_op(n := _maker(v, placement), *MOVES_NOTHING)]
    return bool(makers) and all(n is not None and gives_wide(n, placement) for n in makers)


def _maker(value: ir.Value, placement: Placement) -> ir.Node | None:
    """The node that makes value, in front of the activation that is fused into it."""
    producer = value.producer()
    if is_op(producer, "Relu", "Clip") and producer.inputs[0] in placement.fused:
        producer = producer.inputs[0].producer()
    return producer


def _work(node: ir.Node) -> int:
    return 0 if is_op(node, *MOVES_NOTHING) else max(node_macs(node), math.prod(shape_of(node.inputs[0])))


def nearly_free(graph: ir.Graph, placement: Placement, narrow: frozenset[ir.Node]) -> list[str]:
    """Groups inside the network to which 16 bits cost next to nothing, the last ones first, by the name of their first value.

    All their readers take 16 bits. narrow: layers with weights of 4 bits, which operators of 16 bits do not have.
    """
    macs, largest = sum(map(node_macs, graph)), max(math.prod(shape_of(v)) for v in placement.groups)
    found = []
    for group in reversed(placement.all_groups()):
        readers = [n for v in group.members for n, _ in v.uses()]
        nodes = {*readers, *(_maker(v, placement) for v in group.members)}
        if (
            can_be_wide(group, placement)
            and all(reads_wide(n, placement) for n in readers)
            and not any(v.is_graph_output() for v in group.members)
            and not nodes & narrow
            and sum(map(_work, nodes)) <= CHEAP_WORK * macs
            and math.prod(shape_of(group.members[0])) <= CHEAP_BYTES * largest
        ):
            found.append(group.members[0].name)
    return found


def widened(q: Quantization, low: float, high: float) -> Quantization:
    """The int16 parameters of values that calibration saw in [low, high]; q stays for readers that know 8 bits only."""
    reach = max(abs(low), abs(high)) * MARGIN
    scale = reach / 32767 if reach > 0 else q.scale
    return Quantization(float(np.float32(scale)), 0, 16, q)


def check_activation_bits(bits: int | Mapping[str, int]) -> None:
    """Raises UsageError where a number of bits is neither 8 nor 16."""
    wrong = [b for b in (bits.values() if isinstance(bits, Mapping) else [bits]) if b not in (8, 16)]
    if wrong:
        raise UsageError(f"activations of {wrong[0]!r} bits", where="quantize options, activation_bits", why="they have 8 or 16", fix="use 8 or 16")


def asked_for(bits: int | Mapping[str, int], placement: Placement) -> frozenset[str]:
    """Names of the groups that are to have 16 bits, by the name of their first value.

    Raises:
        UsageError: a tensor that is not there, or that an operator without a 16-bit form makes.
    """
    names = {g.members[0].name: g for g in placement.all_groups()}
    able = {name for name, g in names.items() if can_be_wide(g, placement)}
    if not isinstance(bits, Mapping):
        return frozenset(able if bits == 16 else ())
    known = {v.name: name for name, g in names.items() for v in g.members}
    for tensor, b in bits.items():
        if tensor not in known:
            raise UsageError(
                f"no tensor {tensor!r}", where="quantize options, activation_bits", why=f"quantized tensors are {', '.join(sorted(known)[:12])} …",
                fix="name one of them, as the report does",
            )  # fmt: skip
        if b == 16 and known[tensor] not in able:
            raise UsageError(
                f"{tensor!r} cannot have 16 bits", where="quantize options, activation_bits",
                why=f"{', '.join(WIDE_OPERATORS)} give them, and it comes from elsewhere, or shares its scale with what does", fix="leave it at 8",
            )  # fmt: skip
    return frozenset(known[t] for t, b in bits.items() if b == 16)
