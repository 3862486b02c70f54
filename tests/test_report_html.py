"""The HTML report: well-formed, self-contained, every layer in it, and its numbers those of report() and compare()."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

import edgec
from edgec import cli
from edgec.page import report_page
from edgec.page.charts import histogram, rail
from tests.models import ROOT, compiled, network

DIGITS = str(ROOT / "examples" / "digits" / "digits.npz")
VOID = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="module")
def page():
    """(artifact, report, comparison, page) of the digits network, compared."""
    net = network("digits")
    artifact = edgec.compile(net.path, "cortex-m4", calibration=net.calibration[:64])
    figures = artifact.report(measure=False)
    comparison = edgec.compare(net.path, artifact, net.samples[:64], np.load(DIGITS)["y_test"][:64])
    return artifact, figures, comparison, report_page(artifact, figures=figures, comparison=comparison)


def text_of(page: str) -> str:
    root = ElementTree.fromstring(page)
    return " ".join(
        " ".join(t.split()) for e in root.iter() if e.tag not in ("style", "script") for t in (e.text or "", e.tail or "") if t.strip()
    )


def test_well_formed_as_xml_and_as_html(page):
    ElementTree.fromstring(page[3])
    stack: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in VOID:
                stack.append(tag)

        def handle_startendtag(self, tag, attrs):
            assert tag in VOID or "svg" in stack, f"HTML does not close <{tag}/>"

        def handle_endtag(self, tag):
            assert stack.pop() == tag

    Checker().feed(page[3])
    assert stack == []
    ids = re.findall(r' id="([^"]+)"', page[3])
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_elsewhere(page):
    html = page[3]
    assert (
        "http:" not in html
        and "https:" not in html
        and "//" not in re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S)
    )
    root = ElementTree.fromstring(html)
    for element in root.iter():
        assert element.tag not in ("link", "img", "iframe", "object", "embed", "image", "use")
        assert not {"src", "href", "srcset", "onload", "onclick"} & set(element.attrib)
        assert element.tag != "script" or element.attrib["type"] == "application/json"
    assert "@import" not in html and "@font-face" not in html and not re.search(r"url\((?!#)", html)
    assert "prefers-color-scheme: dark" in html


def test_all_layers_are_there_with_their_figures(page):
    artifact, figures, comparison, html = page
    root = ElementTree.fromstring(html)
    rows = [e for e in root.iter("tr") if "layer" in e.attrib.get("class", "").split()]
    assert len(rows) == len(figures["layers"])
    errors = {r["name"]: r["sqnr_db"] for r in comparison["layers"]}
    for row, layer in zip(rows, figures["layers"], strict=True):
        said = " ".join([*row.itertext(), *(e.attrib["title"] for e in row.iter() if "title" in e.attrib)])
        for value in (
            layer["name"],
            layer["opcode"],
            layer["kernel"],
            "×".join(map(str, layer["output_shape"])),
            f"{layer['output_bytes']:,}",
        ):
            assert value in said
        for key in ("macs", "weights_bytes"):
            assert not layer[key] or f"{layer[key]:,}" in said
        assert f"{errors[layer['name']]:.1f} dB" in said
    assert html.count('class="hist"') == len(comparison["histograms"])


def test_numbers_are_those_of_the_report(page):
    _, figures, comparison, html = page
    said = text_of(html)
    for key in ("macs", "arena_bytes", "ram_bytes", "flash_bytes", "weights_bytes", "code_bytes", "instructions"):
        assert f"{figures[key]:,}" in said, key
    for key in ("code_source", "stack_source", "instructions_source", "estimated_ms_source"):
        assert figures[key] in said, key
    output = comparison["outputs"][0]
    assert f"{output['int8_accuracy']:g} %" in said and f"{output['sqnr_db']:.1f} dB" in said
    for w in comparison["worst"]:
        assert w["cause"] in said and w["help"] in said
    data = json.loads(re.search(r'id="figures">(.*?)</script>', html, re.S)[1])
    assert data["report"] == json.loads(json.dumps(figures)) and data["comparison"]["outputs"] == json.loads(
        json.dumps(comparison["outputs"])
    )


def test_after_compiling_histograms_are_those_of_the_calibration(page):
    artifact = page[0]
    html = report_page(artifact, figures=page[1])
    assert html.count('class="hist"') == len(artifact.quantization["tensors"])
    assert "the calibration data" in html and 'id="accuracy"' not in html


def test_a_loaded_artifact_has_a_page_too(page):
    artifact = edgec.Artifact(page[0].data)
    html = report_page(artifact, figures=artifact.report(measure=False))
    ElementTree.fromstring(html)
    assert 'id="ranges"' not in html


@pytest.mark.parametrize("name", ["digits", "depthwise"])
def test_the_rail_is_the_graph(name):
    """One drawing a row; what skips rows is drawn beside the line."""
    program = compiled(name, "generic-c").program
    width, drawings = rail(program)
    assert len(drawings) == len(program.inputs) + len(program.ops) + len(program.outputs)
    assert width > 22  # both have a residual addition
    assert all("<circle" in d for d in drawings)


def test_names_are_escaped(page):
    from dataclasses import replace

    artifact = edgec.Artifact(page[0].data)
    artifact.program = replace(artifact.program, name="<script>alert(1)</script> & co")
    figures = artifact.report(measure=False)
    html = report_page(artifact, figures=figures)
    assert "<script>alert" not in html
    ElementTree.fromstring(html)


def test_histogram_marks_what_is_outside():
    drawn = histogram({"edges": [-2.0, -1.0, 0.0, 1.0, 2.0], "counts": [1, 5, 5, 2], "low": -1.0, "high": 1.0})
    assert drawn.count('class="out"') == 2 and drawn.count('class="edge"') == 2


def test_command_line(page, tmp_path, capsys):
    net = network("digits")
    path, html = tmp_path / "d.edgec", tmp_path / "d.html"
    page[0].save(path)
    argv = ["report", str(path), "-o", str(html), "--no-measure"]
    assert cli.main(argv) == 0
    assert str(html) in capsys.readouterr().out
    assert cli.main([*argv, "--model", str(net.path), "--data", f"{DIGITS}:x_test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparison"]["samples"] == 457
    assert 'id="accuracy"' in html.read_text()
    assert cli.main([*argv, "--model", str(net.path), "--json"]) == 2
