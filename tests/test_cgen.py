"""Generated C against the interpreter, byte for byte, and the folder of export_c as a firmware engineer would build it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import programs
import pytest

from edgec.emit import cgen
from edgec.emit.export import MARKER, export_c, kernel_sources
from edgec.emit.kernels import all_kernels, select, source_folder
from edgec.errors import UsageError
from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from edgec.plan import make_plan
from edgec.targets import Target, load

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "g++": "g++",
    "make": "make",
    "cmake": "cmake",
    "clang": "clang",
    "gcc": "gcc",
}


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; enable with: apt-get install {PACKAGES[name]}")
    return path


def sh(*command: str | Path, cwd: Path | None = None, data: bytes | None = None) -> bytes:
    done = subprocess.run([str(c) for c in command], check=False, cwd=cwd, input=data, capture_output=True, timeout=300)
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))}\n{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}"
    )
    return done.stdout


def planned(program: Program, target: str | Target = "generic-c"):
    kernels = [select(op, load(target)) for op in program.ops]
    return make_plan(program, kernels), kernels


def generated(program: Program, prefix: str, target: str = "generic-c") -> dict[str, str]:
    plan, kernels = planned(program, target)
    return cgen.generate(program, plan, kernels, prefix)


def vectors(program: Program, count: int) -> list[list[np.ndarray]]:
    """count samples, one flat int8 array a port: all-min, all-max, then random."""
    rng = np.random.default_rng(len(program.name))
    sizes = [program.tensors[p.tensor].nbytes for p in program.inputs]
    samples = [[np.full(n, v, np.int8) for n in sizes] for v in (-128, 127)]
    return samples + [[rng.integers(-128, 128, n).astype(np.int8) for n in sizes] for _ in range(count - 2)]


def expected(program: Program, sample: list[np.ndarray]) -> list[np.ndarray]:
    result = interp.run(program, {p.tensor: x for p, x in zip(program.inputs, sample, strict=True)})
    return [result[p.tensor].reshape(-1) for p in program.outputs]


def write(folder: Path, files: dict[str, str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return sorted(folder / name for name in files if name.endswith(".c"))


DRIVER = """
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
@INCLUDES@

/* Each network in an arena of exactly its size: the sanitizer sees one byte too many. */
int main(void) {
  void *arena;
@CASES@
  return 0;
}
"""

CASE = """  for (int n = 0; n < @COUNT@; n++) {
    if (posix_memalign(&arena, @UPPER@_ARENA_ALIGNMENT, @UPPER@_ARENA_BYTES) != 0) return 1;
@READ@
    @PREFIX@_run(arena);
@WRITE@
    free(arena);
  }
