"""What the kernels with 16-bit activations need of the compiler: packed constants, scratch, overlap, which ops they run.

csrc/kernels/wide/gemm_wide_dsp.h and depthwise_wide_dsp.h say how the streams of the DSP extension are walked, pairs_wide_mve.h and
vectors_wide_mve.h those of Helium.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgec.ir.core import Op
from edgec.ops.base import Packing, padded
from edgec.ops.packing_dsp import NOTHING, POSITIONS

Attributes = Mapping[str, int]
MAX_SHIFT = 14
"""Up to this layer shift, saturating to 32 bits behind the shift gives the same 16 bits as saturating before it: dsp.h."""
CONV, LONG, DEPTHWISE = "edgec_s16_conv2d_2x4c4__dsp", "edgec_s16_conv2d_2x1c4__dsp", "edgec_s16_conv2d_2x4d4__dsp"
MVE_CONV, MVE_LONG, MVE_DEPTHWISE = "edgec_s16_conv2d_4x2c16__mve", "edgec_s16_conv2d_1x1c1__mve", "edgec_s16_conv2d_8x1d8__mve"
POOL_TAPS, TAPS_MAX = 256, 255
SPLIT = 15
"""Bits of the lower parts of an addition's factors: csrc/kernels/wide/wide_mve.c."""


def _swap(a: Attributes, words: np.ndarray) -> np.ndarray:
    """Bytes of words [..., 4] as kernels want them: int16 inputs meet taps 0, 1 and 2, 3 in pairs. Its own inverse."""
    return words[..., [0, 2, 1, 3]] if a["in_bits"] == 16 else words


