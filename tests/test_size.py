"""Sizes and counts do not grow unnoticed: digits on Cortex-M4 against bench/results/size.json, and the check itself."""

from __future__ import annotations

import json

import pytest

from bench import size
from tests.models import COMMITTED


def row(**changes: int) -> size.Figures:
    figures = {"text": 1000, "rodata": 100, "model": 50, "arena": 400, "stack": 200, "bound": 210, "instructions": 10000, "cycles": 12000}
    return figures | changes


def test_nothing_grew(needs_target):
    """After a change that is worth its bytes: python bench/size.py --write --networks digits --targets cortex-m4"""
    needs_target("cortex-m4")
    if why := size.comparable("cortex-m4"):
        pytest.skip(f"{why}; enable with: python bench/size.py --write")
    rows, left_out = size.measure_all(["digits"], ["cortex-m4"], "-O2")
    grown = size.check(rows, size.read_baseline()["rows"])
    assert not left_out and not grown, "\n".join([*left_out, *grown, test_nothing_grew.__doc__])


def test_growth_is_seen():
    was = {"digits / cortex-m4 / c": row()}
    assert size.check({"digits / cortex-m4 / c": row(instructions=10199, arena=300, model=9999, cycles=99999)}, was) == []
    for column, now in (("text", 1030), ("rodata", 130), ("arena", 412), ("stack", 208), ("instructions", 10201)):
        (said,) = size.check({"digits / cortex-m4 / c": row(**{column: now})}, was)
        assert ("code" if column in ("text", "rodata") else column) in said
    assert "not in the baseline" in size.check({"new / cortex-m4 / c": row()}, was)[0]


def test_check_is_a_command(monkeypatch, capsys, tmp_path):
    """--check says what grew and ends with 1; --write keeps what was not measured."""
    baseline = tmp_path / "size.json"
    baseline.write_text(json.dumps({"tools": {}, "rows": {"digits / cortex-m4 / c": row(), "other / cortex-m4 / c": row(stack=7)}}))
    monkeypatch.setattr(size, "BASELINE", baseline)
    monkeypatch.setattr(size, "tools_of", lambda names: dict.fromkeys(names, "gcc 1"))
    now = {"digits / cortex-m4 / c": row(instructions=20000)}
    monkeypatch.setattr(size, "measure_all", lambda *_: (now, []))
    monkeypatch.setattr("sys.argv", ["size.py", "--check"])
    assert size.main() == 1
    said = capsys.readouterr().out
    assert "20,000 (+10,000, +100.0%)" in said and "instructions grew by 10,000 from 10,000, +100.0%" in said
    monkeypatch.setattr("sys.argv", ["size.py", "--write", "--networks", "digits", "--targets", "cortex-m4"])
    assert size.main() == 0
    assert json.loads(baseline.read_text())["rows"] == {**now, "other / cortex-m4 / c": row(stack=7)}
    monkeypatch.setattr("sys.argv", ["size.py", "--check"])
    assert size.main() == 0


def test_baseline_has_every_committed_network():
    rows = size.read_baseline()["rows"]
    assert {f"{n} / {t} / {e}" for n in COMMITTED for t in size.TARGETS for e in size.ENGINES} <= set(rows)
    for key, row in rows.items():
        assert row["stack"] <= row["bound"] and row["arena"] > 0 and row["text"] > 0, key


def test_peers_are_set_beside():
    rows = {f"resnet8 / {t} / c": row(macs=12_501_632) | {"cycles_range": [11000, 13000]} for t in ("cortex-m4", "cortex-m55")}
    text = "\n".join(size.peers(rows))
    assert "29,863,383" in text and "4,811,364" in text and "54,996" in text and "1.58" in text
