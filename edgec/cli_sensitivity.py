"""`edgec sensitivity`: which layers and activations cost most when quantized."""

from __future__ import annotations

import argparse
from typing import Any

from edgec.console import columns
from edgec.errors import UsageError


def add_sensitivity(sub: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    sub.add_argument("model", help="float .onnx file")
    sub.add_argument("--calibration", "-c", metavar="FILE", required=True, help=".npy or .npz of unlabelled inputs")
    sub.add_argument("--svg", metavar="FILE", help="write the picture too")
    sub.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="shape of an input with open dimensions")
    sub.add_argument("--quiet", "-q", action="store_true", help="no progress")


def sensitivity(model: Any, calibration: Any, shapes: dict[str, Any], progress: Any, svg: str | None = None) -> dict[str, Any]:
    """What `edgec.compress.noise_report` gives for a float ONNX file, and where the picture is."""
    from edgec import graph, importer
    from edgec.compress.noise_report import noise_report
    from edgec.files import write_file
    from edgec.page.sensitivity import sensitivity_picture

    imported = importer.import_model(model, shapes=shapes)
    if importer.is_quantized(imported):
        raise UsageError(
            "the model is quantized already",
            where=str(model),
            why="sensitivity is what quantizing a float model would cost",
            fix="give the float model it was made from; edgec compare shows the errors of a quantized one",
        )
    report = {"model": str(model), **noise_report(graph.optimize(imported)[0], calibration, progress)}
    if svg:
        write_file(svg, sensitivity_picture(report).encode())
        report["svg"] = svg
    return report


def sensitivity_text(report: dict[str, Any]) -> str:
    """Two tables, in the order of the graph."""
    from edgec.page.sensitivity import decibels

    def db(noise: float | None) -> str:
        return "" if noise is None else "exact" if decibels(noise) > 199 else f"{decibels(noise):.1f}"

    lines = [f"{report['model']}: int8 has {report['sqnr_db']:.1f} dB at the outputs, {report['samples']:,} samples"]
    if report["degraded"]:
        lines.append(report["degraded"])
    rows = [[r["name"], r["operator"], f"{r['bytes_8']:,}", f"{r['bytes_4']:,}", db(r["noise_8"]), db(r["noise_4"])] for r in report["layers"]]
    head = ["layer", "operator", "bytes at 8", "at 4", "dB at 8", "at 4"]
    lines += ["", "SQNR at the outputs with the weights of one layer quantized", *columns(head, rows, right={2, 3, 4, 5})]
    rows = [[r["name"], f"{r['low']:.4g}", f"{r['high']:.4g}", r["rule"], db(r["noise_8"])] for r in report["activations"]]
    head = ["activation", "low", "high", "rule", "dB at 8"]
    lines += ["", "SQNR at the outputs with one activation quantized", *columns(head, rows, right={1, 2, 4})]
    if "svg" in report:
        lines += ["", f"picture written to {report['svg']}"]
    return "\n".join(lines)
