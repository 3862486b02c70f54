"""The arithmetic of edgec in NumPy: the primitives that docs/SPEC.md section 1 defines.

`csrc/kernels/fixed.h` mirrors this file in C. Where the two disagree, the C is wrong.
Integers are int64 here so that nothing can wrap unseen; what a device holds in int32 is proven by interval analysis
at compile time (`ops.*.accumulator_bounds`, checked by `ir.verify`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
MULTIPLIER_MAX = 2**31 - 2
ADD_SHIFT_MAX = 22
SOFTMAX_ROW_BITS = 16
TIE_WINDOW = 1e-9
SUM_FRACTION = 12
"""Fractional bits of a convolution's result before a residual is added to it. One number for all layers, so that the shift that takes them
away is an immediate, which costs nothing (SSAT #8, ASR #12)."""
RESIDUAL_MULTIPLIER_MAX = 2**20


def layer_shift(scales: np.ndarray) -> int:
    """Smallest k ≥ 0 that brings every scale / 2^k into the range of a multiplier (below one half).

    Args:
        scales: float64 array, real factors (s_x·s_w)/s_y, all ≥ 0.
    """
    k = 0
    largest = float(np.max(scales))
    while 2 * np.rint(largest / 2.0**k * 2.0**31) > MULTIPLIER_MAX:
        k += 1
    if k > 24:
        raise ValueError(f"scale ratio {largest:g} is beyond what a layer shift of 24 bits can carry")
    return k


def multipliers(scales: np.ndarray, shift: int = 0) -> np.ndarray:
    """M = 2·rint(s·2^31) for s = scale / 2^shift: even, 0 ≤ M ≤ 2^31 − 2. int32 array."""
    m = 2 * np.rint(np.asarray(scales, np.float64) / 2.0**shift * 2.0**31)
    if np.any(m < 0) or np.any(m > MULTIPLIER_MAX):
        raise ValueError("a scale is outside the range of a multiplier; layer_shift gives the shift it needs")
    return m.astype(np.int32)


def requantize(acc: np.ndarray, multiplier: np.ndarray, zero_point: int, low: int, high: int, shift: int = 0, bits: int = 8) -> np.ndarray:
    """clamp((acc·M + z·2^32 + 2^31) >> 32), after acc is saturated to 32 − shift bits and shifted left.

    Args:
        acc: integer array, channels last; each value fits int32.
        multiplier: int array broadcastable to acc (one a channel, or one).
        zero_point: of the output; low, high: clamp bounds, which carry the fused activation.
        shift: k of the layer (0 unless a real factor is ≥ one half); bits: of the output, 8 or 16.

    Returns: int8 or int16 array of acc's shape.
    """
    a = np.asarray(acc, np.int64)
    if shift:
        a = np.clip(a, -(2 ** (31 - shift)), 2 ** (31 - shift) - 1) << shift
    y = (a * np.asarray(multiplier, np.int64) + (zero_point * 2**32 + 2**31)) >> 32
    return np.clip(y, low, high).astype(np.int8 if bits == 8 else np.int16)


def quantize(x: np.ndarray, scale: float, zero_point: int, bits: int = 8) -> np.ndarray:
    """Float to int8 (int16 for bits 16) as ONNX QuantizeLinear does it: rint(x / s) + z in float32, saturated. NaN is an error."""
    x = np.asarray(x, np.float32)
    if np.isnan(x).any():
        raise ValueError("NaN has no int8 value")
    with np.errstate(over="ignore"):
        q = np.rint(x / np.float32(scale)) + np.float32(zero_point)
    return np.clip(q, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype(np.int8 if bits == 8 else np.int16)


def dequantize(q: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Int8 to float32: (q − z)·s, as ONNX DequantizeLinear."""
    return (np.asarray(q, np.int32) - np.int32(zero_point)).astype(np.float32) * np.float32(scale)


def add_constants(ratio_a: float, ratio_b: float, zero_a: int, zero_b: int, zero_y: int) -> tuple[int, int, int, int, bool]:
    """Constants of y = clamp((a·Ma + b·Mb + C) >> n) for y = a·ratio_a + b·ratio_b in real numbers.

    ratio_b is negative for a subtraction. n ≤ 22 is the largest with |Ma|, |Mb| ≤ 32767. The error bound of that form is
    2^(7−n); where it is above 2^−5 the wide form is taken: n ≤ 22 the largest with |Ma| + |Mb| ≤ 2^22.

    Returns: Ma, Mb, C, n, wide.
    """

    def at(n: int) -> tuple[int, int]:
        return int(np.rint(ratio_a * 2.0**n)), int(np.rint(ratio_b * 2.0**n))

    def largest(fits: Callable[[int, int], bool]) -> int:
        for n in range(ADD_SHIFT_MAX, 0, -1):
            if fits(*at(n)):
                return n
        raise ValueError(f"scale ratios {ratio_a:g} and {ratio_b:g} are too large for an integer addition")

    n = largest(lambda a, b: abs(a) <= 32767 and abs(b) <= 32767)
    wide = n < 12
    if wide:
        n = largest(lambda a, b: abs(a) + abs(b) <= 2**22)
    ma, mb = at(n)
    c = zero_y * 2**n + 2 ** (n - 1) - zero_a * ma - zero_b * mb
    return ma, mb, c, n, wide


def add(a: np.ndarray, b: np.ndarray, ma: int, mb: int, c: int, n: int, low: int, high: int) -> np.ndarray:
    """clamp((a·Ma + b·Mb + C) >> n) for int8 arrays of one shape."""
    y = (a.astype(np.int64) * ma + b.astype(np.int64) * mb + c) >> n
    return np.clip(y, low, high).astype(np.int8)


def residual_constants(ratio: float, zero_residual: int, zero_y: int) -> tuple[int, int]:
    """R = rint(ratio·2^12) and C = z_y·2^12 + 2^11 − z_r·R of `requantize_sum`.

    Args:
        ratio: s_residual / s_y, negative where the residual is subtracted.
    """
    r = int(np.rint(ratio * 2.0**SUM_FRACTION))
    return r, zero_y * 2**SUM_FRACTION + 2 ** (SUM_FRACTION - 1) - zero_residual * r


def requantize_sum(
    acc: np.ndarray, multiplier: np.ndarray, residual: np.ndarray, r: int, c: int, low: int, high: int, shift: int = 0
) -> np.ndarray:
    """clamp((((acc·M + 2^31) >> 32) + q·R + C) >> 12), after acc is saturated to 32 − shift bits and shifted left.

    Args:
        acc, multiplier, low, high, shift: as of requantize; multiplier of the real factor times 2^12.
        residual: int8 q, of acc's shape; r, c: from residual_constants.
    """
    a = np.asarray(acc, np.int64)
    if shift:
        a = np.clip(a, -(2 ** (31 - shift)), 2 ** (31 - shift) - 1) << shift
    a = (a * np.asarray(multiplier, np.int64) + 2**31) >> 32
    return np.clip((a + np.asarray(residual, np.int64) * r + c) >> SUM_FRACTION, low, high).astype(np.int8)


def decided(v: float, exact: Callable[[], object]) -> int:
    """floor(v + 0.5), decided at higher precision where v is so near a tie that libms could differ."""
    fraction = v - math.floor(v)
    if abs(fraction - 0.5) > max(TIE_WINDOW, abs(v) * 2.0**-50):
        return math.floor(v + 0.5)
    import mpmath

    with mpmath.workdps(60):
        return int(mpmath.floor(exact() + mpmath.mpf("0.5")))  # type: ignore[operator]


def unary_table(
    function: Callable[[float], float],
    scale_x: float,
    zero_x: int,
    scale_y: float,
    zero_y: int,
    exact: Callable[[object], object] | None = None,
) -> np.ndarray:
    """The 256-byte table of y = f(x): entry q + 128 is clamp(floor(f((q − z_x)·s_x) / s_y + 0.5) + z_y).

    Args:
        function: float64 to float64.
        exact: the same function on mpmath numbers, used within 1e−9 of a tie; without it f must be exact in float64.
    """
    table = np.empty(256, np.int8)
    for q in range(-128, 128):
        v = function((q - zero_x) * scale_x) / scale_y

        def at_high_precision(q: int = q) -> object:
            import mpmath

            x = (q - zero_x) * mpmath.mpf(scale_x)
            return (exact(x) if exact else mpmath.mpf(function((q - zero_x) * scale_x))) / mpmath.mpf(scale_y)

        y = decided(min(max(v, -(2.0**40)), 2.0**40), at_high_precision) + zero_y
        table[q + 128] = min(max(y, INT8_MIN), INT8_MAX)
    return table


def rescale_table(scale_x: float, zero_x: int, scale_y: float, zero_y: int, low: int = INT8_MIN, high: int = INT8_MAX) -> np.ndarray:
    """The 256-byte table of an int8 → int8 rescale, filled by the requantize form."""
    ratio = np.array([scale_x / scale_y])
    k = layer_shift(ratio)
    q = np.arange(-128, 128) - zero_x
    return requantize(q, multipliers(ratio, k), zero_y, low, high, k)


def softmax_constants(scale_x: float, depth: int, scale_y: float) -> tuple[np.ndarray, int, int]:
    """Table and output factor of the integer softmax (docs/SPEC.md 1.8).

    Args:
        depth: N, the number of entries of a row, at most 32768.

    Returns: T int32[256] with T[d] = rint(exp(−d·s_x)·2^F), F = min(30, 30 − ⌈log2 N⌉);
        the factor round(2^f / s_y) and its fraction bits f.
    """
    if not 1 <= depth <= 32768:
        raise ValueError(f"softmax over {depth} entries; at most 32768 are defined")
    f_bits = 30 - math.ceil(math.log2(depth))
    table = np.empty(256, np.int32)
    for d in range(256):

        def at_high_precision(d: int = d) -> object:
            import mpmath

            return mpmath.exp(-d * mpmath.mpf(scale_x)) * 2**f_bits

        table[d] = decided(math.exp(-d * scale_x) * 2.0**f_bits, at_high_precision)
    return table, *_output_factor(scale_y)


def _output_factor(scale_y: float) -> tuple[int, int]:
    """The factor round(2^f / s_y) of a softmax's output and its fraction bits f."""
    fraction = 8
    while fraction > 0 and round(2.0**fraction / scale_y) > 2**15:
        fraction -= 1
    factor = round(2.0**fraction / scale_y)
    if not 1 <= factor <= 2**15:
        raise ValueError(f"softmax output scale {scale_y:g}; the integer form needs 2^-15 to 2^8")
    return factor, fraction


def softmax(q: np.ndarray, table: np.ndarray, factor: int, fraction: int, zero_y: int) -> np.ndarray:
    """Integer softmax over the last axis of an int8 array. Uniquely determined bytes: docs/SPEC.md 1.8."""
    q = np.asarray(q, np.int64)
    return softmax_of_powers(table.astype(np.int64)[q.max(axis=-1, keepdims=True) - q], factor, fraction, zero_y)


def softmax_of_powers(t: np.ndarray, factor: int, fraction: int, zero_y: int) -> np.ndarray:
    """int64 [..., N] entries T of rows, divided by the rows' sums: int8 output steps."""
    s = t.sum(axis=-1, keepdims=True)
    k = np.zeros_like(s)
    while np.any((s >> k) >= 2**SOFTMAX_ROW_BITS):
        k = np.where((s >> k) >= 2**SOFTMAX_ROW_BITS, k + 1, k)
    s16 = np.where(k > 0, (s + (1 << np.maximum(k - 1, 0))) >> k, s)
    r = 2**31 // s16
    y = zero_y + ((t * r * factor + (1 << (30 + k + fraction))) >> (31 + k + fraction))
    return np.clip(y, INT8_MIN, INT8_MAX).astype(np.int8)


LOG2_E = 1.4426950408889634
OCTAVE_BITS = 14
"""Fraction bits of a softmax_s16's exponent."""
EXP2 = (181679, 62768, 13948, 1788)
"""2^−x = 1 − x·(c0 − x·(c1 − x·(c2 − x·c3))) for x in [0, 1), times 2^18: within 1.3e−5 as evaluated, and nowhere rising."""


def softmax_s16_constants(scale_x: float, depth: int, scale_y: float) -> tuple[int, int, int, int, int]:
    """Attributes of the integer softmax of int16 (docs/SPEC.md 1.12): M and shift of s_x·log2 e, ⌈log2 N⌉, output factor, its fraction bits."""
    if not 1 <= depth <= 32768:
        raise ValueError(f"softmax over {depth} entries; at most 32768 are defined")
    shift = 47
    while shift > 1 and np.rint(scale_x * LOG2_E * 2.0 ** (OCTAVE_BITS + shift)) > INT32_MAX:
        shift -= 1
    multiplier = int(min(np.rint(scale_x * LOG2_E * 2.0 ** (OCTAVE_BITS + shift)), INT32_MAX))
    return multiplier, shift, math.ceil(math.log2(depth)), *_output_factor(scale_y)


def softmax_s16_powers(q: np.ndarray, multiplier: int, shift: int, depth_bits: int) -> np.ndarray:
    """T int64 [..., N] of int16 rows: 2^(30 − depth_bits) · exp(−(max − q)·s_x), docs/SPEC.md 1.12."""
    q = np.asarray(q, np.int64)
    octaves = ((q.max(axis=-1, keepdims=True) - q) * multiplier + (1 << (shift - 1))) >> shift
    whole, f = (octaves >> OCTAVE_BITS) + depth_bits, octaves & (2**OCTAVE_BITS - 1)
    r = EXP2[3]
    for c in EXP2[2::-1]:
        r = c - ((r * f) >> OCTAVE_BITS)
    return np.where(whole > 30, 0, (((2**31 - ((r * f) >> 1)) >> np.minimum(whole, 30)) + 1) >> 1)
