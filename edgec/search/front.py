"""The Pareto front of a search: its points, the best of them, JSON and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from edgec.files import write_file
from edgec.search.candidate import Point

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 460, 76, 24, 56, 58
UNITS = {"weights": "bytes of weights", "flash": "bytes of flash", "ram": "bytes of RAM", "macs": "MACs", "instructions": "instructions"}


@dataclass(frozen=True)
class Front:
    """All points that a search tried.

    tried: every point, failed ones too; limits: the budget; float_score: of the float model; max_drop: how far below it a score may
    be; axes: the costs that the front is drawn over; evidence: the best point against the float model on samples that were never
    used for a choice (plain values).
    """

    tried: tuple[Point, ...]
    limits: Mapping[str, int]
    float_score: float
    max_drop: float
    axes: tuple[str, ...]
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def points(self) -> tuple[Point, ...]:
        """Those that no other point beats: better or equal in merit and in every cost on the axes. Cheapest first."""
        made = [p for p in self.tried if not p.error]
        kept = [p for p in made if not any(self._beats(q, p) for q in made)]
        return tuple(sorted(kept, key=lambda p: tuple(p.costs[a] for a in self.axes)))

    @property
    def best(self) -> Point | None:
        """The greatest merit (score, or least distance from the float model) within budget and drop; of equal ones the cheapest. None where
        there is none."""
        allowed = [p for p in self.tried if not p.error and self.fits(p) and self.near(p)]
        return max(allowed, key=lambda p: (p.merit, *(-p.costs[a] for a in self.axes)), default=None)

    def near(self, point: Point) -> bool:
        """Whether its score keeps to the drop."""
        return point.score >= self.float_score - self.max_drop - 1e-9

    def fits(self, point: Point) -> bool:
        """Whether it keeps to the budget."""
        return all(point.costs[kind] <= limit for kind, limit in self.limits.items())

    def _beats(self, a: Point, b: Point) -> bool:
        pairs = [(a.costs[k], b.costs[k]) for k in self.axes]
        no_worse = a.merit >= b.merit and all(x <= y for x, y in pairs)
        return no_worse and (a.merit > b.merit or any(x < y for x, y in pairs))

    def as_dict(self) -> dict[str, Any]:
        """Plain values: budget, float score, every point with costs, which are on the front, which is the best."""
        best, front = self.best, self.points
        return {
            "budget": dict(self.limits),
            "float_score": self.float_score,
            "max_drop": self.max_drop,
            "axes": list(self.axes),
            "best": None if best is None else str(best.candidate),
            "evidence": dict(self.evidence),
            "points": [
                p.as_dict() | ({} if p.error else {"on_front": p in front, "fits": self.fits(p), "best": p is best}) for p in self.tried
            ],
        }

    def save_json(self, path: str | os.PathLike) -> Path:
        """Write as_dict as JSON."""
        return write_file(path, json.dumps(self.as_dict(), indent=1).encode())

    def save_picture(self, path: str | os.PathLike) -> Path:
        """Write the picture as SVG."""
        return write_file(path, self.picture().encode())

    def picture(self, axis: str | None = None) -> str:
        """SVG text: score over one cost (the first axis), the front as a line, budget and allowed drop as borders."""
        axis = axis or self.axes[0]
        made = sorted((p for p in self.tried if not p.error), key=lambda p: p.costs[axis])
        if not made:
            return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><title>no points</title></svg>'
        limit = self.limits.get(axis)
        right = max([p.costs[axis] for p in made] + ([limit] if limit else [])) * 1.06
        scores = [p.score for p in made] + [self.float_score, self.float_score - self.max_drop]
        span = max(max(scores) - min(scores), 1e-6)
        low, high = min(scores) - 0.08 * span, max(scores) + 0.08 * span
        return _Drawing(self, axis, made, limit, right, low, high).svg()


class _Drawing:
    def __init__(self, front: Front, axis: str, made: Sequence[Point], limit: int | None, right: float, low: float, high: float) -> None:
        self.front, self.axis, self.made, self.limit = front, axis, made, limit
        self.right, self.low, self.high = right, low, high

    def x(self, cost: float) -> float:
        return LEFT + cost / self.right * (WIDTH - LEFT - RIGHT)

    def y(self, score: float) -> float:
        return HEIGHT - BOTTOM - (score - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def svg(self) -> str:
        front, floor = self.front, self.front.float_score - self.front.max_drop
        best = front.best
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12">',
            f'<title>Search</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            _text(LEFT, 22, f"Score over {UNITS[self.axis]}", size=16, weight="600"),
            _text(LEFT, 40, f"best: {best.candidate}" if best else "no point keeps to budget and drop", colour="#2563a8" if best else "#b3261e"),
        ]
        right_edge, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        allowed = self.x(self.limit) if self.limit else right_edge
        parts.append(
            f'<rect x="{LEFT}" y="{TOP}" width="{min(allowed, right_edge) - LEFT:.1f}" height="{max(self.y(floor) - TOP, 0):.1f}" fill="#1f8a5b" '
            'fill-opacity="0.08"><title>within budget and drop</title></rect>'
        )
        for k in range(6):
            score = self.low + (self.high - self.low) * k / 5
            parts.append(f'<line x1="{LEFT}" x2="{right_edge}" y1="{self.y(score):.1f}" y2="{self.y(score):.1f}" stroke="#edf0f4"/>')
            parts.append(_text(LEFT - 8, self.y(score) + 4, f"{score:.4g}", anchor="end", colour="#5b6876"))
            cost = self.right * k / 5
            parts.append(_text(self.x(cost), bottom + 18, f"{cost:,.0f}", anchor="middle", colour="#5b6876"))
        parts.append(_text((LEFT + right_edge) / 2, HEIGHT - 14, UNITS[self.axis], anchor="middle"))
        parts += self._border(LEFT, right_edge, self.y(front.float_score), f"float: {front.float_score:.4g}", "#16202c", "2 3")
        parts += self._border(LEFT, right_edge, self.y(floor), f"allowed: {floor:.4g}", "#b7791f", "6 4")
        if self.limit:
            x = self.x(self.limit)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="#b3261e" stroke-dasharray="6 4"/>')
            parts.append(_text(x - 6, bottom - 8, f"budget: {self.limit:,}", anchor="end", colour="#b3261e"))
        line = " ".join(f"{self.x(p.costs[self.axis]):.1f},{self.y(p.score):.1f}" for p in self._staircase())
        parts.append(f'<polyline points="{line}" fill="none" stroke="#6aa9e9" stroke-width="2"/>')
        on_front = front.points
        for p in self.made:
            about = escape(f"{p.candidate}: score {p.score:.4g}, " + ", ".join(f"{k} {v:,}" for k, v in p.costs.items()))
            style = 'r="7" fill="#1f8a5b"' if p is best else 'r="5" fill="#2563a8"' if p in on_front else 'r="4" fill="#b8c2cc"'
            parts.append(
                f'<circle cx="{self.x(p.costs[self.axis]):.1f}" cy="{self.y(p.score):.1f}" {style} stroke="#ffffff"><title>{about}</title></circle>'
            )
        return "".join(parts) + "</svg>"

    def _staircase(self) -> list[Point]:
        """The points that nothing cheaper on this axis beats."""
        line: list[Point] = []
        for p in self.made:
            if not line or p.score > line[-1].score:
                line.append(p)
        return line

    def _border(self, left: float, right: float, y: float, text: str, colour: str, dash: str) -> list[str]:
        return [
            f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-dasharray="{dash}"/>',
            _text(right, y - 5, text, anchor="end", colour=colour),
        ]


def _text(x: float, y: float, text: str, *, size: int = 12, colour: str = "#16202c", anchor: str = "start", weight: str = "400") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
