"""Limits of flash and RAM: what is read, what is refused, what the refusal says, and that nothing is written then."""

from __future__ import annotations

import json

import pytest

import edgec
from edgec import cli, targets
from edgec.limits import check_limits, parse_limits, parse_size
from tests.models import ROOT, compiled, network

DATA = str(ROOT / "examples" / "digits" / "digits.npz")


@pytest.mark.parametrize(
    ("text", "size"),
    [("262144", 262144), (5, 5), ("256K", 262144), ("256KiB", 262144), ("64 kb", 65536), ("1M", 1 << 20), ("0.5MiB", 1 << 19), ("16B", 16)],
)
def test_sizes(text, size):
    assert parse_size(text, "x") == size


@pytest.mark.parametrize("text", ["", "K", "-1", "2,5K", "1G", "64KX", True])
def test_bad_sizes(text):
    with pytest.raises(edgec.UsageError, match="cannot read the size"):
        parse_size(text, "x")


def test_which_limits():
    m0 = targets.load("cortex-m0")
    assert parse_limits(None, m0) == {}
    assert parse_limits({"ram": "20K"}, m0) == {"ram": 20480}
    assert parse_limits("target", m0) == {"flash": 262144, "ram": 16384}
    with pytest.raises(edgec.UsageError, match="unknown limit"):
        parse_limits({"rom": 1}, m0)
    with pytest.raises(edgec.UsageError, match="cannot take limits"):
        parse_limits("target", targets.load("generic-c"))


def test_exactly_at_the_limit():
    """The byte that decides, for both."""
    artifact = compiled("digits", "cortex-m4")
    figures = artifact.report(measure=False)
    assert figures["flash_bytes"] == figures["artifact_bytes"] + figures["code_bytes"]
    assert figures["ram_bytes"] == figures["arena_bytes"] + figures["stack_bytes"]
    check_limits(artifact, {"flash": figures["flash_bytes"], "ram": figures["ram_bytes"]}, measure=False)
    for kind, key in (("flash", "flash_bytes"), ("ram", "ram_bytes")):
        with pytest.raises(edgec.FitError, match=r"by 1 bytes on cortex-m4") as caught:
            check_limits(artifact, {kind: figures[key] - 1}, measure=False)
        assert f"{figures[key]:,} needed" in caught.value.why and caught.value.exit_code == 6


def test_the_refusal_names_the_layers():
    artifact = compiled("digits", "cortex-m4")
    with pytest.raises(edgec.FitError) as caught:
        check_limits(artifact, {"flash": 9000, "ram": 1500}, measure=False)
    program = artifact.program
    largest = max(program.ops, key=lambda op: sum(program.constants[c].data.nbytes for c in op.constants))
    assert largest.name in caught.value.why
    peak = program.ops[artifact.plan.peak_step if artifact.plan.steps else 1]
    assert peak.name in caught.value.why and peak.outputs[0] in caught.value.why
    assert "steps need more than" in caught.value.fix


@pytest.mark.parametrize("ram", [100, 400])
def test_hopeless_limits_have_an_answer(ram):
    with pytest.raises(edgec.FitError, match="RAM by"):
        check_limits(compiled("digits", "cortex-m4"), {"ram": ram}, measure=False)


def test_nothing_is_written_when_it_does_not_fit(tmp_path, capsys):
    net = network("digits")
    argv = ["compile", str(net.path), "-t", "cortex-m4", "-c", DATA, "-o", str(tmp_path / "d.edgec"), "--no-measure", "--json"]
    more = ["--save-qdq", str(tmp_path / "q.onnx"), "--export-c", str(tmp_path / "c"), "--report", str(tmp_path / "r.html")]
    assert cli.main([*argv, *more, "--flash", "4K", "--ram", "64K"]) == 6
    error = json.loads(capsys.readouterr().out)
    assert error["error"] == "FitError" and "flash by" in error["what"] and "RAM by" not in error["what"]
    assert list(tmp_path.iterdir()) == []
    assert cli.main([*argv, *more, "--flash", "64K", "--ram", "8K"]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"d.edgec", "q.onnx", "c", "r.html"}
    capsys.readouterr()
    assert cli.main([*argv, "--fit", "--ram", "8K"]) == 2


def test_targets_name_their_estimates(capsys):
    assert cli.main(["targets", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["targets"]
    design = (ROOT / "docs" / "DESIGN.md").read_text()
    assert {
        "host",
        "generic-c",
        "cortex-m0",
        "cortex-m3",
        "cortex-m4",
        "cortex-m7",
        "cortex-m33",
        "cortex-m55",
        "cortex-m85",
        "cortex-a",
        "riscv32",
        "riscv64",
    } <= set(rows)
    for name, row in rows.items():
        assert row["clock_hz"] > 0 and 0 < row["cycles_per_instruction"] < 4, name
        assert row["kernels"]["ref"] > 10 and set(row["kernels"]) == set(row["isa"]) and row["tested_on"], name
        factors = f"{row['cycles_per_instruction']:g}"
        assert any(name in line.split("|")[1] and factors in line for line in design.splitlines() if line.startswith("| ")), name
    assert cli.main(["targets"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in rows) and max(map(len, shown.splitlines())) <= 120


def test_inspect_fits_the_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    artifact = compiled("depthwise", "cortex-m4")
    path = str(artifact.save(tmp_path / "d.edgec"))
    assert cli.main(["inspect", path, "--no-measure"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    report = artifact.report(measure=False)
    for key in ("macs", "arena_bytes", "stack_bytes", "flash_bytes", "ram_bytes", "instructions"):
        line = next(line for line in shown.splitlines() if line.split()[:1] == [key])
        assert f"{report[key]:,}" in line and len(line.split()) > 2, "a figure without its source"


def test_run_json_has_everything_the_device_said(tmp_path, capsys, needs_target):
    needs_target("cortex-m4")
    path = str(compiled("digits", "cortex-m4").save(tmp_path / "d.edgec"))
    assert cli.main(["run", path, "--on", "qemu", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"machine", "stack_bound", "instructions_source", "model_bytes", "arena_bytes", "arena_refused", "engine"} <= set(result)
    assert cli.main(["run", path, "--on", "qemu"]) == 0
    assert result["machine"] in capsys.readouterr().out


def test_mistakes_on_the_command_line_are_errors_like_any_other(tmp_path, capsys):
    assert cli.main(["run", "--json", "--no-such"]) == 2
    error = json.loads(capsys.readouterr().out)
    assert error["error"] == "UsageError" and "edgec run" in error["where"]
    assert cli.main([]) == 2 and "compare" in capsys.readouterr().out
    model = str(network("digits").path)
    assert cli.main(["compile", model, "-t", "cortex-m4", "-c", DATA, "-o", str(tmp_path / "absent" / "d.edgec"), "--json"]) == 2
    assert "no folder" in json.loads(capsys.readouterr().out)["why"]  # before compiling, not after
    for option in (["--equalize", "1"], ["--flash", "many"]):
        assert cli.main(["compile", model, "-t", "cortex-m4", "-c", DATA, "-o", str(tmp_path / "d.edgec"), "--json", *option]) == 2
        capsys.readouterr()
