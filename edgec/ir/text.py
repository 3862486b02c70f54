"""The text form of a program: for reading, for diffs, and exact enough to parse back into the same program.

    program resnet8
    input image: x [1, 3, 32, 32] order 1 2 0
    output logits: t9 [1, 10]
    tensor x int8[1, 32, 32, 3] scale 0.0078125 zero_point -1
    constant conv_0.weights int8[16, 3, 3, 3] sha256:8f14e45fceea167a
    constant conv_0.bias int32[4] = 1 -2 3 4
    conv_0: t0 = conv2d(x; conv_0.weights, conv_0.bias, conv_0.multiplier) in_h=32 in_w=32 …
    data conv_0.weights base64…

One operator a line, in order of execution. Names that are not plain words are JSON strings, scales are the shortest decimal
that gives the same float64, constants of more than 16 values come last as base64 of their little-endian bytes, so that
everything above them can be read and compared; their hash stands in the line above. `#` begins a comment line.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator

import numpy as np

from edgec.errors import ProgramError
from edgec.ir.core import DTYPES, Constant, Op, Port, Program, Tensor

INLINE = 16
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./]*\Z")
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|sha256:[0-9a-f]+|-?[0-9][0-9A-Za-z.+-]*|[A-Za-z_][A-Za-z0-9_./]*|[\[\](),;:=])')


def to_text(program: Program, *, data: bool = True) -> str:
    """Print a program; without `data` the long constants are left out and the text is for reading only."""
    lines = [f"program {_name(program.name)}"]
    for kind, ports in (("input", program.inputs), ("output", program.outputs)):
        for p in ports:
            order = "" if p.order is None else " order" + "".join(f" {i}" for i in p.order)
            lines.append(f"{kind} {_name(p.name)}: {_name(p.tensor)} {_shape(p.shape)}{order}")
    for t in program.tensors.values():
        lines.append(f"tensor {_name(t.name)} {t.dtype}{_shape(t.shape)} scale {float(t.scale)!r} zero_point {t.zero_point}")
    long = []
    for c in program.constants.values():
        head = f"constant {_name(c.name)} {c.dtype}{_shape(c.data.shape)}"
        if c.data.size <= INLINE:
            lines.append(f"{head} =" + "".join(f" {int(v)}" for v in c.data.reshape(-1)))
        else:
            lines.append(f"{head} sha256:{_digest(_bytes(c))}")
            long.append(c)
    for op in program.ops:
        outputs, inputs, constants = (", ".join(_name(n) for n in names) for names in (op.outputs, op.inputs, op.constants))
        operands = f"{inputs}; {constants}" if constants else inputs
        attrs = "".join(f" {k}={v}" for k, v in op.attrs.items())
        lines.append(f"{_name(op.name)}: {outputs} = {op.opcode}({operands}){attrs}")
    if data:
        lines.extend(f"data {_name(c.name)} {base64.b64encode(_bytes(c)).decode()}" for c in long)
    return "\n".join(lines) + "\n"


def parse(text: str) -> Program:
    """The program of a text made by to_text. It is not verified: call `ir.verify.verify`.

    Raises:
        ProgramError: with the number of the line that cannot be read.
    """
    name: str | None = None
    ports: dict[str, list[Port]] = {"input": [], "output": []}
    tensors: dict[str, Tensor] = {}
    constants: dict[str, Constant | tuple[str, tuple[int, ...], str]] = {}
    ops: list[Op] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            if line.startswith("data "):
                constant = _parse_data(line, constants)
                constants[constant.name] = constant
                continue
            r = _Reader(line)
            first = r.name()
            if r.at(":"):
                ops.append(_parse_op(first, r))
            elif first == "program":
                name = r.name()
            elif first in ports:
                ports[first].append(_parse_port(r))
            elif first == "tensor":
                tensor = _parse_tensor(r)
                _once(tensor.name, tensors)
                tensors[tensor.name] = tensor
            elif first == "constant":
                key, value = _parse_constant(r)
                _once(key, constants)
                constants[key] = value
            else:
                raise ValueError(f"a line cannot begin with {first!r}")
            r.end()
        except (ValueError, OverflowError) as error:
            raise _broken(f"line {number}", f"{error}: {line[:120]}") from None
    if name is None:
        raise _broken("text", "there is no line `program <name>`")
    read = {k: c for k, c in constants.items() if isinstance(c, Constant)}
    for key in constants:
        if key not in read:
            raise _broken(f"constant {key}", "its data line is missing; the text was printed for reading only")
    return Program(name, tensors, read, tuple(ops), tuple(ports["input"]), tuple(ports["output"]))


class _Reader:
    """The tokens of one line."""

    def __init__(self, line: str) -> None:
        self.tokens = list(_tokens(line))
        self.index = 0

    def peek(self) -> str:
        return self.tokens[self.index] if self.index < len(self.tokens) else "end of line"

    def next(self) -> str:
        token = self.peek()
        self.index += 1
        return token

    def at(self, token: str) -> bool:
        """Skip `token` if it comes next."""
        if self.peek() != token or self.index >= len(self.tokens):
            return False
        self.index += 1
        return True

    def expect(self, token: str) -> None:
        if not self.at(token):
            raise ValueError(f"{token!r} expected, not {self.peek()!r}")

    def name(self) -> str:
        token = self.next()
        if token.startswith('"'):
            return str(json.loads(token))
        if not _WORD.match(token):
            raise ValueError(f"a name expected, not {token!r}")
        return token

    def number(self) -> int:
        return int(self.next())

    def shape(self) -> tuple[int, ...]:
        self.expect("[")
        sizes: list[int] = []
        while not self.at("]"):
            if sizes:
                self.expect(",")
            sizes.append(self.number())
        return tuple(sizes)

    def typed(self) -> tuple[str, tuple[int, ...]]:
        dtype = self.next()
        if dtype not in DTYPES:
            raise ValueError(f"a dtype expected, not {dtype!r}")
        return dtype, self.shape()

    def names(self, *ends: str) -> tuple[str, ...]:
        found: list[str] = []
        while self.peek() not in ends:
            if found:
                self.expect(",")
            found.append(self.name())
        return tuple(found)

    def end(self) -> None:
        if self.index < len(self.tokens):
            raise ValueError(f"unexpected {self.peek()!r}")


def _tokens(line: str) -> Iterator[str]:
    at, line = 0, line.rstrip()
    while at < len(line):
        match = _TOKEN.match(line, at)
        if match is None:
            raise ValueError(f"cannot read {line[at : at + 20]!r}")
        yield match.group(1)
        at = match.end()


def _parse_port(r: _Reader) -> Port:
    name = r.name()
    r.expect(":")
    tensor, shape, order = r.name(), r.shape(), None
    if r.at("order"):
        order = tuple(r.number() for _ in range(len(r.tokens) - r.index))
    return Port(name, tensor, shape, order)


def _parse_tensor(r: _Reader) -> Tensor:
    name, (dtype, shape) = r.name(), r.typed()
    r.expect("scale")
    scale = float(r.next())
    r.expect("zero_point")
    return Tensor(name, shape, dtype, scale, r.number())


def _parse_constant(r: _Reader) -> tuple[str, Constant | tuple[str, tuple[int, ...], str]]:
    name, (dtype, shape) = r.name(), r.typed()
    if r.at("="):
        values = np.array([r.number() for _ in range(len(r.tokens) - r.index)], np.int64)
        limits = np.iinfo(DTYPES[dtype])
        if values.size and (values.min() < limits.min or values.max() > limits.max):
            raise ValueError(f"a value does not fit {dtype}")
        return name, Constant(name, values.reshape(shape), dtype)
    digest = r.next()
    if not digest.startswith("sha256:"):
        raise ValueError(f"'=' or a hash expected, not {digest!r}")
    return name, (dtype, shape, digest[7:])


def _parse_data(line: str, constants: dict) -> Constant:
    head, _, encoded = line.rstrip().rpartition(" ")
    name = _Reader(head[5:]).name()
    declared = constants.get(name)
    if not isinstance(declared, tuple):
        raise ValueError(f"no constant {name} waits for data")
    dtype, shape, digest = declared
    raw = base64.b64decode(encoded, validate=True)
    if _digest(raw) != digest:
        raise ValueError(f"the data of {name} does not have the hash that its constant line gives")
    return Constant(name, np.frombuffer(raw, np.dtype(DTYPES[dtype]).newbyteorder("<")).reshape(shape), dtype)


def _parse_op(name: str, r: _Reader) -> Op:
    outputs = r.names("=")
    r.expect("=")
    opcode = r.name()
    r.expect("(")
    inputs = r.names(";", ")")
    constants = r.names(")") if r.at(";") else ()
    r.expect(")")
    attrs: dict[str, int] = {}
    while r.index < len(r.tokens):
        key = r.name()
        r.expect("=")
        attrs[key] = r.number()
    return Op(opcode, name, inputs, outputs, constants, attrs)


def _once(key: str, seen: dict) -> None:
    if key in seen:
        raise ValueError(f"{key} is there twice")


def _name(name: str) -> str:
    return name if _WORD.match(name) else json.dumps(name)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(str(n) for n in shape)}]"


def _bytes(constant: Constant) -> bytes:
    return constant.data.astype(constant.data.dtype.newbyteorder("<")).tobytes()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _broken(where: str, why: str) -> ProgramError:
    return ProgramError(
        "a program text cannot be read", where=where, why=why, fix="take the text from edgec.ir.text.to_text, with its data lines"
    )
