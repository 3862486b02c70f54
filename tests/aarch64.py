"""The host engine for AArch64 under QEMU: built with the cross compiler from csrc/ (or with mutants), driven by lists of files.

Kept beside pytest's temporary folders by the hash of everything that went in, so that parallel test processes build it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec.emit.kernels import source_folder
from tests import mutants, native
from tests.mutants import Mutant

ROOT = Path(__file__).resolve().parent.parent
TIERS = ("neon", "neondot", "neoni8mm")
FUNCTION = re.compile(r"^_ZN\S*?\d(conv_octets|conv|depthwise_ring|depthwise_taps|depthwise)I((?:L[ib]\d+E)+)E\S*:$")
LABEL, JUMP = re.compile(r"^(\.L\d+):"), re.compile(r"^\t(?:b\S*|cbn?z|tbn?z)\t(?:\S+, )*(\.L\d+)$")
DOT = re.compile(r"^\s*(sdot|smmla|sadalp|saddw2?)\b")
CPUS = {"cortex-a53": "neon", "cortex-a76": "neondot", "max": "neoni8mm"}
"""Processors that QEMU imitates, and the best tier that each runs."""


def needs(*programs: str) -> None:
    """Skip the test where a program is not installed."""
    packages = {
        "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
        "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
        "qemu-aarch64": "qemu-user",
    }
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; enable with: apt-get install {packages[program]}")


def tier_flags(tier: str) -> list[str]:
    """The CPU flags of a tier as CMakeLists.txt has them."""
    return re.search(rf"set\(tier_flags_{tier} ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()


def host(tiers: Sequence[str] = TIERS, level: str = "-O3", chosen: Sequence[Mutant] = ()) -> Path:
    """edgec-host for AArch64 with these tiers, all of `chosen` in it; skips where the tools are missing."""
    needs("aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc", "qemu-aarch64")
    own = source_folder()
    parts = ("runtime/*", "host/*", "kernels/*.*", "kernels/*/*", "bind/command.cpp")
    files = [p for part in parts for p in sorted(own.glob(part)) if p.is_file()]
    digest = hashlib.sha256(repr((tiers, level, chosen)).encode())
    for path in (*files, ROOT / "CMakeLists.txt", Path(__file__)):
        digest.update(path.read_bytes())
    kept = Path(tempfile.gettempdir()) / f"edgec-tests-{os.getuid()}"
    kept.mkdir(exist_ok=True)
    result = kept / f"{digest.hexdigest()[:32]}.aarch64"
    with (kept / "aarch64.lock").open("w") as lock:  # one of several test processes builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.is_file():
            with tempfile.TemporaryDirectory(dir=kept) as work:
                _build(tiers, level, files, chosen, Path(work)).replace(result)
    return result


def _build(tiers: Sequence[str], level: str, files: Sequence[Path], chosen: Sequence[Mutant], work: Path) -> Path:
    own, csrc = source_folder(), work / "csrc"
    for path in files:
        copy = csrc / path.relative_to(own)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    mutants.rewrite(csrc, chosen)
    kernels = work / "kernels_ref.inc"
    kernels.write_text(native.kernel_lines())
    mutant = '#include <cstdlib>\nextern "C" { volatile int edgec_mutant = std::atoi(std::getenv("EDGEC_MUTANT") ? std::getenv("EDGEC_MUTANT") : "-1"); }\n'
    (work / "mutant.cpp").write_text(mutant)
    common, include = ("-w", "-c"), f"-I{csrc}"
    for source in (*csrc.glob("runtime/*.c"), *csrc.glob("kernels/*/*_check.c"), *csrc.glob("kernels/*/*_ref.c")):
        command = [
            "aarch64-linux-gnu-gcc",
            "-std=c99",
            "-O2",
            *common,
            f"-I{csrc / 'runtime'}",
            f'-DEDGEC_KERNELS_INC="{kernels}"',
            str(source),
        ]
        subprocess.run([*command, "-o", f"{work / source.stem}.o"], check=True)
    for source in (work / "mutant.cpp", csrc / "bind" / "command.cpp", *csrc.glob("host/*.cpp")):
        command = ["aarch64-linux-gnu-g++", "-std=c++17", "-O1", *common, include, *(f"-DEDGEC_TIER_{t}" for t in tiers), str(source)]
        subprocess.run([*command, "-o", f"{work / source.stem}.o"], check=True)
    for tier in tiers:
        for source in sorted(csrc.glob(f"kernels/*/*_{tier}.cpp")):
            command = [
                "aarch64-linux-gnu-g++",
                "-std=c++17",
                level,
                *common,
                "-fno-exceptions",
                "-fno-rtti",
                *tier_flags(tier),
                include,
                str(source),
            ]
            subprocess.run([*command, "-o", f"{work / source.stem}.o"], check=True)
    subprocess.run(
        ["aarch64-linux-gnu-g++", "-static", "-pthread", *map(str, sorted(work.glob("*.o"))), "-o", str(work / "host")], check=True
    )
    return work / "host"


def qemu(program: Path, *arguments: str, cpu: str = "max", timeout: float = 300, **environment: str) -> subprocess.CompletedProcess:
    """Run an AArch64 program on an imitated processor."""
    command = ["qemu-aarch64", "-cpu", cpu, *(a for k, v in environment.items() for a in ("-E", f"{k}={v}")), str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


class Batch:
    """Artifacts with the inputs they run on, as files in a folder: one process runs them all.

    runs: artifact bytes and an int8 array [samples, bytes of all inputs].
    """

    def __init__(self, folder: Path, runs: Iterable[tuple[bytes, np.ndarray]]) -> None:
        self.folder, self.count, self.list = folder, 0, folder / "list"
        lines = []
        for i, (artifact, inputs) in enumerate(runs):
            (folder / f"{i}.edgec").write_bytes(artifact)
            (folder / f"{i}.in").write_bytes(np.ascontiguousarray(inputs, np.int8).tobytes())
            lines.append(f"{folder}/{i}.edgec {folder}/{i}.in {folder}/{i}.out\n")
            self.count = i + 1
        self.list.write_text("".join(lines))

    def run(self, program: Path, tier: str, *arguments: str, **options) -> list[np.ndarray]:
        """Bytes that each run gave."""
        for i in range(self.count):
            (self.folder / f"{i}.out").unlink(missing_ok=True)
        done = qemu(program, "--tier", tier, *arguments, f"@{self.list}", **options)
        assert done.returncode == 0, f"{tier}: {done.stdout}{done.stderr}"
        return [np.frombuffer((self.folder / f"{i}.out").read_bytes(), np.int8) for i in range(self.count)]


@cache
def inner_loops(tier: str) -> dict[str, list[list[str]]]:
    """Kernel with its template arguments → instructions of its innermost loops that multiply; skips without the compiler."""
    needs("aarch64-linux-gnu-g++")
    source = source_folder() / "kernels" / "conv" / f"conv_{tier}.cpp"
    command = ["aarch64-linux-gnu-g++", "-std=c++17", "-O3", "-fPIC", "-w", "-fno-exceptions", "-fno-rtti", *tier_flags(tier)]
    text = subprocess.run(
        [*command, f"-I{source_folder()}", "-S", "-o", "-", str(source)], check=True, capture_output=True, text=True
    ).stdout
    bodies: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            arguments = ", ".join(re.findall(r"L[ib](\d+)E", match[2]))
            current = bodies.setdefault(f"{match[1]}<{arguments}>", [])
        elif line.startswith("\t.size"):
            current = None
        elif current is not None:
            current.append(line)
    return {name: _innermost(body) for name, body in bodies.items()}


def _innermost(lines: list[str]) -> list[list[str]]:
    """Loops that hold a multiplication and no smaller loop that does, without labels, directives and comments."""
    at = {m[1]: i for i, line in enumerate(lines) if (m := LABEL.match(line))}
    spans = [(at[m[1]], i) for i, line in enumerate(lines) if (m := JUMP.match(line)) and at.get(m[1], i) < i]
    spans = [s for s in spans if any(DOT.search(line) for line in lines[s[0] : s[1]])]
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[line for line in lines[a : b + 1] if re.match(r"\s+[a-z]", line)] for a, b in inner]
