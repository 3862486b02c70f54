"""The report as one self-contained HTML file: no script, no font, no picture from anywhere else.

The text is well-formed XML as well as HTML, so that any parser can check it; the figures are in it a second time as JSON, in the
element with id "figures".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from edgec.console import kernel_variant
from edgec.page.charts import colour_of, histogram, interval, rail, split_bar
from edgec.page.style import CSS
from edgec.plan import explain
from edgec.planning.picture import plan_picture

if TYPE_CHECKING:
    from edgec.artifact import Artifact

COLOURS = ("var(--accent)", "var(--second)", "var(--third)")


def report_page(artifact: Artifact, *, figures: Mapping[str, Any] | None = None, comparison: Mapping[str, Any] | None = None) -> str:
    """The page.

    Args:
        figures: what `Artifact.report()` gave (it is called where there is none).
        comparison: what `edgec.compare` gave: adds errors of layers, accuracy beside float, and histograms of the compared data.
            Without it, histograms are those of the calibration, where this process compiled the artifact.
    """
    figures = figures or artifact.report()
    sections = [_header(artifact, figures), _tiles(figures, comparison)]
    if comparison:
        sections.append(_accuracy(comparison))
    sections += [_layers(artifact, figures, comparison), _memory(artifact), _ranges(artifact, comparison), _ladder(artifact), _figures(figures)]
    data = json.dumps({"report": figures, "comparison": comparison}, sort_keys=True)
    for character in "<>&":  # the same bytes must be JSON, HTML and XML
        data = data.replace(character, f"\\u{ord(character):04x}")
    title = escape(f"{figures['model']} on {figures['target']}")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{title}: edgec report</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(s for s in sections if s)
        + f'\n<footer>Made by edgec {escape(str(figures["edgec"]))}. Bytes are exact; each other figure names its source.</footer>\n</main>\n'
        + f'<script type="application/json" id="figures">{data}</script>\n</body>\n</html>\n'
    )


def _header(artifact: Artifact, figures: Mapping[str, Any]) -> str:
    target = artifact.target
    chips = [f"target <b>{escape(target.name)}</b>", f"weights packed for <b>{escape(figures['layout'])}</b>", f"<b>{len(figures['layers'])}</b> operators"]
    samples = artifact.manifest.get("quantization", {}).get("samples")
    kind = escape(str(figures["calibration"]))
    chips.append(f"calibration <b>{kind}</b>" + (f", {samples:,} samples" if samples else ""))
    listed = "".join(f'<span class="chip">{c}</span>' for c in chips)
    if figures["accuracy"] == "unverified":
        listed += '<span class="chip bad">accuracy unverified: calibrated with noise</span>'
    left = [n for side in ("before", "after") for n in figures["left_to_caller"].get(side, [])]
    if left:
        listed += f'<span class="chip bad">left to the caller: {len(left)} nodes</span>'
    return (
        f'<header><div class="brand">edgec report</div><h1>{escape(figures["model"])}</h1>'
        f'<p class="lead">{escape(target.description)}. Integers only: the same bytes on every machine.</p><div class="chips">{listed}</div></header>'
    )


def _tile(label: str, value: str, unit: str, parts: str, source: str) -> str:
    return (
        f'<div class="tile"><div class="label">{escape(label)}</div><div class="value">{value}<small>{escape(unit)}</small></div>'
        f'<div class="parts">{parts}</div><div class="source">{escape(source)}</div></div>'
    )


def _keys(parts: list[tuple[str, int]]) -> str:
    bar = split_bar([(size, COLOURS[i]) for i, (_, size) in enumerate(parts)])
    return bar + "".join(f'<span class="part"><span class="key" style="background:{COLOURS[i]}"></span>{escape(name)} {size:,}</span>' for i, (name, size) in enumerate(parts))


def _tiles(figures: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> str:
    stack = figures["ram_bytes"] - figures["arena_bytes"]
    other = figures["artifact_bytes"] - figures["weights_bytes"]
    saved = figures["macs_source"] - figures["macs"]
    proof = "the arena is exact, and proven smallest for this order" if figures["arena_bytes"] == figures["arena_lower_bound"] else "the arena is exact"
    tiles = [
        _tile("RAM", f"{figures['ram_bytes']:,}", "bytes", _keys([("arena", figures["arena_bytes"]), ("stack", stack)]), f"{proof}; stack {figures['stack_source']}"),
        _tile(
            "Flash", f"{figures['flash_bytes']:,}", "bytes",
            _keys([("weights", figures["weights_bytes"]), ("program", other), ("code", figures["code_bytes"])]), f"artifact exact; code {figures['code_source']}",
        ),
        _tile("Multiply-accumulates", f"{figures['macs']:,}", "", f"{saved:,} fewer than the model has" if saved > 0 else "as the model has", "exact"),
        _tile("Instructions", f"{figures['instructions']:,}", "", f"{figures['instructions'] / max(figures['macs'], 1):.2f} for each MAC", figures["instructions_source"]),
    ]  # fmt: skip
    if "estimated_ms" in figures:
        tiles.append(_tile("Time of one inference, measured" if figures["estimated_ms_source"].startswith("measured") else "Estimated time of one inference", f"{figures['estimated_ms']:,.4g}", "ms", "", figures["estimated_ms_source"]))
    if comparison:
        first = comparison["outputs"][0]
        source = f"{comparison['samples']:,} samples"
        if "int8_accuracy" in first:
            low, high = first["int8_accuracy_interval"]
            tiles.append(_tile("Accuracy, int8", f"{first['int8_accuracy']:g}", "%", f"float {first['float_accuracy']:g} %", f"{source}, 95 % interval {low:g} to {high:g}"))
        elif "agreement" in first:
            low, high = first["agreement_interval"]
            tiles.append(_tile("Agreement with float", f"{first['agreement']:g}", "%", f"SQNR {first['sqnr_db']:.1f} dB", f"{source}, 95 % interval {low:g} to {high:g}"))
        else:
            tiles.append(_tile("Output SQNR", f"{first['sqnr_db']:.1f}", "dB", f"largest error {first['largest_error']:.4g}", source))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _accuracy(comparison: Mapping[str, Any]) -> str:
    rows = []
    for output in comparison["outputs"]:
        lines = [(name, output.get(key), output.get(f"{key}_interval"), css) for name, key, css in (("float accuracy", "float_accuracy", "fair"), ("int8 accuracy", "int8_accuracy", "good"), ("same class as float", "agreement", "good"))]
        shown = [(name, value, bounds, css) for name, value, bounds, css in lines if value is not None]
        start = max(0.0, 10 * ((min((b[0] for _, _, b, _ in shown), default=0)) // 10 - 1))
        for name, value, bounds, css in shown:
            rows.append(
                f'<tr><td>{escape(output["name"])}</td><td>{name}</td><td class="num"><b>{value:g} %</b></td>'
                f'<td>{interval(value, *bounds, start, css)}</td><td class="sub">{bounds[0]:g} to {bounds[1]:g} % (Wilson, 95 %)</td></tr>'
            )
        error = f'largest error {output["largest_error"]:.4g} ({output["largest_error_steps"]:g} steps)'
        if "right_only_in_float" in output:
            error += f'; {output["right_only_in_float"]} right only in float, {output["right_only_in_int8"]} only in int8'
        rows.append(f'<tr><td>{escape(output["name"])}</td><td>SQNR</td><td class="num"><b>{output["sqnr_db"]:.1f} dB</b></td><td></td><td class="sub">{error}</td></tr>')
    cards = "".join(
        f'<div class="card"><h3>{escape(w["name"])}</h3><div class="cause">{escape(w["cause"])}</div>'
        f'<div class="sub">adds {100 * w["share_of_noise"]:.0f} % of the noise · {w["sqnr_db"]:.1f} dB behind it</div><p>{escape(w["why"])}</p><p class="help">{escape(w["help"])}</p></div>'
        for w in comparison["worst"]
    )
    head = f'<h2>Beside the float model</h2><p class="note">{comparison["samples"]:,} samples; compared with {escape(comparison["reference"])}.</p>'
    body = f'<div class="wide"><table>{"".join(rows)}</table></div>'
    worst = f'<p class="note" style="margin:18px 0 0">Where the noise comes in ({comparison["layer_samples"]} samples, layer by layer):</p><div class="cards">{cards}</div>' if cards else ""
    return f'<section id="accuracy">{head}{body}{worst}</section>'


def _grade(db: float) -> str:
    return "good" if db >= 35 else "fair" if db >= 25 else "warn" if db >= 15 else "bad"


def _layers(artifact: Artifact, figures: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> str:
    width, drawings = rail(artifact.program)
    errors = {r["name"]: r for r in (comparison or {}).get("layers", [])}
    worst = {w["name"] for w in (comparison or {}).get("worst", [])}
    layers = figures["layers"]
    most = {key: max((layer[key] for layer in layers), default=0) or 1 for key in ("macs", "weights_bytes", "output_bytes")}
    columns = 7 if comparison else 6

    def amount(layer: Mapping[str, Any], key: str) -> str:
        share = 100 * layer[key] / most[key]
        bar = f'<div class="bar"><i style="width:{share:.1f}%"></i></div>' if layer[key] else ""
        return f'<td><span>{layer[key]:,}</span>{bar}</td>' if layer[key] else '<td class="sub">–</td>'

    def port(drawing: str, kind: str, p: Any) -> str:
        shape = "×".join(map(str, p.shape))
        return f'<tr><td class="rail">{drawing}</td><td colspan="{columns - 1}"><span class="name">{escape(p.name)}</span> <span class="sub">{kind}, {shape}, int8</span></td></tr>'

    rows = [port(d, "input", p) for d, p in zip(drawings, artifact.program.inputs, strict=False)]
    at = len(rows)
    for drawing, layer in zip(drawings[at:], layers, strict=False):
        error = ""
        if comparison:
            found = errors.get(layer["name"])
            error = '<td class="sub">–</td>' if found is None else (
                f'<td><span class="{_grade(found["sqnr_db"])}">{found["sqnr_db"]:.1f} dB</span><div class="bar"><i class="{_grade(found["sqnr_db"])}" '
                f'style="width:{min(max(found["sqnr_db"], 0), 60) / 0.6:.0f}%"></i></div></td>'
            )
        chip = f'<span class="key" style="background:{colour_of(layer["opcode"])}"></span>'
        scratch = f'scratch {layer["scratch_bytes"]:,} B' if layer["scratch_bytes"] else "no scratch"
        rows.append(
            f'<tr class="layer{" worst" if layer["name"] in worst else ""}"><td class="rail">{drawing}</td>'
            f'<td><div class="name" title="{escape(layer["name"])}">{escape(layer["name"])}</div><div class="sub" title="{escape(layer["kernel"])}">{chip}{escape(layer["opcode"])} · {escape(kernel_variant(layer))}</div></td>'
            f'<td><span>{"×".join(map(str, layer["output_shape"]))}</span><div class="sub">{scratch}</div></td>'
            f'{amount(layer, "macs")}{amount(layer, "weights_bytes")}{amount(layer, "output_bytes")}{error}</tr>'
        )
    rows += [port(d, "output", p) for d, p in zip(drawings[at + len(layers) :], artifact.program.outputs, strict=False)]
    head = f'<tr><th style="width:{width}px"></th><th style="width:30%">layer</th><th style="width:15%">output</th><th>MACs</th><th>weights, bytes</th><th>output, bytes</th>' + ("<th>SQNR to float</th>" if comparison else "") + "</tr>"
    missing = (comparison or {}).get("not_compared", [])
    note = "In order of execution. The line at the left is the graph; a tensor that is read later runs beside it."
    if worst:
        note += " Tinted rows add most noise."
    if missing:
        note += f" Not compared, since they have no counterpart in the float model: {len(missing)}."
    return f'<section id="layers"><h2>Layers</h2><p class="note">{escape(note)}</p><div class="wide"><table class="layers">{head}{"".join(rows)}</table></div></section>'


def _memory(artifact: Artifact) -> str:
    plan = explain(artifact.program, artifact.kernels, artifact.plan)
    picture = plan_picture(artifact.program, plan).replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)
    note = "The arena (offset upwards) over the steps of one inference. A box is a tensor from the step that writes it to the last that reads it; crossing boxes share bytes safely."
    return f'<section id="memory"><h2>Memory over time</h2><p class="note">{note}</p><p><b>Peak:</b> {escape(plan.bound_by)} bytes.</p><div class="wide plan">{picture}</div></section>'


def _ranges(artifact: Artifact, comparison: Mapping[str, Any] | None) -> str:
    if comparison and comparison["histograms"]:
        source = f"the float model's values for {comparison['layer_samples']} samples of the data compared"
        found = {name: h | {"about": f"{100 * h['clipped']:.2g} % clipped"} for name, h in comparison["histograms"].items()}
    elif artifact.quantization is not None:
        source = "the calibration data"
        found = {}
        for t in artifact.quantization["tensors"]:
            low, high = (-128 - t["zero_point"]) * t["scale"], (127 - t["zero_point"]) * t["scale"]
            found[t["name"]] = {"edges": t["edges"], "counts": t["counts"], "low": low, "high": high, "about": f"{t['rule']} range, {100 * t['clipped']:.2g} % clipped"}
    else:
        return ""
    cells = "".join(
        f'<div class="hist"><div class="name" title="{escape(name)}">{escape(name)}</div>{histogram(h)}<div class="sub">int8 {h["low"]:.4g} … {h["high"]:.4g} · {escape(h["about"])}</div></div>'
        for name, h in found.items()
    )
    return (
        f'<section id="ranges"><h2>Ranges</h2><p class="note">Histograms of {escape(source)}; height is logarithmic. Shaded: what int8 can hold. '
        f'Red: values outside, which are clipped.</p><div class="hists">{cells}</div></section>'
    )


def _ladder(artifact: Artifact) -> str:
    rungs = artifact.manifest.get("quantization", {}).get("rungs", [])
    if not rungs:
        return ""
    top = max(abs(r["sqnr_db"]) for r in rungs) or 1.0
    rows = "".join(
        f'<tr><td>{escape(r["name"])}</td><td class="num">{r["sqnr_db"]:.1f} dB</td><td style="width:50%"><div class="bar"><i class="{"good" if r["kept"] else "warn"}" style="width:{100 * max(r["sqnr_db"], 0) / top:.1f}%"></i></div></td>'
        f'<td>{"kept" if r["kept"] else "left out: it did not help"}</td></tr>'
        for r in rungs
    )
    return f'<section id="quantization"><h2>What quantization tried</h2><p class="note">Each step is judged by the SQNR of the outputs on calibration samples it was not fitted to.</p><table>{rows}</table></section>'


def _figures(figures: Mapping[str, Any]) -> str:
    plain = [(k, v) for k, v in figures.items() if not isinstance(v, (list, dict))]
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(f'{v:,}' if isinstance(v, int) else str(v))}</dd>" for k, v in plain)
    ports = "".join(
        f'<tr><td>{side}</td><td>{escape(p["name"])}</td><td>{"×".join(map(str, p["shape"]))}</td><td class="num">{p["bytes"]:,}</td><td class="num">{p["scale"]:.8g}</td><td class="num">{p["zero_point"]}</td><td class="sub">{escape(p["layout"])}</td></tr>'
        for side in ("inputs", "outputs")
        for p in figures[side]
    )
    head = '<tr><th></th><th>name</th><th>shape</th><th class="num">bytes</th><th class="num">scale</th><th class="num">zero_point</th><th>layout</th></tr>'
    left = "".join(f"<li><code>{escape(n)}</code></li>" for side in ("before", "after") for n in figures["left_to_caller"].get(side, []))
    caller = f"<h2>Left to the caller</h2><ul>{left}</ul>" if left else ""
    return f'<section id="all-figures"><h2>Inputs and outputs</h2><div class="wide"><table>{head}{ports}</table></div>{caller}</section><section><h2>All figures</h2><dl class="figures">{items}</dl></section>'
