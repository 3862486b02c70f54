"""The network in training, float or quantized: its values beside the teacher's, and the ONNX model it goes back to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from edgec.compress.distillation.integer_network import IntegerNetwork
from edgec.compress.distillation.integer_operators import LAYERS
from edgec.compress.distillation.network import FloatNetwork
from edgec.compress.distillation.objective import Target, matched
from edgec.compress.distillation.settling import Settling
from edgec.compress.distillation.stored_layer import StoredLayer
from edgec.graph.edit import integer, is_op, shape_of
from edgec.importer import fold, is_quantized
from edgec.lower import Lowering, View


class Student(Protocol):
    """What training needs of a network."""

    quantized: bool
    network: nn.Module
    outputs: list[Target]
    features: list[Target]

    def values(self, inputs: Mapping[str, Tensor], wanted: tuple[str, ...], *, exact: bool = False) -> dict[str, Tensor]: ...

    def settle(self, fraction: float) -> None:
        """Let the weights settle that have to after that part of the run."""
        ...

    @property
    def settling(self) -> list[Settling]: ...

    def model(self) -> ir.Model:
        """A copy of the ONNX model with the weights of now."""
        ...


class FloatStudent:
    """A float model, pruned perhaps."""

    quantized = False

    def __init__(self, model: ir.Model, teacher: ir.Model, features: bool, seed: int) -> None:
        self.source = model
        self.outputs = []
        for t, s in zip(teacher.graph.outputs, model.graph.outputs, strict=True):
            value, classes = judged(s)
            self.outputs.append(Target(judged(t)[0].name, value.name, shape_of(value), _classes_last(s), classes))
        known = {v.name: shape for v, shape in _activations(teacher).items()} if features else {}
        self.features = [
            Target(v.name, v.name, known[v.name], tuple(range(len(shape))))
            for v, shape in _activations(model).items()
            if v.name in known and len(shape) >= 2 and _but_channels(known[v.name]) == _but_channels(shape)
        ]
        self.network = FloatNetwork(model, keep=[t.student for t in (*self.outputs, *self.features)])

    def values(self, inputs: Mapping[str, Tensor], wanted: tuple[str, ...], *, exact: bool = False) -> dict[str, Tensor]:
        values = self.network(inputs, wanted)
        for target in self.outputs:
            if target.student in values and target.order != tuple(range(len(target.order))):
                values[target.student] = values[target.student].permute(0, *(a + 1 for a in target.order))
        return values

    settling: list[Settling] = []

    def settle(self, fraction: float) -> None:
        pass

    def model(self) -> ir.Model:
        result = self.source.clone()
        for name, array in self.network.arrays().items():
            value = result.graph.initializers[name]
            value.const_value = ir.Tensor(array.reshape(tuple(value.const_value.shape)), name=name)
        return result


class QuantizedStudent:
    """A QDQ model, computed as its compiled program computes it; scales and zero_points stay, the integers are trained."""

    quantized = True

    def __init__(self, model: ir.Model, teacher: ir.Model, features: bool, seed: int, learned: str = "narrow") -> None:
        self.source = _with_unique_names(fold(model.clone()))
        lowering = _NamedLowering(self.source)
        program = lowering.walk()
        self.outputs = []
        for t, s in zip(teacher.graph.outputs, self.source.graph.outputs, strict=True):
            node = _behind_quantization(s)
            classes = is_op(node, "Softmax")
            self.outputs.append(_target(judged(t)[0].name if classes else t.name, lowering.views[node.inputs[0] if classes else s], classes))
        known, made = {v.name: shape for v, shape in _activations(teacher).items()} if features else {}, {op.outputs[0] for op in program.ops}
        self.features = [
            _target(value.name, view, False)
            for value, view in lowering.views.items()
            if is_op(value.producer(), "Relu", "Clip", "Add") and view.tensor.name in made and known.get(value.name) == view.shape
        ]
        nodes = {node.name: node for node in self.source.graph}
        self.stored = {op.name: StoredLayer(nodes[lowering.node_of[op.name]], lowering.views) for op in program.ops if op.opcode in LAYERS}
        self.network = IntegerNetwork(program, {name: stored.limits for name, stored in self.stored.items()})
        for i, (name, layer) in enumerate(self.network.layers.items()):
            trained = self.stored[name].trains_weights
            if trained and (learned == "all" or learned == "narrow" and self.stored[name].bits < 8):
                layer.settling = Settling(layer.weights, layer.limits)
            else:
                layer.spread(np.random.default_rng([seed, 3, i]))
            layer.weights.requires_grad_(trained)
            layer.bias.requires_grad_(self.stored[name].trains_bias)

    def values(self, inputs: Mapping[str, Tensor], wanted: tuple[str, ...], *, exact: bool = False) -> dict[str, Tensor]:
        self.network.exact = exact
        return self.network(inputs, wanted)

    @property
    def settling(self) -> list[Settling]:
        return [layer.settling for layer in self.network.layers.values() if layer.settling is not None]

    def settle(self, fraction: float) -> None:
        for layer in self.settling:
            layer.settle(fraction)

    def model(self) -> ir.Model:
        result = self.source.clone()
        for name, layer in self.network.layers.items():
            with torch.no_grad():
                self.stored[name].write(result.graph, layer.grid().contiguous().numpy(), layer.whole_bias().numpy())
        return result


class _NamedLowering(Lowering):
    """Remembers which node each operator was emitted for: operators have shorter names."""

    def __init__(self, model: ir.Model) -> None:
        super().__init__(model)
        self.node_of: dict[str, str] = {}

    def emit(self, opcode: str, name: str, *args: Any) -> None:
        super().emit(opcode, name, *args)
        self.node_of[self.ops[-1].name] = name


def _with_unique_names(model: ir.Model) -> ir.Model:
    """Gives nodes names of their own, which ONNX does not ask for, in place."""
    taken: set[str] = set()
    for i, node in enumerate(model.graph):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}.{i}"
        taken.add(node.name)
    return model


def student_of(model: ir.Model, teacher: ir.Model, features: bool = False, seed: int = 0, learned: str = "narrow") -> Student:
    """features: whether activations are to be matched, so that they must be kept; learned: see `distill`'s learned_rounding."""
    return QuantizedStudent(model, teacher, features, seed, learned) if is_quantized(model) else FloatStudent(model, teacher, features, seed)


