"""Artifact: a compiled network in memory. Run it, look at it, save it, export it as C. Needs numpy alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgec import targets
from edgec.emit import artifact as format_
from edgec.emit.kernels import Kernel
from edgec.errors import ArtifactError, DataError, UsageError
from edgec.files import write_file
from edgec.ir.core import Port, Program
from edgec.plan import Plan


class Artifact:
    """What `edgec.compile` returns and `edgec.load` reads.

    Attributes:
        data: the bytes of the .edgec file.
        program, plan, kernels: the integer program, its memory plan, and the kernel of each op on the target.
        target: the edgec.targets.Target it was compiled for.
        manifest: what was recorded at compile time (a dict of plain values).
        quantization: ranges, histograms and errors of each tensor and layer, where this process quantized the model; else None.
    """

    quantization: dict[str, Any] | None = None
    _threads = 1

    def __init__(self, data: bytes, where: str = "artifact") -> None:
        decoded = format_.decode(data, where)
        self.data = bytes(data)
        self.program: Program = decoded.program
        self.plan: Plan = decoded.plan
        self.kernels: tuple[Kernel, ...] = decoded.kernels
        self.header = decoded.header
        self.manifest = decoded.manifest
        self.target = targets.load(str(self.manifest.get("target", "generic-c")))

    @classmethod
    def build(
        cls,
        program: Program,
        plan: Plan,
        kernels: Sequence[Kernel],
        target: targets.Target,
        facts: Mapping[str, Any],
        *,
        security_counter: int = 0,
        model_version: int = 0,
    ) -> Artifact:
        """Encode a planned program; facts (plain values) go into the manifest."""
        from edgec.report import manifest_of

        manifest = manifest_of(program, target, facts)
        artifact = cls(format_.encode(program, plan, kernels, target, manifest, security_counter=security_counter, model_version=model_version))
        artifact.quantization = facts.get("quantization")
        return artifact

    def run(self, x: Any, *, out: np.ndarray | None = None, on: str = "host", engine: str = "runtime") -> Any:
        """Run the network.

        Args:
            x: float or int8: one sample (with or without the batch axis) or a batch [N, …]; a dict name → array for several
                inputs. Floats are quantized, and the outputs dequantized to float32; int8 in gives int8 out. Outputs that
                are indices (ArgMax) are int64 with floats, as in ONNX, and int32 with int8.
            out: int8 (for indices int32) buffer of the output's shape, C-contiguous, in the order in memory (see
                `report()["inputs"]`, layout); with x int8 likewise, one input and one output: no copy is made.
            on: "host" (this machine's kernels), "interpreter" (the specification), or "qemu" (the target's firmware, emulated).
            engine: with on="qemu": "runtime" runs the artifact, "c" the generated C.

        Returns: an array (a dict for several outputs); with on="qemu" a DeviceRun whose `outputs` are that, with
            `instructions`, `stack_bytes` and `code_bytes`.

        Raises:
            DataError: wrong shape, dtype, name, or NaN. ToolError: on="qemu" without the tools.
        """
        if out is not None:
            try:
                if self._reordered:
                    self._require_memory_order(x, out)
                self.host.run_buffers(self._as_bytes(x, self.program.inputs), self._as_bytes(out, self.program.outputs))
                return out
            except (TypeError, ValueError) as error:
                raise DataError("the prepared buffers do not fit", where="x, out", why=str(error), fix="pass C-contiguous arrays of the dtypes (int8, int16 or int32) and sizes of input and output") from None
        from edgec import run

        if on == "qemu":
            return run.on_device(self, x, engine)
        if on == "interpreter":
            return run.on_interpreter(self, x)
        if on != "host":
            raise UsageError(f"cannot run on {on!r}", where="on", why='it is "host", "interpreter" or "qemu"', fix="choose one of these")
        return run.on_host(self, x)

    @cached_property
    def _reordered(self) -> bool:
        return any(p.order is not None for p in (*self.program.inputs, *self.program.outputs))

    def _require_memory_order(self, *arrays: Any) -> None:
        """Prepared buffers of ports that lie in another order than the model's have that order's shape, or are flat."""
        for array, port in zip(arrays, (self.program.inputs[0], self.program.outputs[0]), strict=True):
            shape = self.program.tensors[port.tensor].shape
            given = np.shape(array)
            if port.order is not None and len(given) > 2 and given[-len(shape) + 1 :] != shape[1:]:
                raise ValueError(f"{port.name} is given as {given}, but lies in memory as {shape}: axes {list(port.order)} of the model, outermost first")

    def _as_bytes(self, array: Any, ports: tuple[Port, ...]) -> Any:
        """A prepared buffer as the engine takes it: int8 itself, or the bytes of a wider array."""
        wanted = self.program.tensors[ports[0].tensor].dtype
        if wanted == "int8":
            return array
        if not isinstance(array, np.ndarray) or array.dtype != wanted or not array.flags.c_contiguous:
            raise TypeError(f"{ports[0].name} is {wanted}: a C-contiguous array of that is needed")
        return array.reshape(-1).view(np.int8)

    @cached_property
    def host(self) -> Any:
        """The host engine of this artifact (edgec.run.HostEngine), made at first use."""
        from edgec.run import HostEngine

        return HostEngine(self, threads=self.threads)

    @property
    def threads(self) -> int:
        """The most threads that one run on the host uses, 1 to 64; 1 unless set. Bytes do not depend on it.

        Threads are started at the first run that gains from them, by the cost model of docs/kernels.md: never for a network that
        takes less than they cost. Setting it makes a new host engine at the next use; runs in progress keep the one they have.
        """
        return self._threads

    @threads.setter
    def threads(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 64:
            raise UsageError(f"threads={count!r} is no number of threads", where="threads", why="it is a whole number from 1 to 64", fix="pass how many cores to use")
        if count != self._threads:
            self._threads = count
            self.__dict__.pop("host", None)

    def quantize_input(self, x: Any, name: str | None = None) -> np.ndarray:
        """Float sample or batch to int8, as QuantizeLinear does it; name is needed with several inputs. NaN is a DataError."""
        from edgec.run import quantize_port

        return quantize_port(self, x, name)

    def dequantize_input(self, q: np.ndarray, name: str | None = None) -> np.ndarray:
        """int8 input back to float32: what the network sees of a float input after its rounding."""
        from edgec.run import dequantize_port

        return dequantize_port(self, self.program.inputs, q, name)

    def dequantize_output(self, q: np.ndarray, name: str | None = None) -> np.ndarray:
        """int8 output to float32: (q − zero_point)·scale. Indices (int32) become int64."""
        from edgec.run import dequantize_port

        return dequantize_port(self, self.program.outputs, q, name)

    def benchmark(self, n: int = 100) -> dict[str, float]:
        """Seconds per inference of n single runs on the host, the loop in C: {"min", "median", "mean", "n"}."""
        return self.host.benchmark(n)

    def report(self, *, measure: bool = True) -> dict[str, Any]:
        """All figures as a dict of plain values; see docs/SPEC.md section 4.

        measure: compile code and stack figures with the target's compiler, and count instructions in the emulator, where
            they are installed; else, and always with False, they come from the committed table, and say so.
        """
        from edgec.report import report

        return report(self, measure=measure)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the .edgec file: beside, then renamed."""
        return write_file(path, self.data)

    def sign(self, private_key: str | os.PathLike | bytes) -> Artifact:
        """A signed copy: Ed25519 over header and section table. Needs edgec[sign].

        private_key: PEM file or its bytes, unencrypted.
        """
        from edgec.emit.sign import sign

        return Artifact(sign(self.data, private_key))

    def export_c(self, folder: str | os.PathLike, *, name: str | None = None) -> Path:
        """Write the network as plain C: generated sources, the kernels it needs, build files, an example and a self-test.

        name: prefix of every symbol; the model's name unless given.
        """
        from edgec.emit.cgen import prefix_of
        from edgec.emit.export import export_c
        from edgec.run import self_test

        return export_c(
            self.program, self.plan, self.kernels, folder, name or prefix_of(self.program.name), target=self.target, selftest=self_test(self), manifest=self.manifest
        )


def load(path: str | os.PathLike, *, trusted_keys: Sequence[str | os.PathLike | bytes] = (), threads: int = 1) -> Artifact:
    """Read a .edgec file; every hash and every field is checked.

    Args:
        trusted_keys: Ed25519 public keys (PEM files, their bytes, or 32 raw bytes). With any, the file must carry a
            signature by one of them; this needs edgec[sign].
        threads: the most threads that one run on this machine uses: `Artifact.threads`.

    Raises:
        ArtifactError: missing, truncated, altered, of another version, unsigned or signed by somebody else.
        ToolError: trusted_keys without edgec[sign]. UsageError: threads out of range.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError("cannot read the artifact", where=str(path), why=str(error.strerror or error), fix="pass the path of a .edgec file") from None
    if trusted_keys:
        from edgec.emit.sign import verify

        verify(data, trusted_keys, str(path))
    artifact = Artifact(data, str(path))
    artifact.threads = threads
    return artifact
