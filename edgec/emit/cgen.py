"""Generated C: one function that calls the kernels in order, with parameters and weights the C compiler can see.

Why unrolled direct calls with one operands struct, and not a table of steps with a loop: measured for 14 convolutions,
arm-none-eabi-gcc 12.2 -mcpu=cortex-m4 -O2, text + rodata without weights and parameters, bytes (stack):

    one operands struct, changed members assigned   508 (56)    with -ffunction-sections -fdata-sections   584 (48)
    one operands struct a call                      584 (64)                                               636 (56)
    const table of steps and a loop                 592 (64)                                               584 (64)

The first is never larger, needs the least stack, leaves the call graph visible (stack analysis, LTO, --gc-sections) and has
no function pointer. Members that keep their value from one operator to the next are not assigned again: the compiler may not
leave those stores out, since a callee could in principle write to the struct.

Weights are int8 and int32 in decimal: 1 MB compiles in 1.2 s, is independent of the byte order, and reads well in a diff.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from edgec.emit.kernels import Kernel, packed_constants, source_folder
from edgec.errors import ProgramError, UsageError
from edgec.ir.core import Op, Port, Program, Tensor
from edgec.ops import OPERATORS
from edgec.plan import ALIGNMENT, Plan

LINE = 118
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t"}
_STRUCT = re.compile(r"typedef struct (edgec_\w+_params) \{(.*?)\}", re.DOTALL)
_KEYWORDS = re.compile(
    r"auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    r"inline|int|long|register|restrict|return|short|signed|sizeof|static|struct|switch|typedef|union|"
    r"unsigned|void|volatile|while|class|namespace|template|this|new|delete|main"
)


def generate(program: Program, plan: Plan, kernels: Sequence[Kernel], prefix: str, *, description: str = "") -> dict[str, str]:
    """The network as C99: `<prefix>.h` (the interface), `<prefix>.c` (the calls) and `<prefix>_weights.h` (data, included once).

    The same arguments give the same bytes. The files need csrc (or the folder of `export_c`) on the include path and the
    sources that `kernel.files` names.

    Args:
        program: the integer program; plan: its arena; kernels: one for each op.
        prefix: a C identifier that starts every generated name.
        description: a line for the head of the files, for example the tool's version.

    Returns: file name → text.
    """
    check_prefix(prefix)
    constants = _Constants(program, kernels)
    return {
        f"{prefix}.h": header(program, plan, prefix, constants.nbytes, description),
        f"{prefix}.c": _source(program, plan, kernels, prefix, constants, description),
        f"{prefix}_weights.h": constants.text(prefix, description),
    }


def selftest(program: Program, prefix: str, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> dict[str, str]:
    """`<prefix>_selftest.h` and `.c`: a known input and the bytes it must give, checked in place by the device.

    Args:
        inputs, outputs: one int8 array of the bytes of each port of the program, in the order in memory; outputs from `ir.interp`.

    Returns: file name → text.
    """
    check_prefix(prefix)
    upper = prefix.upper()
    for what, ports, arrays in (("inputs", program.inputs, inputs), ("outputs", program.outputs, outputs)):
        sizes, wanted = [np.asarray(a).size for a in arrays], [program.tensors[p.tensor].nbytes for p in ports]
        if sizes != wanted:
            raise UsageError(
                f"self-test {what} of {sizes} bytes", where=what, why=f"the ports have {wanted}", fix="give one int8 array a port"
            )
    head = f"""{_comment("Self-test: a known input and the bytes it must give. Uses the arena; leaves nothing in it.")}
#ifndef {upper}_SELFTEST_H
#define {upper}_SELFTEST_H

#ifdef __cplusplus
extern "C" {{
#endif

/* Runs the network once in the arena. -1 when every output byte is right, else the index of the first wrong byte, counted
 * over all outputs in order. */
int {prefix}_selftest(void *arena);

#ifdef __cplusplus
}}
#endif

