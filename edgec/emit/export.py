"""export_c: a folder a firmware engineer can build as it is, with only the sources the network needs.

What it holds:

    README.md  CMakeLists.txt  Makefile  library.json (PlatformIO)  library.properties (Arduino)  zephyr/ (a module)
    manifest.json                what the compiler knows: report, versions, accuracy evidence
    src/<prefix>*.c, .h          generated: interface, calls, constants, self-test
    src/kernels/, src/runtime/   the kernels and headers they need, in the layout of csrc, so that includes work
    examples/                    main.c for any machine, a sketch for Arduino
    edgec-export.json            marks the folder as edgec's, with the hash of every file in it
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgec.emit import cgen
from edgec.emit.kernels import Kernel, source_folder
from edgec.errors import UsageError
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from edgec.plan import Plan
from edgec.targets import Target

MARKER = "edgec-export.json"
BUILD_FOLDERS = ("build", ".pio")
"""Made by building the folder; replaced with it and not looked at."""
_TEMPLATES = Path(__file__).parent / "templates"
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def export_c(
    program: Program,
    plan: Plan,
    kernels: Sequence[Kernel],
    folder: str | os.PathLike,
    prefix: str,
    *,
    target: Target,
    selftest: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    manifest: Mapping[str, Any],
) -> Path:
    """Write the network as C into `folder`: beside it first, then renamed, so that no one sees half of it.

    A folder that an earlier export wrote, and in which nothing was edited or added, is replaced.

    Args:
        prefix: a C identifier in lower case that starts every generated name.
        target: whose compiler and flags the Makefile takes.
        selftest: int8 inputs, one array a port, and the outputs `ir.interp` gives for them.
        manifest: written as manifest.json.

    Raises:
        UsageError: a prefix that is no identifier, or a folder that is not edgec's to replace.
    """
    path = Path(os.path.abspath(folder))
    check_replaceable(path)
    files = folder_files(program, plan, kernels, prefix, target=target, selftest=selftest, manifest=manifest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        for name, text in files.items():
            file = beside / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        beside.chmod(0o777 & ~_umask())
        _replace(path, beside)
    except OSError as error:
        raise _cannot_write(path, error) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def folder_files(
    program: Program,
    plan: Plan,
    kernels: Sequence[Kernel],
    prefix: str,
    *,
    target: Target,
    selftest: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    manifest: Mapping[str, Any],
) -> dict[str, str]:
    """Every file of the folder: path with forward slashes → text. The same arguments give the same files."""
    version = str(manifest.get("edgec", manifest.get("version", "")))
    description = f"edgec {version}, target {target.name}" if version else f"Target {target.name}"
    generated = cgen.generate(program, plan, kernels, prefix, description=description)
    generated |= cgen.selftest(program, prefix, *selftest)
    files = {f"src/{name}": text for name, text in generated.items()}
    for name in kernel_sources(kernels):
        files[f"src/{name}"] = (source_folder() / name).read_text()
    files |= _project_files(
        program, plan, prefix, target, sorted(f for f in files if f.endswith(".c")), _constant_bytes(generated, prefix), version
    )
    files["manifest.json"] = json.dumps(manifest, indent=2, sort_keys=True, default=_plain) + "\n"
    licence = source_folder().parent / "LICENSE"
    if licence.is_file():
        files["LICENSE"] = licence.read_text()
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())}
    marker = {"generator": "edgec", "prefix": prefix, "target": target.name, "files": hashes}
    return dict(sorted((files | {MARKER: json.dumps(marker, indent=1) + "\n"}).items()))


def kernel_sources(kernels: Sequence[Kernel]) -> list[str]:
    """Files under csrc that generated code with these kernels compiles and includes, sorted: sources and headers."""
    waiting = [f"kernels/{file}" for kernel in kernels for file in kernel.files]
    waiting += [f"kernels/{kernel.family}/{kernel.family}.h" for kernel in kernels]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        text = (source_folder() / name).read_text()
        waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(name), include)) for include in _INCLUDE.findall(text)]
    return sorted(found)


def check_replaceable(path: Path) -> None:
    """Raise UsageError unless path is free, empty, or an export of edgec that nobody changed."""
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_dir():
        raise _refused(path, "it exists and is not a folder")
    present = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if not p.is_dir() or p.is_symlink()}
    present = {name: p for name, p in present.items() if name.split("/")[0] not in BUILD_FOLDERS}
    if not present and not any(path.iterdir()):
        return
    try:
        marker = json.loads((path / MARKER).read_text())
        hashes = marker["files"] if marker["generator"] == "edgec" else {}
    except (OSError, ValueError, KeyError, TypeError):
        raise _refused(path, f"it is not empty, and has no {MARKER} that says edgec wrote it") from None
    foreign = sorted(name for name in present if name != MARKER and name not in hashes)
    edited = sorted(name for name in present if name in hashes and hashlib.sha256(present[name].read_bytes()).hexdigest() != hashes[name])
    if foreign or edited:
        parts = [
            f"{what} {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for what, names in (("added:", foreign), ("edited:", edited))
            if names
        ]
        raise _refused(path, f"files in it are not as edgec wrote them; {'; '.join(parts)}")


def _refused(path: Path, why: str) -> UsageError:
    return UsageError("will not replace the folder", where=str(path), why=why, fix="name another folder, or move this one away")


def _cannot_write(path: Path, error: OSError) -> UsageError:
    return UsageError("cannot write the folder", where=str(path), why=str(error.strerror or error), fix="name a folder that can be written")


def _replace(path: Path, beside: Path) -> None:
    """Put `beside` in the place of path; on failure path is as it was."""
    if not path.exists():
        os.rename(beside, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.rename(path, old / "was")
    try:
        os.rename(beside, path)
    except OSError:
        os.rename(old / "was", path)
        raise
    finally:
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _plain(value: Any) -> Any:
    """What JSON has no word for: NumPy numbers and arrays, bytes, tuples in mappings."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _constant_bytes(generated: Mapping[str, str], prefix: str) -> str:
    return re.search(r"([\d,]+) bytes of constants", generated[f"{prefix}.h"]).group(1)  # type: ignore[union-attr]


