"""Equality must be able to fail, for the instructions of the cores: a word of assembly changed, built as firmware, run in QEMU.

Vectors and cases of the changed kernel's family run on the emulated core; other bytes or a fault are red. The portable C form of
the same kernels is in test_mutation_simd.py. One mutant of each kind an instruction set is in the normal run, the rest is slow.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec import plan, targets
from edgec.device import cache as store
from edgec.device import runner
from edgec.device.toolchain import Object, Toolchain
from edgec.emit.artifact import encode
from edgec.emit.kernels import all_kernels, select, source_folder
from edgec.errors import ToolError
from edgec.ir import interp
from edgec.ops import OPERATORS
from tests.test_kernels_dsp import joined
from tests.vectors.replay import vectors

CORE = {"dsp": "cortex-m4", "mve": "cortex-m55"}


@dataclass(frozen=True)
class Mutant:
    """The first place of `pattern` in kernels/`file` becomes `new` (a template of re)."""

    isa: str
    family: str
    kind: str
    file: str
    pattern: str
    new: str

    def __str__(self) -> str:
        return f"{self.isa} {self.kind}: {self.file}: {self.pattern}"


NORMAL = [
    Mutant("dsp", "conv", "rounding", "gemm_frame_dsp.h", r"smmlar(?= r7, r7, \w+, \w+)", "smmla"),
    Mutant("dsp", "conv", "zero_point", "gemm_frame_dsp.h", r'"smmlar r6, r6, \w+, (\w+)\\n"', r'"add \1, \1, #1\\n" \g<0>'),
    Mutant("dsp", "conv", "clamp", "conv/gemm_dsp.h", r"ssat r9, #8(?=, r9)", "ssat r9, #7"),
    Mutant("dsp", "conv", "padding", "conv/depthwise_dsp.h", r"(?<=fill\(planes, 2 \* s\.plane_words, )p->in_zero_point", r"\g<0> + 1"),
    Mutant("dsp", "wide", "clamp", "wide/gemm_wide_dsp.h", r'(?<="usat " r ", )#15', "#14"),
    Mutant("mve", "wide", "rounding", "mve.h", r"vqrdmlash(?=\.s32 q1,)", "vqdmlash"),
    Mutant("mve", "conv", "rounding", "mve.h", r"vqrdmlash(?=\.s32 q0,)", "vqdmlash"),
    Mutant("mve", "conv", "zero_point", "conv/conv_mve_pairs.h", r'"ldrd r0, r2, \[sp, #\.Lframe\]\\n"', r'\g<0> "add r0, r0, #1\\n"'),
    Mutant("mve", "conv", "clamp", "conv/conv_mve_pairs.h", r"vqmovnb\.s16(?= q0, q0)", "vmovnb.i16"),
    Mutant("mve", "conv", "padding", "conv/conv_mve_columns.h", r'(?<=\[zero\] "r"\()p->in_zero_point', r"\g<0> + 1"),
]
SLOW = [
    Mutant("dsp", "conv", "nibbles", "conv/gemm_nibbles_dsp.h", r"asr r9, r9, #4", "asr r9, r9, #3"),
    Mutant("dsp", "conv", "nibbles", "conv/gemm_nibbles_dsp.h", r"asrs r6, r6, #4", "asrs r6, r6, #3"),
    Mutant("dsp", "conv", "nibbles", "conv/gemm_nibbles_dsp.h", r"sxtah r11, r11, r1, ror #16", "sxtah r11, r11, r1"),
    Mutant("dsp", "conv", "nibbles", "conv/gemm_nibbles_dsp.h", r"pkhtb r5, r5, r1, asr #16", "pkhtb r5, r5, r1, asr #15"),
    Mutant("dsp", "conv", "nibbles", "conv/gemm_nibbles_dsp.h", r"pkhtb r5, r3, r5, asr #16", "pkhtb r5, r3, r5, asr #15"),
    Mutant("dsp", "dense", "nibbles", "dense/dense_dsp.c", r"pkhbt r4, r2, r3, lsl #16", "pkhbt r4, r2, r3, lsl #15"),
    Mutant("dsp", "dense", "nibbles", "dense/dense_dsp.c", r"asr r12, r12, #4", "asr r12, r12, #3"),
    Mutant("dsp", "conv", "sum", "conv/gemm_dsp.h", r'(?<=acc ", )asr #12', "asr #11"),
    Mutant("dsp", "conv", "sum", "conv/gemm_dsp.h", r"lsl r12, r12, r4", "lsl r12, r12, r3"),
    Mutant("dsp", "conv", "sum", "conv/gemm_dsp.h", r"(?<=r7, )asr #12", "asr #11"),
    Mutant("dsp", "conv", "rounding", "conv/gemm_dsp.h", r"smmlar(?= r7, r7, r10, lr)", "smmla"),
    Mutant("dsp", "conv", "sum", "conv/gemm_dsp.h", r"ldrsbne r5, \[r3, #1\]", "ldrsbne r5, [r3]"),
    Mutant("dsp", "conv", "rounding", "conv/depthwise_dsp.h", r"smmlar(?= r5, r5,)", "smmla"),
    Mutant("dsp", "conv", "rounding", "conv/depthwise_any_dsp.h", r"smmlar(?= r8, r8)", "smmla"),
    Mutant("dsp", "conv", "padding", "conv/conv_dsp.c", r"(?<=memset\(outside, )p->in_zero_point", r"\g<0> + 1"),
    Mutant("dsp", "dense", "rounding", "dense/dense_dsp.c", r"smmlar(?= \" acc)", "smmla"),
    Mutant("dsp", "dense", "clamp", "dense/dense_dsp.c", r"ssat \" acc \", #8", 'ssat " acc ", #7'),
    Mutant("dsp", "wide", "rounding", "gemm_frame_dsp.h", r"smmlar(?= r9, r9, \w+, \w+)", "smmla"),
    Mutant("dsp", "wide", "rounding", "wide/depthwise_wide_dsp.h", r"smmlar(?= r10, r10, \w+, \w+)", "smmla"),
    Mutant("dsp", "wide", "sum", "wide/gemm_wide_dsp.h", r"sxtb16 r5, r5, ror #8", "sxtb16 r5, r5, ror #16"),
    Mutant("dsp", "wide", "sum", "dsp.h", r"smlald(?= %Q0)", "smlaldx"),
    Mutant("mve", "wide", "sum", "wide/wide_mve.c", r"vldrb\.s16 q1", "vldrb.u16 q1"),
    Mutant("mve", "wide", "shift", "mve.h", r'vqshl\.s32 q1, " shift "', "vqshl.s32 q1, r0"),
    Mutant("mve", "wide", "clamp", "wide/vectors_wide_mve.h", r"vmin\.s16 q0, q0, q3", "vmin.s16 q0, q0, q0"),
    Mutant("mve", "wide", "rounding", "wide/vectors_wide_mve.h", r"vshr\.s32 q2, q2, #15", "vshr.s32 q2, q2, #14"),
    Mutant("dsp", "elementwise", "clamp", "dsp.h", r"ssat16 %0, #8", "ssat16 %0, #7"),
    Mutant("mve", "conv", "sum", "conv/conv_mve_pairs.h", r"vqrshrnt\.s32 q0, q1, #12", "vqrshrnt.s32 q0, q1, #11"),
    Mutant("mve", "conv", "sum", "conv/conv_mve_pairs.h", r"vldrb\.s32 q3, \[r6\]", "vldrb.s32 q3, [r4]"),
    Mutant("mve", "conv", "sum", "conv/conv_mve_pairs.h", r"vldrbt\.s32 q3, \[r6\]", "vldrbt.s32 q3, [r4]"),
    Mutant("mve", "conv", "sum", "conv/conv_mve_pairs.h", r"vshl\.s32 q1, r2", "vshl.s32 q1, r8"),
    Mutant("mve", "conv", "rounding", "conv/conv_mve_patches.h", r"vqrdmlash(?=\.s32 q5)", "vqdmlash"),
    Mutant("mve", "conv", "padding", "conv/conv_mve_depthwise.h", r"(?<=edgec_mve_fill\(plane, )p->in_zero_point", r"\g<0> + 1"),
    Mutant("mve", "dense", "rounding", "dense/dense_mve.c", r"vqrdmlash(?=\.s32 q1)", "vqdmlash"),
    Mutant("mve", "dense", "clamp", "dense/dense_mve.c", r"vmin\.s16 q0, q0, q7", "vmin.s16 q0, q0, q0"),
    Mutant("mve", "elementwise", "rounding", "elementwise/elementwise_mve.c", r"(?<=constants\[6\] = \{)p->offset", r"\g<0> + 1"),
    Mutant("mve", "pooling", "rounding", "pooling/pooling_mve.c", r"vqrdmlash(?=\.s32 q2)", "vqdmlash"),
    Mutant("mve", "pooling", "zero_point", "pooling/pooling_mve.c", r"w->columns \* p->in_zero_point", r"\g<0> + 1"),
]  # fmt: skip


def mutated(mutant: Mutant) -> str:
    """The file's text with the change in it."""
    text = (source_folder() / "kernels" / mutant.file).read_text()
    found = re.search(mutant.pattern, text)
    assert found, f"{mutant}: the text is nowhere in the source; bring the list up to date"
    return text[: found.start()] + found.expand(mutant.new) + text[found.end() :]


