"""What the Helium kernels need of the compiler: packed constants, scratch sizes, and how far outputs may overlap inputs.

The C files say how the layouts are walked: csrc/kernels/conv/conv_mve_pairs.h, conv_mve_patches.h and
csrc/kernels/dense/dense_mve.c. `conv2d_distance` replays the order of reads and writes of csrc/kernels/conv/conv_mve.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgec.ir.core import Op
from edgec.ops.base import Packing, padded
from edgec.ops.weights import narrow_bias

BLOCK = 16
"""Bytes of a vector."""
COLUMN_TARGET, COLUMNS_MAX = 640, 16
WINDOW_MAX, TENSOR_MAX = 0x7FFF0, 0x1FFFFFF
NOTHING = np.zeros(0, np.int8)
"""Bias and multiplier travel inside the weights, in the order in which the kernel walks them."""


PAIRS = {"channels": 4, "order": [0, 1, 2, 3], "repeats": 2}
DENSE = {"channels": 8, "order": [0, 2, 4, 6, 1, 3, 5, 7], "repeats": 1}


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def pack_rows(weights: np.ndarray, bias: np.ndarray, multiplier: np.ndarray, channels: int, order: list[int], repeats: int) -> np.ndarray:
    """The stream of blocks of `channels` output channels: biases, weights by 16 bytes of the window, halved multipliers.

    Args:
        weights: int8 [out, K]; bias, multiplier: int32 [out].
        order: the channel of each multiplier within a block; repeats: how often a block's biases are stored.

    Returns: int8 [stream]; int32 values little-endian.
    """
    rows, depth = _round_up(weights.shape[0], channels), _round_up(weights.shape[1], BLOCK)
    w = padded(weights.astype(np.int8), rows, depth).reshape(-1, channels, depth // BLOCK, BLOCK).transpose(0, 2, 1, 3)
    b = padded(bias.astype("<i4"), rows).reshape(-1, channels)
    m = padded((multiplier // 2).astype("<i4"), rows).reshape(-1, channels)[:, order]
    parts = [np.tile(b, repeats).view(np.int8), w.reshape(w.shape[0], -1), np.ascontiguousarray(m).view(np.int8)]
    return np.concatenate(parts, axis=1).reshape(-1)


def unpack_rows(stream: np.ndarray, out: int, depth: int, channels: int, order: list[int], repeats: int) -> list[np.ndarray]:
    """The inverse of pack_rows: weights int8 [out, depth], bias and multiplier int32 [out]."""
    blocks, padded = _round_up(out, channels) // channels, _round_up(depth, BLOCK)
    head = 4 * channels * repeats
    block = stream.reshape(blocks, head + channels * padded + 4 * channels)
    w = block[:, head : head + channels * padded].reshape(blocks, padded // BLOCK, channels, BLOCK).transpose(0, 2, 1, 3)
    b = np.ascontiguousarray(block[:, : 4 * channels]).view("<i4")
    m = np.empty((blocks, channels), np.int32)
    m[:, order] = 2 * np.ascontiguousarray(block[:, head + channels * padded :]).view("<i4")
    return [w.reshape(-1, padded)[:out, :depth], b.reshape(-1)[:out].astype(np.int32), m.reshape(-1)[:out]]


def _pack_nibbles(high: np.ndarray, low: np.ndarray, channels: int) -> np.ndarray:
    """uint8 halves [rows / 2, depth] of bytes that hold a tap of two channels, as blocks of `channels`: uint8 [blocks, bytes]."""
    pairs = (high << 4 | low & 15).reshape(-1, channels // 2, high.shape[1] // BLOCK, BLOCK)
    return np.ascontiguousarray(pairs.transpose(0, 2, 1, 3)).reshape(pairs.shape[0], -1)


def _unpack_nibbles(blocks: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """The inverse: the high halves as two's complement and the low ones as codes of 0 to 15, int8 [rows / 2, depth]."""
    pairs = blocks.reshape(blocks.shape[0], -1, channels // 2, BLOCK).transpose(0, 2, 1, 3)
    pairs = np.ascontiguousarray(pairs).reshape(blocks.shape[0] * channels // 2, -1)
    return pairs.view(np.int8) >> 4, (pairs.view(np.uint8) & 15).astype(np.int8)


def _pack_conv2d_nibbles(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """Blocks of four channels: weights, of which two channels share a byte, int16 biases, halved multipliers."""
    weights, bias, multiplier = values
    rows, depth = _round_up(weights.shape[0], 4), weights[0].size
    w = padded(weights.reshape(weights.shape[0], -1).astype(np.int8), rows, _round_up(depth, BLOCK)).view(np.uint8)
    b, m = padded(narrow_bias(bias).astype("<i2"), rows), padded((multiplier // 2).astype("<i4"), rows)
    parts = [_pack_nibbles(w[0::2], w[1::2], 4), b.reshape(-1, 4).view(np.uint8), m.reshape(-1, 4).view(np.uint8)]
    return [np.concatenate(parts, axis=1).view(np.int8).reshape(-1), NOTHING, NOTHING]


def _unpack_conv2d_nibbles(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    a = op.attrs
    out, depth = a["out_c"], a["kernel_h"] * a["kernel_w"] * a["in_c"] // a["groups"]
    blocks = np.asarray(values[0], np.int8).reshape(_round_up(out, 4) // 4, -1)
    high, low = _unpack_nibbles(blocks[:, :-24], 4)
    w = np.stack([high, (low ^ 8) - np.int8(8)], axis=1).reshape(2 * len(high), -1)
    b, m = (np.ascontiguousarray(part).view(dtype).reshape(-1)[:out] for part, dtype in ((blocks[:, -24:-16], "<i2"), (blocks[:, -16:], "<i4")))
    return [w[:out, :depth], b.astype(np.int16), 2 * m.astype(np.int32)]


def _pack_dense_nibbles(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """As with 8 bits, but two features share a byte, the second plus 8 in its low half: the first one's accumulator is the sum of 16 times
    its own and of the second's, and so is its bias."""
    weights, bias, multiplier = values
    rows = _round_up(weights.shape[0], DENSE["channels"])
    w = padded(weights.astype(np.int8), rows, weights.shape[1])
    high, low = (padded(half, rows // 2, _round_up(half.shape[1], BLOCK)).view(np.uint8) for half in (w[0::2], w[1::2] + np.int8(8)))
    b = padded(bias.astype(np.int64), rows)
    heads = np.stack([16 * b[0::2] + b[1::2], b[1::2]], axis=1).astype("<i4").reshape(-1, DENSE["channels"])
    m = padded((multiplier // 2).astype("<i4"), rows).reshape(heads.shape)[:, DENSE["order"]]
    parts = [heads.view(np.uint8), _pack_nibbles(high, low, DENSE["channels"]), np.ascontiguousarray(m).view(np.uint8)]
    return [np.concatenate(parts, axis=1).view(np.int8).reshape(-1), NOTHING, NOTHING]


def _unpack_dense_nibbles(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    out, channels = op.attrs["out_features"], DENSE["channels"]
    blocks = np.asarray(values[0], np.int8).reshape(_round_up(out, channels) // channels, -1)
    high, low = _unpack_nibbles(blocks[:, 4 * channels : -4 * channels], channels)
    w = np.stack([high, low - np.int8(8)], axis=1).reshape(2 * len(high), -1)
    heads = np.ascontiguousarray(blocks[:, : 4 * channels]).view("<i4").astype(np.int64).reshape(-1, 2)
    b = np.stack([(heads[:, 0] - heads[:, 1]) >> 4, heads[:, 1]], axis=1).reshape(-1)
    m = np.empty((len(blocks), channels), np.int32)
    m[:, DENSE["order"]] = 2 * np.ascontiguousarray(blocks[:, -4 * channels :]).view("<i4")
    return [w[:out, : op.attrs["in_features"]], narrow_bias(b[:out]), m.reshape(-1)[:out]]


def _pack_conv2d(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    weights, bias, multiplier = values
    return [pack_rows(weights.reshape(weights.shape[0], -1), bias, multiplier, **PAIRS), NOTHING, NOTHING]


def _unpack_conv2d(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    a = op.attrs
    depth = a["kernel_h"] * a["kernel_w"] * a["in_c"] // a["groups"]
    return unpack_rows(np.asarray(values[0], np.int8), a["out_c"], depth, **PAIRS)


CONV2D = {"c16": Packing("c16", _pack_conv2d, _unpack_conv2d), "n16": Packing("n16", _pack_conv2d_nibbles, _unpack_conv2d_nibbles)}


def tensors_fit(a: Mapping[str, int]) -> bool:
    """Bounds under which no offset of a kernel, those of padding included, leaves 32 bits."""
    products = [
        a["in_h"] * a["in_w"] * a["in_c"], a["out_h"] * a["out_w"] * a["out_c"],
        a["pad_top"] * a["in_w"] * a["in_c"], a["pad_left"] * a["in_c"], a["stride_w"] * a["in_c"],
    ]  # fmt: skip
    return max(products) <= TENSOR_MAX


def conv2d_applies(a: Mapping[str, int]) -> bool:
    return a["groups"] == 1 and a["kernel_h"] * a["kernel_w"] * a["in_c"] <= WINDOW_MAX and a["out_c"] <= 0x7FFF and tensors_fit(a)


def _columns(a: Mapping[str, int]) -> int:
    """Columns in scratch; 0 where no window is ever gathered."""
    if a["kernel_h"] == a["kernel_w"] == 1 and a["in_c"] % BLOCK == 0:
        return 0
    padded = _round_up(a["kernel_h"] * a["kernel_w"] * a["in_c"], BLOCK)
    return min(max(COLUMN_TARGET // padded // 2 * 2, 2), COLUMNS_MAX)


def conv2d_scratch(a: Mapping[str, int]) -> int:
    """Bytes of columns, and a block to spare behind them."""
    columns = _columns(a)
    return columns * _round_up(a["kernel_h"] * a["kernel_w"] * a["in_c"], BLOCK) + BLOCK if columns else 0


def _interior(size: int, out: int, reach: int, stride: int, pad: int) -> tuple[int, int]:
    """First, and one past the last, output position whose window lies inside the input."""
    end = 0 if size + pad < reach else min(max((size + pad - reach) // stride + 1, 0), out)
    return -(-pad // stride), end


def _runs(a: Mapping[str, int]) -> Iterator[tuple[int, int, bool]]:
    """(first position, number, straight from the tensor) in the order of the kernel; gathered positions one by one."""
    pointwise = a["kernel_h"] == a["kernel_w"] == 1
    padded = _round_up(a["kernel_h"] * a["kernel_w"] * a["in_c"], BLOCK)
    straight = a["kernel_h"] == a["kernel_w"] == 3 and a["dilation_h"] == a["dilation_w"] == 1 and a["in_c"] % BLOCK == 0
    top, bottom = _interior(a["in_h"], a["out_h"], (a["kernel_h"] - 1) * a["dilation_h"] + 1, a["stride_h"], a["pad_top"])
    left, right = _interior(a["in_w"], a["out_w"], (a["kernel_w"] - 1) * a["dilation_w"] + 1, a["stride_w"], a["pad_left"])
    flat = a["stride_w"] == a["stride_h"] == 1 and a["out_w"] == a["in_w"]
    position, total = 0, a["out_h"] * a["out_w"]
    while position < total:
        oy, ox = divmod(position, a["out_w"])
        run = 0
        if pointwise:
            step = a["stride_w"] * a["in_c"]
            at = oy * a["stride_h"] * a["in_w"] * a["in_c"] + ox * step
            left_over = a["in_h"] * a["in_w"] * a["in_c"] - padded - at
            run = min(left_over // step + 1 if left_over >= 0 else 0, (a["out_h"] - oy) * a["out_w"] - ox if flat else a["out_w"] - ox)
        elif straight and top <= oy < bottom and left <= ox < right:
            run = (right - ox) // 2 * 2
        yield position, max(run, 1), run > 0
        position += max(run, 1)


def _first_reads(a: Mapping[str, int]) -> np.ndarray:
    """For each output position, the first byte of the input that its window reads."""

    def first(out: str, stride: str, pad: str, dilation: str) -> np.ndarray:
        origin = np.arange(a[out]) * a[stride] - a[pad]
        return np.where(origin < 0, origin + -(origin // a[dilation]) * a[dilation], origin)

    rows, cols = first("out_h", "stride_h", "pad_top", "dilation_h"), first("out_w", "stride_w", "pad_left", "dilation_w")
    return ((rows[:, None] * a["in_w"] + cols[None, :]) * a["in_c"]).reshape(-1)


def conv2d_distance(a: Mapping[str, int]) -> int:
    """Least input − output offset: no byte is written before the last read of the input byte that lies there."""
    return _conv2d_distance(tuple(sorted(a.items())))


@lru_cache(maxsize=1024)
def _conv2d_distance(items: tuple[tuple[str, int], ...]) -> int:
    a = dict(items)
    out_c, columns = a["out_c"], _columns(a)
    before_last = (out_c - 1) // 4 * 4  # channels written before the last block of four reads the window again
    first = _first_reads(a)
    events: list[tuple[bool, int]] = []  # (is write, end of the bytes written or first byte read), in order
    waiting, end = 0, 0

    def flush() -> None:
        nonlocal waiting
        if waiting:
            events.append((True, end * out_c))
            waiting = 0

    for position, count, straight in _runs(a):
        if straight:
            flush()
            for p in range(position, position + count, 2):
                last = min(p + 1, position + count - 1)
                read = int(min(first[p], first[last]))
                if before_last:
                    events += [(False, read), (True, last * out_c + before_last)]
                events += [(False, read), (True, (last + 1) * out_c)]
        else:
            events.append((False, int(first[position])))
            waiting += 1
        end = position + count
        if waiting == columns:
            flush()
    flush()
    least, needed = None, -a["in_h"] * a["in_w"] * a["in_c"]
    for is_write, at in reversed(events):
        if not is_write:
            least = at if least is None else min(least, at)
        elif least is not None:
            needed = max(needed, at - least)
    return needed


def _pack_dense(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    return [pack_rows(*values, **DENSE), NOTHING, NOTHING]


def _unpack_dense(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    return unpack_rows(np.asarray(values[0], np.int8), op.attrs["out_features"], op.attrs["in_features"], **DENSE)


DENSE_ROWS = {"c16": Packing("c16", _pack_dense, _unpack_dense), "n16": Packing("n16", _pack_dense_nibbles, _unpack_dense_nibbles)}


def dense_applies(a: Mapping[str, int]) -> bool:
    return a["in_features"] <= 0xFFFFF and a["out_features"] <= 0xFFFFF


def dense_scratch(a: Mapping[str, int]) -> int:
    """A padded copy of the row where its last block would read beyond it."""
    return _round_up(a["in_features"], BLOCK) if a["in_features"] % BLOCK else 0


def dense_distance(a: Mapping[str, int]) -> int:
    """Least input − output offset. A row is read again for every eight features, unless it was copied to scratch first."""
    rows, inputs, outputs = a["rows"], a["in_features"], a["out_features"]
    needed = [-rows * inputs]
    row = np.array([0, rows - 1])  # both bounds are linear in the row
    before_last = (outputs - 1) // 8 * 8
    if before_last and not inputs % BLOCK:
        needed += (row * outputs + before_last - row * inputs).tolist()
    if rows > 1:
        row = np.array([1, rows - 1])
        needed += (row * (outputs - inputs)).tolist()
    return max(needed)


PLANE_MAX, TILE_MAX, TABLE_MAX, REACH_MAX, MAP_MAX = 8192, 4096, 640, 255, 160
NIBBLE_CHANNELS = 16
"""Channels whose 4-bit weights are widened in scratch together."""


@dataclass(frozen=True)
class PatchPlan:
    """How csrc/kernels/conv/conv_mve_depthwise.h cuts a plane; sizes in bytes. whole: one tile is the whole plane."""

    whole: bool
    columns: int
    lead: int
    plane_bytes: int
    table_bytes: int
    map_bytes: int


def plan_patches(a: Mapping[str, int]) -> PatchPlan | None:
    """The plan of a depthwise convolution, None where the kernel cannot run it."""
    return _plan_patches(tuple(sorted(a.items())))


def _part(out: int, limit: int, kernel: int, stride: int, multiple: int) -> int:
    """The longest part of `out` outputs whose input is at most `limit` long, evened out; 0 where there is none."""
    most = 0 if limit < kernel else ((limit - kernel) // stride + 1) // multiple * multiple
    if most >= out or most == 0:
        return out if most else 0
    return _round_up(-(-out // -(-out // most)), multiple)


@lru_cache(maxsize=1024)
def _plan_patches(items: tuple[tuple[str, int], ...]) -> PatchPlan | None:
    a = dict(items)
    out_h, out_w, out_c = a["out_h"], a["out_w"], a["out_c"]
    if a["in_c"] != out_c or a["dilation_h"] != 1 or a["dilation_w"] != 1 or out_c > 0x1FFF:
        return None
    if max(a["kernel_h"], a["kernel_w"], a["stride_h"], a["stride_w"]) > BLOCK:
        return None

    def reach(outputs: int, axis: str) -> int:
        return (outputs - 1) * a[f"stride_{axis}"] + a[f"kernel_{axis}"]

    best = None
    for down, across in ((2, 2), (4, 1), (1, 4), (1, 2), (2, 1), (1, 1)):
        rows, columns = reach(down, "h"), reach(across, "w")
        if rows * columns > BLOCK:
            continue
        widest = REACH_MAX if rows == 1 else (REACH_MAX - columns + 1) // (rows - 1)
        tile_h, tile_w = out_h, out_w
        stride, height = reach(max(out_w, across), "w"), reach(max(out_h, down), "h")
        whole = stride <= widest and stride * height <= PLANE_MAX
        if not whole:
            tile_w = _part(out_w, widest, a["kernel_w"], a["stride_w"], across)
            stride = reach(max(tile_w, across), "w")
            tile_h = _part(out_h, TILE_MAX // stride, a["kernel_h"], a["stride_h"], down)
            height = reach(max(tile_h, down), "h")
            if not 0 < tile_h <= out_h or not 0 < tile_w <= out_w:
                continue
        outputs = 4 if down * across == 4 else 2

        def groups(band: int, down: int = down, patches_across: int = -(-tile_w // across), outputs: int = outputs) -> int:
            return -(-(-(-band // down) * patches_across * outputs) // 8)

        cost = (not whole, groups(tile_h) * (27 if outputs == 4 else 32))
        if best is None or cost < best[0]:
            best = (cost, whole, tile_h, tile_w, down, across, columns, stride * height, outputs, groups)
    if best is None:
        return None
    _, whole, band, tile_w, down, across, columns, plane, outputs, groups = best
    each = 24 if outputs == 4 else 32

    def fits(band: int) -> bool:
        return ((band - 1) * out_w + tile_w) * out_c <= 0xFFFF and (band <= down or groups(band) * each <= TABLE_MAX)

    while band > down and not fits(band):
        band = _round_up(band, down) - down
    if not fits(band):
        return None
    lead = (down - 1) * a["stride_h"] * columns + (across - 1) * a["stride_w"]
    pixels = a["in_h"] * a["in_w"]
    map_bytes = _round_up(2 * pixels, BLOCK) if pixels <= MAP_MAX else 0
    return PatchPlan(whole, columns, lead, _round_up(plane, BLOCK), _round_up(groups(band) * each, BLOCK), map_bytes)


def depthwise_over_first(a: Mapping[str, int]) -> bool:
    """A channel is in scratch as a whole before its first output is written, unless its plane is cut into tiles."""
    plan = plan_patches(a)
    return plan is not None and plan.whole


def depthwise_applies(a: Mapping[str, int]) -> bool:
    return plan_patches(a) is not None and tensors_fit(a)


def depthwise_scratch(a: Mapping[str, int]) -> int:
    """A padded plane of one channel, the table of its patches, where a pixel goes in small planes; room for weights of 4 bits."""
    plan = plan_patches(a)
    if plan is None:
        return 0
    wide = BLOCK * (min(a["out_c"], NIBBLE_CHANNELS) + 1) if a["weight_bits"] == 4 else 0
    return plan.plane_bytes + plan.table_bytes + plan.map_bytes + wide


def _tap_places(op: Op, plan: PatchPlan) -> np.ndarray:
    """Byte of each tap of each channel in the packed weights, [kernel_h, kernel_w, channels]."""
    a = op.attrs
    ky, kx, c = np.meshgrid(*(np.arange(a[k]) for k in ("kernel_h", "kernel_w", "out_c")), indexing="ij")
    return plan.lead + ky * plan.columns + kx + BLOCK * c


def _pack_depthwise(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    plan = plan_patches(op.attrs)
    assert plan is not None
    weights, bias, multiplier = values
    records = np.zeros(plan.lead + BLOCK * op.attrs["out_c"], np.int8)
    records[_tap_places(op, plan)] = weights
    return [records, np.stack([bias.astype("<i4"), (multiplier // 2).astype("<i4")], axis=1), NOTHING]


def _unpack_depthwise(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    plan = plan_patches(op.attrs)
    if plan is None:
        raise ValueError(f"{op.name} is no depthwise convolution that the Helium kernel runs")
    epilogue = np.ascontiguousarray(values[1]).view("<i4").reshape(-1, 2).astype(np.int32)
    return [np.asarray(values[0], np.int8)[_tap_places(op, plan)], epilogue[:, 0], 2 * epilogue[:, 1]]


DEPTHWISE = {"c16": Packing("c16", _pack_depthwise, _unpack_depthwise)}