"""


def driver(networks: dict[str, Program], count: int) -> str:
    """C that reads `count` samples of each network from stdin and writes its outputs to stdout."""
    cases = []
    for prefix, program in networks.items():
        upper = prefix.upper()
        read = [
            f"    if (fread({prefix}_input(arena, {i}), {upper}_INPUT_{i}_BYTES, 1, stdin) != 1) return 2;"
            for i in range(len(program.inputs))
        ]
        put = [f"    fwrite({prefix}_output(arena, {i}), {upper}_OUTPUT_{i}_BYTES, 1, stdout);" for i in range(len(program.outputs))]
        case = CASE.replace("@COUNT@", str(count)).replace("@PREFIX@", prefix).replace("@UPPER@", upper)
        cases.append(case.replace("@READ@", "\n".join(read)).replace("@WRITE@", "\n".join(put)))
    return DRIVER.replace("@INCLUDES@", "\n".join(f'#include "{p}.h"' for p in networks)).replace("@CASES@", "".join(cases))


def compare(folder: Path, networks: dict[str, Program], flags: list[str], count: int = 5, target: str | Target = "generic-c") -> None:
    """Build all networks into one program and compare every output byte with the interpreter."""
    files = {"driver.c": driver(networks, count)}
    kernels = []
    for prefix, program in networks.items():
        plan, own = planned(program, target)
        kernels += own
        files |= cgen.generate(program, plan, own, prefix)
    sources = write(folder, files)  # the kernels touch the memory: only they are compiled with the sanitizers, which saves half the time
    sh(tool("gcc"), *STRICT, "-O0", "-I", folder, "-I", source_folder(), "-c", *sources, cwd=folder)
    objects = [source.with_suffix(".o") for source in sources]
    sources = [source_folder() / f for f in kernel_sources(kernels) if f.endswith(".c")]
    sh(tool("gcc"), *STRICT, *flags, "-I", source_folder(), *sources, *objects, "-o", folder / "all")
    samples = {prefix: vectors(program, count) for prefix, program in networks.items()}
    got = np.frombuffer(sh(folder / "all", data=b"".join(x.tobytes() for s in samples.values() for sample in s for x in sample)), np.int8)
    at = 0
    for prefix, program in networks.items():
        for number, sample in enumerate(samples[prefix]):
            for port, want in zip(program.outputs, expected(program, sample), strict=True):
                wrong = np.flatnonzero(got[at : at + want.size] != want)
                assert wrong.size == 0, (
                    f"{prefix}, sample {number}, {port.name}: byte {wrong[0]} is {got[at + wrong[0]]}, not {want[wrong[0]]}"
                )
                at += want.size
    assert at == got.size


@pytest.mark.parametrize("opcode", list(OPERATORS))
def test_every_case_of_every_operator(tmp_path, opcode):
    compare(tmp_path, {cgen.prefix_of(p.name): p for p in OPERATORS[opcode].cases()}, SANITIZE)


def test_random_programs_with_branches_and_several_ports(tmp_path):
    compare(tmp_path, {f"random_{seed}": programs.random_program(seed) for seed in range(24)}, SANITIZE)


def test_whole_networks(tmp_path):
    networks = {"ds_cnn": programs.ds_cnn(), "resnet8": programs.resnet8(), "autoencoder": programs.autoencoder()}
    compare(tmp_path, networks, ["-O2"], count=3)


@pytest.mark.parametrize("isa", sorted({k.isa for k in all_kernels()} - {"ref"}))
def test_portable_form_of_optimized_kernels(tmp_path, isa):
    """What `make test` of an exported folder runs on the desk: the same packing, scratch and plan as on the device."""
    target = replace(load("generic-c"), isa=(isa, "ref"))
    cases = [p for opcode in OPERATORS for p in OPERATORS[opcode].cases() if planned(p, target)[1][0].isa == isa]
    networks = {cgen.prefix_of(p.name): p for p in cases} | {f"random_{seed}": programs.random_program(seed) for seed in range(6)}
    compare(tmp_path, networks, SANITIZE, target=target)


def test_equality_can_fail(tmp_path):
    """One changed constant in the generated code must be seen."""
    program = next(iter(OPERATORS["dense"].cases()))
    original = cgen.generate
    try:
        cgen.generate = lambda *a, **k: {
            n: re.sub(r"\.out_zero_point = (-?\d+)", ".out_zero_point = 3", t) for n, t in original(*a, **k).items()
        }
        with pytest.raises(AssertionError, match="byte 0 is"):
            compare(tmp_path, {"mutant": program}, ["-O1"])
    finally:
        cgen.generate = original


def test_same_program_gives_the_same_text():
    first, second = (generated(programs.resnet8(), "net") for _ in range(2))
    assert first == second
    assert list(first) == ["net.h", "net.c", "net_weights.h"]


def test_equal_constants_and_parameters_are_stored_once():
    b = programs.Builder("twice", (1, 8))
    program = b.program(b.lookup(b.lookup(b.inputs[0])))
    first, second = program.ops
    shared = program.with_ops((first, replace(second, constants=first.constants)))
    for same, arrays in ((program, 2), (shared, 1)):
        text = generated(same, "net")
        assert text["net_weights.h"].count("static const int8_t") == arrays
        assert text["net.c"].count("static const edgec_lookup_params") == 1


def test_header_says_how_the_bytes_of_a_port_lie():
    program = programs.ds_cnn()
    port = replace(program.inputs[0], shape=(1, 1, 49, 10), order=(0, 2, 3, 1))
    text = generated(replace(program, inputs=(port,)), "net")["net.h"]
    assert "/* input0: int8, shape 1x1x49x10 in the model; in the arena 1x49x10x1, the model's axes 0, 2, 3, 1 */" in text
    assert "#define NET_INPUT_0_SCALE 5e-02f" in text


def test_no_line_is_long_and_no_float_reaches_the_code():
    for name, text in generated(programs.resnet8(), "net").items():
        assert max(map(len, text.splitlines())) <= 140, name
        assert not re.search(r"\b(float|double|malloc|stdio)\b", text), name


def test_names_from_onnx_cannot_break_out_of_comments(tmp_path):
    program = next(iter(OPERATORS["dense"].cases()))
    evil = "a*/ int x; /* b ??/ c\\"
    port = replace(program.inputs[0], name=evil + "\nü")
    program = replace(program, name=evil, ops=(replace(program.ops[0], name=evil),), inputs=(port,))
    sources = write(tmp_path, generated(program, "evil"))
    sh(tool("gcc"), *STRICT, "-fsyntax-only", "-I", tmp_path, "-I", source_folder(), *sources)


@pytest.mark.parametrize("prefix", ["", "9net", "Net", "net-1", "int", "edgec_net", "a" * 65, "class"])
def test_prefix_must_be_an_identifier(prefix):
    with pytest.raises(UsageError) as error:
        generated(programs.autoencoder(), prefix)
    assert error.value.where == "prefix"


@pytest.mark.parametrize("name", ["MobileNet v1/0.25", "9 lives", "", "class", "edgec", "Ünet"])
def test_prefix_of_any_name_is_valid(name):
    cgen.check_prefix(cgen.prefix_of(name))


def test_trace_gives_every_layer(tmp_path):
    program = programs.random_program(3)
    main = """
