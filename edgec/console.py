"""What the command line prints for people: aligned, no line longer than the terminal, every figure with its source.

Each function takes the dict that `--json` prints and gives text.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

NARROW, WIDE, PIPED = 80, 140, 120
FIGURES = (
    ("macs", ""), ("arena_bytes", "arena"), ("stack_bytes", "stack_source"), ("ram_bytes", "ram"), ("weights_bytes", ""),
    ("artifact_bytes", ""), ("code_bytes", "code_source"), ("flash_bytes", "flash"), ("instructions", "instructions_source"),
    ("estimated_ms", "estimated_ms_source"),
)  # fmt: skip


def width() -> int:
    """Columns to use: the terminal's within reason, 120 where the output goes into a file or pipe."""
    return min(max(shutil.get_terminal_size((PIPED, 24)).columns, NARROW), WIDE)


def inspect_text(report: Mapping[str, Any]) -> str:
    """`edgec inspect`, and what `edgec compile` ends with."""
    lines = [f"{report['model']} for {report['target']}, {report['layout']} layout, edgec {report['edgec']}"]
    if "artifact" in report:
        lines.append(f"written to {report['artifact']}")
    lines.append("")
    rows = [(key, _cell(report[key]), _source(report, key, kind)) for key, kind in FIGURES if key in report]
    if report.get("cycles"):
        rows.insert(-1, ("cycles", _cell(report["cycles"]), report["cycles_source"]))
    rows += [
        ("calibration", str(report["calibration"]), "" if report["accuracy"] != "unverified" else "noise, not data: accuracy is unverified")
    ]
    lines += _figures(rows)
    lines += ladder_lines(report.get("quantization"))
    left = [f"{side} the network: {', '.join(names)}" for side, names in report["left_to_caller"].items() if names]
    if left:
        lines += ["", "left to the caller", *(line for text in left for line in _wrapped(text, "  "))]
    for side in ("inputs", "outputs"):
        rows = [
            [p["name"], _cell(p["shape"]), p["dtype"], _cell(p["bytes"]), f"{p['scale']:.8g}", str(p["zero_point"]), p["layout"]] for p in report[side]
        ]
        lines += ["", side, *columns(["name", "shape", "dtype", "bytes", "scale", "zero_point", "layout"], rows, right={3, 4, 5})]
    rows = [
        [
            layer["name"],
            layer["opcode"],
            kernel_variant(layer),
            _cell(layer["output_shape"]),
            _cell(layer["macs"]),
            _cell(layer["weights_bytes"]),
            _cell(layer["output_bytes"]),
            _cell(layer["scratch_bytes"]),
        ]
        for layer in report["layers"]
    ]
    lines += [
        "",
        "layers, in order of execution",
        *columns(["name", "opcode", "kernel", "output", "MACs", "weights", "output", "scratch"], rows, right={4, 5, 6, 7}),
    ]
    if "front" in report:
        lines += ["", *_front(report["front"])]
    return "\n".join(lines)


def _front(front: Mapping[str, Any]) -> list[str]:
    """What a search within a budget tried: points by score, the best marked."""
    made = sorted((p for p in front["points"] if "score" in p), key=lambda p: -p["score"])
    names = list(made[0]["costs"]) if made else []
    mark = lambda p: "best" if p["best"] else "front" if p["on_front"] else "" if p["fits"] else "too large"  # noqa: E731
    rows = [[p["name"], f"{p['score']:.4f}", *(_cell(p["costs"][n]) for n in names), mark(p)] for p in made]
    failed = [p for p in front["points"] if "score" not in p]
    evidence = front["evidence"]
    lines = [f"search: float scores {front['float_score']:.4f}, a drop of {front['max_drop']:g} is allowed"]
    lines += columns(["candidate", "score", *(n.replace("_bytes", "") for n in names), ""], rows, right=set(range(1, 2 + len(names))))
    lines += _wrapped(f"best on {evidence['samples']} samples {evidence['note'].removeprefix('on samples ')}: agreement {evidence['agreement']} %, SQNR {evidence['output_sqnr_db']} dB", "  ")
    return lines + [f"  not made: {p['name']}: {p['error'].splitlines()[0]}" for p in failed]


