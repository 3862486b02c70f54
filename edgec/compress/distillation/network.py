"""A float onnx_ir model as a torch module, for batches of any size.

To an operator an activation of ONNX shape S is a tensor [samples, *S]: the batch is an axis of its own in front, and the ONNX axes
keep their numbers behind it. So a Reshape to [1, 64] or a constant of shape [1, C, 1, 1] means in a batch what it means for one
sample. Between operators a leading 1 of S is left out, since torch is fastest on the usual [samples, channels, height, width].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from edgec.compress.distillation.operators import OPERATORS, Function, Unsupported, works_joint
from edgec.compress.distillation.white import Rows, White, rows_of
from edgec.errors import ModelError
from edgec.graph.edit import constant, integer, shape_of, sole_consumer
from edgec.importer import describe

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
OVERWRITTEN = ("Conv", "ConvTranspose", "Gemm", "Add", "Sub", "BatchNormalization")
"""Operators whose result an activation behind them may overwrite: their gradient does not need it."""


@dataclass(frozen=True)
class Trainable:
    """One layer's parameters. axis: of the weights, counts output channels; outputs: root mean square of what it gives, in the bias's unit;
    integers: whether the weights are in units of a grid that they are rounded to; stride: factor on the steps of such weights; white: the
    coordinates in which they are trained, None for their own."""

    weights: nn.Parameter
    axis: int
    bias: nn.Parameter | None
    outputs: float
    integers: bool = False
    stride: float = 1.0
    white: White | None = None


@dataclass(frozen=True)
class _Step:
    """One node: reads values by name, writes names; `last` are the values nobody reads after it."""

    run: Function
    reads: tuple[str | None, ...]
    writes: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True)
class _Layer:
    """A step with weights; axis: of the weights, counts output channels; rows: what they meet of the step's input."""

    step: int
    weights: str
    bias: str | None
    axis: int
    rows: Rows | None


