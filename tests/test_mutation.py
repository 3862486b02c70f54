"""Equality must be able to fail: one constant changed in a reference kernel, and the vectors (or cases) must turn red.

Two kinds of mutants: every use of a numeric parameter in every `*_ref.c` off by one, found by pattern, so that new kernels are in
without a word here; and a list of hand-made ones for roundings, clamps, padding and limits that are not parameters. A mutant
of the list whose text is no longer in the source fails the test: the list must follow the code.

Each mutant is compiled for this machine and replayed in a child process, so that one that crashes or hangs is red as well.
"""

from __future__ import annotations

import ctypes
import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec.emit.kernels import source_folder
from edgec.ir import interp
from edgec.ops import OPERATORS
from tests import mutants, native
from tests.mutants import GREEN, RED
from tests.vectors.replay import Vector, opcodes, vectors

KERNELS = source_folder() / "kernels"
NUMERIC = re.compile(r"p->(\w*(?:zero_point|clamp|pad_|before_|after_|shift|offset|multiplier|factor|fraction|value)\w*)\b")
SCALING = re.compile(r"multiplier(?!s)|factor")
"""Fixed-point factors: one unit is 2^-31 of a step, so these are changed by a 64th."""


@dataclass(frozen=True)
class Mutant:
    """`count` is how often `old` stands in the file; `index` is the one to replace, None for all."""

    family: str
    file: str
    old: str
    new: str
    index: int | None = None
    count: int = 1

    def __str__(self) -> str:
        at = "" if self.index is None else f" {self.index}"
        return f"{self.family}: {self.file}: {self.old}{at} becomes {self.new}"


