"""Which layers get weights of 4 bits and which of 8, so that all weights fit a number of bytes and the outputs suffer least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx_ir as ir

from edgec.compress.candidate import Candidate, RangeOptions
from edgec.compress.ladder import Choice
from edgec.compress.layerwise import LayerOptions
from edgec.compress.sensitivity import LayerSensitivity, measure
from edgec.compress.splits import Split
from edgec.errors import FitError
from edgec.progress import Progress

TRIES = 4
"""Combinations beside the predicted best one that are quantized and judged."""

PROVEN_DB = 0.2
"""By how much a choice with cautious layers at 4 bits must be better to be taken, where it is not needed to fit."""


def choose_bits(sensitivities: Sequence[LayerSensitivity], budget_bytes: int, *, cautious: bool = True) -> dict[str, int]:
    """Layer name → 4 or 8: the combination within budget_bytes whose predicted noise at the outputs is least.

    Noises of layers add up, so this is a knapsack: greedy by noise for each byte saved, then layers are given back or exchanged
    until nothing helps.

    Args:
        budget_bytes: for weights, biases and multipliers of all layers, as `weight_bytes` counts them.
        cautious: leave the first layers and depthwise ones at 8 bits if the budget can be met without them.

    Raises:
        FitError: 4 bits everywhere are too many bytes; it says how many they are.
    """
    over = sum(s.bytes_8 for s in sensitivities) - budget_bytes
    everywhere = [s for s in sensitivities if s.saved > 0]
    if over > sum(s.saved for s in everywhere):
        least = sum(s.bytes_4 for s in sensitivities)
        raise FitError(
            f"the weights cannot fit {budget_bytes:,} bytes",
            where="weight_bytes",
            why=f"with 4 bits in every layer that can have them they are {least:,}, biases and multipliers counted",
            fix=f"allow {least:,} bytes or more, or prune the network first",
        )
    spared = [s for s in everywhere if not s.cautious]
    allowed = spared if cautious and over <= sum(s.saved for s in spared) else everywhere
    narrow = _exchange(_greedy(allowed, over), allowed, over)
    return {s.name: 4 if s in narrow else 8 for s in sensitivities}


def bits_within(model: ir.Model, split: Split, options: Any, probes: int, progress: Progress | None) -> tuple[dict[str, int], list[LayerSensitivity]]:
    """`search_bits` for a float model whose layers have biases, as compress.Options have it before the ladder is climbed.

    Raises:
        FitError, DataError: as search_bits.
    """
    ranges = RangeOptions("minmax" if options.ranges == "minmax" else "mse", options.lattice)
    layers = LayerOptions(options.rounding, options.weight_search, options.bias_correction)
    return search_bits(Choice(Candidate(model, split, probes, progress), ranges, layers), options.weight_bytes, progress)


def search_bits(choice: Choice, budget_bytes: int, progress: Progress | None = None) -> tuple[dict[str, int], list[LayerSensitivity]]:
    """`choose_bits` with measured sensitivities, its best combinations then quantized and judged on the select part.

    Depthwise and first layers get 4 bits only if the budget cannot be met otherwise, or if that is better by PROVEN_DB.

    Raises:
        FitError: as choose_bits. DataError: as quantize.
    """
    found = measure(choice.candidate, choice.ranges, choice.layers, progress)
    careful, free = choose_bits(found, budget_bytes), choose_bits(found, budget_bytes, cautious=False)
    if all(b == 8 for b in careful.values()):
        return careful, found
    tried: dict[tuple[int, ...], float] = {}

    def judged(bits: Mapping[str, int]) -> float:
        key = tuple(bits.values())
        if key not in tried:
            tried[key] = replace(choice, layers=replace(choice.layers, bits=dict(bits))).judge().sqnr_db
            if progress is not None:
                progress("mixed precision", min(1.0, len(tried) / (TRIES + 2)))
        return tried[key]

    best = careful
    if free != careful:
        needed = {s.name for s in found if s.cautious and careful[s.name] == 4}
        margin = 0.0 if needed else PROVEN_DB
        if judged(free) > judged(careful) + margin:
            best = free
    allowed = [s for s in found if s.saved > 0 and (best is free or not s.cautious or careful[s.name] == 4)]
    for bits in _neighbours(best, allowed, found, budget_bytes)[:TRIES]:
        if judged(bits) > judged(best):
            best = bits
    return dict(best), found


def _greedy(allowed: Sequence[LayerSensitivity], over: int) -> set[LayerSensitivity]:
    narrow: set[LayerSensitivity] = set()
    for s in sorted(allowed, key=lambda s: s.noise_per_byte):
        if sum(n.saved for n in narrow) >= over:
            break
        narrow.add(s)
    return narrow


def _exchange(narrow: set[LayerSensitivity], allowed: Sequence[LayerSensitivity], over: int) -> set[LayerSensitivity]:
    """Takes the step that lowers the noise most, while there is one and the budget holds: one layer back to 8, or one or two for one."""
    while True:
        best, gain = None, 1e-15
        for out in sorted(narrow, key=lambda s: s.name):
            rest = narrow - {out}
            others = [s for s in allowed if s not in narrow]
            pairs = [{a, b} for i, a in enumerate(others) for b in others[i:]]
            for new in [set(), *pairs]:
                step = rest | new
                won = _noise(narrow) - _noise(step)
                if won > gain and sum(s.saved for s in step) >= over:
                    best, gain = step, won
        if best is None:
            return narrow
        narrow = best


def _neighbours(
    bits: Mapping[str, int], allowed: Sequence[LayerSensitivity], all_layers: Sequence[LayerSensitivity], budget_bytes: int
) -> list[dict[str, int]]:
    """Combinations one exchange away that fit, least predicted noise first."""
    narrow = {s for s in allowed if bits[s.name] == 4}
    others = [s for s in allowed if s not in narrow]
    steps = [(narrow - {out}) | {new} for out in narrow for new in others]
    over = sum(s.bytes_8 for s in all_layers) - budget_bytes
    fitting = [step for step in steps if sum(s.saved for s in step) >= over]
    fitting.sort(key=lambda step: (_noise(step), sorted(s.name for s in step)))
    return [{s.name: 4 if s in step else 8 for s in all_layers} for step in fitting]


def _noise(layers: set[LayerSensitivity]) -> float:
    return sum(s.noise for s in sorted(layers, key=lambda s: s.name))
