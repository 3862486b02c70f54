"""The documents are true: HACKING's walkthrough works as written, tables are those of the registry, structs follow `fields`."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgec import errors
from edgec.emit.kernels import all_kernels, kernel_by_id
from edgec.ops import BY_CODE, OPERATORS
from tests.models import ROOT, compiled, network

STEP = re.compile(r"<!-- (create|append|insert) (\S+)(?: (before|after): (.*?))? -->\n```\w+\n(.*?)```\n", re.DOTALL)


def steps() -> list[tuple[str, str, str, str, str]]:
    """(verb, file, before or after, anchor, text) of every marked block of HACKING.md, in order."""
    found = STEP.findall((ROOT / "HACKING.md").read_text())
    assert len(found) == (ROOT / "HACKING.md").read_text().count("\n<!-- "), "a step of HACKING.md is not understood"
    return found


def perform(step: tuple[str, str, str, str, str], tree: Path) -> None:
    """Do to a tree what the document says."""
    verb, name, side, anchor, block = step
    path = tree / name
    if verb == "create":
        assert not path.exists(), f"{name} exists already: HACKING.md must walk through another operator"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
        return
    text = path.read_text()
    if verb == "append":
        path.write_text(text + block)
        return
    assert text.count(anchor) == 1, f"{anchor!r} is {text.count(anchor)} times in {name}"
    at = text.index(anchor)
    at = text.rindex("\n", 0, at) + 1 if side == "before" else text.index(anchor) + len(anchor)
    path.write_text(text[:at] + ("" if side == "before" else "\n") + (block if side == "before" else block.rstrip("\n")) + text[at:])


def undo(step: tuple[str, str, str, str, str], tree: Path) -> None:
    """Take out of a tree what the document says to put in, where it is part of edgec already (as HardSwish is)."""
    verb, name, _, _, block = step
    if verb != "create":
        path = tree / name
        path.write_text(path.read_text().replace(block, ""))


def tree_hashes(tree: Path) -> dict[str, str]:
    files = (p for p in tree.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".so")
    return {str(p.relative_to(tree)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


PATHS = """
import sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in type(f).__module__]  # an installed checkout must not answer
sys.path.insert(0, sys.argv[1])
"""

THE_NETWORK = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper
import edgec

assert edgec.__file__.startswith(sys.argv[1])
rng = np.random.default_rng(0)
weights = numpy_helper.from_array(rng.normal(size=(12, 5)).astype(np.float32), "w")
graph = helper.make_graph(
    [helper.make_node("HardSwish", ["x"], ["h"], name="swish"), helper.make_node("MatMul", ["h", "w"], ["m"], name="dense"),
     helper.make_node("Hardmax", ["m"], ["y"], name="hardmax", axis=-1)],
    "walk", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 12])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])], [weights])
model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
x = rng.normal(scale=3, size=(200, 12)).astype(np.float32)
"""

BEFORE = """
try:
    edgec.compile(model, "generic-c", calibration=x)
except edgec.ModelError as error:
    assert "Hardmax" in error.what and "HardSwish" in error.what, error
    print("neither is known")
"""

AFTER = """
import onnxruntime
from edgec import run
from edgec.emit.cgen import parameter_struct
from edgec.emit.kernels import select
from edgec.ir import interp
from edgec.ops import OPERATORS
from edgec.plan import make_plan
from edgec.targets import load
from tests import native

artifact = edgec.compile(model, "generic-c", calibration=x)
assert [op.opcode for op in artifact.program.ops] == ["lookup", "dense", "hardmax"], artifact.program.ops
y = run.on_interpreter(artifact, x)
want = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
agreement = (y.argmax(1) == want.argmax(1)).mean()
assert agreement > 0.9 and np.allclose(y.max(1), 1, atol=0.01), agreement

def check(program, kernels, plan, count):
    for seed in range(count):
        r = np.random.default_rng(seed)
        values = {p.tensor: r.integers(-5, 6, program.tensors[p.tensor].nbytes).astype(np.int8) for p in program.inputs}
        got = native.run_in_arena(program, kernels, plan, values)
        for name, value in interp.run(program, values).items():
            assert (got[name] == value.reshape(-1)).all(), program.name

check(artifact.program, artifact.kernels, artifact.plan, 20)
for program in OPERATORS["hardmax"].cases():
    kernels = [select(op, load("generic-c")) for op in program.ops]
    check(program, kernels, make_plan(program, kernels), 5)
assert parameter_struct("hardmax", "hardmax") == "edgec_hardmax_params"
print("both work")
"""


