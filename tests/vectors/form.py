"""What a committed vector is: one operator with attributes, constants and inputs, and the bytes it must give."""

from __future__ import annotations

import numpy as np


def vector(
    name: str, opcode: str, attrs: dict, constants: list, inputs: list, output: np.ndarray, zero_points: list[int], dtype: str = "int8",
    input_dtypes: list[str] | None = None,
) -> dict:  # fmt: skip
    """inputs, constants and output as nested numbers; zero_points of inputs and output, in that order; dtype of the output;
    input_dtypes where they are not int8."""
    return {
        "name": name,
        "opcode": opcode,
        "attrs": {k: int(v) for k, v in attrs.items()},
        "constants": [{"dtype": dtype, "shape": list(np.shape(c)), "data": _flat(c)} for dtype, c in constants],
        "inputs": [
            {"shape": list(np.shape(x)), "zero_point": z, "data": _flat(x)} | ({} if kind == "int8" else {"dtype": kind})
            for x, z, kind in zip(inputs, zero_points, input_dtypes or ["int8"] * len(inputs), strict=False)
        ],
        "output": {"shape": list(np.shape(output)), "zero_point": zero_points[-1], "data": _flat(output)}
        | ({} if dtype == "int8" else {"dtype": dtype}),
    }


def _flat(values) -> list[int]:
    return [int(v) for v in np.reshape(values, -1)]
