"""The picture of a noise report: bars of SQNR with one layer or activation quantized at a time. Alone as SVG, or as a section."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from edgec.page.html import section, tag

WIDTH, NAME, ROW, TOP = 980, 330, 26, 58
SCALE = ((20, 70), (10, 60), (0, 50))
"""Axes in dB that are tried, from the widest need; the first that holds the least value."""

COLOURS = {"8 bits": "#2563a8", "4 bits": "#b7791f", "activation": "#2a9d8f"}
"""Weights at 8 bits, weights at 4 bits, activations at 8 bits; the style sheet of the page has others for dark screens."""


def sensitivity_picture(report: Mapping[str, Any]) -> str:
    """report: what `edgec.compress.noise_report` gives. One self-contained SVG; a longer bar is less noise."""
    rows = [
        (layer["name"], f"{layer['operator']}, {layer['bytes_8']:,} bytes", [("8 bits", layer["noise_8"]), ("4 bits", layer["noise_4"])])
        for layer in report["layers"]
    ]
    rows += [(a["name"], f"{a['low']:.4g} … {a['high']:.4g}", [("activation", a["noise_8"])]) for a in report["activations"]]
    found = [decibels(n) for _, _, bars in rows for _, n in bars if n is not None]
    start, end = next((s for s in SCALE if s[0] <= min(found, default=20)), SCALE[-1])
    height = TOP + ROW * (len(rows) + 2) + 14
    x_of = lambda db: NAME + (min(max(db, start), end) - start) / (end - start) * (WIDTH - NAME - 70)  # noqa: E731
    parts = [
        f'<text class="soft" x="0" y="16">SQNR at the outputs in dB with this one alone quantized; all of int8: {report["sqnr_db"]:.1f} dB '
        "(dashed). Longer is better.</text>"
    ]
    for i, (key, about) in enumerate((("8 bits", "weights, 8 bits"), ("4 bits", "weights, 4 bits"), ("activation", "activations, 8 bits"))):
        parts.append(f'<rect class="b{i}" x="{180 * i}" y="26" width="10" height="10" rx="2"/><text x="{180 * i + 16}" y="35">{about}</text>')
    y = TOP
    for kind, group in (("layers", rows[: len(report["layers"])]), ("activations", rows[len(report["layers"]) :])):
        parts.append(f'<text class="head" x="0" y="{y + 16}">{kind}</text>')
        y += ROW
        for name, about, bars in group:
            parts.append(f'<g><title>{escape(name)}: {escape(about)}</title><text x="0" y="{y + 15}">{escape(_short(name))}</text>')
            drawn = [(key, n) for key, n in bars if n is not None]
            thick = 16 / len(drawn)
            for k, (key, noise) in enumerate(drawn):
                db, top = decibels(noise), y + 3 + k * (thick + 1)
                css = list(COLOURS).index(key)
                parts.append(f'<rect class="b{css}" x="{NAME}" y="{top:.1f}" width="{max(x_of(db) - NAME, 1):.1f}" height="{thick:.1f}" rx="2"/>')
                said = f"{db:.1f}" if db < 199 else "exact"
                parts.append(f'<text class="figure" x="{x_of(db) + 4:.1f}" y="{top + thick / 2 + 3:.1f}">{said}</text>')
            parts.append("</g>")
            y += ROW
    line = x_of(report["sqnr_db"])
    parts.append(f'<line class="base" x1="{line:.1f}" x2="{line:.1f}" y1="{TOP - 8}" y2="{height - 10}"/>')
    fills = "".join(f".b{i}{{fill:{colour}}}" for i, colour in enumerate(COLOURS.values()))
    style = (
        f"text{{font:12px system-ui,sans-serif;fill:#16202c}}.soft{{fill:#5b6876}}.head{{font-weight:700}}.figure{{font-size:10px}}{fills}"
        ".base{stroke:#b3261e;stroke-width:1.2;stroke-dasharray:4 3}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="sensitivity"><style>{style}</style>{"".join(parts)}</svg>'
    )


def sensitivity_section(report: Mapping[str, Any]) -> str:
    """For the page."""
    note = "How much signal is left over noise at the outputs when one thing alone is quantized: short bars are where to spend bits."
    if report["degraded"]:
        note += f" {report['degraded']}."
    return section("sensitivity", "Sensitivity", note, tag("div", sensitivity_picture(report), cls="wide sensitivity"))


def decibels(noise: float) -> float:
    return -10 * math.log10(noise) if noise > 1e-20 else 200.0


def _short(name: str, most: int = 46) -> str:
    return name if len(name) <= most else "…" + name[1 - most :]