#endif
"""
    body = [_comment(f"Self-test of {prefix}: see {prefix}_selftest.h."), f'#include "{prefix}_selftest.h"\n#include "{prefix}.h"\n']
    for kind, arrays in (("input", inputs), ("expected", outputs)):
        for i, values in enumerate(arrays):
            body.append(_array(f"{kind}_{i}", np.asarray(values, np.int8)))
    body.append(
        "static void load(int8_t *to, const int8_t *from, uint32_t bytes) {\n"
        "  for (uint32_t i = 0; i < bytes; i++) {\n    to[i] = from[i];\n  }\n}\n\n"
        "/* Index of the first byte that differs, or bytes. */\n"
        "static uint32_t same(const int8_t *got, const int8_t *expected, uint32_t bytes) {\n"
        "  uint32_t i = 0;\n  while (i < bytes && got[i] == expected[i]) {\n    i++;\n  }\n  return i;\n}\n"
    )
    lines = [f"int {prefix}_selftest(void *arena) {{", "  uint32_t before = 0;", "  uint32_t equal;"]
    lines += [f"  load({prefix}_input(arena, {i}u), input_{i}, {upper}_INPUT_{i}_BYTES);" for i in range(len(inputs))]
    lines.append(f"  {prefix}_run(arena);")
    for i in range(len(outputs)):
        lines += [
            f"  equal = same({prefix}_output(arena, {i}u), expected_{i}, {upper}_OUTPUT_{i}_BYTES);",
            f"  if (equal != {upper}_OUTPUT_{i}_BYTES) {{",
            "    return (int)(before + equal);",
            "  }",
            f"  before += {upper}_OUTPUT_{i}_BYTES;",
        ]
    lines += ["  (void)before;", "  return -1;", "}"]
    body.append("\n".join(lines) + "\n")
    return {f"{prefix}_selftest.h": head, f"{prefix}_selftest.c": "\n".join(body)}


def check_prefix(prefix: str) -> None:
    """Raise UsageError unless prefix is a C and C++ identifier in lower case that collides with nothing of edgec."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", prefix) or _KEYWORDS.fullmatch(prefix) or prefix.startswith("edgec_") or prefix == "edgec":
        raise UsageError(
            f"{prefix!r} cannot start the generated names",
            where="prefix",
            why="it must be a C identifier in lower case of at most 64 characters, no keyword, and not edgec's own",
            fix="name the network, for example prefix='digits'",
        )


def prefix_of(name: str) -> str:
    """A prefix from a model's name: what is not a letter or digit becomes _."""
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40]
    return (
        word
        if word and word[0].isalpha() and not _KEYWORDS.fullmatch(word) and not word.startswith("edgec")
        else f"model_{word}".rstrip("_")
    )