class Mutating(Toolchain):
    """Compiles the changed kernel from an altered copy of the sources, everything else as ever, and so mostly from the cache."""

    def __init__(self, mutant: Mutant, target, optimize: str) -> None:
        super().__init__(target, optimize)
        self.plain, text, own = Toolchain(target, optimize), mutated(mutant), source_folder()
        headers = [*own.glob("runtime/*.h"), *own.glob("kernels/*.h"), *own.glob(f"kernels/{mutant.family}/*.h")]
        self.source = own / "kernels" / mutant.family / f"{mutant.family}_{mutant.isa}.c"
        self.content = store.key(mutant.file, text, *(p.read_bytes() for p in (*headers, self.source)))
        self.folder = Path(tempfile.gettempdir()) / f"edgec-tests-mutants-{os.getuid()}" / self.content
        if not self.folder.is_dir():  # the same path for the same content: it is part of the key of compiled objects
            self.folder.parent.mkdir(exist_ok=True)
            beside = Path(tempfile.mkdtemp(dir=self.folder.parent))
            for path in (*headers, self.source):
                copy = beside / path.relative_to(own)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            (beside / "kernels" / mutant.file).write_text(text)
            with contextlib.suppress(OSError):  # another test process was first, with the same content
                beside.rename(self.folder)
        self.identity = store.key(self.identity, self.content)

    def compile(self, source: Path, **kw) -> Object:
        if source != self.source:
            return self.plain.compile(source, **kw)
        return super().compile(self.folder / source.relative_to(source_folder()), **{**kw, "content": self.content})


