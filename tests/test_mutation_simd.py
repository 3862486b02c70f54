"""Equality must be able to fail, for the dsp and mve kernels: their portable C form with one constant changed must turn red.

Found by meaning in every file of a kernel: each use of a zero_point, a clamp bound and a subtracted padding, off by one; and a
list for roundings, saturations and limits. What the assembly does instead is in test_mutation_device.py.
"""

from __future__ import annotations

import ctypes
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec.emit.kernels import Kernel, all_kernels, packed_constants, source_folder
from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from tests import mutants, native
from tests.mutants import Change, Mutant
from tests.vectors.replay import vectors

FIELDS = [
    ("zero_point", r"\b\w+(?:->|\.)\w*zero_point\b(?!\s*=[^=])", "{0} + 1"),
    ("clamp", r"\b\w+(?:->|\.)clamp_(?:min|max)\b", "{0} + 1"),
    ("padding", r"(?<=- )(?<!out_w - )p->pad_(?:top|left)\b|(?<=-)p->pad_(?:top|left)\b", "{0} + 1"),
]
"""Looked for in every file of a kernel, and need not be in each. (The end of a loop over columns is no such place: a column less
changes nothing where they are taken by fours.)"""

ROUNDING = [("rounding", r"INT64_C\(0x80000000\)", "INT64_C(0x7fffffff)"), ("rounding", r"INT64_C\(0x80000000\)", "INT64_C(0)")]
FIXED = [
    ROUNDING[0],
    ("zero_point", r"(?<=shift\) \+ )zero_point", "{0} - 1"),
    ("shift", r"INT32_MAX >> shift", "INT32_MAX >> (shift + 1)"),
    ("clamp", r"(?<=\+ zero_point, )low", "{0} + 1"),
    ("clamp", r"(?<=\+ zero_point, low, )high", "{0} - 1"),
]
SUMS = [("clamp", r"(?<=EDGEC_SUM_FRACTION, )low", "{0} + 1"), ("clamp", r"(?<=EDGEC_SUM_FRACTION, low, )high", "{0} - 1")]
NEVER_SATURATED = [spot for spot in FIXED if spot[0] != "shift"]
"""Averages are too small for the saturation before the layer shift."""
SMMLAR = [
    ROUNDING[0],
    ("zero_point", r"\(uint32_t\)zero_point", "{0} + 1u"),
    ("clamp", r"(?<=edgec_clamp\(value, )INT8_MIN", "{0} + 1"),
    ("clamp", r"(?<=edgec_clamp\(value, INT8_MIN, )INT8_MAX", "{0} - 1"),
    ("clamp", r"(?<=edgec_clamp\(y\[i\], )low", "{0} + 1"),
    ("clamp", r"(?<=edgec_clamp\(y\[i\], low, )high", "{0} - 1"),
]
SPAN = [("padding", r"(?<=origin < 0 \? )0", "1"), ("padding", r"(?<=origin \+ kernel > size \? )size", "size - 1")]
NIBBLES = [("nibbles", r"\b2056u", "2055u"), ("nibbles", r"(?<=- )8u", "7u"), ("nibbles", r"(?<=lows >> )16", "15"), ("nibbles", r"(?<=\*highs & )0xffff0000u", "0xfffe0000u"), ("nibbles", r"(?<=\*highs << )16", "15")]
LISTED: dict[tuple[str, str], dict[str, list[tuple[str, str, str]]]] = {
    ("dsp", "conv"): {
        "dsp.h": [*SMMLAR, *NIBBLES],
        "nibbles.h": [("nibbles", r"(?<=<< )28", "27"), ("nibbles", r"(?<=byte >> )4", "3")],
        "conv/gemm_dsp.h": [("nibbles", r"\b0x0f0f0f0fu", "0x0f0f0f0eu"), ("nibbles", r"(?<=>> )4", "3"), ("rounding", r"EDGEC_SUM_FRACTION", "{0} - 1"), ("sum", r"r->multiplier", "{0} + 1")],
        "conv/gemm_nibbles_dsp.h": [("nibbles", r"(?<=edgec_smlad\(\*x, )0x00010001u", "0x00010000u")],
        "conv/conv_dsp.c": [("nibbles", r"(?<=highs \+= )paired / 2", "paired"), ("padding", r"\bix >= 0\b", "ix > 0"), ("padding", r"\biy < p->in_h\b", "iy < p->in_h - 1"), ("rounding", r"p->residual_offset", "{0} + 1"), ("sum", r"o->input\[1\]", "o->input[0]")],
        "conv/depthwise_any_dsp.h": [("padding", r"\bix < p->in_w\b", "ix < p->in_w - 1"), ("padding", r"\biy >= 0\b", "iy > 0"), ("nibbles", r"from\[c\]", "(uint16_t){0}")],
        "conv/depthwise_dsp.h": [("padding", r"\bix == -1\b", "ix == 0"), ("padding", r"p->in_h - next - top", "{0} - 1"), ("nibbles", r"0x0f0f0f0fu", "0x0f0f0f0eu"), ("nibbles", r"(?<=\+ )0x78787878u", "0x70787878u"), ("nibbles", r"(?<=kept\) << )shift", "{0} + 1"), ("nibbles", r"(?<=\[channel\] << )shift", "{0} + 1"), ("nibbles", r"\(\(const int16_t \*\)o->constant\[1\]\)\[channel\]", "(uint16_t){0}")],
    },
    ("dsp", "dense"): {"dsp.h": [*SMMLAR, *NIBBLES], "dense/dense_dsp.c": [("nibbles", r"\b0x0f0f0f0fu", "0x0f0f0f0eu"), ("nibbles", r"(?<=>> )4", "3")]},
    ("dsp", "elementwise"): {
        "dsp.h": [
            ("clamp", r"(?<=edgec_half\(word, 0\), INT8_MIN, )INT8_MAX", "{0} - 1"),
            ("clamp", r"(?<=edgec_half\(word, 1\), )INT8_MIN", "{0} + 1"),
            ("clamp", r"(?<=edgec_clamp\(y\[i\], )low", "{0} + 1"),
            ("clamp", r"(?<=edgec_clamp\(y\[i\], low, )high", "{0} - 1"),
        ],
        "elementwise/elementwise_dsp.c": [
            ("rounding", r"\bp->offset\b(?=;\n  const int32_t shift)", "{0} + 1"),
            ("shift", r"(?<=>> )shift\b", "{0} + 1"),
        ],
    },
    ("dsp", "pooling"): {
        "fixed.h": NEVER_SATURATED,
        "span.h": SPAN,
    },
    ("dsp", "wide"): {
        "dsp.h": SMMLAR[:2],
        "wide/gemm_wide_dsp.h": [("clamp", r"(?<=edgec_clamp\(value, )INT8_MIN", "{0} + 1"), ("clamp", r"(?<== \(int32_t\)FORM_HALVES \? )INT16_MIN", "{0} + 1"), ("rounding", r"\(int64_t\)1 << \(narrow - 1\)", "0")],
        "wide/wide_windows.h": [("padding", r"\bix >= p->in_w\b", "ix >= p->in_w - 1"), ("padding", r"\biy < 0\b", "iy <= 0")],
        "wide/wide_elements.h": [("clamp", r"p->clamp_(?:min|max)\b(?=[,)])", "{0} + 1")],
        "wide/depthwise_wide_dsp.h": [("padding", r"\biy >= 0\b", "iy > 0"), ("padding", r"\biy < p->in_h\b", "iy < p->in_h - 1")],
        "span.h": SPAN,
        "wide/pointwise_wide_dsp.h": [("shift", r"\b32 - p->shift", "31 - p->shift")],
    },
    ("mve", "wide"): {
        "wide/vectors_wide_mve.h": [*ROUNDING[:1], ("shift", r"(?<=>> )-s->down", "{0} + 1"), ("rounding", r"(?<=>> )15", "14")],
        "wide/pairs_wide_mve.h": ROUNDING[1:],
        "span.h": SPAN,
        "wide/wide_mve.c": [*ROUNDING[1:], ("rounding", r"\(int64_t\)1 << \(p->narrow - 1\)", "0")],
        "wide/wide_windows.h": [("padding", r"\bix < 0\b", "ix <= 0"), ("padding", r"(?<== 8 \? )p->in_zero_point", "{0} + 1")],
    },
    ("mve", "conv"): {
        "fixed.h": [*FIXED, *SUMS],
        "conv/conv_mve_walk.h": [
            ("padding", r"(?<=edgec_clamp\()-x0", "{0} + 1"),
            ("padding", r"(?<=edgec_clamp\()-y0", "{0} + 1"),
            ("padding", r"p->in_w - x0", "{0} - 1"),
            ("padding", r"p->in_h - y0", "{0} - 1"),
        ],
        "conv/conv_mve.c": [
            ("padding", r"\(size \+ pad - reach\)", "{0} + stride"),
            ("rounding", r"p->residual_offset", "{0} + 1"),
            ("sum", r"operands->input\[1\]", "operands->input[0]"),
        ],
        "conv/conv_mve_columns.h": [("padding", r"\bix >= p->in_w\b", "ix >= p->in_w - 1"), ("padding", r"\biy < 0\b", "iy <= 0")],
        "conv/conv_mve_depthwise.h": [("padding", r"(?<=at_least\()-origin", "1 - origin"), ("nibbles", r"\bbias\[i\]", "(uint16_t){0}"), ("nibbles", r"edgec_high_nibble(?=\(from)", "edgec_low_nibble")],
        "conv/conv_mve_pairs.h": [("sum", r"job->residual_multiplier", "{0} + 1"), ("nibbles", r"(?<=>> )4", "3"), ("nibbles", r"channel % 2 == 0", "{0} + 1"), ("nibbles", r"(?<=<< )16(?=\) >> 16)", "15")],
    },
    ("mve", "dense"): {"fixed.h": FIXED, "dense/dense_mve.c": [("nibbles", r"(?<=\*at & )15", "14"), ("nibbles", r"(?<=>> )4", "3"), ("nibbles", r"(?<== )-8(?= \* sum)", "-7")]},
    ("mve", "elementwise"): {"elementwise/elementwise_mve.c": [("rounding", r"\bp->offset\b(?=, a,)", "{0} + 1")]},
    ("mve", "pooling"): {
        "fixed.h": NEVER_SATURATED,
        "span.h": SPAN,
    },
}
LIBRARIES = sorted({(k.isa, k.family) for k in all_kernels() if k.isa in ("dsp", "mve")})