def ladder_lines(found: Mapping[str, Any] | None) -> list[str]:
    """What quantization tried, one line a rung, and what it cost on samples that chose nothing; [] for models quantized elsewhere."""
    if not found:
        return []
    rows = [
        [r["name"], f"{r['sqnr_db']:.1f} dB", f"{r['gain_db']:+.1f} ± {r['chance_db']:.1f}" if i else "", "kept" if r["kept"] else "left out"]
        for i, r in enumerate(found["rungs"])
    ]
    lines = ["", "quantization", *columns(["rung", "outputs", "gain", ""], rows, right={1, 2})]
    for o in found["outputs"]:
        same = "" if o["agreement"] is None else f", the class of float for {o['agreement']:g} % ({' to '.join(f'{v:g}' for v in o['agreement_interval'])})"
        held = "held-out samples" if found.get("held_out") else "samples fitted to" if found["degraded"] else "calibration samples that chose nothing"
        lines += _wrapped(f"{o['name']}: {o['sqnr_db']:.1f} dB{same}, on {o['samples']:,} {held}", "  ")
    said = [found["degraded"]] if found["degraded"] else []
    said += [f"{found['left_out']:,} samples to fit to were also among the held-out ones and were left out"] if found.get("left_out") else []
    return lines + [line for text in said for line in _wrapped(text, "  ")]


def run_text(result: Mapping[str, Any]) -> str:
    """`edgec run`."""
    place = {"host": "on this machine", "interpreter": "by the interpreter", "qemu": f"on {result.get('machine', 'the emulated device')}"}
    lines = [f"{result['artifact']} ran {place[result['on']]}"]
    rows = []
    if result["on"] == "qemu":
        rows = [
            ("instructions", _cell(result["instructions"]), result["instructions_source"]),
            ("stack_bytes", _cell(result["stack_bytes"]), f"measured; never more than {result['stack_bound']:,} by the call graph"),
            (
                "code_bytes",
                _cell(result["code_bytes"]),
                f"linked: {'runtime' if result['engine'] == 'runtime' else 'generated C'} and kernels; "
                f"weights and parameters {result['model_bytes']:,} more",
            ),
            ("arena_bytes", _cell(result["arena_bytes"]), "exact" + ("; one byte less was refused" if result["arena_refused"] else "")),
        ]
    if "bytes_compared_with_interpreter" in result:
        rows.append(("checked", _cell(result["bytes_compared_with_interpreter"]), "output bytes, all equal to the interpreter's"))
    lines += ["", *_figures(rows)] if rows else []
    rows = [
        [name, _cell(o["shape"]), o["dtype"], " ".join(_cell(v) for v in o["values"][:10]) + (" …" if _size(o["shape"]) > 10 else "")]
        for name, o in result["outputs"].items()
    ]
    lines += ["", *columns(["output", "shape", "type", "values"], rows, shorten=3)]
    if "output" in result:
        lines.append(f"written to {result['output']}")
    return "\n".join(lines)


def targets_text(result: Mapping[str, Any]) -> str:
    """`edgec targets`."""
    rows = []
    for name, t in result["targets"].items():
        kernels = " + ".join(f"{count} {isa}" for isa, count in t["kernels"].items())
        memory = f"{size_text(t['flash'])} / {size_text(t['ram'])}" if "flash" in t else "–"
        rows.append([name, memory, kernels, t["tested_on"].replace("qemu-system-arm", "QEMU"), t["description"]])
    head = ["target", "flash / RAM", "kernels by isa", "tested on", "what it is"]
    note = "Flash and RAM are those of a typical part; compile --fit takes them as limits. Every opcode has a reference (ref) kernel."
    return "\n".join([*columns(head, rows, shorten=4, indent=""), "", *_wrapped(note, "")])