def judged(output: ir.Value) -> tuple[ir.Value, bool]:
    """The value whose error says most about an output, the logits in front of a softmax, and whether it is that."""
    producer = output.producer()
    return (producer.inputs[0], True) if is_op(producer, "Softmax") else (output, False)


def match_features(student: Student, teacher: FloatNetwork, inputs: Mapping[str, Tensor]) -> None:
    """Pair the channels of features in which the student is narrower; features that cannot be paired are dropped."""
    if student.quantized or not student.features:
        return
    with torch.no_grad():
        theirs = teacher(inputs, tuple(t.teacher for t in student.features))
        mine = student.values(inputs, tuple(t.student for t in student.features))
    paired = [t if mine[t.student].shape == theirs[t.teacher].shape else matched(t, theirs[t.teacher], mine[t.student]) for t in student.features]
    student.features[:] = [t for t in paired if t is not None]


def _but_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:])


def _activations(model: ir.Model) -> dict[ir.Value, tuple[int, ...]]:
    return {v: shape_of(v) for n in model.graph for v in n.outputs if is_op(n, "Relu", "Clip", "Add")}


def _behind_quantization(output: ir.Value) -> ir.Node | None:
    node = output.producer()
    while is_op(node, "DequantizeLinear", "QuantizeLinear"):
        node = node.inputs[0].producer()
    return node


def _classes_last(output: ir.Value) -> tuple[int, ...]:
    """Order of the axes of the judged value with that of the classes last."""
    value, classes = judged(output)
    rank = len(shape_of(value))
    axis = integer(output.producer(), "axis", -1) % rank if classes else rank - 1
    return (*(a for a in range(rank) if a != axis), axis)


def _target(teacher: str, view: View, classes: bool) -> Target:
    """The bytes of a view hold `shape` with its axes in `order`."""
    held = view if view.flattened is None else view.flattened
    return Target(teacher, view.tensor.name, tuple(held.shape), tuple(held.order), classes)
