"""Operators with constant weights of 8 or 4 bits: what they have in common, two 4-bit values a byte, biases of 16 bits beside them."""

from __future__ import annotations

import numpy as np

from edgec.ir.core import Op
from edgec.ops.base import Operator, Packing, bounds_of_dot

INT4_MIN, INT4_MAX = -8, 7
HEADROOM_BITS = 28
"""An accumulator of 4-bit weights stays within so many bits, so that kernels may sum 16 times it: docs/SPEC.md 1.1."""


class Weighted(Operator):
    """An operator with weights, biases and multipliers, whose attribute weight_bits (8 or 4) says which dtypes its weights and biases have."""

    roles = ("weights", "bias", "multiplier")
    role_dtypes = ("int8", "int32", "int32")

    def constant_dtypes(self, op: Op) -> tuple[str, ...]:
        return (f"int{op.attrs['weight_bits']}", bias_dtype(op.attrs["weight_bits"]), "int32")

    def accumulator_bits(self, op: Op) -> int:
        return HEADROOM_BITS if op.attrs["weight_bits"] == 4 else 32


def bias_dtype(bits: int) -> str:
    """Of the folded bias beside weights of that many bits."""
    return "int16" if bits == 4 else "int32"


def check_weight_bits(a) -> str | None:
    return None if a["weight_bits"] in (4, 8) else f"weight_bits is {a['weight_bits']}, not 4 or 8"


def bits_to_store(bits: int, rows: np.ndarray, bias: np.ndarray) -> int:
    """4 where weights of 4 bits (rows, one an output channel) leave their accumulators the headroom that 4 asks for and the folded
    biases fit int16, else 8."""
    low, high = bounds_of_dot(rows, bias)
    limit = 2 ** (HEADROOM_BITS - 1)
    return 4 if bits == 4 and -limit <= low and high < limit and fits_int16(bias) else 8


def fits_int16(values: np.ndarray) -> bool:
    return bool(np.all((values >= -(2**15)) & (values < 2**15)))


def narrow_bias(values: np.ndarray) -> np.ndarray:
    """Biases from a device's packing as int16. ValueError where one does not fit: no program holds it."""
    if not fits_int16(values):
        raise ValueError("a bias beside weights of 4 bits is outside int16")
    return values.astype(np.int16)


def fits(op: Op, kernel: str) -> bool:
    """Whether the kernel of that symbol reads weights of op's bits: edgec_s8w4_… reads 4, any other 8."""
    return ("_s8w4_" in kernel) == (op.attrs["weight_bits"] == 4)


def pack_nibbles(rows: np.ndarray) -> np.ndarray:
    """int8 [n, K] in [−8, 7] as uint8 [n, ⌈K/2⌉]: two values a byte, the first in the low half, 0 behind an odd last one."""
    rows = np.asarray(rows, np.int8)
    even = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).view(np.uint8) & 15
    return even[:, 0::2] | even[:, 1::2] << 4


def unpack_nibbles(packed: np.ndarray, count: int) -> np.ndarray:
    """The inverse of pack_nibbles, of bytes [n, ⌈count/2⌉]: int8 [n, count]."""
    packed = np.asarray(packed).view(np.uint8)
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(packed.shape[0], -1)[:, :count]
    return ((codes ^ 8).astype(np.int8) - 8).astype(np.int8)


def _pack_rows(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    weights, bias, multiplier = values
    return [pack_nibbles(weights.reshape(weights.shape[0], -1)), bias, multiplier]


def row_packing(row_length) -> Packing:
    """n1 of weights [rows, …]: each row of row_length(attributes) values begins at a byte."""

    def unpack(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
        count = row_length(op.attrs)
        return [unpack_nibbles(np.ascontiguousarray(values[0]).reshape(-1, (count + 1) // 2), count), *values[1:]]

    return Packing("n1", _pack_rows, unpack)


def _pack_taps(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    weights, bias, multiplier = values
    return [pack_nibbles(weights.reshape(-1, weights.shape[-1])), bias, multiplier]


def _unpack_taps(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    count = op.attrs["out_c"]
    return [unpack_nibbles(np.ascontiguousarray(values[0]).reshape(-1, (count + 1) // 2), count), *values[1:]]


TAPS = Packing("n1", _pack_taps, _unpack_taps)
"""n1 of depthwise weights [kernel_h, kernel_w, channels]: the channels of each tap begin at a byte."""