@cache
def mutants_of(isa: str, family: str) -> tuple[Mutant, ...]:
    folder = source_folder() / "kernels"
    changes = []
    for path in sorted(p for p in (folder / family).glob("*.[ch]") if isa in p.stem.split("_")):
        text = mutants.assembly_hidden(path.read_text())
        changes += [Change(kind, f"kernels/{family}/{path.name}", p, new) for kind, p, new in FIELDS if mutants.re.search(p, text)]
    for file, spots in LISTED.get((isa, family), {}).items():
        changes += [Change(kind, f"kernels/{file}", pattern, new) for kind, pattern, new in spots]
    return tuple(m for m in mutants.mutants(changes) if m.end >= 0 or m.change.pattern not in [p for _, p, _ in FIELDS])


ALL = [pytest.param(isa, family, m, id=f"{isa} {m}") for isa, family in LIBRARIES for m in mutants_of(isa, family)]


@cache
def library(isa: str, family: str, folder: Path) -> ctypes.CDLL:
    """All mutants of a family's kernels, in their portable form."""
    csrc, own = folder / f"{isa}_{family}" / "csrc", source_folder()
    for part in ("runtime/*.h", "kernels/*.h", "kernels/*.inc", f"kernels/{family}/*.[ch]"):
        for path in own.glob(part):
            copy = csrc / path.relative_to(own)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    mutants.rewrite(csrc, mutants_of(isa, family))
    which = csrc / "kernels" / "mutant.c"
    which.write_text("volatile int edgec_mutant = -1;\n")
    sources = [which, *sorted(csrc / "kernels" / f for f in {f for k in kernels_of(isa, family) for f in k.files})]
    return ctypes.CDLL(str(native.build(sources, flags=("-O1", "-fwrapv", "-w"), csrc=csrc)))


