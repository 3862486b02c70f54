"""Running an artifact: the shapes users pass, the host engine, the interpreter, the emulated device, and comparing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec import numerics
from edgec.errors import DataError, MismatchError
from edgec.ir import interp
from edgec.ir.core import DTYPE_BITS, DTYPES, Port, Tensor

if TYPE_CHECKING:
    from edgec.artifact import Artifact
    from edgec.device import DeviceRun

Rows = dict[str, np.ndarray]
"""int8 [N, bytes] a port, in physical order."""


class HostEngine:
    """The artifact on this machine's kernels. One is kept by `Artifact.host`; safe from several threads."""

    def __init__(self, artifact: Artifact, tier: str = "", threads: int = 1) -> None:
        from edgec import _core
        from edgec.emit import artifact as format_
        from edgec.emit.kernels import select
        from edgec.plan import make_plan
        from edgec.targets import load

        data = artifact.data
        if artifact.header.layout != "generic":
            # The engine packs for itself: give it the canonical weights of the same program.
            generic = load("generic-c")
            kernels = [select(op, generic) for op in artifact.program.ops]
            data = format_.encode(artifact.program, make_plan(artifact.program, kernels), kernels, generic, {})
        self.engine = _core.Engine(data, tier, threads)
        self.run_buffers: Callable[..., None] = self.engine.run
        """int8 buffers, inputs then outputs: no copy, no check beyond type and size."""
        self.outputs = [(p.name, artifact.program.tensors[p.tensor].nbytes) for p in artifact.program.outputs]
        self.inputs = [p.name for p in artifact.program.inputs]

    def run(self, rows: Rows) -> Rows:
        """int8 rows in, int8 rows out."""
        count = len(next(iter(rows.values())))
        out = {name: np.empty((count, size), np.int8) for name, size in self.outputs}
        self.run_buffers(*(rows[name] for name in self.inputs), *out.values())
        return out

    def benchmark(self, n: int) -> dict[str, float]:
        times = np.asarray(self.engine.benchmark(max(1, int(n))))
        return {"min": float(times.min()), "median": float(np.median(times)), "mean": float(times.mean()), "n": float(times.size)}


def on_host(artifact: Artifact, x: Any) -> Any:
    """Artifact.run on the host."""
    return _around(artifact, x, artifact.host.run)


def on_interpreter(artifact: Artifact, x: Any) -> Any:
    """Artifact.run by the specification."""
    return _around(artifact, x, lambda rows: interpret(artifact, rows))


def on_device(artifact: Artifact, x: Any, engine: str) -> DeviceRun:
    """Artifact.run by the target's firmware in the emulator."""
    from edgec import device

    held: list[DeviceRun] = []

    def call(rows: Rows) -> Rows:
        held.append(device.run(artifact, rows, engine=engine))
        return held[0].rows

    outputs = _around(artifact, x, call)
    return held[0].with_outputs(outputs)


def interpret(artifact: Artifact, rows: Rows) -> Rows:
    """int8 rows through ir.interp."""
    program = artifact.program
    results: dict[str, list[np.ndarray]] = {port.name: [] for port in program.outputs}
    for i in range(len(next(iter(rows.values())))):
        outputs = interp.run(program, {port.tensor: rows[port.name][i] for port in program.inputs})
        for port in program.outputs:
            results[port.name].append(outputs[port.tensor].reshape(-1))
    return {name: np.stack(values) for name, values in results.items()}


def compare(artifact: Artifact, x: Any, *, on: str = "host", engine: str = "runtime") -> int:
    """Run on `on` and on the interpreter, byte by byte.

    Returns: the number of output bytes compared.

    Raises:
        MismatchError: naming layer, sample, index and both bytes.
    """
    rows, _ = rows_of(artifact, x)
    expected = interpret(artifact, rows)
    if on == "qemu":
        from edgec import device

        got = device.run(artifact, rows, engine=engine, measure=False).rows
    else:
        got = artifact.host.run(rows)
    for name, want in expected.items():
        wrong = np.argwhere(got[name] != want)
        if wrong.size:
            sample, index = (int(v) for v in wrong[0])
            raise _mismatch(artifact, rows, sample, name, index, got[name][sample, index], want[sample, index], on, engine)
    return sum(v.size for v in expected.values())


