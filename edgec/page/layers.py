"""The section with the graph: one row an operator, the rail at the left, bars for work, weights, bytes and error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgec.console import kernel_variant
from edgec.page.charts import colour_of, rail
from edgec.page.html import bar, cell, dot, row, section, shape, tag, text

if TYPE_CHECKING:
    from edgec.artifact import Artifact

AMOUNTS = ("macs", "weights_bytes", "output_bytes")
BEST_DB = 60.0
"""A full bar of SQNR."""


def layers_section(artifact: Artifact, figures: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> str:
    """figures: `Artifact.report()`; comparison adds the column of errors and tints the worst rows."""
    width, drawings = rail(artifact.program)
    layers, inputs, outputs = figures["layers"], artifact.program.inputs, artifact.program.outputs
    found = comparison or {}
    errors, worst = {r["name"]: r for r in found.get("layers", [])}, {w["name"] for w in found.get("worst", [])}
    most = {key: max((layer[key] for layer in layers), default=0) or 1 for key in AMOUNTS}
    span = 5 + bool(comparison)
    tensors = artifact.program.tensors
    rows = [_port(drawing, "input", p, tensors[p.tensor].dtype, span) for drawing, p in zip(drawings, inputs, strict=False)]
    for drawing, layer in zip(drawings[len(inputs) :], layers, strict=False):
        cells = [cell(drawing, cls="rail"), _name(layer), _output(layer), *(_amount(layer[key], most[key]) for key in AMOUNTS)]
        if comparison:
            cells.append(_error(errors.get(layer["name"])))
        rows.append(row(cells, cls="layer worst" if layer["name"] in worst else "layer"))
    ends = zip(drawings[len(inputs) + len(layers) :], outputs, strict=False)
    rows += [_port(drawing, "output", p, tensors[p.tensor].dtype, span) for drawing, p in ends]
    note = "In order of execution. The line at the left is the graph; a tensor that is read later runs beside it."
    if worst:
        note += " Tinted rows add most noise."
    if found.get("not_compared"):
        note += f" Not compared, since they have no counterpart in the float model: {len(found['not_compared'])}."
    table = tag("table", _head(width, bool(comparison)), *rows, cls="layers")
    return section("layers", "Layers", note, tag("div", table, cls="wide"))


def _head(width: int, errors: bool) -> str:
    names = ["MACs", "weights, bytes", "output, bytes", *(["SQNR to float"] if errors else [])]
    fixed = [tag("th", style=f"width:{width}px"), tag("th", "layer", style="width:30%"), tag("th", "output", style="width:15%")]
    return row([*fixed, *(tag("th", n) for n in names)])


def _port(drawing: str, kind: str, port: Any, dtype: str, span: int) -> str:
    said = tag("span", text(port.name), cls="name") + " " + tag("span", f"{kind}, {shape(port.shape)}, {dtype}", cls="sub")
    return row([cell(drawing, cls="rail"), tag("td", said, colspan=span)])


def _name(layer: Mapping[str, Any]) -> str:
    below = f"{dot(colour_of(layer['opcode']))}{text(layer['opcode'])} · {text(kernel_variant(layer))}"
    return cell(
        tag("div", text(layer["name"]), cls="name", title=layer["name"]),
        tag("div", below, cls="sub", title=layer["kernel"]),
    )


def _output(layer: Mapping[str, Any]) -> str:
    scratch = f"scratch {layer['scratch_bytes']:,} B" if layer["scratch_bytes"] else "no scratch"
    return cell(tag("span", shape(layer["output_shape"])), tag("div", scratch, cls="sub"))


def _amount(value: int, most: int) -> str:
    return cell(tag("span", text(value)), bar(100 * value / most)) if value else cell("–", cls="sub")


def _error(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return cell("–", cls="sub")
    db = found["sqnr_db"]
    grade = "good" if db >= 35 else "fair" if db >= 25 else "warn" if db >= 15 else "bad"
    return cell(tag("span", f"{db:.1f} dB", cls=grade), bar(100 * db / BEST_DB, grade))