REQUANTIZING = ("conv", "dense", "pooling", "product", "conv_transpose")
SHIFTED = ("conv", "dense", "product", "conv_transpose")
LISTED = [
    *(Mutant(f, "fixed.h", "INT64_C(0x80000000)", "INT64_C(0x7fffffff)") for f in REQUANTIZING),  # ties only
    *(Mutant(f, "fixed.h", "INT64_C(0x80000000)", "INT64_C(0)") for f in REQUANTIZING),
    *(Mutant(f, "fixed.h", "edgec_clamp(acc, -high - 1, high)", "acc") for f in SHIFTED),
    *(Mutant(f, "fixed.h", "INT32_MAX >> shift", "INT32_MAX >> (shift + 1)") for f in SHIFTED),
    *(Mutant(f, "fixed.h", "return value > high ? high : value;", "return value;") for f in (*REQUANTIZING, "elementwise")),
    *(Mutant(f, "fixed.h", "if (value < low) {", "if (value < low - 1) {") for f in (*REQUANTIZING, "elementwise")),
    Mutant("conv", "conv/conv_form_ref.h", "(w, second, row_taps, p->in_zero_point, acc)", "(w, second, row_taps, 0, acc)"),
    Mutant("conv", "conv/conv_form_ref.h", "(w, second, depth, p->in_zero_point, acc)", "(w, second, depth, 0, acc)"),
    Mutant("conv", "conv/conv_form_ref.h", ": p->in_zero_point, WEIGHT(w, 0, 0))", ": 0, WEIGHT(w, 0, 0))"),
    Mutant("conv", "conv/conv_form_ref.h", ": p->in_zero_point, WEIGHT(w, 0, second))", ": 0, WEIGHT(w, 0, second))"),
    Mutant("conv", "conv/conv_form_ref.h", "iy >= 0 &&", "iy > 0 &&"),
    Mutant("conv", "conv/conv_form_ref.h", "ix < p->in_w;", "ix < p->in_w - 1;"),
    Mutant("conv", "conv/conv_ref.c", "origin + t.first * dilation < 0", "origin + t.first * dilation <= 0"),
    Mutant("conv", "conv/conv_ref.c", "origin + (t.last - 1) * dilation >= size", "origin + (t.last - 1) * dilation >= size - 1"),
    Mutant("conv", "conv/conv_ref.c", "((w).index += (count))", "((w).index += (count) + 1)"),
    Mutant("conv", "conv/conv_ref.c", "#define BIAS int16_t", "#define BIAS uint16_t"),
    Mutant("conv", "conv/conv_ref.c", "(w).index + (at))", "(w).index + (at) + 1)"),
    Mutant("conv", "conv/conv_ref.c", "nibbles_at((w).row + (bytes), 0)", "nibbles_at((w).row + (bytes), 1)"),
    Mutant("dense", "dense/dense_ref.c", "const int16_t *const bias", "const uint16_t *const bias"),
    *(Mutant(f, "nibbles.h", "(uint32_t)byte << 28) >> 28", "(uint32_t)byte << 27) >> 27") for f in ("conv", "dense")),
    *(Mutant(f, "nibbles.h", "(int32_t)byte >> 4", "(int32_t)(uint8_t)byte >> 4") for f in ("conv", "dense")),
    Mutant("conv", "nibbles.h", "index % 2 != 0 ?", "index % 2 == 0 ?"),
    Mutant("conv", "dot.h", "index % 2 != 0 &&", "index < 0 &&"),
    Mutant("pooling", "span.h", "origin < 0 ? 0 : origin", "origin < 0 ? 1 : origin"),
    Mutant("pooling", "span.h", "origin + kernel > size ? size", "origin + kernel > size ? size - 1"),
    Mutant("pooling", "pooling/pooling_ref.c", "int32_t top = INT8_MIN;", "int32_t top = 0;"),
    Mutant("pooling", "pooling/pooling_ref.c", "0 : taps - 1", "0 : taps"),
    Mutant("softmax", "softmax/softmax_ref.c", "((uint32_t)1 << (k - 1))", "((uint32_t)0 << (k - 1))"),
    Mutant("softmax", "softmax/softmax_ref.c", "((uint64_t)1 << (by.shift - 1))", "((uint64_t)1 << (by.shift - 2))"),
    Mutant("softmax", "softmax/softmax_ref.c", ">= 0x10000u", ">= 0x8000u"),
    Mutant("softmax", "softmax/softmax_ref.c", "0x80000000u /", "0x7fff0000u /"),
    Mutant("softmax", "softmax/softmax_ref.c", "((uint64_t)1 << (p->shift - 1))", "((uint64_t)0 << (p->shift - 1))"),
    *(Mutant("softmax", "softmax/softmax_ref.c", f"{c}u", f"{c + 16}u") for c in (181679, 62768, 13948, 1788)),
    Mutant("softmax", "softmax/softmax_ref.c", "top = INT16_MIN", "top = 0"),
    Mutant("softmax", "softmax/softmax_ref.c", "p->in_bits == 8 ?", "p->in_bits != 8 ?"),
    Mutant("softmax", "softmax/softmax_ref.c", "+ (uint32_t)p->depth_bits", "+ 0u"),
    Mutant("softmax", "softmax/softmax_ref.c", "whole > 30u", "whole > 40u"),
    Mutant("softmax", "softmax/softmax_ref.c", ">> whole) + 1u)", ">> whole))"),
    Mutant("softmax", "softmax/softmax_ref.c", "& 0x3fffu", "& 0x1fffu"),
    Mutant("unary", "unary/unary_ref.c", "x[i] + 128", "x[i] + 127"),
    Mutant("movement", "movement/movement_ref.c", "n * p->stride_5", "n * p->stride_4"),
    Mutant("movement", "movement/movement_ref.c", "at < size) {", "at < size - 1) {"),
    Mutant("movement", "movement/movement_ref.c", "return at < 0 ? -at :", "return at < 0 ? -at - 1 :"),
    Mutant("movement", "movement/movement_ref.c", "2 * size - 2 - at", "2 * size - 1 - at"),
    Mutant("movement", "movement/movement_ref.c", "0 : size - 1", "0 : size - 2"),
    Mutant("movement", "movement/movement_ref.c", "at + size : at - size", "at + size : at - size + 1"),
    Mutant("movement", "movement/movement_ref.c", "x + row * p->inner,", "x + row * p->inner + 1,"),
    Mutant("movement", "movement/movement_ref.c", "y + p->inner_a, b,", "y + p->inner_a, b + 1,"),
    Mutant("product", "product/product_ref.c", "a[i] < b[i]", "a[i] < b[i] - 1"),
    Mutant("product", "product/product_ref.c", "a[i] > b[i]", "a[i] > b[i] + 1"),
    Mutant("resize", "resize/resize_ref.c", "(1 << 21)", "(1 << 21) - 1"),
    Mutant("resize", "resize/resize_ref.c", "(1 << 21)", "0"),
    Mutant("resize", "resize/resize_ref.c", "one = 2048", "one = 2047"),
    Mutant("conv_transpose", "conv_transpose/conv_transpose_ref.c", "at / stride < size", "at / stride < size - 1"),
    Mutant("conv_transpose", "conv_transpose/conv_transpose_ref.c", "at >= 0 &&", "at > 0 &&"),
    Mutant("conv_transpose", "conv_transpose/conv_transpose_ref.c", "at % stride == 0 &&", "at % stride < 2 &&"),
    Mutant("layout", "layout/layout_ref.c", "l * p->stride_3", "l * p->stride_2"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "high = count;", "high = count - 1;"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "thresholds[middle] <= acc", "thresholds[middle] < acc"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "iy <= bottom", "iy < bottom"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "ix < p->in_w", "ix < p->in_w - 1"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "iy >= 0 &&", "iy > 0 &&"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "ix += p->dilation_w", "ix += 1"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "acc & p->odd_flips", "acc & 0"),
    Mutant("table_pool", "table_pool/table_pool_ref.c", "+ c] + 128", "+ c] + 127"),
    Mutant("product", "product/product_ref.c", "half = (uint32_t)1 <<", "half = (uint32_t)0 <<"),
    Mutant("product", "product/product_ref.c", "l * p->stride_b_3] + 128", "l * p->stride_b_3] + 127"),
    Mutant("argmax", "argmax/argmax_ref.c", "q + p->last > best", "q > best"),
    Mutant("argmax", "argmax/argmax_ref.c", "q + p->last > best", "q >= best"),
    Mutant("argmax", "argmax/argmax_ref.c", "= -p->least", "= 0"),
    Mutant("argmax", "argmax/argmax_ref.c", "d = 1;", "d = 2;"),
    Mutant("argmax", "argmax/argmax_ref.c", "d < p->depth", "d < p->depth - 1"),
    Mutant("argmax", "argmax/argmax_ref.c", "at += p->inner;", "at += 1;"),
    Mutant("argmax", "argmax/argmax_ref.c", "* p->inner + i;", "* p->inner;"),
    Mutant("argmax", "fixed.h", "pair[1] << 8", "pair[0] << 8"),
    Mutant("argmax", "argmax/argmax_ref.c", "(8 * n)", "(7 * n)"),
    Mutant("wide", "wide/wide_ref.c", "(uint64_t)1 << (shift - 1))) >> shift", "(uint64_t)0 << (shift - 1))) >> shift"),
    Mutant("wide", "wide/wide_ref.c", "INT32_MIN, INT32_MAX)", "INT32_MIN, 0)"),
    Mutant("wide", "wide/wide_ref.c", "(int64_t)0x80000000) >> 32", "(int64_t)0x7fffffff) >> 32"),
    Mutant("wide", "wide/wide_ref.c", "acc += p->in_zero_point * w[c]", "acc += 0 * w[c]"),
    Mutant("wide", "wide/wide_ref.c", "shift == 0 ? acc : edgec_shift_left(acc, shift)", "acc"),
    Mutant("wide", "wide/wide_ref.c", "kx * p->dilation_w;", "kx;"),
    Mutant("wide", "wide/wide_ref.c", "oc / per_group * depth", "0"),
    Mutant("wide", "wide/wide_ref.c", ">> 32) + zero_point, low, high)", ">> 32) + zero_point, low, high + 1)"),
    Mutant("wide", "wide/wide_ref.c", "* p->channels + c) - p->in_zero_point;", "* p->channels + c);"),
    Mutant("wide", "wide/wide_ref.c", "taps == 0 ? 0 : taps - 1", "taps == 0 ? 0 : taps - taps"),
    Mutant("wide", "wide/wide_ref.c", "ox * p->stride_w - p->pad_left + kx", "ox * p->stride_w + kx"),
    Mutant("wide", "wide/wide_ref.c", "(uint64_t)offset) >> p->shift", "(uint64_t)0) >> p->shift"),
    Mutant("wide", "wide/wide_ref.c", "(int64_t)(uint32_t)p->offset_low", "(int64_t)p->offset_low"),
    Mutant("wide", "wide/wide_ref.c", "value > high ? high : (int32_t)value", "(int32_t)value"),
    Mutant("wide", "wide/wide_ref.c", "i) - p->in_zero_point;", "i);"),
    Mutant("wide", "fixed.h", "pair[1] << 8", "pair[1] << 7"),
]