def kernels_of(isa: str, family: str) -> list[Kernel]:
    return [k for k in all_kernels() if (k.isa, k.family) == (isa, family)]


@cache
def examples(isa: str, family: str) -> tuple[tuple[Kernel, Program, tuple[np.ndarray, ...], np.ndarray], ...]:
    """Vectors and cases that a family's kernels run, small ones first: kernel, program, inputs, and the wanted bytes."""
    found = []
    for kernel in kernels_of(isa, family):
        operator = OPERATORS[kernel.opcode]
        for v in vectors(kernel.opcode):
            if operator.applies(v.program.ops[0], kernel.symbol):
                found.append((kernel, v.program, tuple(v.inputs[t].reshape(-1) for t in v.program.ops[0].inputs), v.expected))
        for case in operator.cases():
            if operator.applies(case.ops[0], kernel.symbol):
                rng = np.random.default_rng(9)
                values = {t: rng.integers(-128, 128, case.tensors[t].nbytes).astype(np.int8) for t in case.ops[0].inputs}
                (wanted,) = interp.run(case, values).values()
                found.append((kernel, case, tuple(values[t].reshape(-1) for t in case.ops[0].inputs), wanted.reshape(-1)))
    return tuple(sorted(found, key=lambda e: e[3].size))


@cache
def packed(isa: str, family: str) -> tuple[tuple[np.ndarray, ...], ...]:
    """The constants of each example as its kernel wants them, in aligned memory."""
    result = []
    for kernel, program, _, _ in examples(isa, family):
        held = []
        for value in packed_constants(program, program.ops[0], kernel):
            memory = native.aligned(value.nbytes)
            memory[:] = np.ascontiguousarray(value).reshape(-1).view(np.int8)
            held.append(memory)
        result.append(tuple(held))
    return tuple(result)


