"""What the kernels for the DSP extension (Cortex-M4, M7, M33) need of the compiler: packed constants, scratch, overlap.

csrc/kernels/dsp.h says what the bytes of a packed word mean, csrc/kernels/conv/gemm_dsp.h how the streams are walked.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgec.ir.core import Op
from edgec.ops.base import Packing, padded
from edgec.ops.weights import fits_int16, narrow_bias

Attributes = Mapping[str, int]
NOTHING = np.zeros(0, np.int8)
"""Bias and multiplier travel inside the weights, in the order in which the kernel walks them; beside 4-bit weights, where these do
not fit int16, the high halves of the heads that hold the biases are in place of the biases."""
POSITIONS = 4
"""Output positions of a block."""
MAX_SHIFT = 20
"""Up to this layer shift, saturating to 32 bits behind the shift gives the same bytes as saturating before it: dsp.h."""
WINDOWS = ("edgec_s8_conv2d_2x4c4__dsp", "edgec_s8w4_conv2d_2x4n4__dsp", "edgec_s8_conv2d_add_2x4c4__dsp")
"""Kernels of any window, weights of 8 and of 4 bits; the others take patches of 3×3 windows."""
NIBBLE_TAPS = 2**16
"""More taps than a window of 4-bit weights may have."""


def _wrapped(values: np.ndarray) -> np.ndarray:
    """int64 modulo 2^32 as int32."""
    return ((values + 2**31) % 2**32 - 2**31).astype(np.int32)


def pack_rows(weights: np.ndarray, bias: np.ndarray, multiplier: np.ndarray, channels: int, multipliers_last: bool = False) -> np.ndarray:
    """For each block of channels its biases, its multipliers, then a word of each channel for every four taps.

    Args:
        weights: int8 [out, K] with K a multiple of 4, taps in the order of the kernel; bias, multiplier: int32 [out].
        channels: of a block; zeros fill the last one. multipliers_last: behind the words instead.

    Returns: int32 [stream].
    """
    out, depth = weights.shape
    rows = -(-out // channels) * channels
    w, m = padded(weights.astype(np.int8), rows), padded(multiplier.astype(np.int32), rows)
    b = padded(bias.astype(np.int64) + 128 * weights[:, 1::2].astype(np.int64).sum(axis=1), rows)
    words = (w.view(np.uint8) ^ np.resize(np.array([0x80, 0], np.uint8), depth)).view("<i4").reshape(-1, channels, depth // 4)
    parts = [_wrapped(b).reshape(-1, channels), m.reshape(-1, channels), words.transpose(0, 2, 1).reshape(rows // channels, depth // 4 * channels)]
    return np.concatenate([parts[0], parts[2], parts[1]] if multipliers_last else parts, axis=1).reshape(-1)


def unpack_rows(
    stream: np.ndarray, out: int, depth: int, channels: int, multipliers_last: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inverse of pack_rows, of raw bytes: int8 [out, depth], int32 [out], int32 [out]."""
    blocks = np.ascontiguousarray(stream).view("<i4").reshape(-(-out // channels), channels * (2 + depth // 4))
    words, m = (blocks[:, channels:-channels], blocks[:, -channels:]) if multipliers_last else (blocks[:, 2 * channels :], blocks[:, channels : 2 * channels])
    words = np.ascontiguousarray(words.reshape(-1, depth // 4, channels).transpose(0, 2, 1))
    w = (words.view(np.uint8).reshape(-1, depth) ^ np.resize(np.array([0x80, 0], np.uint8), depth)).view(np.int8)[:out]
    b = blocks[:, :channels].reshape(-1)[:out].astype(np.int64) - 128 * w[:, 1::2].astype(np.int64).sum(axis=1)
    return w, _wrapped(b), m.reshape(-1)[:out].astype(np.int32)


def pack_nibble_rows(weights: np.ndarray, bias: np.ndarray, multiplier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pair of channels a word for every four taps, the low halves of their heads, their multipliers: csrc/kernels/dsp.h.

    Args:
        weights: int8 [out, K] in [−8, 7], K a multiple of 4, taps in the order of the kernel; bias int16, multiplier int32 [out].

    Returns: int32 [pairs, K/4 + 3]; the high halves int16 [2 · pairs], or nothing where all heads are int16.
    """
    out, depth = weights.shape
    w, m = (padded(v, out + out % 2) for v in (weights.astype(np.int8), multiplier.astype(np.int32)))
    heads = padded((bias + 128 * weights[:, 1::2].astype(np.int64).sum(axis=1)).astype(np.int32), len(w))
    high = (w[0::2] + np.resize(np.array([8, 0], np.int8), depth)).astype(np.uint8) & 15
    words = (high << 4 | (w[1::2] + 8).astype(np.uint8)).view("<i4").reshape(len(high), depth // 4)
    stream = np.concatenate([words, heads.astype("<i2").view("<i4").reshape(-1, 1), m.reshape(-1, 2)], axis=1)
    return stream, NOTHING if fits_int16(heads) else (heads >> 16).astype("<i2")


def unpack_nibble_rows(stream: np.ndarray, highs: np.ndarray, out: int, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inverse of pack_nibble_rows, of raw bytes: int8 [out, depth], int16 [out], int32 [out]."""
    blocks = np.ascontiguousarray(stream).view("<i4").reshape(-(-out // 2), 3 + depth // 4)
    codes = np.ascontiguousarray(blocks[:, :-3]).view(np.uint8).reshape(-1, depth)
    second = (codes & 15).astype(np.int8) - np.int8(8)
    even = np.resize(np.array([True, False]), depth)
    high = (codes >> 4).astype(np.int8)
    first = np.where(even, high - 8, (high ^ 8) - 8).astype(np.int8)
    w = np.stack([first, second], axis=1).reshape(-1, depth)[:out]
    heads = np.ascontiguousarray(blocks[:, -3]).view("<i2").astype(np.int64)
    if highs.size:
        heads = (heads & 0xFFFF) + np.ascontiguousarray(highs).view("<i2") * np.int64(65536)
    b = heads[:out] - 128 * w[:, 1::2].astype(np.int64).sum(axis=1)
    return w, narrow_bias(b), np.ascontiguousarray(blocks[:, -2:]).reshape(-1)[:out].astype(np.int32)


def _runs(a: Attributes) -> tuple[int, int]:
    """Bytes of a run of taps that lie side by side in the input, and the number of runs in a window."""
    pixels = a["kernel_w"] if a["dilation_w"] == 1 else 1
    return pixels * a["in_c"], a["kernel_h"] * (a["kernel_w"] // pixels)


def window_order(a: Attributes) -> np.ndarray:
    """Canonical tap at each place: whole words of each run, then what is left over of each; −1 is a zero up to a word."""
    size, count = _runs(a)
    taps = np.arange(size * count).reshape(count, size)
    order = np.concatenate([taps[:, : size // 4 * 4].reshape(-1), taps[:, size // 4 * 4 :].reshape(-1)])
    return np.concatenate([order, np.full(-len(order) % 4, -1)])


def patch_order(a: Attributes) -> np.ndarray:
    """Canonical tap at each place for 3×3 kernels of stride 1: four channels at a time, all their taps."""
    return np.arange(9 * a["in_c"]).reshape(9, a["in_c"] // 4, 4).transpose(1, 0, 2).reshape(-1)


def _conv2d_packing(name: str, order_of) -> Packing:
    narrow = name.startswith("n")

    def pack(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
        weights, bias, multiplier = values
        order = order_of(op.attrs)
        w = weights.reshape(weights.shape[0], -1)
        ordered = np.where(order < 0, 0, w[:, order]).astype(np.int8)
        if narrow:
            stream, highs = pack_nibble_rows(ordered, bias, multiplier)
            return [stream.reshape(-1), highs, NOTHING]
        return [pack_rows(ordered, bias, multiplier, 2), NOTHING, NOTHING]

    def unpack(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
        order = order_of(op.attrs)
        rows = (op.attrs["out_c"], len(order))
        packed, bias, multiplier = unpack_nibble_rows(*values[:2], *rows) if narrow else unpack_rows(values[0], *rows, 2)
        w = np.empty((packed.shape[0], int((order >= 0).sum())), np.int8)
        w[:, order[order >= 0]] = packed[:, order >= 0]
        return [w, bias, multiplier]

    return Packing(name, pack, unpack)


CONV2D = {
    name: _conv2d_packing(name, order)
    for name, order in (("c4", window_order), ("c4w3", patch_order), ("n4", window_order), ("n4w3", patch_order))
}


def conv2d_applies(a: Attributes, kernel: str) -> bool:
    if a["groups"] != 1 or a["shift"] > MAX_SHIFT:
        return False
    if a["weight_bits"] == 4 and a["kernel_h"] * a["kernel_w"] * a["in_c"] >= NIBBLE_TAPS:
        return False
    if kernel in WINDOWS:
        return True
    steps = {a[name] for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")}
    return a["kernel_h"] == a["kernel_w"] == 3 and steps == {1} and a["in_c"] % 4 == a["out_c"] % 2 == a["out_w"] % POSITIONS == 0


def conv2d_scratch(a: Attributes, kernel: str) -> int:
    """Bytes of unpacked inputs of a block, its corrections, and room for bytes that are not in the input as they are used."""
    heads = POSITIONS * 8 // a["weight_bits"]
    if kernel not in WINDOWS:
        return 4 * heads + 37 * a["in_c"]
    size, count = _runs(a)
    left = (size % 4 * count + 3) // 4
    copy = (size * count + 3) // 4 if a["kernel_h"] * a["kernel_w"] > 1 else 0
    return 4 * (heads + 2 * POSITIONS * (size // 4 * count + left) + 2 * left + 2 * copy)


def _is_pointwise(a: Attributes) -> bool:
    return a["kernel_h"] == a["kernel_w"] == a["stride_h"] == a["stride_w"] == 1 and (a["in_h"], a["in_w"]) == (a["out_h"], a["out_w"])


def conv2d_distance(a: Attributes, reach: np.ndarray) -> int:
    """Least input − output offset: a block of positions is written once it is read.

    Args:
        reach: for each position, the first input byte that it or any later one reads.
    """
    block = np.arange(POSITIONS, reach.size, POSITIONS)  # written: all positions before; read: from here on
    never = -a["in_h"] * a["in_w"] * a["in_c"]
    least = int((block * a["out_c"] - reach[block]).max()) if block.size else never
    return max(least, 0) if _is_pointwise(a) else max(least, never)


def conv2d_distance_above(a: Attributes) -> int | None:
    """Least output − input offset for the kernels that run backwards: 1×1, stride 1."""
    if not _is_pointwise(a):
        return None
    positions = a["out_h"] * a["out_w"]
    block = np.arange((positions - 1) // POSITIONS * POSITIONS, 0, -POSITIONS)  # written: from here on; read: all before
    return int((block * (a["in_c"] - a["out_c"])).max()) if block.size else -positions * a["out_c"]


DEPTHWISE_3X3 = ("edgec_s8_depthwise_conv2d_2x2c4__dsp", "edgec_s8w4_depthwise_conv2d_2x2n1__dsp")
NIBBLE_SHIFT = 4
"""Layer shifts up to this are folded into 4-bit weights as they are widened."""
PLANE_BUDGET = 3072
"""Bytes of two planes, unless two rows of outputs need more: csrc/kernels/conv/depthwise_dsp.h."""


def _pack_depthwise_3x3(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    weights, bias, multiplier = values
    rows = np.moveaxis(weights, 2, 0)[:, :, [0, 1, 1, 2]]
    words = np.ascontiguousarray(rows).reshape(-1, 12).view("<i4")
    return [np.concatenate([bias.reshape(-1, 1), multiplier.reshape(-1, 1), words], axis=1).astype(np.int32).reshape(-1), NOTHING, NOTHING]


def _unpack_depthwise_3x3(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    channels = np.ascontiguousarray(values[0]).view("<i4").reshape(op.attrs["out_c"], 5)
    rows = np.ascontiguousarray(channels[:, 2:]).view(np.int8).reshape(-1, 3, 4)[:, :, [0, 1, 3]]
    return [np.moveaxis(rows, 0, 2), channels[:, 0].astype(np.int32), channels[:, 1].astype(np.int32)]


DEPTHWISE = {"c4": Packing("c4", _pack_depthwise_3x3, _unpack_depthwise_3x3)}


def depthwise_applies(a: Attributes, kernel: str) -> bool:
    if a["shift"] > MAX_SHIFT or a["in_c"] != a["out_c"]:
        return False
    if kernel not in DEPTHWISE_3X3:
        return True
    if a["shift"] > (NIBBLE_SHIFT if a["weight_bits"] == 4 else 0):
        return False
    square = a["kernel_h"] == a["kernel_w"] == 3 and a["dilation_h"] == a["dilation_w"] == 1
    return square and a["stride_h"] == a["stride_w"] <= 2 and a["in_c"] >= 2


def depthwise_scratch(a: Attributes, kernel: str) -> int:
    """Bytes of two planes of int16, padding included; for any other window those of the biases and weights, where weights come in 4 bits."""
    if kernel not in DEPTHWISE_3X3:
        return (4 + a["kernel_h"] * a["kernel_w"]) * a["out_c"] if a["weight_bits"] == 4 else 0
    stride, columns = a["stride_h"], a["stride_w"] * ((a["out_w"] + 1) // 2) + 1
    budget_rows = PLANE_BUDGET // (8 * columns)
    fit = 0 if budget_rows < 3 else ((budget_rows - 3) // stride + 1) // 2 * 2
    rows = min(max(fit, 2), (a["out_h"] + 1) // 2 * 2)
    return 8 * columns * ((rows - 1) * stride + 3)


def depthwise_over_first(a: Attributes, kernel: str) -> bool:
    """A channel is in its planes before its bytes are written, strip by strip."""
    return kernel in DEPTHWISE_3X3 and a["out_w"] <= a["in_w"] and a["out_h"] <= a["in_h"]


def depthwise_distance(a: Attributes, kernel: str, reach: np.ndarray) -> int | None:
    """Least input − output offset of the direct kernel: position by position, four channels read, then written.

    Args:
        reach: for each position, the first input byte that it or any later one reads.
    """
    return None if kernel in DEPTHWISE_3X3 else int((np.arange(reach.size) * a["out_c"] - reach).max())


BLOCK = 8
"""Output features of a block of dense; the rest go in pairs."""


def _pack_dense(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    weights, bias, multiplier = values
    w = padded(weights.astype(np.int8), len(weights), -(-weights.shape[1] // 4) * 4)
    whole = weights.shape[0] // BLOCK * BLOCK
    blocks = pack_rows(w[:whole], bias[:whole], multiplier[:whole], BLOCK, multipliers_last=True)
    return [np.concatenate([blocks, pack_rows(w[whole:], bias[whole:], multiplier[whole:], 2)]), NOTHING, NOTHING]


def _unpack_dense(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    out, inputs = op.attrs["out_features"], op.attrs["in_features"]
    depth, whole = -(-inputs // 4) * 4, out // BLOCK * BLOCK
    at = whole * (8 + depth)
    blocks = unpack_rows(values[0][:at], whole, depth, BLOCK, multipliers_last=True)
    pairs = unpack_rows(values[0][at:], out - whole, depth, 2)
    w, b, m = (np.concatenate(parts) for parts in zip(blocks, pairs, strict=True))
    return [w[:, :inputs], b, m]


def _pack_dense_nibbles(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """As the form with 8 bits in blocks of eight features, then pairs; a word for four taps of two features, and all else behind the words."""
    weights, bias, multiplier = values
    words = -(-weights.shape[1] // 4)
    pairs, highs = pack_nibble_rows(padded(weights.astype(np.int8), len(weights), 4 * words), bias, multiplier)
    whole = weights.shape[0] // BLOCK * BLOCK // 2
    block = pairs[:whole].reshape(-1, BLOCK // 2, words + 3)
    front = block[:, :, : words + 1].transpose(0, 2, 1).reshape(len(block), (words + 1) * BLOCK // 2)
    parts = [front, block[:, :, words + 1 :].reshape(-1, BLOCK)]
    return [np.concatenate([np.concatenate(parts, axis=1).reshape(-1), pairs[whole:].reshape(-1)]), highs, NOTHING]


def _unpack_dense_nibbles(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    out, inputs = op.attrs["out_features"], op.attrs["in_features"]
    words, whole = -(-inputs // 4), out // BLOCK * BLOCK // 2
    stream = np.ascontiguousarray(values[0]).view("<i4")
    block = stream[: whole * (words + 3)].reshape(-1, (words + 3) * BLOCK // 2)
    front = block[:, : block.shape[1] - BLOCK].reshape(-1, words + 1, BLOCK // 2).transpose(0, 2, 1).reshape(-1, words + 1)
    m = block[:, block.shape[1] - BLOCK :].reshape(-1, 2)
    pairs = np.concatenate([np.concatenate([front, m], axis=1).reshape(-1), stream[whole * (words + 3) :]])
    w, b, m = unpack_nibble_rows(pairs, values[1], out, 4 * words)
    return [w[:, :inputs], b, m]


DENSE_ROWS = {"c4": Packing("c4", _pack_dense, _unpack_dense), "n4": Packing("n4", _pack_dense_nibbles, _unpack_dense_nibbles)}


def dense_applies(a: Attributes) -> bool:
    return a["shift"] <= MAX_SHIFT and a["in_features"] >= 4 and (a["weight_bits"] == 8 or a["in_features"] < NIBBLE_TAPS)


def dense_distance(a: Attributes) -> int:
    """Least input − output offset. A row is read again for every block, which is written once it is read."""
    rows, inputs, outputs = a["rows"], a["in_features"], a["out_features"]
    last_block = (outputs % BLOCK - 1) % 2 + 1 if outputs % BLOCK else BLOCK
    row = np.arange(rows)
    needed = [-rows * inputs]
    if outputs > last_block:
        needed.append(int((row * (outputs - inputs)).max()) + outputs - last_block)
    if rows > 1:
        needed.append(int((row[1:] * (outputs - inputs)).max()))
    return max(needed)