@cache
def examples(isa: str, family: str):
    """Vectors and cases of a family's opcodes as one artifact, its inputs, and the wanted outputs, by port."""
    target = targets.load(CORE[isa])
    opcodes = sorted({k.opcode for k in all_kernels() if (k.isa, k.family) == (isa, family)})
    parts = [v for opcode in opcodes for v in vectors(opcode)]
    cases = [c for opcode in opcodes for c in OPERATORS[opcode].cases()]
    program = joined([v.program for v in parts] + cases)
    rng = np.random.default_rng(9)
    inputs = {k: x for v in parts for k, x in v.inputs.items()}
    inputs |= {p.tensor: rng.integers(-128, 128, c.tensors[p.tensor].nbytes).astype(np.int8) for c in cases for p in c.inputs}
    wanted = {v.program.outputs[0].tensor: v.expected for v in parts}
    for case in cases:
        wanted |= {k: y.reshape(-1) for k, y in interp.run(case, {p.tensor: inputs[p.tensor] for p in case.inputs}).items()}
    kernels = [select(op, target, worth=False) for op in program.ops]
    data = encode(program, plan.make_plan(program, kernels), kernels, target, {"target": target.name})
    rows = {p.name: inputs[p.tensor].reshape(1, -1) for p in program.inputs}
    return data, rows, {p.name: wanted[p.tensor] for p in program.outputs}


def differing(isa: str, family: str) -> list[str]:
    """Outputs that are not the wanted ones."""
    data, rows, wanted = examples(isa, family)
    got = runner.run(data, rows, target=CORE[isa], measure=False, timeout=120).rows
    return [name for name, y in wanted.items() if not np.array_equal(got[name][0], y)]


def is_red(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(runner, "Toolchain", lambda target, optimize: Mutating(mutant, target, optimize))
    try:
        return bool(differing(mutant.isa, mutant.family))
    except ToolError as error:
        assert " failed while " not in str(error), f"{mutant} does not build: {error}"
        return True  # a fault, bytes outside the arena, no end


@pytest.mark.parametrize(("isa", "family"), sorted({(m.isa, m.family) for m in NORMAL}))
def test_unchanged_firmware_is_green(isa: str, family: str, needs_target) -> None:
    needs_target(CORE[isa])
    assert differing(isa, family) == []


@pytest.mark.parametrize("mutant", [*NORMAL, *(pytest.param(m, marks=pytest.mark.slow) for m in SLOW)], ids=str)
def test_mutant_turns_red(mutant: Mutant, needs_target, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_target(CORE[mutant.isa])
    assert is_red(mutant, monkeypatch), f"{mutant}: nothing noticed"


def test_a_mutant_that_no_longer_applies_fails() -> None:
    with pytest.raises(AssertionError, match="bring the list up to date"):
        mutated(Mutant("dsp", "conv", "clamp", "dsp.h", "text that is not there", ""))
    for mutant in (*NORMAL, *SLOW):
        mutated(mutant)
