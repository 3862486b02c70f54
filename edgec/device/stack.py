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


def bound(graphs: Sequence[Path], root: str, indirect: Mapping[str, Sequence[str]], disassembly: str, symbols: Mapping[str, int]) -> int:
    """Most bytes of stack that a call of `root` can use, the caller's frame left out.

    Args:
        graphs: the .ci file of every linked object; indirect: function → what it may call through pointers.
        disassembly: of the linked file, for functions the graphs do not know; symbols: its functions' addresses.

    Raises:
        ToolError: no bound exists (recursion, an unbounded frame, a pointer call not named in `indirect`).
    """
    frames, edges = _read(graphs)
    compiled = {name.rsplit(":", 1)[-1] for name in frames}
    listing = Listing(disassembly, symbols)
    done: dict[str, int] = {}
    active: list[str] = []

    def depth(name: str) -> int:
        if name in done:
            return done[name]
        if name in active:
            raise _no_bound(f"{' calls '.join([*active[active.index(name) :], name])}")
        short = name.rsplit(":", 1)[-1]
        if name in frames:
            # Calls that the compiler's back end adds late (switch tables of Thumb-1) are in the disassembly alone.
            late = {c for c in listing.called(short) if c not in compiled}
            frame, calls = frames[name], set(edges.get(name, ())) | late
        elif listing.has(name):
            frame, calls = listing.library(name)
        else:
            raise _no_bound(f"nothing is known of {name}, which {active[-1] if active else 'the caller'} calls")
        if INDIRECT in calls:
            if short not in indirect:
                raise _no_bound(f"{short} calls through a pointer")
            calls = calls - {INDIRECT} | set(indirect[short])
        active.append(name)
        total = frame + max((depth(c) for c in sorted(calls)), default=0)
        active.pop()
        done[name] = total
        return total

    return depth(root) + listing.red_zone


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


_HEAD = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(\S+)\s*(.*)$")
_TARGET = re.compile(r"\b([0-9a-f]+) <([^>+]+)>")
_CALLS = ("bl", "bl.w", "blx", "jal", "call", "callq")
_JUMPS = re.compile(r"(b(?!f)|j)[a-z]*(\.[nw])?$|tail$|cbn?z$|tbn?z$")
"""Without the BF instructions: no compiler uses them, and old disassemblers read VCTP as one, with a place in the code."""
_ENDS = re.compile(r"(bx|b|b\.n|b\.w|br|ret|retq|jmp|jmpq|j|jr|udf|ud2|hlt)$")
RED_ZONE = 128
"""System V x86-64: a leaf function may use this much below its stack pointer without saying so in its frame."""


class Listing:
    """Functions of a disassembly: frames, calls and jumps."""

    def __init__(self, disassembly: str, symbols: Mapping[str, int]) -> None:
        self.symbols = symbols
        self.names: dict[int, str] = {}
        self.frames: dict[int, int] = {}
        self.calls: dict[int, set[str]] = {}
        self.jumps: dict[int, set[int]] = {}
        self.red_zone = RED_ZONE if "elf64-x86-64" in disassembly else 0
        at, ended = -1, True
        for line in disassembly.splitlines():
            head = _HEAD.match(line)
            if head:
                start = int(head[1], 16)
                self.names[start], self.frames[start], self.calls[start], self.jumps[start] = head[2], 0, set(), set()
                if not ended:
                    self.jumps[at].add(start)
                at, ended = start, True
                continue
            instruction = _INSTRUCTION.match(line)
            if instruction and at >= 0:
                operation, operands = instruction[1], instruction[2]
                plain = re.split(r"[@;]|//", operands)[0].strip()
                if operation.startswith("nop"):  # padding behind a function's end, or nothing at all
                    continue
                ended = bool(_ENDS.match(operation)) or (operation.startswith(("pop", "ldm")) and "pc" in plain)
                self.frames[at] += lowered(operation, plain)
                target = _TARGET.search(plain)
                if target and operation in _CALLS:
                    self.calls[at].add(target[2])
                elif target and _JUMPS.match(operation) and int(target[1], 16) != at:
                    self.jumps[at].add(int(target[1], 16))

    def has(self, name: str) -> bool:
        return self.symbols.get(name) in self.frames

    def called(self, name: str) -> set[str]:
        """What a compiled function calls, by the names the disassembly uses."""
        return self.calls.get(self.symbols.get(name, -1), set())

    def library(self, name: str) -> tuple[int, set[str]]:
        """Frame and calls of a function and of everything it jumps or falls into, whichever way it takes through them."""
        waiting, seen = [self.symbols[name]], set()
        while waiting:
            at = waiting.pop()
            if at in self.frames and at not in seen:
                seen.add(at)
                waiting += self.jumps[at]
        return sum(self.frames[at] for at in seen), set().union(*(self.calls[at] for at in seen))


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