def run_in(tree: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree), "TMPDIR": str(tree.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PATHS + THE_NETWORK + code, str(tree)], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_hacking_walkthrough(tmp_path, needs_tool):
    """The steps, as written, add HardSwish in one place and Hardmax in three, and both work."""
    needs_tool("gcc", "gcc")
    tree = tmp_path / "edgec"
    for part in ("edgec", "csrc", "tests"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__", "networks"))
    for step in steps():
        undo(step, tree)
    assert "neither is known" in run_in(tree, BEFORE)
    before = tree_hashes(tree)
    for step in steps()[:2]:
        perform(step, tree)
    now = tree_hashes(tree)
    assert {name for name in now if now[name] != before.get(name)} == {"edgec/ops/unary.py"}
    for step in steps()[2:]:
        perform(step, tree)
    after = tree_hashes(tree)
    assert {re.sub(r"(csrc/kernels/hardmax|edgec/ops)/.*", r"\1", name) for name in after if after[name] != now.get(name)} == {
        "edgec/ops",
        "csrc/kernels/hardmax",
        "csrc/kernels/kernels.inc",
    }
    assert "both work" in run_in(tree, AFTER)


def test_parameter_structs_follow_fields(tmp_path, needs_tool):
    """The C compiler agrees: member i of an operator's struct is field i, an int32 at offset 4·i, and nothing follows."""
    from edgec.emit.cgen import parameter_struct

    compiler = needs_tool("gcc", "gcc")
    families = {k.opcode: k.family for k in all_kernels()}
    lines = [f'#include "kernels/{family}/{family}.h"' for family in sorted(set(families.values()))]
    for opcode, operator in OPERATORS.items():
        struct = parameter_struct(families[opcode], opcode)
        lines.append(f"typedef char {opcode}_size[sizeof({struct}) == {4 * len(operator.fields)} ? 1 : -1];")
        for i, name in enumerate(operator.fields):
            lines.append(
                f"typedef char {opcode}_{name}[offsetof({struct}, {name}) == {4 * i} && sizeof((({struct} *)0)->{name}) == 4 ? 1 : -1];"
            )
    source = tmp_path / "fields.c"
    source.write_text("\n".join([*lines, ""]))
    done = subprocess.run([compiler, "-std=c99", "-fsyntax-only", "-I", str(ROOT / "csrc"), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("opcode", sorted(OPERATORS))
def test_every_opcode_has_a_reference_kernel_and_cases(opcode):
    operator = OPERATORS[opcode]
    assert any(k.opcode == opcode and k.isa == "ref" and k.id == operator.code << 8 for k in all_kernels())
    assert sum(1 for _ in operator.cases()) >= 1


def test_kernels_inc_is_consistent():
    """Ids are unique and carry the opcode's number; descriptors in the sources have the same ids."""
    kernels = all_kernels()
    assert len({k.id for k in kernels}) == len({k.symbol for k in kernels}) == len(kernels)
    for kernel in kernels:
        assert BY_CODE[kernel.id >> 8].opcode == kernel.opcode and kernel_by_id(kernel.id) == kernel
        source = (ROOT / "csrc" / "kernels" / kernel.files[-1]).read_text()
        found = re.search(rf"{kernel.symbol}_kernel = \{{\s*(0x[0-9a-f]+)", source)
        assert found is None or int(found[1], 16) == kernel.id, kernel.symbol


def test_operator_table_is_current():
    done = subprocess.run(
        [sys.executable, "scripts/operator_table.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_report_and_manifest_of_the_specification(needs_target):
    """Every key of a manifest and of a measured report is named in docs/SPEC.md 4."""
    needs_target("cortex-m4")
    section = (ROOT / "docs" / "SPEC.md").read_text().split("## 4. Manifest and report")[1].split("## 5. Errors")[0]
    artifact = compiled("digits", "cortex-m4")
    report = artifact.report()
    keys = {*artifact.manifest, *report, *(k for row in (*report["layers"], *report["inputs"]) for k in row)}
    assert not [k for k in sorted(keys) if k not in section]


def test_error_codes_of_the_specification():
    """Exit codes and status codes in docs/SPEC.md 5 are those of errors.py and edgec.h."""
    text = (ROOT / "docs" / "SPEC.md").read_text()
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgecError)]
    for kind in kinds:
        assert f"| {kind.exit_code} | `{kind.__name__}` |" in text, kind
    statuses = re.findall(r"(EDGEC_(?:OK|ERROR_\w+)) = (\d+)", (ROOT / "csrc" / "runtime" / "edgec.h").read_text())
    assert len(statuses) > 10
    for name, value in statuses:
        assert f"| {value} | `{name}` |" in text, name


@pytest.mark.parametrize("document", ["README.md", "HACKING.md", "docs/SPEC.md", "docs/DESIGN.md"])
def test_documents_name_files_that_exist(document):
    """Links, and paths in backticks that start with a folder of the project."""
    path = ROOT / document
    text = path.read_text()
    names = [path.parent / link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)]
    names += [
        ROOT / name for name in re.findall(r"`((?:edgec|csrc|tests|docs|examples|bench|scripts)/[\w./]*)`", text) if "hardmax" not in name
    ]
    missing = [str(name) for name in names if not name.exists() and not name.match("bench/results*") and "dense_dsp" not in str(name)]
    assert not missing, f"{document} names {missing}"


def readme_block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]


@pytest.mark.parametrize("language", ["sh", "python"])
def test_readme_runs_as_written(language, tmp_path, needs_target):
    """The command line and the Python example, word by word, in an empty folder beside the examples."""
    needs_target("cortex-m4")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "edgec").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgec.cli "$@"\n')
    (tmp_path / "edgec").chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["sh", "-e"] if language == "sh" else [sys.executable, "-"]
    done = subprocess.run(command, input=readme_block(language), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "digits.edgec").is_file()