def found_by_pattern() -> list[Mutant]:
    """Every use of a numeric parameter in every reference kernel, off by one (factors by a 64th)."""
    found = []
    for path in sorted(KERNELS.glob("*/*_ref.[ch]")):
        text = path.read_text()
        for field in sorted(set(NUMERIC.findall(text))):
            uses = len(re.findall(rf"p->{field}\b", text))
            for index in range(uses):
                change = f"p->{field} / 64" if SCALING.search(field) else "1"
                found.append(
                    Mutant(path.parent.name, f"{path.parent.name}/{path.name}", f"p->{field}", f"(p->{field} + {change})", index, uses)
                )
    return found


def mutate(mutant: Mutant, text: str) -> str:
    """The source with the change in it; fails where the text to change is not there as often as it should be."""
    pattern = re.compile(re.escape(mutant.old) + r"(?!\w)")
    at = [m.span() for m in pattern.finditer(text)]
    assert len(at) == mutant.count, (
        f"{mutant}: the text stands {len(at)} times in the source, not {mutant.count}; bring the list up to date"
    )
    start, end = at[mutant.index or 0]
    return text[:start] + mutant.new + text[end:]


@cache
def examples(family: str) -> tuple[tuple[Vector, ...], ...]:
    """What each kernel of a family is replayed on: its opcode's vectors (the operator's cases where there are none) that it runs."""
    kinds = []
    for kernel in native.reference_kernels():
        if kernel.family == family:
            group = vectors(kernel.opcode) if kernel.opcode in opcodes() else tuple(_cases(kernel.opcode))
            kinds.append(tuple(v for v in group if OPERATORS[kernel.opcode].applies(v.program.ops[0], kernel.symbol)))
    return tuple(kinds)


