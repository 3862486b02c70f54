"""The section that sets int8 beside the float model: accuracy with intervals, and where the noise comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgec.page.charts import interval
from edgec.page.html import cell, row, section, tag, text

PROPORTIONS = (
    ("float accuracy", "float_accuracy", "fair"),
    ("int8 accuracy", "int8_accuracy", "good"),
    ("same class as float", "agreement", "good"),
)


def accuracy_section(comparison: Mapping[str, Any]) -> str:
    """comparison: what `edgec.compare` gave."""
    rows = [r for output in comparison["outputs"] for r in _output(output)]
    note = f"{comparison['samples']:,} samples; compared with {comparison['reference']}."
    parts = [tag("div", tag("table", *rows), cls="wide")]
    if comparison["worst"]:
        said = f"Where the noise comes in ({comparison['layer_samples']} samples, layer by layer):"
        parts += [tag("p", text(said), cls="note", style="margin:18px 0 0"), tag("div", *map(_card, comparison["worst"]), cls="cards")]
    return section("accuracy", "Beside the float model", note, *parts)


def _output(output: Mapping[str, Any]) -> list[str]:
    shown = [(name, output[key], output[f"{key}_interval"], css) for name, key, css in PROPORTIONS if key in output]
    start = max(0.0, 10 * (min((bounds[0] for _, _, bounds, _ in shown), default=0) // 10 - 1))
    rows = []
    for name, value, (low, high), css in shown:
        figure, words = tag("b", f"{value:g} %"), f"{low:g} to {high:g} % (Wilson, 95 %)"
        drawn = interval(value, low, high, start, css)
        rows.append(row([cell(text(output["name"])), cell(name), cell(figure, cls="num"), cell(drawn), cell(words, cls="sub")]))
    if "sqnr_db" not in output:  # indices
        return rows
    error = f"largest error {output['largest_error']:.4g} ({output['largest_error_steps']:g} steps)"
    if "right_only_in_float" in output:
        error += f"; {output['right_only_in_float']} right only in float, {output['right_only_in_int8']} only in int8"
    figure = tag("b", f"{output['sqnr_db']:.1f} dB")
    return [*rows, row([cell(text(output["name"])), cell("SQNR"), cell(figure, cls="num"), cell(), cell(error, cls="sub")])]


def _card(worst: Mapping[str, Any]) -> str:
    adds = f"adds {100 * worst['share_of_noise']:.0f} % of the noise · {worst['sqnr_db']:.1f} dB behind it"
    return tag(
        "div",
        tag("h3", text(worst["name"])),
        tag("div", text(worst["cause"]), cls="cause"),
        tag("div", adds, cls="sub"),
        tag("p", text(worst["why"])),
        tag("p", text(worst["help"]), cls="help"),
        cls="card",
    )