def test_readme_c_example(tmp_path, needs_tool):
    """It compiles with the flags the runtime is compiled with, links, and gives the interpreter's bytes."""
    compiler = needs_tool("gcc", "gcc")
    artifact = compiled("digits", "generic-c")
    block = readme_block("c")
    x = artifact.quantize_input(network("digits").samples[:1])
    wanted = ", ".join(str(v) for v in artifact.run(x, on="interpreter").reshape(-1))
    data, picture = (", ".join(str(v) for v in values) for values in (artifact.data, x.reshape(-1)))
    source = tmp_path / "main.c"
    source.write_text(
        f"#include <stdio.h>\n{block}\nstatic const uint8_t artifact[] __attribute__((aligned(16))) = {{{data}}};\n"
        f"static const int8_t picture[] = {{{picture}}}, wanted[] = {{{wanted}}};\n"
        "int main(void) {\n  int8_t scores[10];\n  const int status = classify(artifact, sizeof artifact, picture, scores);\n"
        "  return status != 0 ? status : memcmp(scores, wanted, 10) != 0 ? 99 : 0;\n}\n"
    )
    csrc = ROOT / "csrc"
    kernels = sorted({str(csrc / "kernels" / f) for k in all_kernels() if k.isa == "ref" for f in k.files})
    runtime = [str(csrc / "runtime" / f) for f in ("edgec_load.c", "edgec_run.c", "edgec_kernels_all.c")]
    listed = tmp_path / "kernels.inc"
    listed.write_text(
        "".join(
            line + "\n"
            for line in (csrc / "kernels" / "kernels.inc").read_text().splitlines()
            if re.match(r"EDGEC_KERNEL\(.*, ref, ", line)
        )
    )
    program = tmp_path / "main"
    command = [
        compiler,
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        f'-DEDGEC_KERNELS_INC="{listed}"',
        "-I",
        str(csrc / "runtime"),
        str(source),
        *runtime,
        *kernels,
        "-o",
        str(program),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([program]).returncode == 0


def test_commands_of_hacking_select_tests():
    """Each `make test ARGS=…` of HACKING.md selects at least one test, and each script it names exists."""
    text = (ROOT / "HACKING.md").read_text()
    chosen = re.findall(r'`make test ARGS="([^"]+)"`', text)
    assert len(chosen) >= 6
    for arguments in chosen:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *shlex.split(arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert done.returncode == 0, f"{arguments}: {done.stdout[-500:]}"
    for script in re.findall(r"`\.venv/bin/python (\S+)`", text):
        assert (ROOT / script).is_file(), script


def test_make_help_lists_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in targets:
        assert f"make {target} " in listed, target
