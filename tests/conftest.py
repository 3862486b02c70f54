"""What every test may need: targets with their tools, and a last section that says what was left out and how to enable it.

EDGEC_CI=1 (set by .ci/run) turns every skip that is not expected there into a failure: CI leaves out nothing by accident.
A skip's reason ends in "enable with: COMMAND"; skips that no command can enable say "not on this machine".
"""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest

from edgec import targets

EXPECTED_IN_CI = ("not on this machine",)
"""Reasons that CI accepts: hardware that CI does not have, never a missing tool or file."""


def enable(what: str, command: str) -> str:
    """The reason of a skip: what is missing, and the command that brings it."""
    return f"{what}; enable with: {command}"


@pytest.fixture
def needs_target():
    """Call with a target's name: skips where its cross compiler or emulator is not installed."""

    def check(name: str) -> None:
        target = targets.load(name)
        for part, program in (("toolchain", "compiler"), ("emulator", "program")):
            tool = getattr(target, part)
            if program in tool and shutil.which(str(tool[program])) is None:
                pytest.skip(enable(f"{tool[program]} is not installed", f"sudo apt-get install -y {tool['package']}"))

    return check


@pytest.fixture
def needs_tool():
    """Call with a program and its Debian package: skips where it is not installed, else gives its path."""

    def check(program: str, package: str) -> str:
        path = shutil.which(program)
        if path is None:
            pytest.skip(enable(f"{program} is not installed", f"sudo apt-get install -y {package}"))
        return path

    return check


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _is_unexpected(report: pytest.TestReport | pytest.CollectReport) -> bool:
    if os.environ.get("EDGEC_CI") != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return False
    reason = _reason(report)
    no_models = os.environ.get("EDGEC_ALLOW_NO_SHARED") == "1" and "shared models" in reason
    return not no_models and not any(words in reason for words in EXPECTED_IN_CI)


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    report.outcome = "failed"
    report.longrepr = f"skipped, but CI leaves out nothing by accident (EDGEC_CI=1): {_reason(report)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if _is_unexpected(report):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    if _is_unexpected(report):
        _fail(report)
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    """What was left out, by reason, with the command that enables it."""
    counts = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
    slow_left_out = terminalreporter.config.option.markexpr == "not slow"
    if not counts and not slow_left_out:
        return
    terminalreporter.section("left out")
    if slow_left_out:
        terminalreporter.write_line("tests marked slow: long sweeps, whose reduced forms ran")
        terminalreporter.write_line("    enable with: make test ARGS='-m slow'")
    for reason, number in sorted(counts.items()):
        what, _, command = reason.partition("; enable with: ")
        terminalreporter.write_line(f"{number} test{'s' if number > 1 else ''}: {what}")
        if command:
            terminalreporter.write_line(f"    enable with: {command}")
