"""Small drawings of the report: the graph's rail, histograms, intervals. SVG text that is well-formed XML too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edgec.ir.core import Program
from edgec.planning.picture import COLOURS, OTHER

ROW, LANE, NODE = 48, 14, 5.5


def colour_of(opcode: str) -> str:
    return COLOURS.get(opcode, OTHER)


def rail(program: Program) -> tuple[int, list[str]]:
    """The graph as a rail beside a list: (width in pixels, one SVG a row), rows being inputs, operators, outputs.

    Every row is a node on the left-hand line; a tensor that skips rows runs in a lane of its own beside it.
    """
    rows: list[tuple[list[str], str | None, str]] = [([], p.tensor, "input") for p in program.inputs]
    rows += [(list(dict.fromkeys(op.inputs)), op.outputs[0], op.opcode) for op in program.ops]
    rows += [([p.tensor], None, "output") for p in program.outputs]
    made = {t: i for i, (_, t, _) in enumerate(rows) if t is not None}
    reads: dict[str, list[int]] = {}
    for i, (inputs, _, _) in enumerate(rows):
        for t in inputs:
            reads.setdefault(t, []).append(i)
    lanes: list[int] = []  # row until which a lane is taken
    long: list[tuple[int, int, int, list[int]]] = []  # lane, first row, last row, rows that read
    straight = set()
    for t, start in sorted(made.items(), key=lambda item: item[1]):
        far = [i for i in reads.get(t, []) if i > start + 1]
        if start + 1 in reads.get(t, []):
            straight.add(start)
        if far:
            lane = next((k for k, until in enumerate(lanes) if until <= start), len(lanes))
            if lane == len(lanes):
                lanes.append(0)
            lanes[lane] = far[-1]
            long.append((lane + 1, start, far[-1], far))
    width = 22 + LANE * len(lanes)
    half, x0 = ROW / 2, 11.0
    drawings = []
    for i, (_, _, kind) in enumerate(rows):
        parts = []
        if i in straight:
            parts.append(f'<path d="M{x0} {half} V{ROW}"/>')
        if i - 1 in straight:
            parts.append(f'<path d="M{x0} 0 V{half}"/>')
        for lane, first, last, readers in long:
            x = x0 + LANE * lane
            if i == first:
                parts.append(f'<path d="M{x0} {half} H{x - 6} Q{x} {half} {x} {half + 6} V{ROW}"/>')
            elif i == last:
                parts.append(f'<path d="M{x} 0 V{half - 6} Q{x} {half} {x - 6} {half} H{x0}"/>')
            elif first < i < last:
                parts.append(f'<path d="M{x} 0 V{ROW}"/>' + (f'<path d="M{x} {half} H{x0}"/>' if i in readers else ""))
        fill = "var(--panel)" if kind in ("input", "output") else colour_of(kind)
        stroke = "var(--soft)" if kind in ("input", "output") else fill
        node = f'<circle cx="{x0}" cy="{half}" r="{NODE}" fill="{fill}" stroke="{stroke}" stroke-width="2"/>'
        drawings.append(
            f'<svg width="{width}" height="{ROW}" viewBox="0 0 {width} {ROW}" aria-hidden="true">'
            f'<g fill="none" stroke="var(--soft)" stroke-width="1.6" opacity=".75">{"".join(parts)}</g>{node}</svg>'
        )
    return width, drawings


def histogram(h: Mapping[str, Any]) -> str:
    """Counts (log height) over values, the int8 range shaded, what lies outside in another colour.

    h: edges [n + 1], counts [n], low and high of the range.
    """
    width, height, base = 240.0, 84.0, 66.0
    edges, counts = h["edges"], h["counts"]
    left, right = min(edges[0], h["low"]), max(edges[-1], h["high"])
    span = (right - left) or 1.0
    x_of = lambda v: (v - left) / span * width  # noqa: E731
    tallest = math.log1p(max(counts, default=0)) or 1.0
    parts = [
        f'<rect class="range" x="{x_of(h["low"]):.1f}" y="4" width="{max(x_of(h["high"]) - x_of(h["low"]), 1):.1f}" height="{base - 4}"/>',
        '<g class="bars">',
    ]
    for a, b, n in zip(edges, edges[1:], counts, strict=False):
        if n:
            tall = max(math.log1p(n) / tallest * (base - 10), 1.0)
            outside = not h["low"] <= (a + b) / 2 <= h["high"]
            css, x, wide = ' class="out"' if outside else "", x_of(a), max(x_of(b) - x_of(a) - 0.4, 0.8)
            about = f"<title>{n:,} values from {a:.4g} to {b:.4g}</title>"
            parts.append(f'<rect{css} x="{x:.2f}" y="{base - tall:.1f}" width="{wide:.2f}" height="{tall:.1f}">{about}</rect>')
    parts.append("</g>")
    for edge in (h["low"], h["high"]):
        x = min(max(x_of(edge), 0.7), width - 0.7)
        parts.append(f'<line class="edge" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{base}"/>')
    parts.append(f'<line class="axis" x1="0" x2="{width}" y1="{base}" y2="{base}"/>')
    parts.append(f'<text x="0" y="{height - 6}">{left:.4g}</text><text x="{width}" y="{height - 6}" text-anchor="end">{right:.4g}</text>')
    if left < 0 < right and 0.12 < -left / span < 0.88:
        x = x_of(0)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">0</text>')
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="histogram">{"".join(parts)}</svg>'


def interval(value: float, low: float, high: float, start: float, css: str, width: float = 260.0) -> str:
    """A proportion in percent as a dot, with its interval as a line, on an axis from `start` to 100 %."""
    span = max(100 - start, 1e-9)
    x_of = lambda v: 6 + (max(v, start) - start) / span * (width - 12)  # noqa: E731
    about = escape(f"{value:g} %, 95 % interval {low:g} to {high:g}")
    thick = 'stroke-width="4" stroke-linecap="round"'
    return (
        f'<svg width="{width:g}" height="20" viewBox="0 0 {width:g} 20" class="{css}" role="img"><title>{about}</title>'
        f'<line x1="6" x2="{width - 6}" y1="10" y2="10" stroke="var(--track)" {thick}/>'
        f'<line x1="{x_of(low):.1f}" x2="{x_of(high):.1f}" y1="10" y2="10" stroke="currentColor" {thick} opacity=".45"/>'
        f'<circle cx="{x_of(value):.1f}" cy="10" r="5" fill="currentColor"/></svg>'
    )


def split_bar(parts: Sequence[tuple[float, str]]) -> str:
    """A thin bar cut into (size, colour)."""
    total = sum(size for size, _ in parts) or 1
    return (
        '<div class="split">'
        + "".join(f'<i style="width:{100 * size / total:.2f}%;background:{colour}"></i>' for size, colour in parts if size)
        + "</div>"
    )
