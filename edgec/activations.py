"""Which ONNX value each tensor of an artifact holds: for comparing its layers with the float model's.

Names of program tensors are shortened, and passes rewrite the graph, so the mapping is found the way the tensors came about:
the float model goes through the same passes, gets QuantizeLinear where quantization would put it, and is lowered. The scales in
that copy are placeholders; names, shapes and orders of axes do not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edgec import graph, importer
from edgec.compress.layerwise import ensure_bias
from edgec.compress.placement import Placement, place
from edgec.compress.qdq import insert_qdq
from edgec.compress.ranges import Quantization
from edgec.compress.weights import LayerWeights
from edgec.errors import EdgecError, ModelError
from edgec.graph.channel_affine import weights_and_bias
from edgec.graph.channels import ChannelSpaces
from edgec.graph.edit import shape_of
from edgec.lower import Lowering, View

if TYPE_CHECKING:
    from edgec.artifact import Artifact


@dataclass(frozen=True)
class Activation:
    """An ONNX value and the program tensor that holds it.

    shape is the ONNX one, order[i] the axis of it at physical position i; scaled: equalization may have multiplied its channels
    (axis 1; entry i belongs to channel i // repeat).
    """

    name: str
    tensor: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    scaled: bool = False
    repeat: int = 1

    def logical(self, q: np.ndarray) -> np.ndarray:
        """Elements of the tensor, any shape, as an array of the ONNX shape."""
        physical = q.reshape([self.shape[a] for a in self.order])
        return physical.transpose([self.order.index(a) for a in range(len(self.shape))])


@dataclass(frozen=True)
class Reference:
    """The model to compare with.

    whole: as it was given, imported; layerwise: after edgec's passes, whose values `activations` names; plain: run it node by
    node, without ONNX Runtime's own rewrites; note: what it is, in words.
    """

    whole: ir.Model
    layerwise: ir.Model
    activations: tuple[Activation, ...]
    plain: bool
    note: str


def reference_of(model: Any, artifact: Artifact, shapes: Mapping[str, Any] | None = None) -> Reference:
    """Import the model an artifact was compiled from, cut like it, and map its values to the artifact's tensors.

    Raises:
        ModelError: it cannot be imported, or it has other inputs and outputs than the artifact.
    """
    whole = _imported(model, artifact, shapes)
    if importer.is_quantized(whole):
        return Reference(whole, whole, _of_qdq(whole, artifact), True, "the QDQ model, computed in float by ONNX Runtime")
    skip = artifact.manifest.get("skip_passes", [])
    quantized_elsewhere = str(artifact.manifest["calibration"]).startswith("none")
    if quantized_elsewhere:
        skip = ["remove_constant_channels"]
    layerwise, _ = graph.optimize(whole, skip=skip)
    ensure_bias(layerwise, place(layerwise.graph).layers)
    rungs = artifact.manifest.get("quantization", {}).get("rungs", [])
    equalized = any(r["kept"] and "equalization" in r["name"] for r in rungs)
    note = "the float model in ONNX Runtime; its layers after edgec's passes"
    if equalized:
        note += ", channels scaled as equalization scaled them"
    return Reference(whole, layerwise, _of_float(layerwise, artifact, equalized), False, note)


def _imported(model: Any, artifact: Artifact, shapes: Mapping[str, Any] | None) -> ir.Model:
    program = artifact.program
    ports = {p.name: p.shape for p in program.inputs}
    proto, where = importer._read(model)
    constants = {t.name for t in proto.graph.initializer}
    own_inputs = {v.name for v in proto.graph.input} - constants
    own_outputs = {v.name for v in proto.graph.output}
    outputs = [p.name for p in program.outputs]
    given = {**{n: s for n, s in ports.items() if n in own_inputs}, **dict(shapes or {})}
    try:
        imported = importer.import_model(
            proto,
            shapes=given,
            inputs=[] if set(ports) == own_inputs else list(ports),
            outputs=[] if set(outputs) == own_outputs else outputs,
        )
    except ModelError as error:
        if set(ports) <= own_inputs and set(outputs) <= own_outputs and "contradicts" not in error.what:
            raise
        raise ModelError(
            "the model and the artifact do not belong together",
            where=where,
            why=f"the artifact has inputs {ports} and outputs {outputs}, "
            f"the model {sorted(own_inputs)} and {sorted(own_outputs)}: {error.what}",
            fix="pass the model that this artifact was compiled from",
        ) from None
    for value in imported.graph.inputs:
        if value.name not in ports or shape_of(value) != tuple(ports[value.name]):
            raise ModelError(
                "the model and the artifact do not belong together",
                where=f"{where}, input {value.name!r}",
                why=f"the artifact has inputs {ports}, the model's is of shape {shape_of(value)}",
                fix="pass the model that this artifact was compiled from",
            )
    return imported


def _of_float(model: ir.Model, artifact: Artifact, equalized: bool) -> tuple[Activation, ...]:
    copy = model.clone()
    placement = place(copy.graph)
    names = [v.name for v in placement.groups]
    channels = ChannelSpaces(model.graph, scalable=True) if equalized else None
    spaces = {} if channels is None else {v.name: (s, channels.place[v]) for v, s in channels.space.items()}
    try:
        insert_qdq(copy, placement, {v: Quantization(1.0, 0) for v in placement.groups}, _placeholders(placement))
        lowering = Lowering(importer.fold(copy))
        lowering.walk()
    except EdgecError:
        return ()  # the caller says that no layer could be mapped
    views = {v.name: view for v, view in lowering.views.items()}
    found = []
    for name in names:
        view = views.get(f"{name}.quantized")
        if view is None:
            continue
        space, where = spaces.get(name, (None, None))
        free = space is not None and not space.protected and bool(space.producers) and bool(space.readers or space.depthwise)
        scaled = free and where.axis == 1
        found.append((name, view, scaled, where.repeat if scaled else 1))
    return _matching(found, artifact)


def _of_qdq(model: ir.Model, artifact: Artifact) -> tuple[Activation, ...]:
    lowering = Lowering(model)
    lowering.walk()
    nodes = [n for n in model.graph if n.op_type == importer.DEQUANTIZE and n.outputs[0] in lowering.views]
    return _matching([(n.outputs[0].name, lowering.views[n.outputs[0]], False, 1) for n in nodes], artifact)


def _matching(found: list[tuple[str, View, bool, int]], artifact: Artifact) -> tuple[Activation, ...]:
    """The first value of each tensor that the artifact has, in the same shape."""
    tensors = artifact.program.tensors
    taken: dict[str, Activation] = {}
    for name, view, scaled, repeat in found:
        tensor = tensors.get(view.tensor.name)
        if (
            tensor is not None
            and view.flattened is None
            and tensor.name not in taken
            and tensor.shape == tuple(view.shape[a] for a in view.order)
        ):
            taken[tensor.name] = Activation(name, tensor.name, view.shape, view.order, scaled, repeat)
    return tuple(taken.values())


def _placeholders(placement: Placement) -> dict[ir.Node, LayerWeights]:
    """Weights of the right shapes and of no meaning."""
    made = {}
    for node in placement.layers:
        weights, bias = weights_and_bias(node)
        zeros = np.zeros(bias.shape, np.int32)
        made[node] = LayerWeights(
            np.zeros(weights.shape, np.int8), np.ones(bias.shape, np.float32), zeros, int(node.op_type == "ConvTranspose")
        )
    return made
