"""The report as one self-contained HTML file: no script, no font, no picture from anywhere else.

The text is well-formed XML as well as HTML, so that any parser can check it; the figures are in it a second time as JSON, in the
element with id "figures".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgec.page.accuracy import accuracy_section
from edgec.page.charts import histogram, split_bar
from edgec.page.html import bar, cell, dot, heads, row, section, shape, tag, text
from edgec.page.layers import layers_section
from edgec.page.sensitivity import sensitivity_section
from edgec.page.style import CSS
from edgec.plan import explain
from edgec.planning.picture import plan_picture

if TYPE_CHECKING:
    from edgec.artifact import Artifact

PARTS = ("var(--accent)", "var(--second)", "var(--third)")


def report_page(
    artifact: Artifact,
    *,
    figures: Mapping[str, Any] | None = None,
    comparison: Mapping[str, Any] | None = None,
    sensitivity: Mapping[str, Any] | None = None,
) -> str:
    """The page.

    Args:
        figures: what `Artifact.report()` gave (it is called where there is none).
        comparison: what `edgec.compare` gave: adds errors of layers, accuracy beside float, and histograms of the compared data.
            Without it, histograms are those of the calibration, where this process compiled the artifact.
        sensitivity: what `edgec.compress.noise_report` gave: adds the picture of it.
    """
    figures = figures or artifact.report()
    body = [
        _header(artifact, figures),
        _tiles(figures, comparison),
        accuracy_section(comparison) if comparison else "",
        layers_section(artifact, figures, comparison),
        _memory(artifact),
        _ranges(artifact, comparison),
        _ladder(artifact),
        sensitivity_section(sensitivity) if sensitivity else "",
        _ports(figures),
        _figures(figures),
        tag("footer", f"Made by edgec {text(figures['edgec'])}. Bytes are exact; each other figure names its source."),
    ]
    data = json.dumps({"report": figures, "comparison": comparison}, sort_keys=True)
    for character in "<>&":  # the same bytes must be JSON, HTML and XML
        data = data.replace(character, f"\\u{ord(character):04x}")
    head = tag(
        "head",
        '<meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>',
        tag("title", f"{text(figures['model'])} on {text(figures['target'])}: edgec report"),
        tag("style", CSS),
    )
    main = tag("main", "\n".join(part for part in body if part))
    script = tag("script", data, type="application/json", id="figures")
    return "<!DOCTYPE html>\n" + tag("html", head, "\n", tag("body", main, "\n", script), lang="en") + "\n"


def _header(artifact: Artifact, figures: Mapping[str, Any]) -> str:
    samples = artifact.manifest.get("quantization", {}).get("samples")
    chips = [
        f"target {tag('b', text(artifact.target.name))}",
        f"weights packed for {tag('b', text(figures['layout']))}",
        f"{tag('b', str(len(figures['layers'])))} operators",
        f"calibration {tag('b', text(figures['calibration']))}" + (f", {samples:,} samples" if samples else ""),
    ]
    drawn = [tag("span", chip, cls="chip") for chip in chips]
    if figures["accuracy"] == "unverified":
        drawn.append(tag("span", "accuracy unverified: calibrated with noise", cls="chip bad"))
    left = _left_to_caller(figures)
    if left:
        drawn.append(tag("span", f"left to the caller: {len(left)} nodes", cls="chip bad"))
    lead = f"{text(artifact.target.description)}. Integers only: the same bytes on every machine."
    name = tag("h1", text(figures["model"]))
    return tag("header", tag("div", "edgec report", cls="brand"), name, tag("p", lead, cls="lead"), tag("div", *drawn, cls="chips"))


def _tiles(figures: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> str:
    proven = figures["arena_bytes"] == figures["arena_lower_bound"]
    exact = "the arena is exact, and proven smallest for this order" if proven else "the arena is exact"
    ram = [("arena", figures["arena_bytes"]), ("stack", figures["ram_bytes"] - figures["arena_bytes"])]
    program = figures["artifact_bytes"] - figures["weights_bytes"]
    flash = [("weights", figures["weights_bytes"]), ("program", program), ("code", figures["code_bytes"])]
    saved = figures["macs_source"] - figures["macs"]
    fewer = f"{saved:,} fewer than the model has" if saved > 0 else "as the model has"
    each = f"{figures['instructions'] / max(figures['macs'], 1):.2f} for each MAC"
    tiles = [
        _tile("RAM", text(figures["ram_bytes"]), "bytes", _split(ram), f"{exact}; stack {figures['stack_source']}"),
        _tile("Flash", text(figures["flash_bytes"]), "bytes", _split(flash), f"artifact exact; code {figures['code_source']}"),
        _tile("Multiply-accumulates", text(figures["macs"]), "", fewer, "exact"),
        _tile("Instructions", text(figures["instructions"]), "", each, figures["instructions_source"]),
    ]
    if "estimated_ms" in figures:
        source = figures["estimated_ms_source"]
        label = "Time of one inference, measured" if source.startswith("measured") else "Estimated time of one inference"
        tiles.append(_tile(label, f"{figures['estimated_ms']:,.4g}", "ms", "", source))
    if comparison:
        tiles.append(_accuracy_tile(comparison))
    return tag("div", *tiles, cls="tiles")


def _accuracy_tile(comparison: Mapping[str, Any]) -> str:
    first, samples = comparison["outputs"][0], f"{comparison['samples']:,} samples"
    for label, key in (("Accuracy, int8", "int8_accuracy"), ("Agreement with float", "agreement")):
        if key in first:
            low, high = first[f"{key}_interval"]
            beside = f"float {first['float_accuracy']:g} %" if key == "int8_accuracy" else ""
            beside = beside or (f"SQNR {first['sqnr_db']:.1f} dB" if "sqnr_db" in first else "indices")
            return _tile(label, f"{first[key]:g}", "%", beside, f"{samples}, 95 % interval {low:g} to {high:g}")
    return _tile("Output SQNR", f"{first['sqnr_db']:.1f}", "dB", f"largest error {first['largest_error']:.4g}", samples)


def _tile(label: str, value: str, unit: str, parts: str, source: str) -> str:
    figure = tag("div", value, tag("small", unit), cls="value")
    return tag(
        "div", tag("div", label, cls="label"), figure, tag("div", parts, cls="parts"), tag("div", text(source), cls="source"), cls="tile"
    )


def _split(parts: list[tuple[str, int]]) -> str:
    keys = [tag("span", dot(colour), f"{name} {size:,}", cls="part") for (name, size), colour in zip(parts, PARTS, strict=False)]
    return split_bar([(size, colour) for (_, size), colour in zip(parts, PARTS, strict=False)]) + "".join(keys)


def _memory(artifact: Artifact) -> str:
    plan = explain(artifact.program, artifact.kernels, artifact.plan)
    picture = plan_picture(artifact.program, plan).replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)
    note = (
        "The arena (offset upwards) over the steps of one inference. A box is a tensor, from the step that writes it to the last "
        "that reads it; crossing boxes share bytes safely."
    )
    peak = tag("p", tag("b", "Peak:"), f" {text(plan.bound_by)} bytes.")
    return section("memory", "Memory over time", note, peak, tag("div", picture, cls="wide plan"))


def _ranges(artifact: Artifact, comparison: Mapping[str, Any] | None) -> str:
    found: dict[str, dict[str, Any]] = {}
    if comparison and comparison["histograms"]:
        source = f"the float model's values for {comparison['layer_samples']} samples of the data compared"
        for name, h in comparison["histograms"].items():
            found[name] = h | {"about": f"{100 * h['clipped']:.2g} % clipped"}
    elif artifact.quantization is not None:
        source = "the calibration data"
        for t in artifact.quantization["tensors"]:
            half = 32768 if t["rule"] == "16 bits" else 128
            low, high = ((q - t["zero_point"]) * t["scale"] for q in (-half, half - 1))
            about = f"{t['rule']} range, {100 * t['clipped']:.2g} % clipped"
            found[t["name"]] = {"edges": t["edges"], "counts": t["counts"], "low": low, "high": high, "about": about}
    else:
        return ""
    drawn = [
        tag(
            "div",
            tag("div", text(name), cls="name", title=name),
            histogram(h),
            tag("div", f"int8 {h['low']:.4g} … {h['high']:.4g} · {text(h['about'])}", cls="sub"),
            cls="hist",
        )
        for name, h in found.items()
    ]
    note = f"Histograms of {source}; height is logarithmic. Shaded: what int8 can hold. Red: values outside, which are clipped."
    return section("ranges", "Ranges", note, tag("div", *drawn, cls="hists"))


def _ladder(artifact: Artifact) -> str:
    rungs = artifact.manifest.get("quantization", {}).get("rungs", [])
    if not rungs:
        return ""
    top = max(abs(r["sqnr_db"]) for r in rungs) or 1.0
    rows = []
    for r in rungs:
        drawn = bar(100 * r["sqnr_db"] / top, "good" if r["kept"] else "warn")
        gain = f"{r['gain_db']:+.1f} ± {r['chance_db']:.1f} dB" if r is not rungs[0] else ""
        cells = [cell(text(r["name"])), cell(f"{r['sqnr_db']:.1f} dB", cls="num"), cell(drawn, style="width:40%"), cell(gain, cls="num")]
        rows.append(row([*cells, cell("kept" if r["kept"] else "left out: it did not help")]))
    note = "Each step is judged by the noise that it takes away, on calibration samples it was not fitted to."
    found = artifact.manifest["quantization"]
    said = [tag("p", text(found["degraded"]), cls="note")] if found.get("degraded") else []
    for o in found.get("outputs", []):
        same = f", same class as float for {o['agreement']:g} %" if o["agreement"] is not None else ""
        said.append(tag("p", f"{text(o['name'])}: {o['sqnr_db']:.1f} dB{same}, on {o['samples']:,} samples of calibration that chose nothing."))
    return section("quantization", "What quantization tried", note, tag("table", *rows), *said)


def _ports(figures: Mapping[str, Any]) -> str:
    rows = [
        row(
            [
                cell(side),
                cell(text(p["name"])),
                cell(shape(p["shape"])),
                *(cell(value, cls="num") for value in (text(p["bytes"]), f"{p['scale']:.8g}", str(p["zero_point"]))),
                cell(text(p["layout"]), cls="sub"),
            ]
        )
        for side in ("inputs", "outputs")
        for p in figures[side]
    ]
    head = heads(["", "name", "shape", "bytes", "scale", "zero_point", "layout"], right=["bytes", "scale", "zero_point"])
    parts = [tag("div", tag("table", head, *rows), cls="wide")]
    left = _left_to_caller(figures)
    if left:
        parts += [tag("h2", "Left to the caller"), tag("ul", *(tag("li", tag("code", text(n))) for n in left))]
    return section("ports", "Inputs and outputs", "", *parts)


def _left_to_caller(figures: Mapping[str, Any]) -> list[str]:
    return [node for side in ("before", "after") for node in figures["left_to_caller"].get(side, [])]


def _figures(figures: Mapping[str, Any]) -> str:
    plain = [(k, v) for k, v in figures.items() if not isinstance(v, (list, dict))]
    listed = [part for k, v in plain for part in (tag("dt", text(k)), tag("dd", text(v)))]
    return section("all-figures", "All figures", "", tag("dl", *listed, cls="figures"))
