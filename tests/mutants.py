"""Mutants of kernel sources: one constant changed at a spot found by its meaning (a pattern), never by its line.

All mutants of a set of files are compiled at once: each spot becomes `(edgec_mutant == N ? changed : as it was)`, and a replay sets
edgec_mutant. So a hundred mutants cost one build, and the build with no mutant chosen proves that the rewriting is harmless.
A change that is found nowhere stays in the list without a place, and its test fails: the list must follow the code.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgec.emit.kernels import source_folder

NONE = -1
SECONDS = 60
GREEN, RED = 0, 1
ASSEMBLY = re.compile(r"#if (EDGEC_DSP|defined\(__ARM_FEATURE_MVE\))\s*$")
CHECK = re.compile(r"^(static )?int \w*(check|is_valid|stream_is)\w*\(.*?^}", re.MULTILINE | re.DOTALL)
"""Functions that only refuse altered files: no program of a compiler reaches them."""

DECLARED = '#ifdef __cplusplus\nextern "C"\n#else\nextern\n#endif\nvolatile int edgec_mutant;\n'


@dataclass(frozen=True)
class Change:
    """kind: what is changed: rounding, zero_point, clamp, padding, shift. new: the changed text, {0} the old one."""

    kind: str
    file: str
    pattern: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """start, end: of the text in the file; none where the change was found nowhere."""

    number: int
    change: Change
    start: int = -1
    end: int = -1
    label: str = ""

    def __str__(self) -> str:
        return f"{self.change.kind}: {self.change.file}: {self.label or self.change.pattern}"


def assembly_hidden(text: str) -> str:
    """The text with everything that only an Arm compiler sees replaced by blanks."""
    lines, depth, hidden = [], 0, 0
    for line in text.splitlines(keepends=True):
        word = line.strip()
        if word.startswith("#if"):
            depth += 1
            if not hidden and ASSEMBLY.match(line):
                hidden = depth
        elif word.startswith("#el") and hidden == depth:
            hidden = 0
        elif word.startswith("#endif"):
            hidden = 0 if hidden == depth else hidden
            depth -= 1
        lines.append("".join(c if c == "\n" else " " for c in line) if hidden else line)
    return "".join(lines)


def mutants(changes: Iterable[Change], folder: Path | None = None) -> list[Mutant]:
    """Every place of every change, in files under `folder` (csrc)."""
    found: list[Mutant] = []
    for change in changes:
        text = assembly_hidden(((folder or source_folder()) / change.file).read_text())
        text = CHECK.sub(lambda m: " " * len(m[0]), text)
        places = [m for m in re.finditer(change.pattern, text, re.MULTILINE) if not _is_comment(text, m.start())]
        for i, m in enumerate(places):
            label = f"{m[0]} becomes {change.new.replace('{0}', m[0])}" + (f", place {i + 1}" if len(places) > 1 else "")
            found.append(Mutant(len(found), change, *m.span(), label))
        if not places:
            found.append(Mutant(len(found), change))
    return found


def _is_comment(text: str, at: int) -> bool:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return "//" in line or text.rfind("/*", 0, at) > text.rfind("*/", 0, at)


def must_apply(mutant: Mutant) -> None:
    assert mutant.end >= 0, f"{mutant}: the text is nowhere in the source; bring the list up to date"


def rewrite(csrc: Path, chosen: Sequence[Mutant]) -> None:
    """Put all mutants into the files of a copy of csrc."""
    for file in sorted({m.change.file for m in chosen if m.end >= 0}):
        text, last = (csrc / file).read_text(), None
        for m in sorted((m for m in chosen if m.change.file == file and m.end >= 0), key=lambda m: m.start, reverse=True):
            assert last is None or m.end <= last, f"{m}: overlaps another change"
            old, last = text[m.start : m.end], m.start
            text = f"{text[: m.start]}(edgec_mutant == {m.number} ? ({m.change.new.replace('{0}', old)}) : ({old})){text[m.end :]}"
        (csrc / file).write_text(DECLARED + text)


def verdict(passes: Callable[[], bool]) -> int:
    """GREEN or RED, found in a child process; a crash or more than SECONDS is RED."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(GREEN if passes() else RED)
        finally:
            os._exit(RED)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return GREEN if status == 0 else RED
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return RED
