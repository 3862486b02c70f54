"""transpose: moves bytes, changes no number. Emitted only where the plan of layouts leaves no other way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single


def physical_positions(view) -> np.ndarray:
    """For each physical byte of a view, in order, its index in the ONNX (logical) order."""
    return np.arange(int(np.prod(view.shape))).reshape(view.shape).transpose(view.order).reshape(-1)


def lower_reshape(ctx, node) -> None:
    """Reshape and its like move no byte where the bytes lie in ONNX order; else the move is put off."""
    view = ctx.activation(node, 0)
    shape = tuple(int(d) for d in node.outputs[0].shape)
    identity = tuple(range(len(shape)))
    straight = tuple(a for a in range(len(view.shape)) if view.shape[a] != 1)
    if view.flattened is not None or view.real_order == straight:
        flattened = view.flattened
    else:
        flattened = view
    ctx.views[node.outputs[0]] = replace(view, shape=shape, order=identity, flattened=flattened)


def lower_transpose(ctx, node) -> None:
    """A Transpose changes how ONNX names the axes; the bytes stay."""
    view = ctx.activation(node, 0)
    if view.flattened is not None:
        view = ctx.arrange(view, range(len(view.shape)), node)
    perm = list(node.attributes.get_ints("perm", list(range(len(view.shape)))[::-1]))
    ctx.views[node.outputs[0]] = replace(view, shape=tuple(view.shape[p] for p in perm), order=tuple(perm.index(a) for a in view.order))


SAME_BYTES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")


def lower_dropout(ctx, node) -> None:
    """Dropout at inference passes everything."""
    training = ctx.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1)
    if training is None or np.any(training) or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        raise ctx.refuse(node, "Dropout in training is not supported", "training_mode is true or computed, or its mask is read", "export the model in inference mode (model.eval())")
    lower_reshape(ctx, node)


ONNX_LAYOUT = {**{kind: lower_reshape for kind in SAME_BYTES}, "Transpose": lower_transpose, "Dropout": lower_dropout}
"""ONNX types that change no number and emit no operator by themselves."""


class Transpose(Operator):
    """Output element (i0, i1, i2, i3) is the input's at Σ i·stride; sizes are the output's, outermost first."""

    opcode, code = "transpose", 10
    fields = ("size_0", "size_1", "size_2", "size_3", "stride_0", "stride_1", "stride_2", "stride_3")

    @staticmethod
    def attrs_for(shape: Sequence[int], order: Sequence[int]) -> dict[str, int]:
        """Attributes that turn an input of `shape` into one whose axis i is the input's axis order[i]; rank ≤ 4."""
        strides = np.cumprod([1, *shape[:0:-1]])[::-1]
        lead = 4 - len(shape)
        sizes = [1] * lead + [shape[o] for o in order]
        steps = [0] * lead + [int(strides[o]) for o in order]
        return {f"size_{i}": s for i, s in enumerate(sizes)} | {f"stride_{i}": s for i, s in enumerate(steps)}

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        sizes, strides = [a[f"size_{i}"] for i in range(4)], [a[f"stride_{i}"] for i in range(4)]
        if min(sizes) < 1 or min(strides) < 0 or outputs[0].size != np.prod(sizes):
            return "output size does not follow from the attributes"
        if sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) >= inputs[0].size:
            return "the strides reach beyond the input"
        return None

    def golden(self, op, inputs, constants):
        index = np.zeros((), np.int64)
        for i in range(4):
            index = index[..., None] + np.arange(op.attrs[f"size_{i}"]) * op.attrs[f"stride_{i}"]
        return [np.asarray(inputs[0]).reshape(-1)[index]]

    def cases(self) -> Iterator[Program]:
        for i, (shape, order) in enumerate([((3, 5), (1, 0)), ((4, 3, 7), (2, 0, 1)), ((2, 3, 4, 5), (0, 3, 1, 2)), ((2, 3, 4, 5), (3, 2, 1, 0))]):
            name = f"transpose_{i}"
            out = tuple(shape[o] for o in order)
            yield single(self, name, self.attrs_for(shape, order), [Tensor(f"{name}.x", shape)], Tensor(f"{name}.y", out))
