"""The reference kernels and the runtime as a shared library of this machine, driven through ctypes.

Built with the C compiler from csrc/ (or from an altered copy of one file), with the flags that firmware is built with; kept
beside pytest's temporary folders by the hash of everything that went in, so that parallel test processes build it once.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec.emit.kernels import Kernel, all_kernels, packed_constants, source_folder
from edgec.ir.core import Op, Program

FLAGS = ("-std=c99", "-fPIC", "-shared")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
RUNTIME = ("edgec_load.c", "edgec_run.c", "edgec_kernels_all.c")


def compiler() -> str:
    """The C compiler; skips the test where there is none."""
    found = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler; enable with: apt-get install gcc")
    return found


def build(sources: Sequence[Path], *, flags: Sequence[str] = (*WARNINGS, "-O2"), csrc: Path | None = None) -> Path:
    """A shared library of `sources`, which lie in `csrc` (the project's own, or an altered copy)."""
    program, csrc = compiler(), csrc or source_folder()
    headers = sorted((*csrc.glob("runtime/*.h"), *csrc.glob("kernels/**/*.h"), csrc / "kernels" / "kernels.inc"))
    digest = hashlib.sha256(repr((program, FLAGS, flags, [str(s.relative_to(csrc)) for s in sources])).encode())
    for path in (*headers, *sources):
        digest.update(path.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"edgec-tests-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{digest.hexdigest()[:32]}.so"
    if library.is_file():
        return library
    with tempfile.TemporaryDirectory(dir=folder) as work:
        kernels = Path(work) / "kernels.inc"
        kernels.write_text(kernel_lines())
        made = Path(work) / "library.so"
        command = [
            program,
            *FLAGS,
            *flags,
            f"-I{csrc / 'runtime'}",
            f'-DEDGEC_KERNELS_INC="{kernels}"',
            *map(str, sources),
            "-o",
            str(made),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        made.replace(library)
    return library


def reference_kernels() -> list[Kernel]:
    return [k for k in all_kernels() if k.isa == "ref"]


def kernel_lines() -> str:
    """kernels.inc, of the reference kernels alone."""
    return "".join(f"EDGEC_KERNEL({k.id:#06x}, {k.opcode}, {k.packing}, {k.isa}, {k.symbol}, {k.family})\n" for k in reference_kernels())


@cache
def library() -> ctypes.CDLL:
    """Runtime and all reference kernels."""
    csrc = source_folder()
    kernels = {csrc / "kernels" / f for k in reference_kernels() for f in k.files}
    return ctypes.CDLL(str(build([csrc / "runtime" / f for f in RUNTIME] + sorted(kernels))))


class Operands(ctypes.Structure):
    """edgec_operands of kernel.h."""

    _fields_ = [
        ("input", ctypes.c_void_p * 2),
        ("output", ctypes.c_void_p * 1),
        ("constant", ctypes.c_void_p * 3),
        ("scratch", ctypes.c_void_p),
    ]


class KernelDescriptor(ctypes.Structure):
    """edgec_kernel of kernel.h."""

    _fields_ = [("id", ctypes.c_uint16), ("overlap", ctypes.c_uint16), ("run", ctypes.c_void_p), ("check", ctypes.c_void_p)]


def descriptor(lib: ctypes.CDLL, kernel: Kernel) -> KernelDescriptor:
    return KernelDescriptor.in_dll(lib, f"{kernel.symbol}_kernel")


def aligned(nbytes: int, alignment: int = 16) -> np.ndarray:
    """Zeroed int8 memory that starts at a multiple of `alignment`."""
    raw = np.zeros(nbytes + alignment, np.int8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes]


def call(lib: ctypes.CDLL, program: Program, op: Op, kernel: Kernel, inputs: Sequence[int], output: int, scratch: int = 0) -> None:
    """Run one kernel on addresses."""
    from edgec.ops import OPERATORS

    params = np.array([op.attrs[f] for f in OPERATORS[op.opcode].fields], np.int32)
    held = []
    for value in packed_constants(program, op, kernel):
        memory = aligned(value.nbytes)
        memory[:] = np.ascontiguousarray(value).reshape(-1).view(np.int8)
        held.append(memory)
    operands = Operands(scratch=scratch)
    for i, address in enumerate(inputs):
        operands.input[i] = address
    operands.output[0] = output
    for i, memory in enumerate(held):
        operands.constant[i] = memory.ctypes.data if memory.size else None
    run = getattr(lib, kernel.symbol)
    run.argtypes, run.restype = [ctypes.c_void_p, ctypes.POINTER(Operands)], None
    run(params.ctypes.data, ctypes.byref(operands))


class Model:
    """An artifact opened by the runtime in a library of this machine; raises where edgec_open does not say EDGEC_OK."""

    def __init__(self, lib: ctypes.CDLL, data: bytes, arena: np.ndarray) -> None:
        self.lib, self.arena = lib, arena
        self.data = aligned(len(data))
        self.data[:] = np.frombuffer(data, np.int8)
        self.model = ctypes.create_string_buffer(256)
        lib.edgec_open.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        lib.edgec_attach.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        lib.edgec_run.argtypes = [ctypes.c_void_p]
        kernels = ctypes.addressof(ctypes.c_void_p.in_dll(lib, "edgec_kernels_all"))
        self._ok(lib.edgec_open(self.model, self.data.ctypes.data, len(data), kernels), "edgec_open")
        self._ok(lib.edgec_attach(self.model, arena.ctypes.data, arena.size), "edgec_attach")

    def run(self) -> None:
        """Inputs and outputs are at the plan's offsets in the arena."""
        self._ok(self.lib.edgec_run(self.model), "edgec_run")

    @staticmethod
    def _ok(status: int, function: str) -> None:
        if status != 0:
            raise RuntimeError(f"{function}: status {status}")


def run_in_arena(program: Program, kernels: Sequence[Kernel], plan, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Encode, open, run in an arena of exactly the planned bytes with canaries around it, and give the outputs."""
    from edgec import targets
    from edgec.emit import artifact

    border = 64
    memory = aligned(plan.arena_bytes + 2 * border)
    memory[:] = 0x5A
    arena = memory[border : border + plan.arena_bytes]
    data = artifact.encode(program, plan, tuple(kernels), targets.load("generic-c"), {})
    model = Model(library(), data, arena)
    arena[:] = np.random.default_rng(7).integers(-128, 128, arena.size)  # nothing may rely on what was there before
    for name, value in inputs.items():
        arena[plan.offsets[name] : plan.offsets[name] + value.size] = value.reshape(-1)
    model.run()
    assert (memory[:border] == 0x5A).all() and (memory[border + plan.arena_bytes :] == 0x5A).all(), "a kernel wrote outside the arena"
    result = {}
    for port in program.outputs:
        at = plan.offsets[port.tensor]
        result[port.tensor] = arena[at : at + program.tensors[port.tensor].nbytes].copy()
    return result
