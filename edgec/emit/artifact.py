"""The .edgec file: encode and decode (docs/SPEC.md section 2).

The same program, plan, kernels, target and manifest give the same bytes on any machine: nothing here reads a clock, a path
or the order of a set. decode checks every hash before it looks at anything else.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.emit import cbor
from edgec.emit.kernels import Kernel, kernel_by_id, packed_constants
from edgec.errors import ArtifactError, ProgramError
from edgec.ir.core import DTYPE_BITS, DTYPES, Constant, Op, Port, Program, Tensor
from edgec.ir.verify import verify
from edgec.ops import BY_CODE, OPERATORS
from edgec.plan import ALIGNMENT, Plan, verify_plan
from edgec.targets import LAYOUTS, Target

MAGIC = b"EDGC"
VERSION = (1, 1)
HEADER_BYTES, ENTRY_BYTES, HASH_BYTES = 128, 64, 32
PROGRAM, WEIGHTS, MANIFEST, SIGNATURE = 1, 2, 3, 4
SIGNATURE_BYTES = 96
_HEADER = struct.Struct("<4sHHIIIIIIII56x")


@dataclass(frozen=True)
class Header:
    """The fixed fields a field updater looks at."""

    total_bytes: int
    layout: str
    arena_bytes: int
    security_counter: int
    model_version: int


@dataclass(frozen=True)
class Decoded:
    """What a .edgec file holds; the program's constants are back in canonical order."""

    program: Program
    plan: Plan
    kernels: tuple[Kernel, ...]
    header: Header
    manifest: dict[str, Any]
    signed: bool


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