class FloatNetwork(nn.Module):
    """The model's function, differentiable; weights and biases of Conv, ConvTranspose, Gemm and MatMul are parameters.

    Args:
        model: float, imported by edgec.importer (static shapes, constants folded); it is read, never changed.
        trainable: False makes every constant a buffer.
        keep: names of values that calls will ask for (more than the outputs).

    Raises:
        ModelError: a node of a type or form that has no counterpart here (all of them listed).
    """

    def __init__(self, model: ir.Model, *, trainable: bool = True, keep: Iterable[str] = ()) -> None:
        super().__init__()
        self.inputs = {v.name: shape_of(v) for v in model.graph.inputs}
        self.outputs = [v.name for v in model.graph.outputs]
        self.trained: dict[str, str] = {}
        """Initializer name → parameter name."""
        kept = set(self.outputs) | set(keep)
        self._constants: dict[str, str] = {}
        weights = {v.name for n in model.graph if n.op_type in LINEAR for v in n.inputs[1:3] if v is not None and constant(v) is not None}
        last_use = {v.name: i for i, n in enumerate(model.graph) for v in n.inputs if v is not None}
        self._joint = {v.name: _is_joint(shape_of(v)) for v in (*model.graph.inputs, *(o for n in model.graph for o in n.outputs if o.shape is not None))}
        self._steps: list[_Step] = []
        self._layers: list[_Layer] = []
        refused: list[tuple[ir.Node, str]] = []
        for i, node in enumerate(model.graph):
            try:
                run = _between(node, OPERATORS[node.op_type](node, _may_overwrite(node, kept))) if node.domain in ("", "ai.onnx") else None
            except KeyError:
                run = None
            except Unsupported as error:
                refused.append((node, str(error)))
                continue
            if run is None:
                refused.append((node, "there is no such operator here"))
                continue
            for value in node.inputs:
                array = constant(value)
                if array is not None and (array.dtype == np.float32 or node.op_type == "Pow") and value.name not in self._constants:
                    self._register(value.name, array, trainable and value.name in weights)
            reads = tuple(None if v is None else v.name for v in node.inputs)
            computed = dict.fromkeys(v.name for v in node.inputs if v is not None and constant(v) is None)
            last = tuple(name for name in computed if last_use[name] == i and name not in kept)
            if node.op_type in LINEAR and trainable and reads[1] in self.trained:
                bias = reads[2] if len(reads) > 2 and reads[2] in self.trained else None
                self._layers.append(_Layer(len(self._steps), reads[1], bias, _output_axis(node), rows_of(node)))
            self._steps.append(_Step(run, reads, tuple(o.name for o in node.outputs), last))
        if refused:
            raise ModelError(
                f"{len(refused)} node{'s' if len(refused) > 1 else ''} cannot be trained",
                where="; ".join(describe(node) for node, _ in refused),
                why="; ".join(dict.fromkeys(f"{node.op_type}: {why}" for node, why in refused)) + f"; torch counterparts exist for {', '.join(sorted(OPERATORS))}",
                fix="distill a model without these operators, or cut it before them with outputs=[…]",
            )

    def _register(self, name: str, array: np.ndarray, trained: bool) -> None:
        key = f"c{len(self._constants)}"  # torch forbids dots in names
        tensor = torch.from_numpy(np.array(array, np.float32))
        if trained and array.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        self._constants[name] = key
        if trained:
            self.register_parameter(key, nn.Parameter(tensor))
            self.trained[name] = key
        else:
            self.register_buffer(key, tensor)

    def forward(
        self, inputs: Mapping[str, Tensor], wanted: Sequence[str] = (), observe: Callable[[int, Tensor | None, Tensor], object] | None = None
    ) -> dict[str, Tensor]:
        """inputs: name → float32 [samples, *shape]. Returns name → [samples, *shape] for the wanted values (default: outputs)."""
        values: dict[str, Tensor] = {name: getattr(self, key) for name, key in self._constants.items()}
        values.update({name: x.squeeze(1) if _is_joint(self.inputs[name]) else x for name, x in inputs.items()})
        for i, step in enumerate(self._steps):
            read = [None if name is None else values.get(name) for name in step.reads]
            results = step.run(read)
            values.update(zip(step.writes, results if isinstance(results, tuple) else (results,), strict=False))
            if observe is not None:
                observe(i, read[0], values[step.writes[0]])
            for name in step.last:
                del values[name]
        return {name: values[name].unsqueeze(1) if self._joint[name] else values[name] for name in (wanted or self.outputs)}

    def trainables(self, inputs: Mapping[str, Tensor]) -> list[Trainable]:
        """Every layer's parameters, how large its outputs are for these inputs, and the coordinates in which its inputs are white."""
        layers = {layer.step: layer for layer in self._layers}
        found: dict[int, Trainable] = {}

        def observe(step: int, x: Tensor, y: Tensor) -> None:
            if (layer := layers.get(step)) is None:
                return
            weights, bias = (None if name is None else getattr(self, self.trained[name]) for name in (layer.weights, layer.bias))
            white = None if layer.rows is None else White.of(weights, layer.axis, bias is not None, layer.rows(x))
            found[step] = Trainable(weights, layer.axis, bias, float(y.double().square().mean().sqrt()), white=white)

        with torch.no_grad():
            self(inputs, observe=observe)
        return [found[layer.step] for layer in self._layers]

    def arrays(self) -> dict[str, np.ndarray]:
        """Initializer name → float32 array, as trained so far."""
        return {name: getattr(self, key).detach().contiguous().numpy().copy() for name, key in self.trained.items()}


def _is_joint(shape: Sequence[int]) -> bool:
    """Whether the leading axis is left out between operators."""
    return len(shape) >= 2 and shape[0] == 1


def _between(node: ir.Node, function: Function) -> Function:
    """The operator's function on activations as they are between operators."""
    if works_joint(node):
        return function
    apart = [v is not None and constant(v) is None and _is_joint(shape_of(v)) for v in node.inputs]
    together = [o.shape is not None and _is_joint(shape_of(o)) for o in node.outputs]

    def run(xs: Sequence[Tensor | None]) -> Tensor | tuple[Tensor, ...]:
        result = function([x.unsqueeze(1) if joint else x for x, joint in zip(xs, apart, strict=True)])
        if isinstance(result, tuple):
            return tuple(y.squeeze(1) if joint else y for y, joint in zip(result, together, strict=True))
        return result.squeeze(1) if together[0] else result

    return run


def _output_axis(node: ir.Node) -> int:
    if node.op_type == "Gemm":
        return 0 if integer(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, -1)


def _may_overwrite(node: ir.Node, kept: set[str]) -> bool:
    """Whether an activation may write over its input: nobody else reads it, and its producer's gradient does not need it."""
    value = node.inputs[0] if node.inputs else None
    if value is None or value.producer() is None or value.name in kept:
        return False
    return value.producer().op_type in OVERWRITTEN and works_joint(value.producer()) and sole_consumer(value) is node
