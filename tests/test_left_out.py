"""Skips: a developer sees what was left out and how to enable it; CI fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.models import ROOT

SKIPS = """
import pytest
def test_tool(needs_tool):
    needs_tool("a-tool-that-nobody-has", "a-package")
def test_hardware():
    pytest.skip("AMX: not on this machine")
def test_models():
    pytest.skip("the shared models are absent; enable with: EDGEC_SHARED=FOLDER")
def test_runs():
    pass
"""


@pytest.mark.parametrize(
    ("settings", "failed"),
    [({}, 0), ({"EDGEC_CI": "1"}, 2), ({"EDGEC_CI": "1", "EDGEC_ALLOW_NO_SHARED": "1"}, 1)],
    ids=["developer", "ci", "ci without models"],
)
def test_left_out(settings, failed, tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_skips.py").write_text(SKIPS)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("EDGEC_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**clean, "PYTHONPATH": str(ROOT), **settings})
    assert done.returncode == (1 if failed else 0), done.stdout + done.stderr
    summary = done.stdout.splitlines()[-1]
    assert "1 passed" in summary and f"{3 - failed} skipped" in summary, summary
    assert (f"{failed} failed" in summary) == bool(failed)
    if not failed:
        assert "enable with: sudo apt-get install -y a-package" in done.stdout
        assert "AMX: not on this machine" in done.stdout
