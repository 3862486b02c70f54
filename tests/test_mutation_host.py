"""Equality must be able to fail, for the kernels of the host tiers: one constant changed must turn red.

The engine is compiled without optimization and the tier with the CPU flags of CMakeLists.txt: at -O1 in the normal run, at -O3 as
it is shipped in the slow one. All mutants of a tier are in one library (tests/mutants.py). Padding is laid out by the engine, not
by these kernels; which tap is read is theirs.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec.emit.kernels import source_folder
from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from tests import mutants, native, programs, wide_rows
from tests.mutants import Change, Mutant
from tests.test_host_engine import encode
from tests.vectors.replay import opcodes, vectors

ROOT = Path(__file__).resolve().parent.parent
CPU = {"avx2": {"avx2"}, "avx512vnni": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}}
FAMILIES = ("conv", "elementwise", "plain", "pooling", "wide")

EPILOGUE = [
    ("rounding", r"int64_t\(1\) << 31\b", "(int64_t(1) << 31) - 1"),
    ("zero_point", r"q\.zero_point(?=\) \* \(int64_t)", "{0} + 1"),
    ("zero_point", r"2 \* q\.zero_point", "{0} + 1"),
    ("clamp", r"\bq\.low\b", "{0} + 1"),
    ("clamp", r"\bq\.high\b", "{0} - 1"),
    ("clamp", r"\bq\.add_low\b", "{0} + 1"),
    ("clamp", r"\bq\.add_high\b", "{0} - 1"),
    ("shift", r"INT32_MAX >> q\.shift", "INT32_MAX >> (q.shift + 1)"),
    ("shift", r"(?<=add_offset\), )add_shift", "{0} + 1"),
]
RESIDUAL = [
    ("rounding", r"(?<=static_cast<uint32_t>\()q\.add_offset", "{0} + 1"),
    ("rounding", r"(?<=other\) \+ )1", "0"),
    ("zero_point", r"\bflip(?= \* static_cast<uint32_t>\(q\.add_other)", "(flip - 1)"),
    ("shift", r"(?<=twice & )127", "125"),  # bit 0 of 2R is 0
    ("shift", r"(?<=twice >> )7", "6"),
]
VECTORS = [
    ("rounding", r"(?<=round = Simd::set64\()INT64_C\(0x80000000\)", "INT64_C(0x7fffffff)"),
    ("zero_point", r"\bs\.zero_point\b", "{0} + 1"),
    ("clamp", r"(?<=s\.zero_point, )s\.low\b", "{0} + 1"),
    ("clamp", r"(?<=s\.low, )s\.high\b", "{0} - 1"),
    ("shift", r"(?<=1 << )s\.shift\b", "{0} + 1"),
    ("taps", r"size - plain_lanes", "{0} - 1"),
]
PLAIN = [
    ("rounding", r"\(1 << 21\)(?=\) >> 22)", "((1 << 21) - 1)"),
    ("zero_point", r"\bp\.zero_point_a\b(?=\) \* \(right)", "{0} + 1"),
    ("clamp", r"(?<=high = )p\.clamp_max(?=;)", "{0} - 1"),
    ("rounding", r"1u << \(p\.shift - 1\)", "0u"),
    ("zero_point", r"\bp\.zero_point_a\b(?=\) \* reinterpret)", "{0} + 1"),
    ("zero_point", r"(?<=>> p\.shift\) \+ )p\.out_zero_point", "{0} + 1"),
    ("clamp", r"(?<=p\.out_zero_point, )p\.clamp_min(?=, p\.clamp_max\);\n  \}\))", "{0} + 1"),
    ("taps", r"(?<=b_moves \? plain_load\()b \+ i(?=\))", "b"),
    ("taps", r"(?<=plain_load\()b \+ e(?=, count)", "a + e"),
    ("taps", r"(?<=plain_store\(to \+ e, sum, )count - e", "{0} - 1"),
]
ARGMAX = [
    ("taps", r"(?<=better \? none \+ )d\b", "(d + 1)"),
    ("taps", r"p\.last == 0", "p.last != 0"),
    ("clamp", r"(?<=q \+ )p\.last", "0"),
    ("clamp", r"-p\.least\b", "0"),
]
TABLE_POOL = [
    ("padding", r"\biy >= 0", "iy > 0"),
    ("padding", r"\bix < p\.in_w", "ix < p.in_w - 1"),
    ("padding", r"INT32_MAX(?=;)", "INT32_MIN"),
    ("rounding", r"found <= acc", "found < acc"),
    ("zero_point", r"(?<=plain_gather\(table, q \+ )128", "127"),
    ("zero_point", r"(?<=\+ )p\.base", "{0} + 1"),
    ("clamp", r"acc & p\.odd_flips", "acc & 0"),
    ("clamp", r"\bp\.clamp_max", "{0} - 1"),
]
SOFTMAX = [
    ("shift", r"31u \+ k\b", "30u + k"),
    ("rounding", r"UINT64_C\(1\) << \(row\.shift - 1\)", "(UINT64_C(1) << (row.shift - 1)) - (UINT64_C(1) << (row.shift - 9))"),
    ("zero_point", r"(?<=plain_clamp\()zero_point(?= \+ static_cast)", "{0} + 1"),
    ("zero_point", r"(?<=plain_clamp\(q \+ )zero_point", "{0} + 1"),
    ("shift", r"\bbits - 16(?=\b)", "bits - 17"),
    ("clamp", r"(?<=, -128, )127", "126"),
    ("taps", r"(?<=x\[i\] > top \? )x\[i\]", "x[0]"),
]
PIXELS = [
    ("taps", r"(?<=to_last = )last\b", "(last - 1)"),
    ("taps", r"(?<=from_last = )last\b", "(last - 1)"),
    ("taps", r"(?<=operands\[1\] \+ static_cast<intptr_t>\()row\b", "0 * row"),
]
MOVEMENT = [
    ("taps", r"(?<=unpacklo_epi16\()c(?=, d\))", "a"),
    ("taps", r"(?<=x\[)k(?= \* stride \+ i\])", "r"),
    ("padding", r"(?<=memset\(y, )p\.value", "{0} + 1"),
    ("padding", r"(?<=p\.before_3 = )p\.before_2", "p.after_2"),
    ("taps", r"(?<=x \+= )picked\.part", "0"),
    ("taps", r"(?<=operands\[0\] \+ )pixels\.offset", "0"),
]
PLANNER = [
    ("padding", r"std::max\(origin, 0\)", "origin"),
    ("padding", r"std::min\(c / in\.pitch, node\.out_view\.w - 1\)", "0"),
    ("taps", r"(?<=channel \+= )in\.view\.c", "0"),
]
WIDE = [
    ("taps", r"c\.segment_offset\[s\]", "c.segment_offset[0]"),
    ("clamp", r"\bp\.clamp_min\b(?=, p\.clamp_max)", "{0} + 1"),
    ("clamp", r"\bp\.clamp_max\b(?=\}|\);)", "{0} - 1"),
    ("zero_point", r"\bp\.in_zero_point\b", "{0} + 1"),
    ("zero_point", r"\bp\.out_zero_point\b", "{0} + 1"),
    ("shift", r"p\.shift - 15", "{0} + 1"),
    ("padding", r"(?<== )p\.pad_left(?= \* p\.in_c)", "0"),
]
CHANGES = {
    "avx2": {
        "wide/wide_rows.h": WIDE,
        "plain/plain_rows.h": PLAIN,
        "plain/plain_argmax.h": ARGMAX,
        "plain/plain_softmax.h": SOFTMAX,
        "plain/plain_table_pool.h": TABLE_POOL,
        "plain/plain_vectors.h": VECTORS,
        "../host/movement.cpp": MOVEMENT,
        "../host/planner.cpp": PLANNER,
        "simd/epilogue_s16.h": EPILOGUE,
        "simd/residual.h": RESIDUAL,
        "simd/simd_avx2.h": [("rounding", r"\b16384\b", "16383")],
        "conv/conv_tile.h": [("taps", r"c\.segment_offset\[s\]", "c.segment_offset[0]")],
        "conv/conv_avx2.cpp": [("taps", r"\bd\.column_offset\[k\](?=\),)", "d.column_offset[0]")],
        "elementwise/lookup_avx2.h": [
            ("taps", r"(?<=128 \* half \+ 16 \* )i\b", "0"), ("taps", r"Simd::set8\(16\)", "Simd::set8(15)"),
            ("zero_point", r"(?<=Simd::bit_xor\(q, Simd::set8\()0x80", "0x81"), ("zero_point", r"(?<=EDGEC_KIND_U8 \? 0 : )0x80", "0x81"),
        ],
        "elementwise/elementwise_avx2.cpp": [("zero_point", r"(?<=low_byte = Simd::set16\()0xff", "0x7f")],
        "elementwise/pixels.h": PIXELS,
        "pooling/pooling_avx2.cpp": [
            ("clamp", r"\bp\.low\b", "{0} + 1"), ("clamp", r"\bp\.high\b", "{0} - 1"),
            ("taps", r"p\.tap_offset\[t\]", "p.tap_offset[0]"),
        ],
    },
    "avx512vnni": {
        "wide/wide_rows.h": WIDE,
        "plain/plain_rows.h": PLAIN,
        "plain/plain_argmax.h": ARGMAX,
        "plain/plain_softmax.h": SOFTMAX,
        "plain/plain_table_pool.h": TABLE_POOL,
        "plain/plain_vectors.h": VECTORS,
        "simd/epilogue_u8.h": [
            *EPILOGUE,
            ("zero_point", r"(?<=EDGEC_KIND_U8 \? )0x80", "0x81"),
        ],
        "simd/residual.h": [*RESIDUAL, ("zero_point", r"\bflip(?= \* static_cast<uint32_t>\(q\.add_own)", "(flip - 1)")],
        "simd/simd_avx512.h": [("rounding", r"\b16384\b", "16383")],
        "conv/conv_tile.h": [("taps", r"c\.segment_offset\[s\]", "c.segment_offset[0]")],
        "conv/conv_pairs.h": [("taps", r"c\.segment_offset\[s\]", "c.segment_offset[0]")],
        "conv/depthwise_u8.h": [("taps", r"\bd\.column_offset\[k\]", "d.column_offset[0]")],
        "elementwise/elementwise_u8.h": [("zero_point", r"(?<=flip = Simd::set8\()Simd::flip", "0x81")],
        "elementwise/lookup_avx512.h": [
            ("taps", r"(?<=eight = Simd::set16\()8", "7"), ("taps", r"(?<=low_byte = Simd::set16\()0xff", "0x7f"),
            ("zero_point", r"(?<=upper_even = Simd::set16\()0x80", "0x40"), ("zero_point", r"(?<=EDGEC_KIND_U8 \? 0 : )0x80", "0x81"),
        ],
        "elementwise/pixels.h": [*PIXELS, ("zero_point", r"(?<=EDGEC_KIND_U8\) \? )0x80", "0x81")],
        "conv/depthwise_ring.h": [
            ("taps", r"(?<=input \+ )rows\[1\]", "rows[0]"),
            ("taps", r"(?<=middle = )d\.column_offset\[1\]", "{0} + 1"),
        ],
        "pooling/max_pool_u8.h": [
            ("clamp", r"\bp\.low\b", "{0} + 1"), ("clamp", r"\bp\.high\b", "{0} - 1"),
            ("zero_point", r"(?<=flip = Simd::set8\()Simd::flip", "0x00"),
        ],
    },
}  # fmt: skip


@cache
def mutants_of(tier: str) -> tuple[Mutant, ...]:
    spots = [(file, *spot) for file, group in CHANGES[tier].items() for spot in group]
    return tuple(mutants.mutants(Change(kind, f"kernels/{file}", pattern, new) for file, kind, pattern, new in spots))


ALL = [pytest.param(tier, m, id=f"{tier} {m}") for tier in CHANGES for m in mutants_of(tier)]


@cache
def library(tier: str, level: str) -> ctypes.CDLL:
    """Engine, reference kernels and one tier with all its mutants; skips where this processor does not run the tier."""
    try:
        flags = set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split())
    except (OSError, TypeError):
        flags = set()
    if not CPU[tier] <= flags:
        pytest.skip(f"the processor does not run {tier}: not on this machine")
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler; enable with: apt-get install g++")
    own = source_folder()
    files = [p for part in ("runtime/*", "host/*", "kernels/*.*", "kernels/*/*") for p in sorted(own.glob(part)) if p.is_file()]
    digest = hashlib.sha256(repr((compiler, tier, level, mutants_of(tier))).encode())
    for path in (*files, ROOT / "tests" / "host_driver.cpp", ROOT / "CMakeLists.txt"):
        digest.update(path.read_bytes())
    kept = Path(tempfile.gettempdir()) / f"edgec-tests-{os.getuid()}"
    kept.mkdir(exist_ok=True)
    result = kept / f"{digest.hexdigest()[:32]}.so"
    with (kept / "host.lock").open("w") as lock:  # one of several test processes builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.is_file():
            with tempfile.TemporaryDirectory(dir=kept) as work:
                _build(compiler, tier, level, files, Path(work)).replace(result)
    lib = ctypes.CDLL(str(result))
    lib.edgec_test_run.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
    return lib


def _build(compiler: str, tier: str, level: str, files: list[Path], work: Path) -> Path:
    own, csrc = source_folder(), work / "csrc"
    for path in files:
        copy = csrc / path.relative_to(own)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    mutants.rewrite(csrc, mutants_of(tier))
    kernels = work / "kernels_ref.inc"
    kernels.write_text(native.kernel_lines())
    engine = [f'#include "{p}"\n' for p in (*sorted(csrc.glob("host/*.cpp")), ROOT / "tests" / "host_driver.cpp")]
    (work / "engine.cpp").write_text('extern "C" { volatile int edgec_mutant = -1; }\n' + "".join(engine))
    reference = [*csrc.glob("runtime/*.c"), *csrc.glob("kernels/*/*_check.c"), *csrc.glob("kernels/*/*_ref.c")]
    flags = re.search(rf"set\(tier_flags_{tier} ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
    common, include = ("-fPIC", "-w", "-c"), f"-I{csrc}"
    c = shutil.which("gcc") or native.compiler()
    for source in reference:
        command = [c, "-std=c99", "-O1", *common, f"-I{csrc / 'runtime'}", f'-DEDGEC_KERNELS_INC="{kernels}"', str(source)]
        subprocess.run([*command, "-o", f"{work / source.stem}.o"], check=True)
    command = [compiler, "-std=c++17", "-O0", *common, include, f"-DEDGEC_TIER_{tier}", str(work / "engine.cpp")]
    subprocess.run([*command, "-o", str(work / "engine.o")], check=True)
    for family in FAMILIES:
        source = csrc / "kernels" / family / f"{family}_{tier}.cpp"
        command = [compiler, "-std=c++17", level, *common, "-fno-exceptions", "-fno-rtti", *flags, include, str(source)]
        subprocess.run([*command, "-o", f"{work / family}.o"], check=True)
    subprocess.run([compiler, "-shared", *map(str, sorted(work.glob("*.o"))), "-o", str(work / "library.so")], check=True)
    return work / "library.so"


def chains() -> list[Program]:
    """Fused residuals, and layers that hand each other a tier's own elements."""
    result = []
    for channels, shape in ((8, (1, 5, 6, 7)), (20, (1, 3, 3, 20)), (64, (1, 6, 6, 16))):
        b = programs.Builder(f"residual_{channels}", shape, seed=channels)
        y = b.conv(b.inputs[0], channels, (3, 3))
        z = b.depthwise(b.conv(y, channels, (1, 1)))
        result.append(b.program(b.max_pool(b.add(b.conv(z, channels, (3, 3)), y), (2, 2))))
    b = programs.Builder("blocks", (1, 5, 4, 19), seed=1)
    result.append(b.program(b.transpose(b.inputs[0], (0, 3, 1, 2))))
    return result


