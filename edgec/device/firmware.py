"""Builds the firmware: runtime and needed kernels, or generated C, with the harness that feeds it, for one machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgec.device import cache as store
from edgec.device import stack
from edgec.device.elf import Elf
from edgec.device.toolchain import Object, Toolchain, source_hash
from edgec.emit import cgen
from edgec.emit.artifact import Decoded
from edgec.emit.kernels import Kernel, source_folder
from edgec.errors import FitError, ToolError, UsageError

ENGINES = ("runtime", "c")
RUNTIME = ("edgec_load.c", "edgec_run.c")
PREFIX = "network"
"""Of the generated C; inside the firmware the model's own name would only make cache entries differ."""
HARNESS_FLAGS = ("-fno-builtin", "-fno-tree-loop-distribute-patterns")
STACK_BYTES = 0x4000
FLASH_FOR_CODE = 0x10000
"""Flash kept free for code when deciding whether the weights go to the large memory of the machine."""


@dataclass(frozen=True)
class Firmware:
    """A built file and what its sections say.

    Attributes:
        code_bytes: instructions and constants of runtime, kernels and compiler helpers that were linked;
            weights and parameters (`model_bytes`) and the harness are not in it. rodata_bytes: the constants among them.
        stack_bound: computed bytes of stack of one inference; 0 in a build that traces, since the harness's hook is no part of it.
    """

    elf: Path
    code_bytes: int
    rodata_bytes: int
    model_bytes: int
    data_bytes: int
    bss_bytes: int
    stack_bound: int


