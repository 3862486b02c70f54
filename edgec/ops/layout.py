"""transpose: moves bytes, changes no number. Emitted only where the plan of layouts leaves no other way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single


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