def _hash(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()[:HASH_BYTES]


def _port_bytes(program: Program, plan: Plan, port: Port) -> bytes:
    t = program.tensors[port.tensor]
    return struct.pack("<IIhBxf", plan.offsets[t.name], t.nbytes, t.zero_point, DTYPE_BITS[t.dtype] // 8, t.scale)


def encode(
    program: Program,
    plan: Plan,
    kernels: Sequence[Kernel],
    target: Target,
    manifest: dict[str, Any],
    *,
    security_counter: int = 0,
    model_version: int = 0,
) -> bytes:
    """The artifact's bytes, unsigned (`edgec.emit.sign` signs them).

    Args:
        manifest: what people and tools want to know (versions, accuracy evidence); tensor and op names are added.
    """
    weights = bytearray()
    stored: dict[bytes, int] = {}
    records = [struct.pack("<IHH", len(program.ops), len(program.inputs), len(program.outputs))]
    records += [_port_bytes(program, plan, port) for port in (*program.inputs, *program.outputs)]
    for op, kernel in zip(program.ops, kernels, strict=True):
        operator = OPERATORS[op.opcode]
        scratch_offset, scratch_bytes = plan.scratch[op.name]
        operands = [(plan.offsets[t], program.tensors[t].nbytes) for t in (*op.inputs, *op.outputs)]
        for value in packed_constants(program, op, kernel):
            data = np.ascontiguousarray(value).tobytes()
            if data not in stored:
                stored[data] = len(weights)
                weights += _pad(data)
            operands.append((stored[data], len(data)))
        params = [op.attrs[name] for name in operator.fields]
        records.append(struct.pack("<HBxBBBxII", kernel.id, len(params), len(op.inputs), len(op.outputs), len(op.constants), scratch_offset, scratch_bytes))
        records += [struct.pack("<II", *pair) for pair in operands]
        records.append(struct.pack(f"<{len(params)}i", *params))

    contents = dict(manifest)
    number = {name: i for i, name in enumerate(program.tensors)}
    contents["program"] = {
        "name": program.name,
        "tensors": [[t.name, list(t.shape), t.dtype, float(t.scale), t.zero_point] for t in program.tensors.values()],
        "ops": [
            [op.name, [number[t] for t in op.inputs], [number[t] for t in op.outputs], [_constant_fields(program.constants[c], op) for c in op.constants]]
            for op in program.ops
        ],
        "inputs": [_port_fields(p) for p in program.inputs],
        "outputs": [_port_fields(p) for p in program.outputs],
        "lower_bound": plan.lower_bound,
    }
    sections = [(PROGRAM, b"".join(records)), (WEIGHTS, bytes(weights)), (MANIFEST, cbor.encode(contents))]
    return assemble(sections, Header(0, target.layout, plan.arena_bytes, security_counter, model_version))


def _constant_fields(constant: Constant, op: Op) -> list[Any]:
    """[name, shape, dtype]; a name that starts with the operator's is stored without it."""
    return [constant.name.removeprefix(op.name), list(constant.data.shape), constant.dtype]


def _port_fields(port: Port) -> list[Any]:
    return [port.name, port.tensor, list(port.shape), None if port.order is None else list(port.order)]


def assemble(sections: Sequence[tuple[int, bytes]], header: Header) -> bytes:
    """Header, section table and sections (number, bytes) in order; header.total_bytes is computed, whatever it says."""
    table, body = b"", b""
    start = HEADER_BYTES + ENTRY_BYTES * len(sections)
    for number, data in sections:
        body = body + bytes(-(start + len(body)) % ALIGNMENT)
        digest = bytes(HASH_BYTES) if number == SIGNATURE else _hash(data)  # a signature cannot cover its own hash
        table += struct.pack("<III20x", number, start + len(body), len(data)) + digest
        body += data
    fields = _HEADER.pack(
        MAGIC, *VERSION, HEADER_BYTES, start + len(body), LAYOUTS[header.layout], header.arena_bytes, ALIGNMENT,
        header.security_counter, header.model_version, len(sections),
    )  # fmt: skip
    return fields + _hash(fields + table) + table + body


def _broken(why: str, where: str = "artifact") -> ArtifactError:
    return ArtifactError("not a usable .edgec artifact", where=where, why=why, fix="take the file as edgec wrote it, or compile the model again")


def sections_of(data: bytes, where: str = "artifact") -> tuple[Header, dict[int, bytes], bytes]:
    """Header, sections by number, and the signed bytes, once every length and hash is right.

    Raises:
        ArtifactError: truncated, altered, or of another version.
    """
    if len(data) < HEADER_BYTES:
        raise _broken(f"{len(data)} bytes; a header has {HEADER_BYTES}", where)
    magic, major, minor, header_bytes, total, layout, arena, alignment, counter, version, count = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise _broken(f"it starts with {bytes(data[:4])!r}, not with {MAGIC!r}", where)
    if (major, minor) != VERSION:
        raise _broken(f"format version {major}.{minor}; this edgec reads {VERSION[0]}.{VERSION[1]}", where)
    if len(data) != total:
        raise _broken(f"{len(data)} bytes, but the header says {total}", where)
    end = HEADER_BYTES + ENTRY_BYTES * count
    if header_bytes != HEADER_BYTES or not 1 <= count <= 8 or end > total:
        raise _broken("header fields contradict each other", where)
    if _hash(data[:96] + data[HEADER_BYTES:end]) != data[96:HEADER_BYTES]:
        raise _broken("the hash of header and section table does not match: the file was altered", where)
    names = {v: k for k, v in LAYOUTS.items()}
    if layout not in names or alignment != ALIGNMENT:
        raise _broken(f"layout {layout} with alignment {alignment} is unknown", where)
    sections = {}
    for i in range(count):
        number, offset, size = struct.unpack_from("<III", data, HEADER_BYTES + ENTRY_BYTES * i)
        digest = data[HEADER_BYTES + ENTRY_BYTES * i + 32 : HEADER_BYTES + ENTRY_BYTES * (i + 1)]
        section = data[offset : offset + size]
        if offset % ALIGNMENT or offset < end or len(section) != size:
            raise _broken(f"section {number} lies outside the file or overlaps another", where)
        if any(data[end:offset]):
            raise _broken(f"the gap before section {number} is not zero", where)
        if number != SIGNATURE and _hash(section) != digest:
            raise _broken(f"the hash of section {number} does not match: the file was altered", where)
        sections[number] = section
        end = offset + size
    if end != total or not {PROGRAM, WEIGHTS, MANIFEST} <= set(sections):
        raise _broken("a section is missing, or bytes follow the last one", where)
    return Header(total, names[layout], arena, counter, version), sections, data[: HEADER_BYTES + ENTRY_BYTES * count]


def decode(data: bytes, where: str = "artifact") -> Decoded:
    """Read an artifact whole; everything in it is checked.

    Raises:
        ArtifactError: what is wrong with the file.
    """
    header, sections, _ = sections_of(bytes(data), where)
    try:
        decoded = _decode(header, sections)
        verify(decoded.program)
        verify_plan(decoded.program, decoded.kernels, decoded.plan)
        return decoded
    except ArtifactError:
        raise
    except ProgramError as error:
        raise _broken(f"{error.what}: {error.where}: {error.why}", where) from None
    except (KeyError, ValueError, TypeError, IndexError, struct.error) as error:
        raise _broken(f"program or manifest cannot be read: {error}", where) from None


def _decode(header: Header, sections: dict[int, bytes]) -> Decoded:
    manifest = cbor.decode(sections[MANIFEST])
    described = manifest.pop("program")
    tensors = {n: Tensor(n, tuple(s), d, sc, z) for n, s, d, sc, z in described["tensors"]}
    names = list(tensors)
    data, weights = sections[PROGRAM], sections[WEIGHTS]
    op_count, input_count, output_count = struct.unpack_from("<IHH", data)
    at = 8 + 16 * (input_count + output_count)
    offsets: dict[str, int] = {}
    ports = [[Port(n, t, tuple(s), None if o is None else tuple(o)) for n, t, s, o in described[side]] for side in ("inputs", "outputs")]

    def place(tensor: str, offset: int, nbytes: int) -> None:
        if nbytes != tensors[tensor].nbytes or offsets.setdefault(tensor, offset) != offset:
            raise ValueError(f"tensor {tensor} is not of the manifest's size, or lies in two places")

    for i, port in enumerate((*ports[0], *ports[1])):
        offset, nbytes, zero_point, element_bytes, reserved = struct.unpack_from("<IIhBB", data, 8 + 16 * i)
        place(port.tensor, offset, nbytes)
        tensor = tensors[port.tensor]
        if (zero_point, 8 * element_bytes, reserved) != (tensor.zero_point, DTYPE_BITS[tensor.dtype], 0):
            raise ValueError(f"port {port.name} has another zero_point or element type than its tensor in the manifest")
    if len(described["ops"]) != op_count or len(ports[0]) != input_count or len(ports[1]) != output_count:
        raise ValueError("program and manifest differ in their numbers of operators or ports")
    ops, kernels, scratch = [], [], {}
    constants: dict[str, Constant] = {}
    for name, input_numbers, output_numbers, stored in described["ops"]:
        inputs, outputs = (tuple(names[i] for i in side) for side in (input_numbers, output_numbers))
        number, params, n_in, n_out, n_const, scratch_offset, scratch_bytes = struct.unpack_from("<HBxBBBxII", data, at)
        kernel = kernel_by_id(number)
        if kernel is None:
            raise ValueError(f"kernel {number:#06x} is not one of this edgec")
        operator = BY_CODE[number >> 8]
        pairs = struct.unpack_from(f"<{2 * (n_in + n_out + n_const)}I", data, at + 16)
        at += 16 + 8 * (n_in + n_out + n_const)
        if (n_in, n_out, n_const, params) != (len(inputs), len(outputs), len(stored), len(operator.fields)):
            raise ValueError(f"operator {name} has other numbers of operands than the manifest says")
        for i, tensor in enumerate((*inputs, *outputs)):
            place(tensor, *pairs[2 * i : 2 * i + 2])
        attrs = dict(zip(operator.fields, struct.unpack_from(f"<{params}i", data, at), strict=True))
        at += 4 * params
        full = [name + c if c.startswith(".") else c for c, _, _ in stored]
        op = Op(operator.opcode, name, inputs, outputs, tuple(full), attrs)
        raw = [weights[pairs[2 * i] : pairs[2 * i] + pairs[2 * i + 1]] for i in range(n_in + n_out, n_in + n_out + n_const)]
        values = operator.packings[kernel.packing].unpack(op, [np.frombuffer(r, np.int8) for r in raw])
        for constant, (_, shape, dtype), value in zip(full, stored, values, strict=True):
            flat = np.ascontiguousarray(value)
            typed = flat.view(DTYPES[dtype]) if flat.dtype == np.int8 else flat
            constants[constant] = Constant(constant, typed.reshape(shape), dtype)
        ops.append(op)
        kernels.append(kernel)
        scratch[name] = (scratch_offset, scratch_bytes)
    if at != len(data):
        raise ValueError("bytes follow the last operator")
    program = Program(described["name"], tensors, constants, tuple(ops), tuple(ports[0]), tuple(ports[1]))
    plan = Plan(offsets, scratch, header.arena_bytes, described["lower_bound"])
    return Decoded(program, plan, tuple(kernels), header, manifest, SIGNATURE in sections)