def _project_files(
    program: Program, plan: Plan, prefix: str, target: Target, sources: Sequence[str], weights: str, version: str
) -> dict[str, str]:
    upper = prefix.upper()
    macs = sum(OPERATORS[op.opcode].macs(op) for op in program.ops)
    compiler = str(target.toolchain.get("compiler", "cc"))
    selftest = f"src/{prefix}_selftest.c"
    fill = [
        f"  {{\n    int8_t *const input = {prefix}_input(arena, {i}u);\n    for (uint32_t n = 0; n < {upper}_INPUT_{i}_BYTES; n++) {{\n"
        f"      input[n] = {upper}_INPUT_{i}_ZERO_POINT; /* real 0 */\n    }}\n  }}"
        for i in range(len(program.inputs))
    ]
    numeric = re.match(r"\d+(\.\d+){0,2}", version)
    values = {
        "PREFIX": prefix,
        "UPPER": upper,
        "NAME": _printable(program.name),
        "TARGET": target.name,
        "COMPILER": compiler,
        "CPU_FLAGS": " ".join(f for f in target.toolchain.get("flags", ()) if not f.startswith("-O")),
        "OPERATORS": cgen.count(len(program.ops), "operator"),
        "MACS": f"{macs:,}",
        "WEIGHTS": weights,
        "ARENA": f"{plan.arena_bytes:,}",
        "VERSION": numeric.group() if numeric else "1.0.0",
        "DESCRIPTION": f"Integer network {prefix} in C99, {plan.arena_bytes} bytes of arena",
        "FILL_INPUTS": "\n".join(fill),
        "CMAKE_SOURCES": "\n".join(f"  {s}" for s in sources),
        "MAKE_SOURCES": " \\\n".join(f"  {s}" for s in sources),
        "ZEPHYR_SOURCES": "\n".join("    ${edgec_folder}/" + s for s in sources if s != selftest),
    }
    places = {
        "README.md": "README.md",
        "CMakeLists.txt": "CMakeLists.txt",
        "Makefile": "Makefile",
        "library.json": "library.json",
        "library.properties": "library.properties",
        "module.yml": "zephyr/module.yml",
        "zephyr.cmake": "zephyr/CMakeLists.txt",
        "Kconfig": "zephyr/Kconfig",
        "main.c": "examples/main/main.c",
        "example.ino": "examples/selftest/selftest.ino",
    }
    return {place: _filled((_TEMPLATES / name).read_text(), values) for name, place in places.items()}


def _printable(text: str) -> str:
    return "".join(c if c.isalnum() or c in "_-. " else "_" for c in text)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with every @NAME@ replaced."""
    return re.sub(r"@([A-Z_]+)@", lambda m: values[m.group(1)], template)