def _mismatch(artifact: Artifact, rows: Rows, sample: int, output: str, index: int, got: int, want: int, on: str, engine: str) -> MismatchError:
    """Trace both sides and name the first layer that differs."""
    program = artifact.program
    one = {name: value[sample : sample + 1] for name, value in rows.items()}
    if on == "qemu":
        from edgec import device

        traced = device.trace(artifact, one, engine=engine)
    else:
        traced = [np.frombuffer(t, np.int8) for t in artifact.host.engine.trace(*(one[port.name][0] for port in program.inputs))]
    where = f"output {output}, byte {index}: {got} instead of {want}"
    for layer, (op, values) in enumerate(interp.steps(program, {p.tensor: one[p.name][0] for p in program.inputs})):
        expected = next(iter(values.values())).reshape(-1)
        actual = np.asarray(traced[layer], np.int8).reshape(-1)
        wrong = np.flatnonzero(actual != expected)
        if wrong.size:
            i = int(wrong[0])
            where = f"layer {layer} ({op.name}, {op.opcode}), byte {i}: {actual[i]} instead of {expected[i]}"
            break
    return MismatchError(
        f"{on} and the interpreter differ on sample {sample}",
        where=where,
        why="a kernel broke the arithmetic specification",
        fix="please report this with the artifact; EDGEC_CPU=ref runs the reference kernels",
    )


# --- shapes --------------------------------------------------------------------------------------------------------------


def _around(artifact: Artifact, x: Any, call: Callable[[Rows], Rows]) -> Any:
    """User's arrays → rows → call → user's arrays of the same kind (float or int8, sample or batch)."""
    rows, kind = rows_of(artifact, x)
    results = call(rows)
    outputs = {}
    for port in artifact.program.outputs:
        t = artifact.program.tensors[port.tensor]
        values = _logical(typed(results[port.name], t.dtype), port, t.shape)
        if not kind.quantized:
            values = real(values, t)
        outputs[port.name] = kind.shape(values, port.shape)
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


