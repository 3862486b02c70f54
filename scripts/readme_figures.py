"""Writes the table of device figures into README.md from the committed baseline bench/results/size.json (`make docs`)."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- figures: written by `make docs` from bench/results/size.json -->\n", "<!-- end of figures -->\n"
NETWORKS = ("digits", "ds_cnn", "resnet8", "mobilenet_v1_025_vww", "fc_autoencoder", "streaming_wakeword")
HEAD = "| network | MACs | arena, bytes | stack M4 · M55 | code M4 · M55 | instructions M4 | instructions M55 |\n|---|---|---|---|---|---|---|\n"


def table() -> str:
    """Generated C on Cortex-M4 and M55, one row a network of the baseline."""
    rows = json.loads((ROOT / "bench" / "results" / "size.json").read_text())["rows"]
    lines = []
    for name in NETWORKS:
        m4, m55 = (rows.get(f"{name} / {target} / c") for target in ("cortex-m4", "cortex-m55"))
        if m4 is None or m55 is None:
            continue
        pairs = [(m4["arena"], m55["arena"]), (m4["stack"], m55["stack"]), (m4["text"] + m4["rodata"], m55["text"] + m55["rodata"])]
        cells = [name, f"{m4['macs']:,}", *(f"{a:,} · {b:,}" for a, b in pairs), f"{m4['instructions']:,}", f"{m55['instructions']:,}"]
        lines.append("| " + " | ".join(cells) + " |\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    document = ROOT / "README.md"
    before, rest = document.read_text().split(BEGIN)
    document.write_text(before + BEGIN + table() + END + rest.split(END)[1])
