"""How far each layer of an artifact is from the float model, why, and what helps: statistics in one pass, bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.compress.observer import Histogram
from edgec.ir.core import DTYPE_BITS

if TYPE_CHECKING:
    from edgec.activations import Activation
    from edgec.ir.core import Program, Tensor

LEVELS = 256
"""Of 8 bits, by which few steps are judged few: a tensor of 16 that uses these is no worse off."""

WIDE_SPREAD = 8.0
"""A typical channel that reaches an eighth of the largest one has five of the eight bits."""


class TensorStatistics:
    """Sums over the samples seen: float values f of an ONNX value, and y, what the artifact's tensor says they are.

    Channels are axis 1 of the ONNX shape (one channel where there is none).
    """

    def __init__(self, tensor: Tensor, channels: int) -> None:
        self.bits = DTYPE_BITS[tensor.dtype]
        least, greatest = -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        self.low, self.high = ((q - tensor.zero_point) * tensor.scale for q in (least, greatest))
        self.scale, self.zero_point = tensor.scale, tensor.zero_point
        self.signal, self.noise, self.clipped_noise, self.rounding = (np.zeros(channels) for _ in range(4))
        self.count = self.clipped = 0
        self.q_low, self.q_high = greatest, least
        self.least, self.greatest = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.histogram = Histogram()

    def add(self, f: np.ndarray, q: np.ndarray) -> None:
        """f float32 and q int8 or int16, both of the ONNX shape."""
        self.histogram.add(f)
        rows_q = _by_channel(q, self.signal.size)
        rows = _by_channel(f, self.signal.size).astype(np.float64)
        error = np.square(rows - (rows_q.astype(np.float64) - self.zero_point) * self.scale)
        outside = (rows < self.low - self.scale / 2) | (rows > self.high + self.scale / 2)
        self.signal += np.square(rows).sum(axis=1)
        self.noise += error.sum(axis=1)
        self.clipped_noise += (error * outside).sum(axis=1)
        # Rounding to the nearest step costs scale²/12 on average; zeros (behind a Relu) cost nothing.
        self.rounding += ((rows != 0) & ~outside).sum(axis=1) * self.scale**2 / 12
        self.count += rows.size
        self.clipped += int(outside.sum())
        self.q_low, self.q_high = min(self.q_low, int(q.min())), max(self.q_high, int(q.max()))
        self.least, self.greatest = np.minimum(self.least, rows.min(axis=1)), np.maximum(self.greatest, rows.max(axis=1))

    @property
    def noise_ratio(self) -> float:
        """Noise over signal, as power."""
        return float(self.noise.sum() / max(self.signal.sum(), 1e-300))

    @property
    def sqnr_db(self) -> float:
        return float(np.clip(-10 * np.log10(max(self.noise_ratio, 1e-20)), -200, 200))

    @property
    def dead(self) -> np.ndarray:
        """bool [channels]: channels that vary by less than half a step (only where there are several channels)."""
        still = self.greatest - self.least < self.scale / 2
        return still if still.size > 1 and self.count > still.size else np.zeros(still.shape, bool)

    @property
    def spread(self) -> float:
        """Reach of the largest channel over that of a typical living one."""
        reach = np.maximum(np.abs(self.least), np.abs(self.greatest))[~self.dead]
        reach = reach[reach > 0]
        return float(reach.max() / np.median(reach)) if reach.size > 1 else 1.0

    def shares(self, added: float) -> dict[str, float]:
        """Fractions of the noise that is added here (over the signal): from clipped values, from channels without signal, and
        what bare rounding would make."""
        total = max(min(added * float(self.signal.sum()), float(self.noise.sum())), 1e-300)
        return {
            "clipped": min(float(self.clipped_noise.sum()) / total, 1.0),
            "dead": min(float(self.noise[self.dead].sum()) / total, 1.0),
            "rounding": min(float(self.rounding.sum()) / total, 1.0),
        }


def _by_channel(x: np.ndarray, channels: int) -> np.ndarray:
    """[batch, channels, …] as [channels, entries]."""
    if channels == 1:
        return x.reshape(1, -1)
    return np.moveaxis(x, 1, 0).reshape(channels, -1)


def channels_of(activation: Activation) -> int:
    """Channels of an ONNX value of rank 3 and more (axis 1); a vector is one channel."""
    return activation.shape[1] if len(activation.shape) >= 3 else 1


@dataclass(frozen=True)
class Cause:
    """cause: a few words; why: with the figures; help: what to do, an option of edgec wherever there is one."""

    cause: str
    why: str
    help: str


def layer_rows(program: Program, statistics: dict[str, TensorStatistics], values: dict[str, str]) -> list[dict[str, Any]]:
    """One dict an input and operator whose values were compared, in order of execution.

    Args:
        statistics: by program tensor; values: program tensor → name of its ONNX value.
    """
    ratios = {t: s.noise_ratio for t, s in statistics.items()}
    rows = [_row(p.name, "input", values[p.tensor], statistics[p.tensor], 0.0) for p in program.inputs if p.tensor in statistics]
    for op in program.ops:
        before = max((ratios[t] for t in op.inputs if t in ratios), default=0.0)
        tensor = op.outputs[0]
        found = statistics.get(tensor)
        if found is None:
            ratios[tensor] = before  # moves or rescales bytes: as good as what it reads
            continue
        rows.append(_row(op.name, op.opcode, values[tensor], found, before))
    return rows


def _row(name: str, opcode: str, value: str, found: TensorStatistics, before: float) -> dict[str, Any]:
    return {
        "name": name,
        "opcode": opcode,
        "value": value,
        "sqnr_db": round(found.sqnr_db, 2),
        "input_sqnr_db": round(float(-10 * np.log10(before)), 2) if before > 1e-20 else None,
        "added_noise": max(found.noise_ratio - before, 0.0),
        "clipped": found.clipped / max(found.count, 1),
        "levels_used": found.q_high - found.q_low + 1,
        "channel_spread": round(found.spread, 1),
        "dead_channels": int(found.dead.sum()),
        "channels": found.signal.size,
        "range": [found.low, found.high],
        "seen": [found.histogram.low, found.histogram.high],
    }


def worst_layers(
    program: Program, rows: list[dict[str, Any]], statistics: dict[str, TensorStatistics], facts: dict[str, Any], most: int = 5
) -> list[dict[str, Any]]:
    """The layers that add most noise to what they read, each with its likely cause and what helps.

    facts: the manifest, for what was tried already.
    """
    outputs = {p.name: p.tensor for p in program.inputs} | {op.name: op.outputs[0] for op in program.ops}
    weighted = {op.name for op in program.ops if len(op.constants) > 1}
    total = sum(r["added_noise"] for r in rows) or 1.0
    chosen = sorted((r for r in rows if r["added_noise"] > 0.02 * total), key=lambda r: -r["added_noise"])
    found: list[dict[str, Any]] = []
    for row in chosen:
        cause = _cause(row, statistics[outputs[row["name"]]], row["name"] in weighted, facts)
        if cause is None or len(found) == most:
            continue
        found.append(
            {
                **{key: row[key] for key in ("name", "opcode", "sqnr_db")}, "share_of_noise": round(row["added_noise"] / total, 3),
                "cause": cause.cause, "why": cause.why, "help": cause.help,
            }
        )  # fmt: skip
    return found


def _cause(row: dict[str, Any], s: TensorStatistics, weighted: bool, facts: dict[str, Any]) -> Cause | None:
    """None where a layer only shows the errors of those before it (a sum or a softmax: errors cancel less than values do)."""
    shares = s.shares(row["added_noise"])
    elsewhere = str(facts["calibration"]).startswith("none")
    seen = f"values reach {row['seen'][0]:.4g} … {row['seen'][1]:.4g}, the range is {s.low:.4g} … {s.high:.4g}"
    if shares["clipped"] > 0.4:
        how = (
            "in the tool that quantized the model, widen this tensor's range"
            if elsewhere
            else ("add samples like these to --calibration; if they are in it already, --ranges minmax keeps all that calibration saw")
        )
        return Cause(
            "range clipped",
            f"{100 * row['clipped']:.2g} % of the values are clipped and make {100 * shares['clipped']:.0f} % of the noise; {seen}",
            how,
        )
    if shares["dead"] > 0.4:
        how = (
            "do not skip remove_constant_channels"
            if "remove_constant_channels" in facts.get("skip_passes", [])
            else ("prune these channels in training: they cost work and carry nothing")
        )
        return Cause(
            "dead channels",
            f"{row['dead_channels']} of {row['channels']} channels never change, and make {100 * shares['dead']:.0f} % of the noise",
            how,
        )
    few = row["levels_used"] <= LEVELS // 8
    if shares["rounding"] > 0.25 or few:
        if few or row["levels_used"] <= LEVELS // 4:
            how = (
                "choose this tensor's range from data like this"
                if elsewhere
                else "calibrate with data like this, and without outliers (leave --ranges at its default)"
            )
            return Cause("too few steps used", f"{row['levels_used']} of {LEVELS} levels occur; {seen}", how)
        if s.spread >= WIDE_SPREAD:
            kept = any("equalization" in r["name"] and r["kept"] for r in facts.get("quantization", {}).get("rungs", []))
            how = (
                "--equalize 1,1 evens channels out further"
                if kept
                else "--equalize 1,1 evens channels out; calibrate with more samples, so that it is kept"
            )
            levels = f"{2**s.bits / s.spread:.0f} of {2**s.bits:,} levels"
            why = f"the largest channel reaches {s.spread:.0f} times as far as a typical one, which has {levels}"
            return Cause(
                "channel spread",
                why,
                how if not elsewhere else "equalize channels before quantizing, or let edgec quantize the float model",
            )
        return Cause(
            f"rounding to int{s.bits}",
            f"{100 * shares['rounding']:.0f} % of the noise is what {s.bits} bits cost any tensor of this range",
            "nothing is wrong here; where it is too much, --cut-output at this tensor leaves what follows to float code",
        )
    if weighted:
        samples = facts.get("quantization", {}).get("samples")
        how = (
            "quantization-aware training, or let edgec quantize the float model"
            if elsewhere
            else (
                f"more calibration samples (there were {samples}): rounding of weights is fitted to them; then quantization-aware training"
            )
        )
        return Cause(
            "rounding of weights",
            f"its input has {_db(row['input_sqnr_db'])}, its output {_db(row['sqnr_db'])}: range and steps do not explain it, "
            "so weights do, or errors that add up",
            how,
        )
    return None


def _db(value: float | None) -> str:
    return "no error" if value is None else f"{value:.1f} dB"
