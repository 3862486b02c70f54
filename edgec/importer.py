"""ONNX in, a static, folded onnx_ir model out; everything edgec cannot compile is found here, all at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from edgec.cut import cut
from edgec.errors import ModelError
from edgec.files import write_file
from edgec.graph.edit import bypass, can_bypass, is_op
from edgec.graph.evaluate_constants import evaluate_constants
from edgec.graph.qoperator_to_qdq import qoperator_to_qdq
from edgec.graph.to_float32 import to_float32
from edgec.ops import ONNX_LAYOUT, ONNX_OPERATORS

if TYPE_CHECKING:
    from onnx import ModelProto

OLDEST_OPSET, CONVERTED_OPSET, NEWEST_OPSET = 9, 18, 26
OLDEST_IR = 8
CUT = "left_to_caller"
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


def import_model(
    source: str | os.PathLike | bytes | ModelProto,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> ir.Model:
    """Read an ONNX model.

    Args:
        source: a path, the file's bytes, or a ModelProto.
        shapes: input name → shape, for inputs whose shape the model leaves open. An open first dimension is the batch
            and becomes 1 by itself.
        inputs, outputs: names of tensors to cut the graph at; `left_out` then says what is left out.

    Returns: a model with static shapes, constants folded, initializers not among the inputs, no unused nodes.

    Raises:
        ModelError: the file is missing, corrupt or of an unknown version, a dimension is open, or nodes are unsupported
            (all of them listed).
    """
    proto, where = _read(source)
    proto = _current_opset(proto, where)
    model = ir.from_proto(proto)
    model.ir_version = max(model.ir_version or 0, OLDEST_IR)  # before it, initializers had to be inputs too
    model = qoperator_to_qdq(to_float32(model))
    model = fold(_make_static(model, dict(shapes or {}), where), where)
    if inputs or outputs:
        model.metadata_props[CUT] = json.dumps(cut(model, inputs, outputs))
    _refuse_unsupported(model, where)
    return model


def left_out(model: ir.Model) -> dict[str, list[str]]:
    """Nodes that a cut left to the caller: {"before": …, "after": …}, empty lists where there was none."""
    return json.loads(model.metadata_props.get(CUT, '{"before": [], "after": []}'))


def is_quantized(model: ir.Model) -> bool:
    """Whether the model carries QuantizeLinear nodes (a QDQ model)."""
    return any(node.op_type == QUANTIZE for node in model.graph)


def dims(value: ir.Value | None) -> tuple[int, ...]:
    """Static shape of a value as ints; () where there is none."""
    if value is None:
        return ()
    if value.shape is None and value.const_value is not None:
        return tuple(int(d) for d in value.const_value.shape)
    return tuple(int(d) for d in value.shape) if value.shape is not None else ()


def describe(node: ir.Node) -> str:
    """Name, operator and shapes of a node, for messages."""
    shapes = ", ".join("×".join(map(str, v.shape)) if v is not None and v.shape is not None else "?" for v in node.inputs)
    return f"node {node.name or '(unnamed)'!s}, {node.op_type}({shapes})"


def save(model: ir.Model, path: str | os.PathLike) -> None:
    """Write a model as ONNX: beside, then renamed."""
    proto = ir.to_proto(model)
    write_file(path, proto.SerializeToString(deterministic=True))


def _read(source: Any) -> tuple[onnx.ModelProto, str]:
    def bad(what: str, why: str, where: str) -> ModelError:
        return ModelError(what, where=where, why=why, fix="pass a path to an .onnx file, its bytes, or an onnx.ModelProto")

    if isinstance(source, onnx.ModelProto):
        proto, where = source, "ModelProto"
    else:
        where = "model bytes" if isinstance(source, bytes) else str(source)
        if isinstance(source, (str, os.PathLike)):
            if not Path(source).is_file():
                raise bad("cannot read the model", "there is no such file", where)
        elif not isinstance(source, bytes):
            raise bad("cannot read the model", f"it is a {type(source).__name__}", "model")
        try:
            proto = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(os.fspath(source))
        except Exception as error:  # protobuf has several, none of them public
            raise bad("the file is not a readable ONNX model", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", where) from None
    if not proto.graph.node or not proto.graph.output:
        raise bad("the model is empty", "its graph has no nodes or no outputs; the file may be truncated", where)
    # The checker wants a shape on every input and output; shapes come from shapes= and from inference here.
    shapeless = [v.type.tensor_type for v in (*proto.graph.input, *proto.graph.output) if v.type.HasField("tensor_type") and not v.type.tensor_type.HasField("shape")]
    for kind in shapeless:
        kind.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as error:
        raise bad("the model breaks a rule of ONNX", str(error).strip().splitlines()[0], where) from None
    finally:
        for kind in shapeless:
            kind.ClearField("shape")
    return proto, where


def _current_opset(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    entry = next((o for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    if entry is not None and entry.version > NEWEST_OPSET and _means_the_same(proto, entry.version):
        entry.version = NEWEST_OPSET
    version = entry.version if entry is not None else 0
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise ModelError(
            f"opset {version} is not supported",
            where=where,
            why=f"edgec reads opsets {OLDEST_OPSET} to {NEWEST_OPSET}",
            fix="export the model again with another opset_version, or convert it with onnx.version_converter",
        )
    if version >= 13:
        return proto
    try:
        return onnx.version_converter.convert_version(proto, CONVERTED_OPSET)
    except Exception as error:
        raise ModelError(
            f"opset {version} could not be converted to {CONVERTED_OPSET}",
            where=where,
            why=str(error).strip().splitlines()[0],
            fix="export the model with opset 13 or newer",
        ) from None


def _means_the_same(proto: onnx.ModelProto, version: int) -> bool:
    """Whether every operator of the model is defined at `version` as it was at NEWEST_OPSET."""
    if version > onnx.defs.onnx_opset_version():
        return False
    for node in proto.graph.node:
        if node.domain in ("", "ai.onnx"):
            try:
                if onnx.defs.get_schema(node.op_type, version).since_version > NEWEST_OPSET:
                    return False
            except onnx.defs.SchemaError:
                return False
    return True


def _make_static(model: ir.Model, shapes: dict[str, Sequence[int]], where: str) -> ir.Model:
    common.RemoveInitializersFromInputsPass()(model)
    known = {value.name for value in model.graph.inputs}
    for name in shapes:
        if name not in known:
            raise ModelError(f"shapes names {name!r}, which is not an input", where=where, why=f"inputs are {', '.join(map(str, sorted(known)))}", fix="use one of these names")
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.type is not None and not isinstance(value.type, ir.TensorType):
            raise ModelError(f"{value.name!r} is not a tensor", where=where, why=f"its type is {value.type}", fix="export the model with tensors as inputs and outputs")
    for value in model.graph.inputs:
        given = shapes.get(value.name or "")
        if value.shape is None and given is None:
            raise ModelError(f"input {value.name!r} has no shape", where=where, why="every tensor needs a static shape", fix=f"pass shapes={{{value.name!r}: (…)}} or --shape {value.name}=…")
        old = list(value.shape) if value.shape is not None else list(given or ())
        if given is not None:
            if len(given) != len(old) or any(isinstance(d, int) and d != g for d, g in zip(old, given, strict=True)):
                raise ModelError(f"the shape given for input {value.name!r} contradicts the model", where=where, why=f"the model has {old}, given was {list(given)}", fix="give the open dimensions only")
            new = [int(g) for g in given]
        else:
            new = [1 if i == 0 and not isinstance(d, int) else d for i, d in enumerate(old)]
            open_dims = [str(d) for d in new if not isinstance(d, int) or d < 1]
            if open_dims:
                raise ModelError(
                    f"input {value.name!r} has open dimensions",
                    where=where,
                    why=f"its shape is {[str(d) for d in old]}; only the first (batch) is closed by itself, to 1",
                    fix=f"pass shapes={{{value.name!r}: (…)}} or --shape {value.name}=… with a number for each",
                )
        value.shape = ir.Shape(new)
    for value in model.graph.outputs:
        value.shape = None  # shape inference says it again, now static
    for node in model.graph:
        for output in node.outputs:
            output.shape = None
    return model


def fold(model: ir.Model, where: str = "model") -> ir.Model:
    """Constants computed, shapes inferred, identities and unused nodes removed, every node named. In place.

    Raises:
        ModelError: a shape does not follow from the inputs' shapes.
    """
    from onnxscript.optimizer import fold_constants

    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for _ in range(2):  # a folded shape lets the next inference see more
        common.ShapeInferencePass(strict_mode=False, check_type=False)(model)
        fold_constants(model)
        evaluate_constants(model)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for node in list(model.graph):
        if is_op(node, "Cast") and node.inputs[0].dtype == node.outputs[0].dtype is not None and can_bypass(node, node.inputs[0]):
            bypass(node, node.inputs[0])
    _drop_casts_of_indices(model)
    common.IdentityEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    common.ShapeInferencePass(strict_mode=False, check_type=False)(model)
    for i, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{i}"
    for value in (*model.graph.outputs, *(v for node in model.graph for v in node.outputs)):
        if value.shape is None or any(not isinstance(d, int) for d in value.shape):
            producer = value.producer()
            raise ModelError(
                f"the shape of {value.name!r} is not known",
                where=describe(producer) if producer is not None else where,
                why="shape inference could not follow it from the inputs' shapes",
                fix="give static input shapes with shapes={…} / --shape, or export the model without data-dependent shapes",
            )
        if 0 in dims(value):
            producer = value.producer()
            raise ModelError(
                f"{value.name!r} has no elements",
                where=describe(producer) if producer is not None else where,
                why=f"its shape is {list(dims(value))}; a program has no empty tensors",
                fix="take this value out of the model, or give input shapes under which it is not empty",
            )
    return model


def _drop_casts_of_indices(model: ir.Model) -> None:
    """Indices have one integer type here, so that a Cast of them between int64 and int32 says nothing. In place."""
    indices: set[ir.Value] = set()
    for node in list(model.graph):
        if is_op(node, "ArgMax", "ArgMin"):
            indices.add(node.outputs[0])
        elif node.inputs and node.inputs[0] in indices:
            if is_op(node, "Cast") and node.outputs[0].dtype in (ir.DataType.INT32, ir.DataType.INT64) and can_bypass(node, node.inputs[0]):
                source = node.inputs[0]
                bypass(node, source)
                source.type = ir.TensorType(ir.DataType.INT64)
            elif is_op(node, *ONNX_LAYOUT):
                node.outputs[0].type = ir.TensorType(ir.DataType.INT64)
                indices.add(node.outputs[0])


def _refuse_unsupported(model: ir.Model, where: str) -> None:
    """One error that lists every node of a type edgec does not know."""
    bad = [node for node in model.graph if node.op_type not in ONNX_OPERATORS or node.domain not in ("", "ai.onnx")]
    if bad:
        kinds = sorted({f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in bad})
        raise ModelError(
            f"{len(bad)} node{'s' if len(bad) > 1 else ''} of unsupported type: {', '.join(kinds)}",
            where=f"{where}: " + "; ".join(describe(node) for node in bad),
            why=f"edgec compiles {', '.join(sorted(ONNX_OPERATORS))}",
            fix="replace these operators in the model, or compile the part before them",
        )