def replay(lib: ctypes.CDLL, isa: str, family: str) -> bool:
    """Whether every example gives its bytes and nothing is written beside them."""
    border = 256
    for (kernel, program, inputs, wanted), constants in zip(examples(isa, family), packed(isa, family), strict=True):
        (op,), operator = program.ops, OPERATORS[kernel.opcode]
        params = np.array([op.attrs[f] for f in operator.fields], np.int32)
        output, scratch = native.aligned(wanted.size + 2 * border), native.aligned(max(operator.scratch(op, kernel.symbol), 1))
        output[:] = 0x5A
        operands = native.Operands(scratch=scratch.ctypes.data)
        held = [native.aligned(x.size) for x in inputs]
        for i, (memory, x) in enumerate(zip(held, inputs, strict=True)):
            memory[:] = x
            operands.input[i] = memory.ctypes.data
        for i, memory in enumerate(constants):
            operands.constant[i] = memory.ctypes.data if memory.size else None
        operands.output[0] = output.ctypes.data + border
        run = getattr(lib, kernel.symbol)
        run.argtypes, run.restype = [ctypes.c_void_p, ctypes.POINTER(native.Operands)], None
        run(params.ctypes.data, ctypes.byref(operands))
        outside = np.concatenate([output[:border], output[border + wanted.size :]])
        if not np.array_equal(output[border : border + wanted.size], wanted) or not (outside == 0x5A).all():
            return False
    return True


def verdict(isa: str, family: str, number: int, folder: Path) -> int:
    lib = library(isa, family, folder)
    packed(isa, family)  # made once, before the fork

    def passes() -> bool:
        ctypes.c_int.in_dll(lib, "edgec_mutant").value = number
        return replay(lib, isa, family)

    return mutants.verdict(passes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mutants")


@pytest.mark.parametrize(("isa", "family"), LIBRARIES)
def test_no_mutant_is_green(isa: str, family: str, folder: Path) -> None:
    assert {k.symbol for k, *_ in examples(isa, family)} == {k.symbol for k in kernels_of(isa, family)}
    assert verdict(isa, family, mutants.NONE, folder) == mutants.GREEN


@pytest.mark.parametrize(("isa", "family", "mutant"), ALL)
def test_mutant_turns_red(isa: str, family: str, mutant: Mutant, folder: Path) -> None:
    mutants.must_apply(mutant)
    assert verdict(isa, family, mutant.number, folder) == mutants.RED, f"{isa} {mutant}: nothing noticed"


def test_every_kernel_has_mutants_of_every_kind_it_can_have() -> None:
    for isa, family in LIBRARIES:
        kinds = {m.change.kind for m in mutants_of(isa, family)}
        wanted = {"rounding", "clamp"}
        wanted |= {"zero_point"} if family != "elementwise" else set()
        wanted |= {"padding"} if family in ("conv", "pooling") else set()
        assert wanted <= kinds, f"{isa} {family}: only {kinds}"


def test_a_change_that_no_longer_applies_fails() -> None:
    (gone,) = mutants.mutants([Change("clamp", "kernels/fixed.h", "text that is not there", "0")])
    with pytest.raises(AssertionError, match="bring the list up to date"):
        mutants.must_apply(gone)