@cache
def examples() -> tuple[tuple[bytes, np.ndarray, np.ndarray], ...]:
    """Artifact, inputs and wanted outputs of every vector and case, small ones first."""
    found = []
    for opcode in opcodes():
        for v in vectors(opcode):
            found.append((encode(v.program), np.concatenate([v.inputs[p.tensor].reshape(-1) for p in v.program.inputs]), v.expected))
    for case in [c for o in OPERATORS.values() for c in o.cases()] + chains() + wide_rows.wide_programs():
        rng = np.random.default_rng(9)
        values = {p.tensor: rng.integers(-128, 128, case.tensors[p.tensor].nbytes).astype(np.int8) for p in case.inputs}
        wanted = interp.run(case, values)
        outputs = np.concatenate([wanted[p.tensor].reshape(-1) for p in case.outputs])
        found.append((encode(case), np.concatenate([values[p.tensor].reshape(-1) for p in case.inputs]), outputs))
    return tuple(sorted(found, key=lambda e: e[2].size))


def verdict(tier: str, level: str, number: int) -> int:
    lib = library(tier, level)
    examples()  # made once, before the fork

    def passes() -> bool:
        ctypes.c_int.in_dll(lib, "edgec_mutant").value = number
        for data, inputs, wanted in examples():
            got = np.empty(wanted.size, np.int8)
            if lib.edgec_test_run(data, len(data), tier.encode(), inputs.ctypes.data, got.ctypes.data) or not np.array_equal(got, wanted):
                return False
        return True

    return mutants.verdict(passes)


@pytest.mark.parametrize("tier", CHANGES)
def test_no_mutant_is_green(tier: str) -> None:
    assert verdict(tier, "-O1", mutants.NONE) == mutants.GREEN


@pytest.mark.parametrize(("tier", "mutant"), ALL)
def test_mutant_turns_red(tier: str, mutant: Mutant) -> None:
    mutants.must_apply(mutant)
    assert verdict(tier, "-O1", mutant.number) == mutants.RED, f"{tier} {mutant}: nothing noticed"


@pytest.mark.slow
@pytest.mark.parametrize("tier", CHANGES)
def test_mutants_turn_red_as_shipped(tier: str) -> None:
    """With the optimization of the build."""
    assert verdict(tier, "-O3", mutants.NONE) == mutants.GREEN
    unnoticed = [str(m) for m in mutants_of(tier) if verdict(tier, "-O3", m.number) == mutants.GREEN]
    assert not unnoticed
