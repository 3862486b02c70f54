"""A bound on the stack of one call, from GCC's call graphs and, for library code, from the disassembly.

Every object is compiled with -fcallgraph-info=su, which gives each function's frame and its calls. Library functions
(memcpy, the compiler's arithmetic helpers) have none: their frames are the sum of every instruction in them that lowers
the stack pointer, whichever paths it lies on. Calls through pointers are those of the runtime to the kernels it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgec.errors import ToolError

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_FRAME = re.compile(r"(\d+) bytes \(([a-z,]+)\)")
INDIRECT = "__indirect_call"


def bound(graphs: Sequence[Path], root: str, indirect: Mapping[str, Sequence[str]], disassembly: str) -> int:
    """Most bytes of stack that a call of `root` can use, the caller's frame left out.

    Args:
        graphs: the .ci file of every linked object; indirect: function → what it may call through pointers.
        disassembly: of the linked file, for functions the graphs do not know.

    Raises:
        ToolError: no bound exists (recursion, an unbounded frame, a pointer call not named in `indirect`).
    """
    frames, edges = _read(graphs)
    listing: dict[str, tuple[int, set[str]]] | None = None
    done: dict[str, int] = {}
    active: list[str] = []

    def depth(name: str) -> int:
        nonlocal listing
        if name in done:
            return done[name]
        if name in active:
            raise _no_bound(f"{' calls '.join([*active[active.index(name) :], name])}")
        active.append(name)
        if name in frames:
            frame, calls = frames[name], set(edges.get(name, ()))
        else:
            listing = _functions(disassembly) if listing is None else listing
            if name not in listing:
                raise _no_bound(f"nothing is known of {name}, which {active[-2] if len(active) > 1 else 'the caller'} calls")
            frame, calls = listing[name]
        if INDIRECT in calls:
            short = name.rsplit(":", 1)[-1]
            if short not in indirect:
                raise _no_bound(f"{short} calls through a pointer")
            calls = calls - {INDIRECT} | set(indirect[short])
        total = frame + max((depth(c) for c in sorted(calls)), default=0)
        active.pop()
        done[name] = total
        return total

    return depth(root)


def _read(graphs: Iterable[Path]) -> tuple[dict[str, int], dict[str, set[str]]]:
    frames: dict[str, int] = {}
    edges: dict[str, set[str]] = {}
    for path in graphs:
        text = path.read_text()
        for title, label in _NODE.findall(text):
            found = _FRAME.search(label)
            if found:
                if found[2] == "dynamic":
                    raise _no_bound(f"{title} has a frame of varying size")
                frames[title] = int(found[1])
        for source, called in _EDGE.findall(text):
            edges.setdefault(source, set()).add(called)
    return frames, edges


_HEAD = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(\S+)\s*(.*)$")
_TARGET = re.compile(r"<([^>+]+)>")
_CALLS = ("bl", "b", "b.n", "b.w", "bl.w", "blx", "jal", "j", "call", "callq", "jmp", "jmpq", "tail")


def _functions(disassembly: str) -> dict[str, tuple[int, set[str]]]:
    """Function → (bytes it lowers the stack pointer by, functions it calls or jumps to), from objdump -d."""
    found: dict[str, tuple[int, set[str]]] = {}
    name = ""
    for line in disassembly.splitlines():
        head = _HEAD.match(line)
        if head:
            name = head[1]
            found[name] = (0, set())
            continue
        instruction = _INSTRUCTION.match(line)
        if instruction and name:
            frame, calls = found[name]
            operation, operands = instruction[1], instruction[2]
            target = _TARGET.search(operands)
            if operation in _CALLS and target and target[1] != name and "$" not in target[1]:
                calls.add(target[1])
            found[name] = (frame + lowered(operation, operands.split("@")[0].split(";")[0].split("//")[0]), calls)
    return found


def lowered(operation: str, operands: str) -> int:
    """Bytes by which one instruction lowers the stack pointer (Thumb, AArch64, RISC-V, x86-64 in AT&T syntax)."""
    operands = operands.strip()
    if "%" in operands or operation in ("call", "callq"):  # x86-64
        if operation.startswith("push") or operation.startswith("call"):
            return 8
        found = re.match(r"\$(0x[0-9a-f]+|\d+),\s*%rsp$", operands)
        return int(found[1], 0) if found and operation.startswith("sub") else 0
    if operation.startswith(("push", "vpush", "stmdb")) and "{" in operands:
        if operation.startswith("stmdb") and not operands.startswith("sp!"):
            return 0
        return sum(_registers(part) for part in re.search(r"\{([^}]*)\}", operands)[1].split(","))
    for pattern in (r"sp, (?:sp, )?#(0x[0-9a-f]+|\d+)$",):  # sub sp, sp, #n
        found = re.match(pattern, operands)
        if found and operation.startswith("sub"):
            return int(found[1], 0)
    found = re.search(r"\[sp, #-(\d+)\]!", operands)  # str r, [sp, #-n]!
    if found:
        return int(found[1])
    found = re.match(r"sp,\s*sp,\s*-(\d+)$", operands) or (re.match(r"sp,\s*-(\d+)$", operands))  # addi sp, sp, -n
    return int(found[1]) if found and operation.endswith(("addi", "addi16sp", "add")) else 0


def _registers(part: str) -> int:
    """Bytes of one register or range of a list: r4, r4-r7, d8-d15, s16-s31."""
    names = re.findall(r"([rdsql]|sl|fp|ip|lr|pc|sb)(\d*)", part.strip())
    size = 8 if part.strip().startswith("d") else 4
    if len(names) == 2 and names[0][1] and names[1][1]:
        return size * (int(names[1][1]) - int(names[0][1]) + 1)
    return size


def _no_bound(why: str) -> ToolError:
    return ToolError("the stack cannot be bounded", where="call graph of the firmware", why=why, fix="this is a defect of edgec; please report it with the compiler's version")