def compare_text(result: Mapping[str, Any]) -> str:
    """`edgec compare`."""
    lines = [f"{result['model']} for {result['target']}, {result['samples']:,} samples"]
    lines += _wrapped(f"compared with {result['reference']}", "")
    for o in result["outputs"]:
        rows = []
        if "sqnr_db" in o:
            rows.append(("SQNR", f"{o['sqnr_db']:.1f} dB", f"largest error {o['largest_error']:.4g}, {o['largest_error_steps']:g} steps"))
        for name, key in (
            ("same class as float" if "sqnr_db" in o else "same index as float", "agreement"),
            ("accuracy of float", "float_accuracy"),
            ("accuracy of int8", "int8_accuracy"),
        ):
            if key in o:
                low, high = o[f"{key}_interval"]
                rows.append((name, f"{o[key]:.2f} %", f"95 % interval {low:.2f} to {high:.2f} %"))
        if "right_only_in_float" in o:
            rows.append(
                (
                    "changed",
                    str(o["right_only_in_float"] + o["right_only_in_int8"]),
                    f"{o['right_only_in_float']} right only in float, {o['right_only_in_int8']} only in int8",
                )
            )
        lines += ["", f"output {o['name']}", *_figures(rows)]
    if result["layers"]:
        rows = [
            [
                r["name"],
                r["opcode"],
                f"{r['sqnr_db']:.1f}",
                f"{100 * r['clipped']:.2g}",
                _cell(r["levels_used"]),
                f"{r['channel_spread']:.1f}",
                f"{r['dead_channels']}/{r['channels']}",
            ]
            for r in result["layers"]
        ]
        head = ["layer", "opcode", "SQNR dB", "clipped %", "levels", "spread", "dead"]
        lines += ["", f"layers ({result['layer_samples']} samples)", *columns(head, rows, right={2, 3, 4, 5, 6})]
    if result["worst"]:
        lines += ["", "where most of the noise comes in"]
        for i, w in enumerate(result["worst"], 1):
            share = f"{100 * w['share_of_noise']:.0f} % of the noise, {w['sqnr_db']:.1f} dB"
            lines.append(f"  {i}. {middle(w['name'], 60)} ({w['opcode']}): {w['cause']}, {share}")
            lines += [*_wrapped(w["why"], "     "), *_wrapped(f"→ {w['help']}", "     ")]
    if result["not_compared"]:
        lines += ["", *_wrapped(f"not compared, without a counterpart in the model given: {', '.join(result['not_compared'])}", "")]
    return "\n".join(lines)


def report_text(result: Mapping[str, Any]) -> str:
    """`edgec report`."""
    return f"written to {result['report']} ({result['bytes']:,} bytes, nothing else is needed to show it)"


def kernel_variant(layer: Mapping[str, Any]) -> str:
    """The part of a kernel's symbol that the opcode does not say: tile, packing and isa."""
    return layer["kernel"].removeprefix("edgec_s8_").removeprefix(layer["opcode"]).strip("_").replace("__", " ")


def size_text(size: int) -> str:
    """256K, 1M, or bytes."""
    for unit, letter in ((1024**2, "M"), (1024, "K")):
        if size % unit == 0:
            return f"{size // unit}{letter}"
    return f"{size:,}"


def middle(text: str, room: int) -> str:
    """text in at most room characters; the middle is left out, since both ends of a layer's name tell something."""
    if len(text) <= room:
        return text
    head = max((room - 1) // 3, 1)
    return f"{text[:head]}…{text[-(room - 1 - head) :]}" if room > 2 else text[:room]


def columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int] = frozenset(), shorten: int = 0, indent: str = "  "
) -> list[str]:  # type: ignore[assignment]
    """A table within the width; column `shorten` gives way where it is too wide."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    over = len(indent) + sum(widths) + 2 * (len(widths) - 1) - width()
    if over > 0:
        widths[shorten] = max(widths[shorten] - over, 12)
    lines = []
    for row in cells:
        row[shorten] = middle(row[shorten], widths[shorten])
        lines.append(
            indent + "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        )
    return lines


def _figures(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Name, value right-aligned, source; a long source continues below itself."""
    name, value = max(len(r[0]) for r in rows), max(len(r[1]) for r in rows)
    lines = []
    for label, figure, source in rows:
        start = f"  {label.ljust(name)}  {figure.rjust(value)}  "
        wrapped = textwrap.wrap(source, max(width() - len(start), 24)) or [""]
        lines += [(start + wrapped[0]).rstrip(), *(" " * len(start) + more for more in wrapped[1:])]
    return lines


def _source(report: Mapping[str, Any], key: str, kind: str) -> str:
    """Where a figure comes from, in words."""
    if key == "macs":
        saved = report["macs_source"] - report["macs"]
        return f"exact; the model has {report['macs_source']:,}" if saved else "exact"
    if kind == "arena":
        return (
            "exact, and proven smallest for this order"
            if report["arena_bytes"] == report["arena_lower_bound"]
            else f"exact; at least {report['arena_lower_bound']:,} proven"
        )
    if kind == "ram":
        return f"arena + stack{' (bound by the call graph)' if 'stack_bound_bytes' in report else ''}"
    if kind == "flash":
        return "artifact + code"
    return report[kind] if kind else "exact"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width(), initial_indent=indent, subsequent_indent=indent + ("  " if text.startswith("→") else ""), break_long_words=False
    )


def _size(shape: Sequence[int]) -> int:
    total = 1
    for d in shape:
        total *= d
    return total


def _cell(item: Any) -> str:
    if item is None:
        return "–"
    if isinstance(item, list):
        return "×".join(map(str, item)) or "scalar"
    if isinstance(item, float):
        return f"{item:.6g}"
    return f"{item:,}" if isinstance(item, int) and not isinstance(item, bool) else str(item)