def header(program: Program, plan: Plan, prefix: str, weights_bytes: int, description: str = "") -> str:
    """Text of `<prefix>.h`: sizes, offsets, scales and the run function; C99 and C++."""
    upper = prefix.upper()
    macs = sum(OPERATORS[op.opcode].macs(op) for op in program.ops)
    text = [
        _comment(
            f"{program.name}: an integer network in C. Generated by edgec; do not edit.\n{description}\n"
            f"\n{count(len(program.ops), 'operator')}, {macs:,} multiply-accumulates, {weights_bytes:,} bytes of constants, {plan.arena_bytes:,} bytes of arena.\n"
            f"\n    static {upper}_ARENA(arena);\n"
            f"    memcpy({prefix}_input(arena, 0), samples, {upper}_INPUT_0_BYTES);\n"
            f"    {prefix}_run(arena);\n"
            f"    const int8_t *result = {prefix}_output(arena, 0);\n"
            "\nThe arena is the caller's, the only memory used besides the stack, and holds inputs and outputs too. A run consumes\n"
            "the inputs; outputs are valid until an input is written or the next run. Re-entrant: one arena per thread.\n"
            "real = scale * (q - zero_point)"
        ),
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_ARENA_BYTES {plan.arena_bytes}u",
        f"#define {upper}_ARENA_ALIGNMENT {ALIGNMENT}u",
        f"#define {upper}_OP_COUNT {len(program.ops)}u",
        f"#define {upper}_MACS {macs}u",
        f"#define {upper}_INPUT_COUNT {len(program.inputs)}u",
        f"#define {upper}_OUTPUT_COUNT {len(program.outputs)}u",
        "",
    ]
    for kind, ports in (("INPUT", program.inputs), ("OUTPUT", program.outputs)):
        for i, port in enumerate(ports):
            text += _port_macros(f"{upper}_{kind}_{i}", port, program.tensors[port.tensor], plan.offsets[port.tensor])
    text += [
        "/* An arena by name, of the right size and alignment. */",
        "#if defined(__GNUC__) || defined(__ICCARM__) || defined(__ARMCC_VERSION)",
        f"#define {upper}_ARENA(name) uint8_t name[{upper}_ARENA_BYTES] __attribute__((aligned({ALIGNMENT})))",
        "#elif defined(__cplusplus)",
        f"#define {upper}_ARENA(name) uint8_t name alignas({ALIGNMENT})[{upper}_ARENA_BYTES]",
        "#else",
        f"#define {upper}_ARENA(name) _Alignas({ALIGNMENT}) uint8_t name[{upper}_ARENA_BYTES]",
        "#endif",
        "",
        f"/* One inference. arena: {upper}_ARENA_BYTES bytes, {upper}_ARENA_ALIGNMENT-aligned. */",
        f"void {prefix}_run(void *arena);",
        "",
        "/* Where the bytes of a port lie; NULL beyond the last port. */",
        *_port_function(
            f"static inline int8_t *{prefix}_input(void *arena, uint32_t index)", "int8_t *", upper, "INPUT", len(program.inputs)
        ),
        *_port_function(
            f"static inline const int8_t *{prefix}_output(const void *arena, uint32_t index)",
            "const int8_t *",
            upper,
            "OUTPUT",
            len(program.outputs),
        ),
        *_indices_functions(program, prefix),
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return "\n".join(text)


def _port_macros(name: str, port: Port, tensor: Tensor, offset: int) -> list[str]:
    shape = "x".join(map(str, port.shape)) or "scalar"
    lines = [_comment(f"{port.name}: {tensor.dtype}, shape {shape}").rstrip("\n")]
    if port.order is not None:
        inside = "x".join(str(port.shape[axis]) for axis in port.order)
        order = ", ".join(map(str, port.order))
        text = f"{port.name}: {tensor.dtype}, shape {shape} in the model; in the arena {inside}, the model's axes {order}"
        lines = [_comment(text).rstrip("\n")]
    scale = np.format_float_scientific(np.float32(tensor.scale), trim="-", unique=True)  # shortest that reads back as this float32
    return [
        *lines,
        f"#define {name}_OFFSET {offset}u",
        f"#define {name}_BYTES {tensor.nbytes}u",
        f"#define {name}_TYPE {C_TYPES[tensor.dtype]}",
        f"#define {name}_SCALE {scale}f",
        f"#define {name}_ZERO_POINT ({tensor.zero_point})",
        "",
    ]


def _port_function(head: str, kind: str, upper: str, port: str, count: int) -> list[str]:
    lines = [f"{head} {{", f"  {kind}const bytes = ({kind})arena;", "  switch (index) {"]
    for i in range(count):
        lines += [f"    case {i}u:", f"      return bytes + {upper}_{port}_{i}_OFFSET;"]
    return [*lines, "    default:", "      return NULL;", "  }", "}", ""]


def _indices_functions(program: Program, prefix: str) -> list[str]:
    """A typed way to each output that holds int32 indices; the plan puts it at a multiple of four."""
    lines = []
    for i, port in enumerate(program.outputs):
        if program.tensors[port.tensor].dtype == "int32":
            lines += [
                f"/* Output {i} holds indices. */",
                f"static inline const int32_t *{prefix}_output_{i}_indices(const void *arena) {{",
                f"  return (const int32_t *)(const void *){prefix}_output(arena, {i}u);",
                "}",
                "",
            ]
    return lines


@cache
def parameter_struct(family: str, opcode: str) -> str:
    """Name of the C struct in the family's header whose members are the operator's fields, in their order."""
    text = (source_folder() / "kernels" / family / f"{family}.h").read_text()
    structs = {name: tuple(re.findall(r"\w+(?=\s*[,;])", body)) for name, body in _STRUCT.findall(text)}
    fields = OPERATORS[opcode].fields
    own = f"edgec_{opcode}_params"
    for name in (own, *structs):
        if structs.get(name) == fields:
            return name
    raise ProgramError(
        f"no parameter struct for {opcode}",
        where=f"csrc/kernels/{family}/{family}.h",
        why=f"none has the members {', '.join(fields)} in that order",
        fix="this is a defect of edgec: the struct must follow `fields` of the operator",
    )


class _Constants:
    """The packed constants of a program, equal ones once; `names[op][role]` are their C names."""

    def __init__(self, program: Program, kernels: Sequence[Kernel]) -> None:
        self.arrays: dict[str, tuple[np.ndarray, str]] = {}
        self.names: list[list[str]] = []
        seen: dict[tuple[str, bytes], str] = {}
        for i, (op, kernel) in enumerate(zip(program.ops, kernels, strict=True)):
            self.names.append([])
            for role, values in zip(OPERATORS[op.opcode].roles, packed_constants(program, op, kernel), strict=True):
                if values.size == 0:  # the kernel's packing carries this role inside another one, or needs nothing of it
                    self.names[-1].append("NULL")
                    continue
                key = (values.dtype.name, np.ascontiguousarray(values).tobytes())
                name = seen.setdefault(key, f"op_{i}_{role}")
                if name not in self.arrays:
                    self.arrays[name] = (
                        values,
                        f"{op.name}: {role}, {values.dtype.name}, {'x'.join(map(str, values.shape))}, packing {kernel.packing}",
                    )
                self.names[-1].append(name)
        self.nbytes = sum(values.nbytes for values, _ in self.arrays.values())

    def text(self, prefix: str, description: str) -> str:
        upper = prefix.upper()
        parts = [
            _comment(f"Constants of {prefix}.c, which alone includes this file. Generated by edgec; do not edit.\n{description}"),
            f"#ifndef {upper}_WEIGHTS_H\n#define {upper}_WEIGHTS_H\n\n#include <stdint.h>\n",
            "/* Kernels may read constants in words of up to 16 bytes. */\n"
            "#if defined(__GNUC__) || defined(__ICCARM__) || defined(__ARMCC_VERSION)\n"
            f"#define {upper}_ALIGNED __attribute__((aligned({ALIGNMENT})))\n#else\n#define {upper}_ALIGNED\n#endif\n"
            if self.arrays
            else "",
        ]
        for name, (values, note) in self.arrays.items():
            parts.append(_comment(note) + _array(name, values, f" {upper}_ALIGNED"))
        return "\n".join(p for p in parts if p) + "\n#endif\n"


def _source(program: Program, plan: Plan, kernels: Sequence[Kernel], prefix: str, constants: _Constants, description: str) -> str:
    upper = prefix.upper()
    used = sorted({k.symbol: k for k in kernels}.values(), key=lambda k: k.symbol)
    text = [
        _comment(f"{program.name}: the calls. Generated by edgec; do not edit. See {prefix}.h.\n{description}"),
        f'#include "{prefix}.h"',
        "",
        f'#include "{prefix}_weights.h"',
        *(f'#include "kernels/{family}/{family}.h"' for family in sorted({k.family for k in used})),
        "",
        *(f"void {k.symbol}(const void *params, const edgec_operands *operands);" for k in used),
        "",
    ]
    parameters: dict[tuple[str, tuple[int, ...]], str] = {}
    calls: list[str] = []
    state: dict[str, str] = {}
    for i, (op, kernel) in enumerate(zip(program.ops, kernels, strict=True)):
        operator = OPERATORS[op.opcode]
        struct = parameter_struct(kernel.family, op.opcode)
        key = (struct, tuple(op.attrs[f] for f in operator.fields))
        if key not in parameters:
            parameters[key] = f"op_{i}_params"
            text += _initializer(struct, parameters[key], operator.fields, op)
        wanted = {member: f"&bytes[{offset}]" for member, offset in _placed(op, plan)}
        wanted |= {f"constant[{n}]": name for n, name in enumerate(constants.names[i])}
        calls.append(f"  /* {_text(_summary(program, op, i))} */")
        calls += [f"  operands.{member} = {value};" for member, value in wanted.items() if state.get(member) != value]
        state.update(wanted)
        output = program.tensors[op.outputs[0]]
        calls += [
            f"  {kernel.symbol}(&{parameters[key]}, &operands);",
            f"  TRACE({i}u, &bytes[{plan.offsets[op.outputs[0]]}], {output.nbytes}u);",
        ]
    text += [
        f"/* -D{upper}_TRACE=function: called after each operator with its index, its output and the bytes of it. */",
        f"#ifdef {upper}_TRACE",
        f"void {upper}_TRACE(uint32_t op_index, const void *output, uint32_t bytes);",
        f"#define TRACE(op_index, output, bytes) {upper}_TRACE((op_index), (output), (bytes))",
        "#else",
        "#define TRACE(op_index, output, bytes) ((void)0)",
        "#endif",
        "",
        f"void {prefix}_run(void *arena) {{",
    ]
    if calls:
        text += ["  int8_t *const bytes = arena;", "  edgec_operands operands = {{NULL, NULL}, {NULL}, {NULL, NULL, NULL}, NULL};", "", *calls]
    else:
        text.append("  (void)arena; /* every output is an input */")
    return "\n".join([*text, "}", ""])


def _placed(op: Op, plan: Plan) -> Iterator[tuple[str, int]]:
    """Members of edgec_operands that point into the arena, with their byte offsets."""
    for n, tensor in enumerate(op.inputs):
        yield f"input[{n}]", plan.offsets[tensor]
    for n, tensor in enumerate(op.outputs):
        yield f"output[{n}]", plan.offsets[tensor]
    offset, size = plan.scratch[op.name]
    if size:
        yield "scratch", offset


def _initializer(struct: str, name: str, fields: Sequence[str], op: Op) -> list[str]:
    members = [f".{f} = {_number(op.attrs[f])}" for f in fields]
    return [f"static const {struct} {name} = {{", *_wrapped(members, "    "), "};", ""]


def _summary(program: Program, op: Op, index: int) -> str:
    shapes = [" and ".join("x".join(map(str, program.tensors[t].shape)) for t in names) for names in (op.inputs, op.outputs)]
    macs = OPERATORS[op.opcode].macs(op)
    return f"{index} {op.name}: {op.opcode}, {shapes[0]} -> {shapes[1]}" + (f", {macs:,} MACs" if macs else "")


def _array(name: str, values: np.ndarray, aligned: str = "") -> str:
    """A static const array in decimal."""
    flat = np.asarray(values).reshape(-1)
    suffix = "u" if flat.dtype.kind == "u" else ""
    items = [_number(v) + suffix for v in flat.tolist()]
    return f"static const {C_TYPES[flat.dtype.name]} {name}[{flat.size}]{aligned} = {{\n" + "\n".join(_wrapped(items, "    ")) + "\n};\n"


def _number(value: int) -> str:
    """A decimal literal no wider than its type; -2147483648 would be a negated long."""
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def count(number: int, noun: str) -> str:
    """`1 operator`, `2,000 operators`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _wrapped(items: Sequence[str], indent: str) -> list[str]:
    """Items separated by commas, in lines of at most LINE characters."""
    lines, line, length = [], [], len(indent)
    for item in items:
        if line and length + len(item) + 2 > LINE:
            lines.append(indent + ", ".join(line) + ",")
            line, length = [], len(indent)
        line.append(item)
        length += len(item) + 2
    return [*lines, indent + ", ".join(line)] if line else lines


def _text(text: str) -> str:
    """Text that is safe inside a C comment: printable ASCII, no comment mark, no trigraph, no backslash."""
    safe = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
    return safe.replace("??", "? ?").replace("*/", "* /").replace("/*", "/ *")


def _comment(text: str) -> str:
    """A block comment of the lines of text; empty lines at the end are dropped and double ones joined."""
    lines: list[str] = []
    for line in text.split("\n"):
        line = _text(line).rstrip()
        if line or (lines and lines[-1]):
            lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) == 1:
        return f"/* {lines[0]} */\n"
    return "\n".join(["/* " + lines[0], *(f" * {line}".rstrip() for line in lines[1:]), " */"]) + "\n"