#include <stdio.h>
#include "net.h"
void on_layer(uint32_t op_index, const void *output, uint32_t bytes);
void on_layer(uint32_t op_index, const void *output, uint32_t bytes) {
  fwrite(&op_index, 4, 1, stdout);
  fwrite(output, bytes, 1, stdout);
}
int main(void) {
  static NET_ARENA(arena);
""" + "".join(f"  if (fread(net_input(arena, {i}), NET_INPUT_{i}_BYTES, 1, stdin) != 1) return 1;\n" for i in range(len(program.inputs)))
    files = generated(program, "net") | {"main.c": main + "  net_run(arena);\n  return 0;\n}\n"}
    _, kernels = planned(program)
    sources = write(tmp_path, files) + [source_folder() / f for f in kernel_sources(kernels) if f.endswith(".c")]
    sh(tool("gcc"), *STRICT, "-DNET_TRACE=on_layer", "-I", tmp_path, "-I", source_folder(), *sources, "-o", tmp_path / "traced")
    sample = vectors(program, 3)[2]
    got = sh(tmp_path / "traced", data=b"".join(x.tobytes() for x in sample))
    want = b""
    for i, (op, outputs) in enumerate(interp.steps(program, {p.tensor: x for p, x in zip(program.inputs, sample, strict=True)})):
        want += i.to_bytes(4, "little") + outputs[op.outputs[0]].tobytes()
    assert got == want


@pytest.mark.parametrize("standard", ["c++11", "c++17"])
def test_header_from_cpp(tmp_path, standard):
    write(tmp_path, generated(programs.random_program(5), "net"))
    text = "#include <net.h>\n#include <net.h>\nstatic NET_ARENA(arena);\nint main() { return net_input(arena, 0) == nullptr || net_output(arena, 99) != nullptr; }\n"
    (tmp_path / "main.cpp").write_text(text)
    sh(
        tool("g++"),
        f"-std={standard}",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-pedantic",
        "-Werror",
        "-I",
        tmp_path,
        tmp_path / "main.cpp",
        "-c",
        "-o",
        tmp_path / "main.o",
    )


# The exported folder.


def export(program: Program, folder: Path, prefix: str, target: str = "cortex-m4") -> Path:
    plan, kernels = planned(program, target)
    sample = vectors(program, 3)[2]
    return export_c(
        program,
        plan,
        kernels,
        folder,
        prefix,
        target=load(target),
        selftest=(sample, expected(program, sample)),
        manifest={"edgec": "0.1.0"},
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return export(programs.ds_cnn(), tmp_path_factory.mktemp("export") / "ds_cnn", "ds_cnn")


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    return shutil.copytree(exported, tmp_path / "net")


def test_export_holds_only_what_is_needed(exported):
    files = {p.relative_to(exported).as_posix() for p in exported.rglob("*") if p.is_file()}
    assert "src/kernels/conv/conv_dsp.c" in files and "src/kernels/elementwise/elementwise_ref.c" not in files
    assert not [f for f in files if f.startswith("src/runtime/") and f.endswith(".c")]
    assert len((exported / "README.md").read_text().splitlines()) <= 20
    assert json.loads((exported / "library.json").read_text())["name"] == "ds_cnn"
    assert json.loads((exported / "manifest.json").read_text()) == {"edgec": "0.1.0"}
    assert not [f for f in files if re.search("@[A-Z_]+@", (exported / f).read_text())]
    assert set(json.loads((exported / MARKER).read_text())["files"]) == files - {MARKER}


def test_export_is_deterministic(exported, tmp_path):
    again = export(programs.ds_cnn(), tmp_path / "again", "ds_cnn")
    assert (again / MARKER).read_text() == (exported / MARKER).read_text()


def test_readme_commands_as_written(folder):
    tool("make"), tool("arm-none-eabi-gcc")
    block = re.search(r"```sh\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL).group(1)
    out = sh("bash", "-euc", block, cwd=folder)
    assert (folder / "build/libds_cnn.a").is_file()
    assert b"every byte is right" in out


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_export_is_strict_and_sanitizer_clean(folder, compiler):
    tool("make")
    flags = " ".join([*STRICT, "-Wstrict-prototypes", "-Wmissing-prototypes", *SANITIZE])
    assert b"every byte is right" in sh("make", "test", f"HOSTCC={tool(compiler)}", f"CFLAGS={flags}", cwd=folder)


def test_export_with_cmake(folder):
    tool("cmake")
    sh("cmake", "-S", folder, "-B", folder / "build")
    sh("cmake", "--build", folder / "build")
    assert b"100% tests passed" in sh("ctest", "--test-dir", folder / "build")


def test_export_as_zephyr_module(folder, tmp_path):
    """The module's CMakeLists with Zephyr's four functions in their plain CMake meaning."""
    tool("cmake")
    (tmp_path / "CMakeLists.txt").write_text(f"""cmake_minimum_required(VERSION 3.13)
project(zephyr_functions C)
set(CONFIG_DS_CNN y)
set(CONFIG_DS_CNN_SELFTEST y)
function(zephyr_include_directories)
  include_directories(${{ARGN}})
endfunction()
function(zephyr_library_named name)
  file(WRITE ${{CMAKE_BINARY_DIR}}/empty.c "typedef int empty;")
  add_library(${{name}} STATIC ${{CMAKE_BINARY_DIR}}/empty.c)
endfunction()
function(zephyr_library_sources)
  target_sources(ds_cnn PRIVATE ${{ARGN}})
endfunction()
include({folder}/zephyr/CMakeLists.txt)
""")
    sh("cmake", "-S", tmp_path, "-B", tmp_path / "b")
    sh("cmake", "--build", tmp_path / "b")
    assert (tmp_path / "b/libds_cnn.a").is_file()


def test_export_for_cortex_m4_is_strict_small_and_stateless(folder):
    """No writable data, no symbol from outside but edgec's kernels and the compiler's helpers; code without weights small."""
    compiler = tool("arm-none-eabi-gcc")
    flags = " ".join([*STRICT, "-O2", "-ffunction-sections", "-fdata-sections", "-fstack-usage"])
    sh("make", f"CC={compiler}", f"CFLAGS={flags}", cwd=folder)
    library = folder / "build/libds_cnn.a"
    writable = [int(n) for n in re.findall(r"^\.(?:data|bss)\S*\s+(\d+)", sh("arm-none-eabi-size", "-A", library).decode(), re.MULTILINE)]
    assert sum(writable) == 0
    undefined = set(re.findall(r" U (\w+)", sh("arm-none-eabi-nm", "-u", library).decode()))
    assert {s for s in undefined if not s.startswith(("edgec_", "ds_cnn_", "__aeabi_"))} <= {"memcpy", "memset"}
    elf = folder / "build/linked.elf"
    cpu = list(load("cortex-m4").toolchain["flags"])
    sh(compiler, *cpu, "-nostartfiles", "-Wl,--gc-sections", "-Wl,-eds_cnn_run", "-Wl,-uds_cnn_run", library, "-o", elf)
    sections = {n: int(b) for n, b in re.findall(r"^(\.\w+)\S*\s+(\d+)", sh("arm-none-eabi-size", "-A", elf).decode(), re.MULTILINE)}
    weights = int(re.search(r"([\d,]+) bytes of constants", (folder / "src/ds_cnn.h").read_text()).group(1).replace(",", ""))
    assert sections[".text"] + sections.get(".rodata", 0) - weights <= 12 * 1024
    stack = int(re.search(r"ds_cnn_run\t(\d+)", (folder / "build/ds_cnn.su").read_text()).group(1))
    assert stack <= 64


def test_self_test_finds_the_first_wrong_byte(tmp_path):
    program = next(p for p in (programs.random_program(s) for s in range(50)) if len(p.outputs) > 1)
    plan, kernels = planned(program)
    sample = vectors(program, 3)[2]
    want = [w.copy() for w in expected(program, sample)]
    want[1][-1] ^= 1
    folder = export_c(program, plan, kernels, tmp_path / "n", "net", target=load("generic-c"), selftest=(sample, want), manifest={})
    done = subprocess.run(["make", "test"], check=False, cwd=folder, capture_output=True)
    assert done.returncode != 0
    assert f"output byte {want[0].size + want[1].size - 1} is wrong" in done.stdout.decode()


def test_self_test_of_another_size_is_refused():
    program = programs.autoencoder()
    with pytest.raises(UsageError, match="640"):
        cgen.selftest(program, "net", [np.zeros(3, np.int8)], [np.zeros(640, np.int8)])


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        export(programs.autoencoder(), tmp_path / "mine", "net")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(UsageError, match="not a folder"):
        export(programs.autoencoder(), tmp_path / "mine" / "notes.txt", "net")


def test_own_folder_is_replaced_unless_somebody_worked_in_it(folder):
    (folder / "build").mkdir()
    (folder / "build" / "x.o").write_text("made by a build")
    export(programs.autoencoder(), folder, "coder")
    assert (folder / "src/coder.c").is_file() and not (folder / "src/ds_cnn.c").exists() and not (folder / "build").exists()
    main = folder / "examples/main/main.c"
    main.write_text(main.read_text() + "/* mine */")
    with pytest.raises(UsageError, match=r"edited: examples/main/main\.c"):
        export(programs.autoencoder(), folder, "coder")
    assert main.read_text().endswith("/* mine */")
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


def test_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(UsageError, match="No space left"):
        export(programs.autoencoder(), tmp_path / "net", "net")
    assert list(tmp_path.iterdir()) == []
