"""The verifier refuses what breaks a rule; the text form gives back the same program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.errors import ProgramError
from edgec.ir.core import Constant, Op, Port, Program, Tensor
from edgec.ir.interp import run
from edgec.ir.text import parse, to_text
from edgec.ir.verify import verify
from edgec.ops import OPERATORS
from tests import programs


def assert_same(a: Program, b: Program) -> None:
    assert (a.name, a.ops, a.inputs, a.outputs) == (b.name, b.ops, b.inputs, b.outputs)
    assert list(a.tensors.items()) == list(b.tensors.items())
    assert list(a.constants) == list(b.constants)
    for c, d in zip(a.constants.values(), b.constants.values(), strict=True):
        assert (c.name, c.dtype, c.data.shape, c.data.dtype) == (d.name, d.dtype, d.data.shape, d.data.dtype)
        assert c.data.tobytes() == d.data.tobytes()


ALL_CASES = [case for operator in OPERATORS.values() for case in operator.cases()]


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda c: c.name)
def test_every_case_is_valid_and_prints(case: Program) -> None:
    verify(case)
    text = to_text(case)
    assert_same(case, parse(text))
    assert to_text(parse(text)) == text


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_random_programs_are_valid_and_print(seed: int, ops: int) -> None:
    program = programs.random_program(seed, ops)
    verify(program)
    assert_same(program, parse(to_text(program)))


@given(
    st.text(min_size=1),
    st.floats(min_value=5e-324, max_value=1.7e308),
    st.integers(-128, 127),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40),
    st.sampled_from(["int4", "int8", "int16", "int32"]),
)
@settings(max_examples=200, deadline=None)
def test_names_scales_and_values_survive(name: str, scale: float, zero: int, values: list[int], dtype: str) -> None:
    a, b = Tensor(name, (1, 3), scale=scale, zero_point=zero), Tensor(name + "'", (3,), dtype="int16")
    limit = {"int4": 8, "int8": 128, "int16": 2**15, "int32": 2**31}[dtype]
    constant = Constant(f"{name} c", np.array([v % limit for v in values]), dtype)
    op = Op("lookup", name, (a.name,), (b.name,), (constant.name,), {"count": 3, "other": -7})
    ports = (Port(name, a.name, (1, 3), (0,)),), (Port(name, b.name, (3,)),)
    program = Program(name, {a.name: a, b.name: b}, {constant.name: constant}, (op,), *ports)
    text = to_text(program)
    assert text.count("\nlookup") == 0
    assert_same(program, parse(text))


def test_text_of_a_network_is_one_operator_a_line() -> None:
    program = programs.ds_cnn()
    short = to_text(program, data=False)
    assert sum(" = " in line and "(" in line for line in short.splitlines()) == len(program.ops)
    assert max(map(len, short.splitlines())) < 500
    assert_same(program, parse(to_text(program)))
    x = np.random.default_rng(0).integers(-128, 128, 490)
    (t,) = program.inputs
    a, b = (run(p, {t.tensor: x}) for p in (program, parse(to_text(program))))
    assert all(np.array_equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("program", "programme", 1), "line 1"),
        (lambda t: t.split("data ")[0], "data line is missing"),
        (lambda t: t.replace("sha256:", "sha256:0", 1), "does not have the hash"),
        (lambda t: t.replace("int8[", "int9[", 1), "a dtype expected"),
        (lambda t: t.replace("scale 0.05", "scale 0,05", 1), "line"),
        (lambda t: t.replace("in_h=", "in_h:", 1), "'=' expected"),
        (lambda t: t + "nonsense\n", "cannot begin with"),
        (lambda t: t + "tensor t0 int8[1] scale 1.0 zero_point 0\n", "twice"),
        (lambda t: t[: t.rindex("data ") + 40], "line"),
    ],
)
def test_texts_that_cannot_be_read(change, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        parse(change(to_text(programs.random_program(3))))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_altered_text_is_refused_or_read_but_never_crashes(data) -> None:
    text = to_text(programs.random_program(data.draw(st.integers(0, 20)), 4))
    at = data.draw(st.integers(0, len(text) - 1))
    with_change = text[:at] + data.draw(st.sampled_from(["", " ", "x", "9", "[", "=", '"', ";", "\n", "-"])) + text[at + 1 :]
    try:
        verify(parse(with_change))
    except ProgramError:
        pass


def _change_op(program: Program, index: int = 0, **changes) -> Program:
    ops = list(program.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(program, ops=tuple(ops))


def _change_tensor(program: Program, tensor: str, **changes) -> Program:
    return replace(program, tensors=dict(program.tensors) | {tensor: replace(program.tensors[tensor], **changes)})


def _two_convolutions() -> Program:
    b = programs.Builder("two", (1, 6, 6, 4))
    return b.program(b.conv(b.conv(b.inputs[0], 8), 4))


def _with_attr(program: Program, **attrs: int) -> Program:
    return _change_op(program, attrs=dict(program.ops[0].attrs) | attrs)


def _huge_bias(program: Program) -> Program:
    name = program.ops[0].constants[1]
    bias = program.constants[name].data.copy()
    bias[3] = 2**31 - 5
    return replace(program, constants=dict(program.constants) | {name: Constant(name, bias, "int32")})


def _writeable(program: Program) -> Program:
    name = program.ops[0].constants[0]
    constant = Constant(name, program.constants[name].data, "int8")
    object.__setattr__(constant, "data", constant.data.copy())
    return replace(program, constants=dict(program.constants) | {name: constant})


RULES = {
    "unknown opcode": (lambda p: _change_op(p, opcode="convolve"), "known opcodes"),
    "name used twice": (lambda p: _change_op(p, 1, name=p.ops[0].name), "names of operators"),
    "read before written": (lambda p: replace(p, ops=p.ops[::-1]), "read before it is written"),
    "written twice": (lambda p: _change_op(p, 1, outputs=p.ops[0].outputs), "written twice"),
    "input written": (lambda p: _change_op(p, 1, outputs=p.ops[0].inputs), "written twice"),
    "missing tensor": (lambda p: _change_op(p, inputs=("nothing",)), "does not exist"),
    "missing constant": (lambda p: _change_op(p, constants=("a", "b", "c")), "does not exist"),
    "too many inputs": (lambda p: _change_op(p, inputs=p.ops[0].inputs * 2), "it takes 1"),
    "missing attribute": (lambda p: _change_op(p, attrs={k: v for k, v in p.ops[0].attrs.items() if k != "shift"}), "missing: shift"),
    "unknown attribute": (lambda p: _with_attr(p, colour=1), "unknown: colour"),
    "attribute too large": (lambda p: _with_attr(p, clamp_max=2**31), "does not fit int32"),
    "clamp": (lambda p: _with_attr(p, clamp_min=5, clamp_max=4), "clamp bounds"),
    "geometry": (lambda p: _with_attr(p, in_h=7), "does not follow from the attributes"),
    "constants swapped": (lambda p: _change_op(p, constants=p.ops[0].constants[::-1]), "constants of"),
    "zero_point differs": (lambda p: _change_tensor(p, p.ops[0].outputs[0], zero_point=101), "zero_point"),
    "zero_point outside": (lambda p: _change_tensor(p, p.ops[0].outputs[0], zero_point=128), "outside int8"),
    "shape": (lambda p: _change_tensor(p, p.ops[0].outputs[0], shape=(1, 6, 6, 7)), "does not follow"),
    "empty shape": (lambda p: _change_tensor(p, p.ops[0].outputs[0], shape=(1, 0)), "positive integers"),
    "dtype": (lambda p: _change_tensor(p, p.ops[0].outputs[0], dtype="float32"), "dtype"),
    "scale": (lambda p: _change_tensor(p, p.ops[0].outputs[0], scale=float("nan")), "not a positive number"),
    "accumulator": (_huge_bias, "beyond int32"),
    "writeable constant": (_writeable, "read-only"),
    "unused tensor": (lambda p: replace(p, tensors=dict(p.tensors) | {"z": Tensor("z", (1,))}), "nothing uses it"),
    "unused constant": (lambda p: replace(p, constants=dict(p.constants) | {"z": Constant("z", np.ones(1))}), "nothing uses it"),
    "name of tensor": (lambda p: _change_tensor(p, p.ops[0].outputs[0], name="other"), "filed under another name"),
    "no output": (lambda p: replace(p, outputs=()), "it has no output"),
    "port size": (lambda p: replace(p, outputs=(replace(p.outputs[0], shape=(1, 3)),)), "another size"),
    "port order": (lambda p: replace(p, outputs=(replace(p.outputs[0], shape=(1, 4, 6, 6), order=(0, 1, 2)),)), "does not turn"),
    "output never written": (lambda p: replace(p, ops=p.ops[:1], tensors=p.tensors), "no operator writes"),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_enforced(rule: str) -> None:
    program = _two_convolutions()
    verify(program)
    change, message = RULES[rule]
    with pytest.raises(ProgramError, match=message):
        verify(change(program))


def test_the_message_names_operator_opcode_and_shapes() -> None:
    program = _two_convolutions()
    with pytest.raises(ProgramError) as caught:
        verify(_with_attr(program, in_h=7))
    assert program.ops[0].name in caught.value.where and "conv2d" in caught.value.where and "int8[1, 6, 6, 4]" in caught.value.where