def _cases(opcode: str):
    for case in OPERATORS[opcode].cases():
        rng = np.random.default_rng(9)
        inputs = {p.tensor: rng.integers(-128, 128, case.tensors[p.tensor].nbytes).astype(np.int8) for p in case.inputs}
        (output,) = interp.run(case, inputs).values()
        yield Vector(case, inputs, output.reshape(-1))


def replay(lib: ctypes.CDLL, family: str) -> bool:
    """Whether every example gives its bytes."""
    for kernel, group in zip((k for k in native.reference_kernels() if k.family == family), examples(family), strict=True):
        for v in group:
            (op,) = v.program.ops
            held = [native.aligned(v.inputs[t].size) for t in op.inputs]
            for memory, t in zip(held, op.inputs, strict=True):
                memory[:] = v.inputs[t].reshape(-1)
            scratch = native.aligned(max(OPERATORS[op.opcode].scratch(op, kernel.symbol), 1))
            border = 256
            output = native.aligned(v.expected.size + 2 * border)
            output[:] = 0x5A
            native.call(lib, v.program, op, kernel, [m.ctypes.data for m in held], output.ctypes.data + border, scratch.ctypes.data)
            outside = np.concatenate([output[:border], output[border + v.expected.size :]])
            if not np.array_equal(output[border : border + v.expected.size], v.expected) or not (outside == 0x5A).all():
                return False
    return True


def verdict(library: Path, family: str) -> int:
    """GREEN or RED, found in a child process; a crash or a hang is RED."""
    examples(family)  # made once, before the fork
    return mutants.verdict(lambda: replay(ctypes.CDLL(str(library)), family))


def build(family: str, folder: Path, mutant: Mutant | None = None) -> Path:
    """A library of a family's reference kernels from a copy of the sources with the mutant in it."""
    csrc = folder / "csrc"
    for path in (
        *KERNELS.glob("*.h"),
        *KERNELS.glob("*.inc"),
        *(KERNELS / family).glob("*.[ch]"),
        *(KERNELS.parent / "runtime").glob("*.h"),
    ):
        copy = csrc / path.relative_to(KERNELS.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    if mutant is not None:
        target = csrc / "kernels" / mutant.file
        target.write_text(mutate(mutant, target.read_text()))
    sources = [csrc / "kernels" / family / f"{family}_{part}.c" for part in ("ref", "check")]
    return native.build(sources, flags=("-O1", "-fwrapv", "-w"), csrc=csrc)


def families() -> list[str]:
    return sorted({k.family for k in native.reference_kernels()})


@pytest.mark.parametrize("family", families())
def test_unchanged_sources_are_green(family: str, tmp_path: Path) -> None:
    assert sum(len(group) for group in examples(family)) > 0
    assert verdict(build(family, tmp_path), family) == GREEN


@pytest.mark.parametrize("mutant", [*LISTED, *found_by_pattern()], ids=str)
def test_mutant_turns_red(mutant: Mutant, tmp_path: Path) -> None:
    assert verdict(build(mutant.family, tmp_path, mutant), mutant.family) == RED, f"{mutant}: nothing noticed"


def test_a_mutant_that_no_longer_applies_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="bring the list up to date"):
        build("conv", tmp_path, Mutant("conv", "conv/conv_ref.c", "text that is not there", "0"))
    with pytest.raises(AssertionError, match="bring the list up to date"):
        mutate(Mutant("conv", "conv/conv_ref.c", "p->shift", "0"), "p->shift + p->shift")