def build(
    artifact: bytes, decoded: Decoded, toolchain: Toolchain, machine: Mapping[str, Any], *, engine: str = "runtime", trace: bool = False
) -> Firmware:
    """The firmware of an artifact for a machine, built or from the cache.

    Args:
        artifact: the file's bytes; decoded: what it holds.
        machine: an [emulator] section: memory map, and the counter where there is one.
        trace: with engine "c", call the trace hook after every operator (the runtime has it built in).

    Raises:
        ToolError: the compiler is missing or failed. FitError: it does not fit the machine's memory.
    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}", where="engine", why='it is "runtime" (the artifact) or "c" (generated C)', fix="choose one of these")
    trace = trace and engine == "c"
    key = store.key(
        toolchain.identity, toolchain.optimize, json.dumps(dict(machine), sort_keys=True), engine, str(trace), artifact, _sources_hash(engine, decoded.kernels)
    )

    def make(folder: Path) -> None:
        builder = _Builder(folder, artifact, decoded, toolchain, machine)
        facts = builder.runtime() if engine == "runtime" else builder.generated(trace)
        (folder / "firmware.json").write_text(json.dumps(facts))

    folder = store.cached("firmware", key, make)
    return Firmware(folder / "firmware.elf", **json.loads((folder / "firmware.json").read_text()))


def _sources_hash(engine: str, kernels: Sequence[Kernel]) -> str:
    """Identifies every source a firmware is made of, and the generator, whose output is not made again to look a firmware up."""
    csrc = source_folder()
    paths = [csrc / "kernels" / f for f in _kernel_files(kernels)] + [csrc / "runtime" / f for f in RUNTIME]
    paths += sorted(p for p in (csrc / "firmware").iterdir() if p.suffix in (".c", ".h", ".S", ".in"))
    own = [Path(__file__), Path(stack.__file__), *([Path(cgen.__file__)] if engine == "c" else [])]
    return store.key(*(source_hash(p.resolve()) for p in paths), *(p.read_bytes() for p in own))


def _kernel_files(kernels: Sequence[Kernel]) -> list[str]:
    return sorted({f for k in kernels for f in k.files})


class _Builder:
    def __init__(self, folder: Path, artifact: bytes, decoded: Decoded, toolchain: Toolchain, machine: Mapping[str, Any]) -> None:
        self.folder, self.artifact, self.decoded, self.toolchain, self.machine = folder, artifact, decoded, toolchain, machine
        self.csrc = source_folder()
        self.kernels = {k.symbol: k for k in decoded.kernels}

    def runtime(self) -> dict[str, int]:
        (self.folder / "artifact.edgec").write_bytes(self.artifact)
        names = sorted(self.kernels)
        listed = "\n".join(f"extern const edgec_kernel {n}_kernel;" for n in names)
        entries = ", ".join(f"&{n}_kernel" for n in names)
        text = f'#include "kernel.h"\n{listed}\nextern const edgec_kernel *const edgec_harness_kernels[];\nconst edgec_kernel *const edgec_harness_kernels[] = {{{entries}{", " if entries else ""}NULL}};\n'
        (self.folder / "kernel_list.c").write_text(text)
        own = [self._own("kernel_list.c", text, optimize="-Os")]
        own += [self.toolchain.compile(self.csrc / "runtime" / name, name=Path(name).stem) for name in RUNTIME]
        data = self.toolchain.compile(
            self.csrc / "firmware" / "harness_artifact.S", name="harness_artifact", extra=("-I", str(self.folder), f"-Wa,-I{self.folder}"), content=store.key(self.artifact)
        )
        config = '#define EDGEC_HARNESS_ENGINE "firmware/engine_runtime.h"\n'
        indirect = {"edgec_run": names, "edgec_open": []}
        return self._link([*own, *self._kernel_objects()], [data], config, len(self.artifact), "edgec_run", indirect)

    def generated(self, trace: bool) -> dict[str, int]:
        program = self.decoded.program
        files = cgen.generate(program, self.decoded.plan, self.decoded.kernels, PREFIX)
        for name, text in files.items():
            (self.folder / name).write_text(text)
        upper = PREFIX.upper()
        hook = (f"-D{upper}_TRACE=edgec_harness_trace",) if trace else ()
        content = store.key(*(text for pair in sorted(files.items()) for text in pair))
        model = self.toolchain.compile(self.folder / f"{PREFIX}.c", name=f"model_{PREFIX}", extra=hook, content=content)
        config = [f'#include "{self.folder / PREFIX}.h"', '#define EDGEC_HARNESS_ENGINE "firmware/engine_generated.h"', f"#define EDGEC_HARNESS_RUN {PREFIX}_run"]
        for side, ports in (("INPUT", program.inputs), ("OUTPUT", program.outputs)):
            pairs = ", ".join(f"{{{upper}_{side}_{i}_OFFSET, {upper}_{side}_{i}_BYTES}}" for i in range(len(ports)))
            config.append(f"#define EDGEC_HARNESS_{side}S {pairs}")
        constants = sum(c.data.nbytes for c in program.constants.values())
        root = "" if trace else f"{PREFIX}_run"
        return self._link([model, *self._kernel_objects()], [], "\n".join(config) + "\n", constants, root, {})

    def _kernel_objects(self) -> list[Object]:
        return [self.toolchain.compile(self.csrc / "kernels" / f, name=Path(f).stem) for f in _kernel_files(self.decoded.kernels)]

    def _own(self, name: str, text: str, optimize: str) -> Object:
        return self.toolchain.compile(self.folder / name, name=Path(name).stem, optimize=optimize, content=text)

    def _link(
        self, own: list[Object], data: list[Object], config: str, model_bytes: int, root: str, indirect: dict[str, list[str]]
    ) -> dict[str, int]:
        objects = [*own, *data]
        output = link_harness(self.folder, self.toolchain, self.machine, objects, config, self.decoded.plan.arena_bytes, model_bytes)
        linked = Elf(output)
        sizes = linked.section_sizes()
        graphs = [o.graph for o in [*objects, *_helpers(self.toolchain, self.machine)] if o.graph.is_file()]
        return {
            "code_bytes": sizes.get(".edgec_text", 0) + sizes.get(".edgec_rodata", 0),
            "rodata_bytes": sizes.get(".edgec_rodata", 0),
            "model_bytes": sizes.get(".edgec_model", 0),
            "data_bytes": sizes.get(".edgec_data", 0),
            "bss_bytes": sizes.get(".edgec_bss", 0),
            "stack_bound": stack.bound(graphs, root, indirect, self.toolchain.disassembly(output), linked.functions()) if root else 0,
        }


def _helpers(toolchain: Toolchain, machine: Mapping[str, Any]) -> list[Object]:
    """memcpy and its like, where no C library is linked."""
    if machine["kind"] == "system":
        return []
    return [toolchain.compile(source_folder() / "firmware" / "helpers.c", name="helpers", extra=HARNESS_FLAGS)]


def link_harness(
    folder: Path, toolchain: Toolchain, machine: Mapping[str, Any], objects: list[Object], config: str, arena_bytes: int, model_bytes: int = 0
) -> Path:
    """Compile the harness for a configuration and link it with objects: `folder`/firmware.elf.

    Args:
        config: C text that defines EDGEC_HARNESS_ENGINE, the header of the engine, and what that engine needs.

    Raises:
        ToolError: a tool failed. FitError: a memory of the machine is too small.
    """
    counter = machine.get("counter")
    config += f"#define EDGEC_HARNESS_ARENA_BYTES {arena_bytes}u\n"
    config += f"#define EDGEC_HARNESS_COUNTER {counter:#x}u\n" if isinstance(counter, int) else ""
    (folder / "harness_config.h").write_text(config)
    extra = (*HARNESS_FLAGS, "-I", str(folder))
    port = "harness_cortex_m.c" if machine["kind"] == "system" else "harness_user.c"
    harness = [
        toolchain.compile(source_folder() / "firmware" / name, name=Path(name).stem, optimize="-Os", extra=extra, content=config)
        for name in ("harness_main.c", port)
    ]
    script, output = folder / "firmware.ld", folder / "firmware.elf"
    script.write_text(linker_script((source_folder() / "firmware" / "firmware.ld.in").read_text(), machine, model_bytes))
    try:
        toolchain.link([*objects, *harness, *_helpers(toolchain, machine)], script, output)
    except ToolError as error:
        raise _fit(error, machine, toolchain.target.name) from None
    return output


def linker_script(template: str, machine: Mapping[str, Any], model_bytes: int) -> str:
    """firmware.ld.in with a machine's memory map filled in."""
    large = "large_base" in machine and model_bytes > int(machine["flash_bytes"]) - FLASH_FOR_CODE
    values = {name: f"{machine[name]:#x}" for name in ("flash_base", "flash_bytes", "ram_base", "ram_bytes")}
    values["large_memory"] = f"  LARGE (r) : ORIGIN = {machine['large_base']:#x}, LENGTH = {machine['large_bytes']:#x}" if large else ""
    values["model_region"] = "LARGE" if large else "FLASH"
    values["data_region"] = "> RAM AT> FLASH" if machine["kind"] == "system" else "> RAM"
    values["stack_bytes"] = f"{machine.get('stack_bytes', STACK_BYTES):#x}"
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template


def _fit(error: ToolError, machine: Mapping[str, Any], target: str) -> Exception:
    found = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", error.why)
    if not found:
        return error
    spaces = ", ".join(f"{region} by {int(n):,} bytes" for region, n in found)
    return FitError(
        f"the network does not fit the emulated {target}",
        where=f"machine {machine.get('machine', machine['kind'])}",
        why=f"{machine['flash_bytes']:,} bytes of flash and {machine['ram_bytes']:,} of RAM; exceeded: {spaces}",
        fix="compile for a target with more memory, or a smaller network",
    )
