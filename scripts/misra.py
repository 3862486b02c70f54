#!/usr/bin/env python3
"""cppcheck's MISRA checks over runtime, reference kernels and a generated network, against docs/misra.md.

    python scripts/misra.py            exit code 1 and a line a finding where an adopted rule is violated
    python scripts/misra.py FOLDER     the same with csrc taken from there

Works on a copy, since cppcheck writes its intermediate files beside the sources.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

DOCUMENT = ROOT / "docs" / "misra.md"
SOURCES = ("runtime/*.c", "kernels/*/*_ref.c", "kernels/*/*_check.c", "generated/*.c")
_FINDING = re.compile(r"^misra-c2012-(\d+\.\d+) (\S+?):(\d+)$")


def exceptions(text: str) -> tuple[set[str], list[tuple[str, str]]]:
    """Rules that are not adopted, and deviations as (rule, pattern of files), from the tables of docs/misra.md."""
    rules, deviations = set(), []
    part = ""
    for line in text.splitlines():
        if line.startswith("## "):
            part = line
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not line.startswith("|") or not re.match(r"\d", cells[0]):
            continue
        if "not adopted" in part:
            rules |= set(re.split(r",\s*", cells[0]))
        else:
            deviations.append((cells[0], cells[1]))
    return rules, deviations


def generate(folder: Path) -> None:
    """The digits network as generated C, for the generic target."""
    import numpy as np

    import edgec
    from edgec.emit import cgen
    from edgec.emit.artifact import decode

    digits = ROOT / "examples" / "digits"
    artifact = edgec.compile(digits / "digits.onnx", "generic-c", calibration=np.load(digits / "digits.npz")["x_calibration"])
    decoded = decode(artifact.data)
    folder.mkdir()
    for name, text in cgen.generate(decoded.program, decoded.plan, decoded.kernels, "network").items():
        (folder / name).write_text(text)


def findings(csrc: Path) -> list[tuple[str, str, int]]:
    """(rule, file, line) of everything the addon says, sorted."""
    with tempfile.TemporaryDirectory(prefix="edgec-misra-") as name:
        folder = Path(name)
        for part in ("runtime", "kernels"):
            shutil.copytree(csrc / part, folder / part)
        generate(folder / "generated")
        sources = sorted(p.relative_to(folder).as_posix() for pattern in SOURCES for p in folder.glob(pattern))
        command = ["cppcheck", "--quiet", "--std=c99", "--addon=misra", "--template={id} {file}:{line}"]
        command += ["--suppress=missingIncludeSystem", "-I", ".", "-I", "runtime", "-I", "generated", *sources]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        lines = {line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()}
        found = [(m[1], m[2], int(m[3])) for m in map(_FINDING.match, lines) if m]
        other = [line for line in lines if not _FINDING.match(line) and not line.startswith("nofile:")]
        if done.returncode or other or not found:  # the addon always finds what the document excepts
            raise SystemExit(f"cppcheck failed (exit code {done.returncode}):\n" + "\n".join(sorted(other)))
        return sorted(found)


def judge(found: list[tuple[str, str, int]], rules: set[str], deviations: list[tuple[str, str]]) -> list[str]:
    """What fails the check: findings of adopted rules outside the deviations, and exceptions that nothing needs."""
    used, failed = set(), []
    for rule, file, line in found:
        matching = [d for d in deviations if d[0] == rule and fnmatch.fnmatch(file, d[1])]
        if rule in rules:
            used.add(rule)
        elif matching:
            used.add(matching[0])
        else:
            failed.append(f"{file}:{line}: violates MISRA C:2012 rule {rule}, which docs/misra.md adopts")
    unused = [d for d in deviations if d not in used]
    failed += [f"docs/misra.md: nothing deviates from rule {rule} in {where} any more" for rule, where in unused]
    return failed + [f"docs/misra.md: rule {rule} could be adopted, nothing violates it" for rule in sorted(rules - used)]


def main() -> int:
    if shutil.which("cppcheck") is None:
        print("cppcheck is not installed. On Debian type:  sudo apt-get install -y cppcheck")
        return 1
    csrc = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "csrc"
    failed = judge(findings(csrc), *exceptions(DOCUMENT.read_text()))
    print("\n".join(failed) or "no adopted rule is violated")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
