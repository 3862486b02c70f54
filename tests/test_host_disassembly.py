"""The hot loops keep their accumulators in registers.

GCC 12 can copy a tile's accumulators through the stack, at half the speed and with the right result: nothing else would notice.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMPILER = shutil.which("g++")
FUNCTION = re.compile(r"^(_ZN\S*?(conv|conv_pairs|depthwise|depthwise_ring|depthwise_planes)I((?:Li\d+E)+)E\S*):$")
LABEL, JUMP = re.compile(r"^(\.L\d+):"), re.compile(r"^\s+j\w+\s+(\.L\d+)")
DOT = "#APP"
STACK = re.compile(r"\(%r[sb]p\)")


def flags_of(tier: str) -> list[str]:
    """The CPU flags of a tier as CMakeLists.txt has them."""
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(rf"set\(tier_flags_{tier} ([^)]*)\)", text).group(1).split()


@cache
def functions(tier: str) -> dict[tuple[str, tuple[int, ...]], list[str]]:
    """(kernel, template arguments) → assembly lines."""
    command = [COMPILER, "-std=c++17", "-O3", "-fPIC", "-w", "-fno-exceptions", "-fno-rtti", *flags_of(tier), "-I", str(ROOT / "csrc"),
               "-S", "-o", "-", str(ROOT / "csrc" / "kernels" / "conv" / f"conv_{tier}.cpp")]  # fmt: skip
    result, current = {}, None
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        if match := FUNCTION.match(line):
            current = result.setdefault((match[2], tuple(int(n) for n in re.findall(r"Li(\d+)E", match[3]))), [])
        elif line.startswith("\t.size"):
            current = None
        elif current is not None:
            current.append(line)
    return result


def innermost_loops(lines: list[str]) -> list[list[str]]:
    """Bodies of the loops that hold a dot product (the only inline assembly) and no smaller loop that does."""
    at = {m[1]: i for i, line in enumerate(lines) if (m := LABEL.match(line))}
    spans = [(at[m[1]], i) for i, line in enumerate(lines) if (m := JUMP.match(line)) and at.get(m[1], i) < i]
    spans = [s for s in spans if any(line.startswith(DOT) for line in lines[s[0] : s[1]])]
    return [lines[a : b + 1] for a, b in spans if not any((c, d) != (a, b) and a <= c and d <= b for c, d in spans)]


def moves_through_stack(lines: list[str]) -> int:
    """Vector instructions with an operand on the stack."""
    return sum(bool(STACK.search(line)) and bool(re.search(r"%[xyz]mm", line)) for line in lines)


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed: apt-get install g++")
@pytest.mark.parametrize("tier", ["avx512vnni", "avxvnni", "avx2"])
def test_no_accumulator_moves_through_the_stack(tier):
    found = functions(tier)
    tiles = {key: body for key, body in found.items() if key[0] in ("conv", "conv_pairs")}
    assert len(tiles) >= 12, "the kernels are not found in the assembly"
    for key, body in tiles.items():
        loops = innermost_loops(body)
        assert loops, key
        for loop in loops:
            assert moves_through_stack(loop) == 0, f"{key} on {tier}:\n" + "\n".join(loop)
    for key, body in found.items():
        if key[0].startswith("depthwise"):  # the loop over blocks holds the epilogue too: constants may come from the stack
            for loop in innermost_loops(body):
                dots = sum(line.startswith(DOT) for line in loop)
                assert moves_through_stack(loop) <= dots, f"{key} on {tier}: {moves_through_stack(loop)} of {dots}"
