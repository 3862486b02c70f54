"""The target's compiler: finding it, compiling one file into the cache, linking, disassembling."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgec.device import cache as store
from edgec.emit.kernels import source_folder
from edgec.errors import ToolError
from edgec.targets import Target

SECTIONS = ("-ffunction-sections", "-fdata-sections")
QUIET = ("-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-fno-stack-protector", "-fno-pic", "-fno-pie")
"""No tables and checks that a firmware project would not link; distributions switch some of them on for the host compiler."""


def find_tool(program: str, package: str, purpose: str) -> str:
    """Path of a program.

    Raises:
        ToolError: not installed; names the packages.
    """
    path = shutil.which(program)
    if path is None:
        raise ToolError(
            f"{program} is not installed",
            where=purpose,
            why=f"there is no {program} on the PATH",
            fix=f"apt-get install {package}",
        )
    return path


def run_tool(command: Sequence[str | Path], doing: str, cwd: Path | None = None) -> str:
    """Standard output of a build tool.

    Raises:
        ToolError: it failed; `why` holds the end of what it said.
    """
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=cwd, errors="replace")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ToolError(
            f"{Path(str(command[0])).name} failed while {doing}",
            where=" ".join(str(c) for c in command)[:2000],
            why=said[-3000:] or f"exit code {done.returncode} and no message",
            fix="run the command by hand; a compiler of another version than edgec was tried with may be the cause",
        )
    return done.stdout


_INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def include_folders() -> tuple[Path, ...]:
    return (source_folder(), source_folder() / "runtime")


@cache
def source_hash(source: Path) -> str:
    """Identifies a C file together with every file of csrc that it includes."""
    found: dict[Path, bytes] = {}
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = path.read_bytes()
        for name in _INCLUDE.findall(found[path]):
            places = [(folder / name.decode()).resolve() for folder in (path.parent, *include_folders())]
            waiting += [p for p in places if p.is_file()][:1]
    return store.key(*found.values())


@dataclass(frozen=True)
class Object:
    """A compiled file and GCC's call graph of it."""

    path: Path
    graph: Path


class Toolchain:
    """The compiler of one target with its flags.

    Args:
        target: whose [toolchain] section is read; optimize: a flag such as -O2, for runtime and kernels.
    """

    def __init__(self, target: Target, optimize: str = "-O2") -> None:
        self.target = target
        if not target.toolchain:
            raise ToolError(
                f"target {target.name} has no C compiler",
                where=f"edgec/targets/{target.name}.toml",
                why="it runs on this machine's own engine",
                fix="run it with on='host', or compile for a device, for example cortex-m4",
            )
        self.package = str(target.toolchain["package"])
        self.compiler = find_tool(str(target.toolchain["compiler"]), self.package, f"building firmware for {target.name}")
        self.flags = (*target.toolchain.get("flags", ()), *QUIET, *SECTIONS)
        self.optimize = optimize
        self.version = _version(self.compiler)
        self.identity = store.key(self.compiler, self.version, *self.flags, *target.toolchain.get("link", ()))

    def compile(self, source: Path, *, name: str, optimize: str | None = None, extra: Sequence[str] = (), content: str = "") -> Object:
        """Compile one file, or take it from the cache.

        Args:
            name: file name of the object; the linker script sorts by it.
            content: identifies whatever the source depends on outside csrc, and the source itself where it lies outside.
        """
        level = optimize or self.optimize
        key = store.key(self.identity, level, *extra, name, str(source), content, source_hash(source.resolve()) if source.is_relative_to(source_folder()) else "")

        def make(folder: Path) -> None:
            output = folder / f"{name}.o"
            command = [self.compiler, *self.flags, level, *extra, "-std=gnu99" if source.suffix == ".c" else "-xassembler-with-cpp"]
            if source.suffix == ".c":
                command += ["-fcallgraph-info=su"]
            includes = [flag for path in include_folders() for flag in ("-I", path)]
            run_tool([*command, *includes, "-c", source, "-o", output], f"compiling {source.name}")

        folder = store.cached("objects", key, make)
        return Object(folder / f"{name}.o", folder / f"{name}.ci")

    def link(self, objects: Sequence[Object], script: Path, output: Path) -> None:
        """Link with the script. A region that overflows is reported by the caller, from the linker's words."""
        run_tool(
            [
                self.compiler, *self.target.toolchain.get("flags", ()), *self.target.toolchain.get("link", ()),
                "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--strip-debug", f"-Wl,-Map={output.with_suffix('.map')}", "-T", script,
                *(o.path for o in objects), *self.target.toolchain.get("libraries", ()), "-o", output,
            ],
            f"linking for {self.target.name}",
        )  # fmt: skip

    def disassembly(self, elf: Path) -> str:
        """objdump -d of a linked file."""
        program = subprocess.run([self.compiler, "-print-prog-name=objdump"], capture_output=True, text=True).stdout.strip()
        return run_tool([program or "objdump", "-d", "--no-show-raw-insn", elf], f"disassembling {elf.name}")


@cache
def _version(compiler: str) -> str:
    return run_tool([compiler, "--version"], "asking its version").splitlines()[0]


def machine_name() -> str:
    """This machine's processor as qemu-user names it."""
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