class _Kind:
    """What the caller passed: float or int8; one sample with or without its batch axis, or a batch."""

    def __init__(self, quantized: bool, form: str) -> None:
        self.quantized, self.form = quantized, form

    def shape(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if self.form == "sample":
            return values.reshape(shape)
        if self.form == "bare":
            return values.reshape(shape[1:] if shape[:1] == (1,) else shape)
        return values.reshape(len(values), *(shape[1:] if shape[:1] == (1,) else shape))


def rows_of(artifact: Artifact, x: Any) -> tuple[Rows, _Kind]:
    """The caller's arrays as int8 rows, and their kind.

    Raises:
        DataError: unknown names, wrong shape or dtype, NaN.
    """
    ports = artifact.program.inputs
    if not isinstance(x, Mapping):
        if len(ports) != 1:
            raise _bad("one array for several inputs", f"the network has inputs {[p.name for p in ports]}", "x", "pass a dict name → array")
        x = {ports[0].name: x}
    if set(x) != {p.name for p in ports}:
        raise _bad("inputs are missing or unknown", f"given {sorted(map(str, x))}, the network has {sorted(p.name for p in ports)}", "x", "name exactly these")
    rows, kinds = {}, []
    for port in ports:
        array = np.asarray(x[port.name])
        form = _form(array, port, artifact)
        quantized = array.dtype == DTYPES[artifact.program.tensors[port.tensor].dtype]
        kinds.append(_Kind(quantized, form))
        values = array if quantized else _quantize(artifact, array, port)
        rows[port.name] = _in_bytes(_physical(values.reshape(-1, *port.shape), port))
    if len({(k.quantized, k.form, len(r)) for k, r in zip(kinds, rows.values(), strict=True)}) != 1:
        raise _bad("inputs of different kinds", "all must be float or all int8, and all of one batch size", "x", "convert them to one kind")
    return rows, kinds[0]


def _form(array: np.ndarray, port: Port, artifact: Artifact) -> str:
    shape = port.shape
    batched = shape[:1] == (1,)
    stored = artifact.program.tensors[port.tensor].dtype
    if array.dtype.kind not in "fiu" or array.dtype.kind == "i" and array.dtype != DTYPES[stored]:
        raise _bad(f"input {port.name!r} has dtype {array.dtype}", f"inputs are float (quantized here) or {stored} (already quantized)", f"x, input {port.name!r}", "convert with .astype(np.float32)")
    if array.shape == shape:
        return "sample"
    if batched and array.shape == shape[1:]:
        return "bare"
    if array.ndim > 0 and len(array) > 0 and array.shape[1:] == (shape[1:] if batched else shape):
        return "batch"
    raise _bad(
        f"input {port.name!r} has the wrong shape",
        f"given {array.shape}; one sample is {shape}, a batch {('N', *(shape[1:] if batched else shape))}",
        f"x, input {port.name!r}",
        "reshape or crop the input",
    )


def _quantize(artifact: Artifact, array: np.ndarray, port: Port) -> np.ndarray:
    t = artifact.program.tensors[port.tensor]
    try:
        return numerics.quantize(array, t.scale, t.zero_point, DTYPE_BITS[t.dtype])
    except ValueError:
        index = tuple(int(i) for i in np.argwhere(np.isnan(array))[0])
        raise _bad(f"input {port.name!r} holds NaN", f"first at index {index}", f"x, input {port.name!r}", "repair the input: NaN has no int8 value") from None


def _physical(values: np.ndarray, port: Port) -> np.ndarray:
    """[N, *port.shape] to rows in the order of the tensor's bytes."""
    if port.order is not None:
        values = values.transpose(0, *(a + 1 for a in port.order))
    return np.ascontiguousarray(values).reshape(len(values), -1)


def _in_bytes(rows: np.ndarray) -> np.ndarray:
    """Rows of int8 as they are, of int16 as their bytes, little-endian."""
    return rows if rows.dtype == np.int8 else rows.astype("<i2").view(np.int8)


def _logical(rows: np.ndarray, port: Port, shape: tuple[int, ...]) -> np.ndarray:
    """Rows in the order of the tensor's bytes to [N, *port.shape]."""
    if port.order is None:
        return rows.reshape(len(rows), *port.shape)
    values = rows.reshape(len(rows), *(port.shape[a] for a in port.order))
    return np.ascontiguousarray(values.transpose(0, *(port.order.index(a) + 1 for a in range(len(port.order)))))


def _port(ports: tuple[Port, ...], name: str | None) -> Port:
    if name is None and len(ports) == 1:
        return ports[0]
    for port in ports:
        if port.name == name:
            return port
    raise _bad(f"no input or output {name!r}", f"there are {[p.name for p in ports]}", "name", "name one of them")


def quantize_port(artifact: Artifact, x: Any, name: str | None) -> np.ndarray:
    port = _port(artifact.program.inputs, name)
    array = np.asarray(x)
    _form(array, port, artifact)
    return _quantize(artifact, array, port)


def dequantize_port(artifact: Artifact, ports: tuple[Port, ...], q: np.ndarray, name: str | None) -> np.ndarray:
    return real(np.asarray(q), artifact.program.tensors[_port(ports, name).tensor])


def typed(rows: np.ndarray, dtype: str) -> np.ndarray:
    """int8 [N, bytes] as elements of a program's dtype, [N, elements]."""
    return rows if dtype == "int8" else np.ascontiguousarray(rows).view(np.dtype(DTYPES[dtype]).newbyteorder("<")).astype(DTYPES[dtype])


def real(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """What the elements of a tensor mean to the model's user: float32, or indices, which ONNX has as int64."""
    return numerics.dequantize(values, tensor.scale, tensor.zero_point) if tensor.dtype != "int32" else values.astype(np.int64)


def self_test(artifact: Artifact) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One seeded int8 input a port, and the interpreter's outputs: what a device can check in place."""
    rng = np.random.default_rng(1)
    program = artifact.program
    rows = {p.name: rng.integers(-128, 128, (1, program.tensors[p.tensor].nbytes)).astype(np.int8) for p in program.inputs}
    outputs = interpret(artifact, rows)
    return [rows[p.name][0] for p in program.inputs], [outputs[p.name][0] for p in program.outputs]


def _bad(what: str, why: str, where: str, fix: str) -> DataError:
    return DataError(what, where=where, why=why, fix=fix)