def _pack_pairs(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """For each pair of channels its biases, its multipliers, then a word of each for every four taps."""
    weights, bias, multiplier = values
    w = weights.reshape(len(weights), -1)
    rows, groups = -(-len(w) // 2) * 2, -(-w.shape[1] // 4)
    words = np.ascontiguousarray(_swap(op.attrs, padded(w, rows, 4 * groups).reshape(rows, groups, 4))).view("<i4").reshape(-1, 2, groups)
    heads = [padded(v.astype("<i4"), rows).reshape(-1, 2) for v in (bias, multiplier)]
    return [np.concatenate([*heads, words.transpose(0, 2, 1).reshape(len(words), -1)], axis=1).reshape(-1), NOTHING, NOTHING]


def _unpack_pairs(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    a = op.attrs
    taps = a["kernel_h"] * a["kernel_w"] * a["in_c"]
    groups = -(-taps // 4)
    blocks = np.ascontiguousarray(values[0]).view("<i4").reshape(-1, 4 + 2 * groups)
    words = np.ascontiguousarray(blocks[:, 4:].reshape(-1, groups, 2).transpose(0, 2, 1)).view(np.int8).reshape(-1, groups, 4)
    w = _swap(a, words).reshape(-1, 4 * groups)[: a["out_c"], :taps]
    return [w, blocks[:, :2].reshape(-1)[: a["out_c"]], blocks[:, 2:4].reshape(-1)[: a["out_c"]]]


def _pack_fours(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """For each four channels their biases, their multipliers, then a word of them for every tap."""
    weights, bias, multiplier = values
    rows = -(-len(weights) // 4) * 4
    w = padded(weights.reshape(len(weights), -1), rows).reshape(-1, 4, weights[0].size)
    words = np.ascontiguousarray(w.transpose(0, 2, 1)).view("<i4").reshape(rows // 4, -1)
    heads = [padded(v.astype("<i4"), rows).reshape(-1, 4) for v in (bias, multiplier)]
    return [np.concatenate([*heads, words], axis=1).reshape(-1), NOTHING, NOTHING]


def _unpack_fours(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    a = op.attrs
    taps, out = a["kernel_h"] * a["kernel_w"], a["out_c"]
    blocks = np.ascontiguousarray(values[0]).view("<i4").reshape(-1, 8 + taps)
    w = np.ascontiguousarray(blocks[:, 8:]).view(np.int8).reshape(-1, taps, 4).transpose(0, 2, 1).reshape(-1, taps)[:out]
    return [w, blocks[:, :4].reshape(-1)[:out], blocks[:, 4:8].reshape(-1)[:out]]


def _window(a: Attributes) -> int:
    return a["kernel_h"] * a["kernel_w"] * a["in_c"]


def _pack_blocks(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """For each four channels their biases twice, their weights by 16 bytes of the window, their multipliers, halved."""
    weights, bias, multiplier = values
    w, taps = weights.reshape(len(weights), -1), 128 // op.attrs["in_bits"]
    rows, blocks = -(-len(w) // 4) * 4, -(-w.shape[1] // taps)
    body = padded(w, rows, taps * blocks).reshape(-1, 4, blocks, taps).transpose(0, 2, 1, 3).reshape(rows // 4, -1)
    b, m = (padded(v.astype("<i4"), rows).reshape(-1, 4).view(np.int8) for v in (bias, multiplier // 2))
    return [np.concatenate([b, b, body, m], axis=1).reshape(-1), NOTHING, NOTHING]


def _unpack_blocks(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    a = op.attrs
    taps, out = 128 // a["in_bits"], a["out_c"]
    blocks = -(-_window(a) // taps)
    stream = np.ascontiguousarray(values[0], np.int8).reshape(-1, 48 + 4 * taps * blocks)
    w = stream[:, 32:-16].reshape(-1, blocks, 4, taps).transpose(0, 2, 1, 3).reshape(-1, blocks * taps)[:out, : _window(a)]
    b, m = (np.ascontiguousarray(v).view("<i4").reshape(-1)[:out] for v in (stream[:, :16], stream[:, -16:]))
    return [w, b, 2 * m]


EIGHT = [0, 2, 4, 6, 1, 3, 5, 7]
"""Channels in the order of their biases and multipliers."""


def _pack_eights(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """For each eight channels their biases, their multipliers, halved, then eight weights for every tap."""
    weights, bias, multiplier = values
    rows = -(-len(weights) // 8) * 8
    body = padded(weights.reshape(len(weights), -1), rows).reshape(rows // 8, 8, -1).transpose(0, 2, 1).reshape(rows // 8, -1)
    heads = [np.ascontiguousarray(padded(v.astype("<i4"), rows).reshape(-1, 8)[:, EIGHT]).view(np.int8) for v in (bias, multiplier // 2)]
    return [np.concatenate([*heads, body], axis=1).reshape(-1), NOTHING, NOTHING]


def _unpack_eights(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    a = op.attrs
    taps, out = a["kernel_h"] * a["kernel_w"], a["out_c"]
    stream = np.ascontiguousarray(values[0], np.int8).reshape(-1, 64 + 8 * taps)
    heads = np.empty((2, len(stream), 8), np.int32)
    heads[:, :, EIGHT] = np.ascontiguousarray(stream[:, :64]).view("<i4").reshape(-1, 2, 8).transpose(1, 0, 2)
    w = stream[:, 64:].reshape(-1, taps, 8).transpose(0, 2, 1).reshape(-1, taps)[:out]
    return [w, heads[0].reshape(-1)[:out], 2 * heads[1].reshape(-1)[:out]]


CONV2D = {"c4": Packing("c4", _pack_pairs, _unpack_pairs), "d4": Packing("d4", _pack_fours, _unpack_fours)}
CONV2D |= {"c16": Packing("c16", _pack_blocks, _unpack_blocks), "d8": Packing("d8", _pack_eights, _unpack_eights)}


def is_depthwise(a: Attributes) -> bool:
    return a["groups"] == a["in_c"] == a["out_c"]


def conv2d_applies(a: Attributes, kernel: str) -> bool:
    """narrow is 0 where 32 bits hold every sum: the verifier proves it."""
    if min(a["in_bits"], a["out_bits"]) == max(a["in_bits"], a["out_bits"]) == 8 or a["out_c"] > 0x7FFF or _window(a) >= 2**24:
        return False
    if kernel in (DEPTHWISE, MVE_DEPTHWISE):
        small = max(a[k] for k in ("kernel_h", "kernel_w", "dilation_h", "dilation_w")) <= TAPS_MAX
        return is_depthwise(a) and a["groups"] > 1 and small and a["narrow"] == 0 and (kernel == MVE_DEPTHWISE or a["shift"] <= MAX_SHIFT)
    if kernel.endswith("__mve"):
        return a["groups"] == 1 and (a["narrow"] == 0 if kernel == MVE_CONV else a["narrow"] > 0 and a["in_bits"] == 16)
    return a["shift"] <= MAX_SHIFT and a["groups"] == 1 and (a["narrow"] == 0) == (kernel == CONV)


def _ring(a: Attributes) -> int:
    return (a["kernel_h"] - 1) * a["dilation_h"] + 1


def conv2d_scratch(a: Attributes, kernel: str) -> int:
    """Bytes of columns and copied windows, or of the ring of rows."""
    padded = -(-_window(a) * a["in_bits"] // 128) * 16
    if kernel.endswith("__mve"):
        return {MVE_CONV: 2 * padded, MVE_LONG: padded, MVE_DEPTHWISE: padded + 16}[kernel]
    if kernel == DEPTHWISE:
        columns = max(a["out_w"] * a["stride_w"] + (a["kernel_w"] - 1) * a["dilation_w"] + 1, a["pad_left"] + a["in_w"])
        return 2 * (_ring(a) + 1) * columns * (-(-a["in_c"] // 4) * 4)
    return -(-_window(a) // 4) * (32 + a["in_bits"])


def _is_straight(a: Attributes) -> bool:
    """Helium kernels read such windows where they lie, again for each block of channels."""
    row = a["kernel_w"] * a["in_c"] * a["in_bits"]
    return a["groups"] == 1 and a["kernel_h"] == 1 and row % 128 == 0 and (a["dilation_w"] == 1 or a["kernel_w"] == 1)


def conv2d_distance(a: Attributes, kernel: str, reach: np.ndarray) -> int:
    """Least input − output offset: blocks of positions, or rows of outputs, are written once their inputs are read.

    Args:
        reach: for each position, the first input element that it or any later one reads.
    """
    element, out = a["in_bits"] // 8, a["out_c"] * a["out_bits"] // 8
    never = -a["in_h"] * a["in_w"] * a["in_c"] * element
    if kernel == DEPTHWISE:
        row = np.arange(a["out_h"])
        read = np.clip(row * a["stride_h"] - a["pad_top"] + _ring(a), 0, a["in_h"])  # rows of the input, once this one is written
        needed = ((row + 1) * a["out_w"] * out - read * a["in_w"] * a["in_c"] * element)[read < a["in_h"]]
        return max(int(needed.max(initial=never)), never)
    positions = {CONV: POSITIONS, LONG: POSITIONS, MVE_CONV: 2, MVE_LONG: 1, MVE_DEPTHWISE: 1}[kernel]
    if kernel.endswith("__mve") and _is_straight(a):  # written: this block; read: it and all later ones
        block = np.arange(0, reach.size, positions)
        return int((np.minimum(block + positions, reach.size) * out - reach[block] * element).max())
    block = np.arange(positions, reach.size, positions)  # written: all positions before; read: from here on
    return int((block * out - reach[block] * element).max(initial=never))


def add_applies(a: Attributes, kernel: str) -> bool:
    """The sum, shifted, fits 32 bits, and operands may be shifted left instead of it right; for Helium, so does it but for SPLIT bits."""
    if kernel.endswith("__mve"):
        reach = sum(abs(a[f"multiplier_{n}"]) << (a[f"{n}_bits"] - 1) for n in "ab") + ((abs(a["offset_high"]) + 1) << 32)
        return max(a["a_bits"], a["b_bits"], a["out_bits"]) == 16 and a["shift"] >= SPLIT and reach < 2**46 - 2**SPLIT
    reach = abs(a["multiplier_a"]) + abs(a["multiplier_b"]) + (abs(a["offset_high"]) + 1) * 2**17
    return a["shift"] >= 17 and reach < 2 ** (16 + a["shift"])


def average_pool_applies(a: Attributes, kernel: str) -> bool:
    if kernel.endswith("__mve"):
        return max(a["in_bits"], a["out_bits"]) == 16
    return a["kernel_h"] * a["kernel_w"] <= POOL_TAPS and a["shift"] <= MAX_SHIFT


def elementwise_distance(a: Attributes, bits: int, kernel: str) -> int | None:
    """Least input − output offset of kernels that read each element before they write it; bits: of the first input."""
    return None if kernel.endswith("__ref") else max(0, a["count"] * (a["out_bits"] - bits) // 8)
