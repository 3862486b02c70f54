"""lookup: every function of one int8 value, as a 256-byte table. Rescales are lookups too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec import numerics
from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single


class Lookup(Operator):
    """y = table[q + 128]."""

    opcode, code = "lookup", 8
    fields = ("count",)
    roles = ("table",)
    role_dtypes = ("int8",)
    inplace = True

    def check(self, op, inputs, outputs, constants) -> str | None:
        if inputs[0].size != op.attrs["count"] or outputs[0].size != op.attrs["count"]:
            return "tensors of different size"
        return None if constants[0].data.shape == (256,) else "the table must have 256 entries"

    def golden(self, op, inputs, constants):
        return [constants[0][np.asarray(inputs[0]).reshape(-1).astype(np.int16) + 128]]

    def cases(self) -> Iterator[Program]:
        for i, count in enumerate((1, 63, 640)):
            table = np.random.default_rng(500 + i).integers(-128, 128, 256) if i else numerics.rescale_table(0.1, 3, 0.07, -5)
            name = f"lookup_{i}"
            yield single(self, name, {"count": count}, [Tensor(f"{name}.x", (1, count))], Tensor(f"{name}.y", (1, count)), [table])
