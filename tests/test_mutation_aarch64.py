"""Equality must be able to fail, for the AArch64 tiers: one constant changed in their kernels must turn red under QEMU.

All mutants of a tier are in one program (tests/mutants.py); the environment variable EDGEC_MUTANT chooses one.
"""

from __future__ import annotations

import subprocess
from functools import cache

import numpy as np
import pytest

from edgec.emit.kernels import source_folder
from tests import aarch64, mutants
from tests.mutants import Change, Mutant
from tests.test_mutation_host import examples

COMMON = {
    "simd/epilogue_s8.h": [
        ("zero_point", r"\bq\.zero_point\b", "{0} + 1"),
        ("clamp", r"\bq\.low\b", "{0} + 1"), ("clamp", r"\bq\.high\b", "{0} - 1"),
        ("clamp", r"\bq\.add_low\b", "{0} + 1"), ("clamp", r"\bq\.add_high\b", "{0} - 1"),
        ("shift", r"INT32_MAX >> q\.shift", "INT32_MAX >> (q.shift + 1)"),
        ("shift", r"(?<=shift_by\(Simd::set32\()q\.shift", "{0} + 1"),
        ("shift", r"(?<=add_by\(Simd::set32\(-)q\.add_shift", "{0} + 1"),
        ("rounding", r"\bq\.add_offset\b", "{0} + 1"), ("rounding", r"(?<=sum_by\(Simd::set32\()q\.add_other", "{0} + 1"),
        ("rounding", r"vqrdmulhq_s32\(a, half\[i % together\]\)", "vqdmulhq_s32(a, half[i % together])"),
    ],
    "pooling/max_pool_u8.h": [
        ("clamp", r"\bp\.low\b", "{0} + 1"), ("clamp", r"\bp\.high\b", "{0} - 1"),
        ("taps", r"p\.tap_offset\[t\]", "p.tap_offset[0]"),
    ],
    "elementwise/lookup_neon.h": [("zero_point", r"(?<=flip = vdupq_n_u8\()0x80", "0x81"), ("taps", r"(?<=part = vdupq_n_u8\()64", "63")],
    "conv/conv_tile_neon.h": [("taps", r"c\.segment_offset\[s\]", "c.segment_offset[0]"), ("taps", r"\brest > i\b", "rest > i + 1")],
}  # fmt: skip
SINGLE_TAPS = {"conv/depthwise_taps_neon.h": [("taps", r"\bd\.row_offset\[t\](?=;)", "d.row_offset[0]")]}
ANY_TAPS = {"conv/depthwise_taps_neon.h": [*SINGLE_TAPS["conv/depthwise_taps_neon.h"], ("taps", r"\bt < taps\b", "t > taps")]}
"""Other numbers of taps than 9 come only where there is no dot product."""
DOTS = {
    "conv/depthwise_u8.h": [("taps", r"\bd\.column_offset\[k\]", "d.column_offset[0]")],
    "conv/depthwise_ring_neon.h": [
        ("taps", r"(?<=input \+ )rows\[1\]", "rows[0]"),
        ("taps", r"(?<=pixel = )d\.column_offset\[1\]", "{0} + 1"),
        ("taps", r"(?<=next = in\.at\()at \+ Simd::bytes", "at"),
    ],
}
CHANGES = {
    "neon": {**COMMON, **ANY_TAPS},
    "neondot": {**COMMON, **SINGLE_TAPS, **DOTS},
    "neoni8mm": {**COMMON, **SINGLE_TAPS, **DOTS, "conv/conv_octets_neon.h": [("taps", r"c\.segment_offset\[s\]", "c.segment_offset[0]")]},
}


@cache
def mutants_of(tier: str) -> tuple[Mutant, ...]:
    return tuple(
        mutants.mutants(Change(kind, f"kernels/{file}", p, new) for file, group in CHANGES[tier].items() for kind, p, new in group)
    )


ALL = [pytest.param(tier, m, id=f"{tier} {m}") for tier in CHANGES for m in mutants_of(tier)]


@pytest.fixture(scope="module")
def batches(tmp_path_factory) -> list[tuple[aarch64.Batch, list[np.ndarray]]]:
    """All vectors, cases and chains, small ones first, a process for each tenth: most mutants are found by the first."""
    aarch64.host(("neon",), "-O1", mutants_of("neon"))
    found, result = examples(), []
    for part in range(10):
        some = found[len(found) * part // 10 : len(found) * (part + 1) // 10]
        folder = tmp_path_factory.mktemp(f"part{part}")
        result.append(
            (aarch64.Batch(folder, ((data, np.frombuffer(inputs.tobytes(), np.int8)) for data, inputs, _ in some)), [e[2] for e in some])
        )
    return result


def passes(tier: str, number: int, batches: list[tuple[aarch64.Batch, list[np.ndarray]]]) -> bool:
    """Whether every example gives its bytes; a crash and a hang are failures."""
    program = aarch64.host((tier,), "-O1", mutants_of(tier))
    for batch, wanted in batches:
        try:
            got = batch.run(program, tier, EDGEC_MUTANT=str(number), timeout=mutants.SECONDS)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            return False
        if any(not np.array_equal(y, w.view(np.int8)) for y, w in zip(got, wanted, strict=True)):
            return False
    return True


@pytest.mark.parametrize("tier", CHANGES)
def test_no_mutant_is_green(tier: str, batches) -> None:
    assert passes(tier, mutants.NONE, batches)


@pytest.mark.parametrize(("tier", "mutant"), ALL)
def test_mutant_turns_red(tier: str, mutant: Mutant, batches) -> None:
    mutants.must_apply(mutant)
    assert not passes(tier, mutant.number, batches), f"{tier} {mutant}: nothing noticed"


def test_the_list_covers_every_file_of_the_tiers() -> None:
    """Files that only wire the others together aside."""
    own = {p.relative_to(source_folder() / "kernels").as_posix() for p in (source_folder() / "kernels").glob("*/*neon*.h")}
    listed = {file for group in CHANGES.values() for file in group}
    assert own - listed == {"conv/conv_neondot.h", "simd/simd_neon.h"}
