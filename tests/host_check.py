"""Builds tests/host_check.cpp with the whole host engine, every tier of this machine's architecture, and a sanitizer."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgec.emit.kernels import source_folder
from tests import native
from tests.conftest import enable

ROOT = Path(__file__).resolve().parent.parent
SANITIZERS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-sanitize=alignment"),
    "thread": ("-fsanitize=thread",),
}
"""alignment: kernels load and store vectors at any byte through types that say so, which GCC does not see in the intrinsics."""


def tiers_of(machine: str) -> list[str]:
    """Tiers with kernels for this architecture, as CMakeLists.txt lists them."""
    lists = [found.split() for found in re.findall(r"set\(tiers (\w[^)]*)\)", (ROOT / "CMakeLists.txt").read_text())]
    return next(tiers for tiers in lists if tiers[0].startswith("avx" if machine in ("x86_64", "AMD64") else "neon"))


def flags_of(tier: str) -> list[str]:
    """The CPU flags of a tier."""
    found = re.search(rf"set\(tier_flags_{tier} ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())
    return found[1].split() if found else []


def build_check(work: Path, sanitizer: str) -> Path:
    """The program, kept beside pytest's folders by the hash of its sources; skips where there is no compiler or no sanitizer."""
    cc, cxx = shutil.which("gcc"), shutil.which("g++")
    if cc is None or cxx is None:
        pytest.skip(enable("no C++ compiler", "apt-get install g++"))
    csrc = source_folder()
    files = [p for part in ("runtime/*", "host/*", "kernels/*.*", "kernels/*/*") for p in sorted(csrc.glob(part)) if p.is_file()]
    digest = hashlib.sha256(repr((cxx, SANITIZERS[sanitizer])).encode())
    for path in (*files, Path(__file__), Path(__file__).with_suffix(".cpp"), ROOT / "CMakeLists.txt"):
        digest.update(path.read_bytes())
    kept = Path(tempfile.gettempdir()) / f"edgec-tests-{os.getuid()}"
    kept.mkdir(exist_ok=True)
    program = kept / f"{digest.hexdigest()[:32]}-{sanitizer}"
    with (kept / f"check-{sanitizer}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():
            _build(work, csrc, cc, cxx, SANITIZERS[sanitizer]).replace(program)
    return program


def _build(work: Path, csrc: Path, cc: str, cxx: str, sanitize: tuple[str, ...]) -> Path:
    kernels = work / "kernels_ref.inc"
    kernels.write_text(native.kernel_lines())
    common = ["-O1", "-g1", "-w", "-c", *sanitize, f"-I{csrc}"]
    jobs, objects = [], []

    def job(source: Path, command: list[str]) -> None:
        objects.append(str(work / f"{source.stem}.o"))
        jobs.append([*command, *common, str(source), "-o", objects[-1]])

    tiers = tiers_of(platform.machine())
    defined = [f"-DEDGEC_TIER_{t}" for t in tiers if list(csrc.glob(f"kernels/*/*_{t}.cpp"))]
    for tier in tiers:
        for source in sorted(csrc.glob(f"kernels/*/*_{tier}.cpp")):
            job(source, [cxx, "-std=c++17", "-fno-exceptions", "-fno-rtti", *flags_of(tier)])
    for source in (*sorted(csrc.glob("host/*.cpp")), Path(__file__).with_suffix(".cpp")):
        job(source, [cxx, "-std=c++17", *defined])
    for source in (*csrc.glob("runtime/*.c"), *csrc.glob("kernels/*/*_check.c"), *csrc.glob("kernels/*/*_ref.c")):
        job(source, [cc, "-std=c99", f"-I{csrc / 'runtime'}", f'-DEDGEC_KERNELS_INC="{kernels}"'])

    def run(command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-4000:]}"

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, jobs))
    program = work / "host_check"
    run([cxx, *sanitize, *objects, "-pthread", "-o", str(program)])
    return program
