"""Runtime, device kernels and generated C compile without a warning under gcc and clang, for this machine and for every target."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgec import targets
from edgec.emit import cgen
from edgec.emit.artifact import decode
from edgec.emit.kernels import all_kernels, source_folder
from tests.models import COMMITTED, compiled

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror")
PACKAGES = {"gcc": "gcc", "clang": "clang"}
DEVICES = tuple(n for n in targets.names() if targets.load(n).toolchain and n != "generic-c")
CLANG = {
    "cortex-m0": ("--target=arm-none-eabi", "-mcpu=cortex-m0", "-mthumb"),
    "cortex-m4": ("--target=arm-none-eabi", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    "cortex-m55": ("--target=arm-none-eabi", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
    "riscv32": ("--target=riscv32-unknown-elf", "-march=rv32imac", "-mabi=ilp32"),
    "cortex-a": ("--target=aarch64-linux-gnu", "-march=armv8-a"),
}
"""clang's flags for the targets' processors; it brings the freestanding headers itself."""
NEEDS_STRING_H = "edgec_quantize.c"
"""The float edges are for hosted C: the only file that includes more than freestanding headers."""


def sources(isas: tuple[str, ...]) -> list[Path]:
    """Runtime and the kernels of these ISAs, with their checks."""
    csrc = source_folder()
    kernels = {csrc / "kernels" / f for k in all_kernels() if k.isa in isas for f in k.files}
    checks = {p for k in all_kernels() for p in (csrc / "kernels" / k.family).glob("*_check.c")}
    return sorted({*(csrc / "runtime").glob("*.c"), *kernels, *checks})


def generated(folder: Path, target: str) -> list[Path]:
    """The committed networks as generated C, in a folder."""
    for name in COMMITTED:
        decoded = decode(compiled(name, target).data)
        for file, text in cgen.generate(decoded.program, decoded.plan, decoded.kernels, name).items():
            (folder / file).write_text(text)
    return sorted(folder.glob("*.c"))


def compile_all(compiler: str, flags: tuple[str, ...], files: list[Path], folder: Path) -> None:
    csrc = source_folder()
    command = [compiler, *STRICT, *flags, "-O2", "-I", csrc, "-I", csrc / "runtime", "-c", *files]
    done = subprocess.run([str(c) for c in command], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and not done.stderr, done.stderr[-4000:]


@pytest.mark.parametrize("compiler", list(PACKAGES))
def test_for_this_machine(compiler, needs_tool, tmp_path):
    """Kernels of every ISA: their portable form is what an exported folder's `make test` runs."""
    files = [*sources(tuple({k.isa for k in all_kernels()})), *generated(tmp_path, "generic-c")]
    compile_all(needs_tool(compiler, PACKAGES[compiler]), (), files, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", DEVICES)
def test_for_a_target_with_its_gcc(name, needs_target, tmp_path):
    needs_target(name)
    target = targets.load(name)
    files = [*sources(target.isa), *generated(tmp_path, name)]
    if "-ffreestanding" in target.toolchain["flags"]:  # no C library comes with the compiler
        files = [f for f in files if f.name != NEEDS_STRING_H]
    compile_all(target.toolchain["compiler"], tuple(target.toolchain["flags"]), files, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CLANG))
def test_for_a_target_with_clang(name, needs_tool, tmp_path):
    clang = needs_tool("clang", "clang")
    files = [f for f in [*sources(targets.load(name).isa), *generated(tmp_path, name)] if f.name != NEEDS_STRING_H]
    compile_all(clang, (*CLANG[name], "-ffreestanding"), files, tmp_path)
