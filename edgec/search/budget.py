"""Budgets of a search: what may be limited, and reading it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgec.errors import UsageError
from edgec.limits import parse_size

if TYPE_CHECKING:
    from edgec.artifact import Artifact

FIGURES = {"weights": "weights_bytes", "flash": "flash_bytes", "ram": "ram_bytes", "macs": "macs", "instructions": "instructions"}
"""What may be limited → where `Artifact.report` has it. weights are the bytes of all constants as they lie in flash."""

COUNTS = ("macs", "instructions")
MEASURED = ("flash", "ram", "instructions")
"""Figures that the target's tool chain measures where it is installed."""

_THOUSANDS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def parse_budget(budget: Mapping[str, Any]) -> dict[str, int]:
    """Kind → greatest allowed value: sizes in bytes ("14K" is 14·1024), counts as numbers ("2.5M" is 2,500,000).

    Raises:
        UsageError: an unknown kind, or a value that is no size or count.
    """
    unknown = [k for k in budget if k not in FIGURES]
    if unknown:
        raise UsageError(f"unknown budget {unknown[0]!r}", where="budget", why=f"budgets are {', '.join(FIGURES)}", fix="use these names")
    return {
        kind: _count(value, kind) if kind in COUNTS else parse_size(value, f"budget, {kind}") for kind, value in budget.items() if value is not None
    }


def costs_of(artifact: Artifact, *, measure: bool) -> dict[str, int]:
    """All figures that a budget may limit."""
    figures = artifact.report(measure=measure)
    return {kind: int(figures[name]) for kind, name in FIGURES.items()}


def _count(value: Any, kind: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)\s*", str(value).upper())
    if found is None or isinstance(value, bool):
        raise UsageError(
            f"cannot read the count {value!r}",
            where=f"budget, {kind}",
            why="a count is a number, or one with K, M or G (thousands, millions, thousand millions)",
            fix="write, for example, 2500000 or 2.5M",
        )
    return int(float(found[1]) * _THOUSANDS[found[2]])
