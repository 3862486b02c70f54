"""QDQ onnx_ir model → ir.Program: the only file that knows both worlds.

The walk is in graph order. Every ONNX value that carries activations is a View: a program tensor, the value's ONNX shape,
and the order in which the tensor's bytes hold that shape's axes. Transposes only change the order; bytes move where an
operator needs another one (`arrange`). Each operator's own lowering is in its file in `edgec/ops`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgec import numerics
from edgec.errors import ModelError
from edgec.importer import DEQUANTIZE, QUANTIZE, describe, dims
from edgec.ir.core import Constant, Op, Port, Program, Tensor
from edgec.narrow_weights import int4_weights
from edgec.ops import ONNX_OPERATORS, OPERATORS
from edgec.ops.layout import ONNX_LAYOUT, Transpose
from edgec.ops.pointwise import Region, find_regions
from edgec.ops.unary import lower_table
from edgec.ops.weights import INT4_MAX, INT4_MIN
from edgec.ops.wide import WIDE_OPERATORS, WIDE_READERS, rescale_attributes

NAME_LENGTH = 40
"""Longest name of a tensor or operator, before a number that makes it unique."""


@dataclass(frozen=True)
class View:
    """An int8 or int16 activation (or int32 indices) as ONNX sees it.

    order[i] is the axis of `shape` that lies at physical position i, outermost first. flattened is set where a reshape was
    taken of bytes in another order than the ONNX one: the view before it, so that a dense layer can permute its weights.
    """

    tensor: Tensor
    shape: tuple[int, ...]
    order: tuple[int, ...]
    flattened: View | None = None

    @property
    def real_order(self) -> tuple[int, ...]:
        """order without the axes of size 1, which lie anywhere."""
        return tuple(axis for axis in self.order if self.shape[axis] != 1)


@dataclass(frozen=True)
class Weights:
    """An initializer behind DequantizeLinear: int8 (of a bias int32) values around 0, one float64 scale a channel of `axis` (or
    one in all). bits: 4 where the values are of a 4-bit type and fit one, else 8 (or 32)."""

    values: np.ndarray
    scale: np.ndarray
    axis: int
    bits: int = 8


@dataclass(frozen=True)
class Result:
    """Where an operator's output goes: its quantization, and the clamp that carries the activation fused into it."""

    name: str
    value: ir.Value
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    clamp_min: int
    clamp_max: int
    bits: int = 8


class Lowering:
    """The state of one walk; what operators call is public."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.views: dict[ir.Value, View] = {}
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Constant] = {}
        self.ops: list[Op] = []
        self.done: set[ir.Node] = set()
        self.input_orders: dict[str, tuple[int, ...]] = {}

    # --- what an operator's lowering asks -------------------------------------------------------------------------------

    def refuse(self, node: ir.Node, what: str, why: str, fix: str) -> ModelError:
        return ModelError(what, where=describe(node), why=why, fix=fix)

    def activation(self, node: ir.Node, index: int) -> View:
        """The quantized activation at an input of node."""
        value = node.inputs[index]
        if value is not None and value.is_graph_input() and value not in self.views:
            self._open_input(value)
        if value in self.views and node.op_type not in ONNX_LAYOUT:
            self._require_readable(node, self.views[value])
        if value is None or value not in self.views:
            name = "missing" if value is None else value.name
            raise self.refuse(node, f"input {index} ({name}) is not a quantized activation", "it comes neither from DequantizeLinear nor from an operator on one", "quantize this tensor, or let edgec quantize the float model")
        return self.views[value]

    def _require_readable(self, node: ir.Node, view: View) -> None:
        """Refuses what node cannot read: indices, and 16 bits where its operator knows only 8."""
        if view.tensor.dtype == "int32":
            raise self._refuse_indices(node, view.tensor.name)
        if view.tensor.dtype == "int16" and node.op_type not in (*WIDE_READERS, QUANTIZE, DEQUANTIZE):
            raise self.refuse(node, f"{node.op_type} of 16 bits is not supported", f"{view.tensor.name} is int16, which {', '.join(WIDE_READERS)} take", "quantize what it reads to 8 bits: QuantizeLinear and DequantizeLinear behind the 16-bit pair")

    def _refuse_indices(self, node: ir.Node, name: str | None) -> ModelError:
        fix = f'compile with outputs=["{name}"] (--cut-output {name}), and do what follows in the application'
        return self.refuse(node, f"{node.op_type} of indices is not supported", f"{name} holds int32 indices, which leave the network as they are", fix)

    def is_activation(self, value: ir.Value | None) -> bool:
        return value is not None and value in self.views

    def arrange(self, view: View, order: Sequence[int], node: ir.Node) -> View:
        """The same view with its bytes in `order`; emits a transpose only where bytes must move."""
        if view.flattened is not None:
            before = view.flattened
            straight = self.arrange(before, range(len(before.shape)), node)
            view = View(straight.tensor, view.shape, tuple(range(len(view.shape))))
        wanted = replace(view, order=tuple(order))
        if wanted.real_order == view.real_order:
            return wanted
        if self._is_unread_input(view):
            # The caller then writes the input in the order the network reads, and no byte moves on the device.
            self.input_orders[view.tensor.name] = tuple(order)
            self.tensors[view.tensor.name] = replace(view.tensor, shape=tuple(view.shape[a] for a in order))
            wanted = replace(wanted, tensor=self.tensors[view.tensor.name])
            self.views.update({value: wanted for value, other in self.views.items() if other.tensor.name == view.tensor.name})
            return wanted
        real = view.real_order
        if view.tensor.dtype == "int32":
            raise self._refuse_indices(node, view.tensor.name)
        if len(real) > 4:
            raise self.refuse(node, "a transpose of more than four axes", f"axes of size > 1: {len(real)}", "reshape before the transpose so that neighbouring axes are one")
        shape = [view.shape[a] for a in real]
        out = self.tensor(f"{view.tensor.name}.{'_'.join(map(str, order))}", tuple(view.shape[a] for a in order), view.tensor.scale, view.tensor.zero_point)
        attrs = Transpose.attrs_for(shape, [real.index(a) for a in wanted.real_order])
        self.emit("transpose", f"{node.name}.transpose", [view.tensor], out, attrs)
        return replace(wanted, tensor=out)

    def straight(self, node: ir.Node, index: int) -> View:
        """The activation at an input of node with its bytes in ONNX order as far as its reshapes ask for it."""
        view = self.activation(node, index)
        return view if view.flattened is None else self.arrange(view, range(len(view.shape)), node)

    def constant_view(self, node: ir.Node, index: int, beside: View, *, reciprocal: bool = False, like: Result | None = None) -> View:
        """A constant input of node as an activation; `beside` orders it in time.

        One stored as int8 behind DequantizeLinear keeps its numbers; a float one is quantized over its own range, or as `like`.
        """
        producer = node.inputs[index].producer()
        if like is not None:
            scale, zero_point = like.scale, like.zero_point
            stored = numerics.quantize(np.asarray(self.constant(node.inputs[index]), np.float32), scale, zero_point)
        elif not reciprocal and producer is not None and producer.op_type == DEQUANTIZE and producer.inputs[1].const_value.size == 1:
            scale, zero_point = self.quantization(producer)
            stored = self._as_int8(producer.inputs[0].const_value.numpy())
        else:
            values = self.constant(node.inputs[index]).astype(np.float64)
            values = 1.0 / values if reciprocal else values
            low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
            scale = float(np.float32(max(high - low, 1e-30) / 255.0))
            zero_point = int(np.clip(np.rint(-128 - low / scale), -128, 127))
            stored = numerics.quantize(values.astype(np.float32), scale, zero_point)
        tensor = self.tensor(f"{node.name}.constant", tuple(stored.shape) or (1,), scale, zero_point)
        self.emit("constant", f"{node.name}.constant", [beside.tensor], tensor, {"count": tensor.size}, [stored.reshape(-1)])
        return View(tensor, tuple(stored.shape), tuple(range(stored.ndim)))

    @staticmethod
    def _as_int8(values: np.ndarray) -> np.ndarray:
        """uint8 shifted by 128, exactly; int8 as it is."""
        return (values.astype(np.int16) - 128).astype(np.int8) if values.dtype == np.uint8 else values

    def weights(self, node: ir.Node, index: int) -> Weights:
        """The constant weights of 8 or 4 bits at an input of node, behind DequantizeLinear, their zero_points taken off: exact
        where the differences fit int8, refused where they do not."""
        value = node.inputs[index]
        producer = value.producer() if value is not None else None
        if producer is None or producer.op_type != DEQUANTIZE or any(v is not None and v.const_value is None for v in producer.inputs):
            raise self.refuse(node, f"input {index} is not a quantized constant", "weights must be int8 initializers behind DequantizeLinear", "quantize the weights, or let edgec quantize the float model")
        if producer.inputs[0].const_value.dtype in (ir.DataType.INT4, ir.DataType.UINT4):
            return self._narrow_weights(node, index, producer)
        values = producer.inputs[0].const_value.numpy()
        if producer.attributes.get_int("block_size", 0):
            raise self.refuse(node, "8-bit weights quantized in blocks", "edgec takes one scale an output channel", "quantize weights per output channel")
        scale = np.atleast_1d(producer.inputs[1].const_value.numpy().astype(np.float64))
        zero = producer.inputs[2].const_value.numpy() if len(producer.inputs) > 2 and producer.inputs[2] is not None else np.zeros(1, values.dtype)
        axis = producer.attributes.get_int("axis", 1) % max(values.ndim, 1)
        if values.dtype in (np.int8, np.uint8):
            along = [-1 if i == axis else 1 for i in range(values.ndim)] if zero.size > 1 else [1] * values.ndim
            shifted = values.astype(np.int16) - zero.astype(np.int16).reshape(along)
            if np.any(shifted != shifted.astype(np.int8)):
                raise self.refuse(
                    node,
                    f"weights of input {index} less their zero_point do not fit 8 bits",
                    f"they reach from {shifted.min()} to {shifted.max()} around the zero_point {np.unique(zero)[:4].tolist()}; edgec holds -128 to 127 around 0",
                    "quantize the weights symmetrically (int8 around 0, or uint8 around 128)",
                )
            values = shifted.astype(np.int8)
        elif np.any(zero != 0) or values.dtype != np.int32:
            raise self.refuse(node, f"constants of input {index} are {values.dtype} with a zero_point", "weights are int8 or uint8, biases int32 around 0", "quantize the model with these types")
        return Weights(values, scale, axis, 8 * values.dtype.itemsize)

    def _narrow_weights(self, node: ir.Node, index: int, dequantize: ir.Node) -> Weights:
        """INT4 or UINT4 weights, their zero_points taken off: exact, since a difference of two such values is an int8."""
        try:
            values, scale, axis = int4_weights(dequantize)
        except ValueError as error:
            raise self.refuse(node, f"4-bit weights of input {index} are quantized in a way edgec does not compile", str(error), "use one scale an output channel, or 8 bits for this layer") from None
        return Weights(values, scale, axis, 4 if values.min(initial=0) >= INT4_MIN and values.max(initial=0) <= INT4_MAX else 8)

    def bias(self, node: ir.Node, index: int, scale: np.ndarray) -> np.ndarray:
        """int64 bias at `scale` (float64, one a channel); zeros where node has none."""
        if len(node.inputs) <= index or node.inputs[index] is None:
            return np.zeros(scale.shape, np.int64)
        value = node.inputs[index]
        if value.const_value is not None:
            real = value.const_value.numpy().astype(np.float64)
        else:
            stored = self.weights(node, index)
            if np.allclose(stored.scale, scale, rtol=1e-5, atol=0):
                return stored.values.astype(np.int64)
            real = stored.values.astype(np.float64) * stored.scale
        return np.rint(real / scale).astype(np.int64)

    def folded_bias(self, node: ir.Node, index: int, scale: np.ndarray, zero_point: int, row_sums: np.ndarray) -> np.ndarray:
        """int32 bias with −zero_point·Σw added, saturation refused."""
        bias = self.bias(node, index, scale) - zero_point * row_sums.astype(np.int64)
        if np.any(np.abs(bias) > numerics.INT32_MAX):
            raise self.refuse(node, "a bias does not fit int32", f"largest is {np.abs(bias).max()} in units of the accumulator", "the weights of that channel are far too small for its bias: use a larger weight scale")
        return bias.astype(np.int32)

    def result(self, node: ir.Node) -> Result:
        """Follow the output of node through a fused Relu or Clip to its QuantizeLinear."""
        value, low, high = node.outputs[0], -np.inf, np.inf
        while True:
            users = [use.node for use in value.uses()]
            if len(users) == 1 and users[0].op_type in ("Relu", "Clip") and not value.is_graph_output():
                bounds = (0.0, np.inf) if users[0].op_type == "Relu" else self.clip_bounds(users[0])
                low, high = max(low, bounds[0]), min(high, bounds[1])
                self.done.add(users[0])
                value = users[0].outputs[0]
                continue
            break
        quantizers = [n for n in users if n.op_type == QUANTIZE]
        if not quantizers or len(quantizers) != len(users) or value.is_graph_output():
            raise self.refuse(node, "the output is not quantized", "it does not end in QuantizeLinear, and edgec never falls back to float", "quantize this tensor, or let edgec quantize the float model")
        parameters = {(*self.quantization(n), self.bits(n)) for n in quantizers}
        if len(parameters) > 1:
            raise self.refuse(node, "the output is quantized in two ways", f"scale, zero_point and bits: {sorted(parameters)}", "use one QuantizeLinear for a tensor")
        scale, zero_point, bits = parameters.pop()
        if bits == 16 and node.op_type not in WIDE_OPERATORS:
            raise self.refuse(node, f"{node.op_type} to 16 bits is not supported", f"its QuantizeLinear gives int16, which {', '.join(WIDE_OPERATORS)} give", "quantize this tensor to 8 bits")
        clamp = [int(np.clip(np.rint(b / scale) + zero_point, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)) for b in (low, high)]
        return Result(value.name or node.name, value, dims(value), scale, zero_point, *clamp, bits)

    def clip_bounds(self, node: ir.Node) -> tuple[float, float]:
        bounds = [-np.inf, np.inf]
        for i in (1, 2):
            if len(node.inputs) > i and node.inputs[i] is not None:
                constant = self.constant(node.inputs[i])
                if constant is None:
                    raise self.refuse(node, "Clip with bounds that are not constant", f"input {i} is computed", "use constant bounds")
                bounds[i - 1] = float(constant)
        return bounds[0], bounds[1]

    def constant(self, value: ir.Value) -> np.ndarray | None:
        """A float constant, plain or behind DequantizeLinear; None for anything computed."""
        if value.const_value is not None:
            return value.const_value.numpy()
        producer = value.producer()
        if producer is not None and producer.op_type == DEQUANTIZE and all(v.const_value is not None for v in producer.inputs[:2]):
            if producer.inputs[1].const_value.size != 1:
                return self._dequantized_channels(producer)
            scale, zero_point = self.quantization(producer)
            return (self._as_int8(producer.inputs[0].const_value.numpy()).astype(np.float64) - zero_point) * scale
        return None

    @staticmethod
    def _dequantized_channels(node: ir.Node) -> np.ndarray:
        """A constant behind a per-channel DequantizeLinear, in float64."""
        values, scale = node.inputs[0].const_value.numpy(), node.inputs[1].const_value.numpy().astype(np.float64)
        zero = node.inputs[2].const_value.numpy().astype(np.float64) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(scale.shape)
        shape = [1] * values.ndim
        shape[node.attributes.get_int("axis", 1) % values.ndim] = -1
        return (values.astype(np.float64) - zero.reshape(shape)) * scale.reshape(shape)

    def quantization(self, node: ir.Node) -> tuple[float, int]:
        """(scale, zero_point as int8) of a per-tensor QuantizeLinear or DequantizeLinear; uint8 is int8 shifted by 128."""
        scale = node.inputs[1].const_value
        zero = node.inputs[2] if len(node.inputs) > 2 else None
        stored = None if zero is None else zero.const_value
        if scale is None or scale.size != 1 or zero is not None and stored is None:
            raise self.refuse(node, f"{node.op_type} is not per tensor", "activations need one constant scale and one constant zero_point", "quantize activations per tensor")
        kind = np.dtype(np.uint8) if stored is None else stored.numpy().dtype
        if kind not in (np.int8, np.uint8, np.int16):
            raise self.refuse(node, f"{node.op_type} to {kind}", "activations are int8, uint8 or int16", "quantize activations to 8 bits")
        zero_point = 0 if stored is None else int(stored.numpy().reshape(()))
        if kind == np.int16 and zero_point != 0:
            raise self.refuse(node, f"{node.op_type} to int16 with a zero_point", f"it is {zero_point}; edgec's int16 activations have none", "quantize this tensor symmetrically")
        return float(scale.numpy().reshape(())), zero_point - 128 if kind == np.uint8 else zero_point

    @staticmethod
    def bits(node: ir.Node) -> int:
        """Of what a QuantizeLinear gives or a DequantizeLinear takes: 8 or 16."""
        stored = node.inputs[2].const_value if len(node.inputs) > 2 and node.inputs[2] is not None else None
        return 16 if stored is not None and stored.numpy().dtype == np.int16 else 8

    def tensor(self, name: str, shape: tuple[int, ...], scale: float, zero_point: int, dtype: str = "int8") -> Tensor:
        """A new program tensor; the name is shortened and made unique."""
        unique = _unique(name, self.tensors)
        self.tensors[unique] = Tensor(unique, tuple(shape), dtype, scale, zero_point)
        return self.tensors[unique]

    def output(self, result: Result, order: Sequence[int]) -> Tensor:
        """The program tensor of a result whose bytes will lie in `order`; later nodes see it at once."""
        tensor = self.tensor(result.name, tuple(result.shape[a] for a in order), result.scale, result.zero_point, f"int{result.bits}")
        self.views[result.value] = View(tensor, result.shape, tuple(order))
        return tensor

    def output_indices(self, node: ir.Node, shape: tuple[int, ...], order: Sequence[int]) -> Tensor:
        """The int32 tensor of a node that gives indices, not numbers of a scale; its bytes will lie in `order`."""
        named = self.tensor(node.outputs[0].name or node.name, tuple(shape[a] for a in order), 1.0, 0)
        self.tensors[named.name] = tensor = replace(named, dtype="int32")
        self.views[node.outputs[0]] = View(tensor, shape, tuple(order))
        return tensor

    def output_like(self, result: Result, view: View) -> Tensor:
        """The program tensor of a result that lies byte by byte as `view` does."""
        tensor = self.tensor(result.name, view.tensor.shape, result.scale, result.zero_point)
        flattened = replace(view.flattened, tensor=tensor) if view.flattened else None
        self.views[result.value] = replace(view, tensor=tensor, flattened=flattened)
        return tensor

    def output_moved(self, node: ir.Node, view: View, shape: tuple[int, ...], order: Sequence[int]) -> Tensor:
        """The program tensor of an operator that changes no number: the scale of its input, another shape."""
        tensor = self.tensor(node.outputs[0].name or node.name, tuple(shape[a] for a in order), view.tensor.scale, view.tensor.zero_point)
        self.views[node.outputs[0]] = View(tensor, tuple(shape), tuple(order))
        return tensor

    def emit(self, opcode: str, name: str, inputs: Sequence[Tensor], output: Tensor, attrs: dict[str, int], constants: Sequence[np.ndarray] = ()) -> None:
        """Append one operator; constants in order of its roles."""
        operator, unique = OPERATORS[opcode], _unique(name, {op.name for op in self.ops})
        op = Op(opcode, unique, tuple(t.name for t in inputs), (output.name,), tuple(f"{unique}.{role}" for role in operator.roles), attrs)
        if "int16" in (output.dtype, *(t.dtype for t in inputs)) and (*operator.input_dtypes(op), operator.output_dtype_of(op)) != (*(t.dtype for t in inputs), output.dtype):
            why = f"it becomes {opcode}, which reads {', '.join(operator.input_dtypes(op))} and gives {operator.output_dtype_of(op)}"
            raise ModelError("an operator of 16 bits is not supported in this form", where=f"node {name}", why=why, fix="quantize what it reads and gives to 8 bits")
        for name, dtype, data in zip(op.constants, operator.constant_dtypes(op), constants, strict=True):
            self.constants[name] = Constant(name, data, dtype)
        self.ops.append(op)

    # --- the walk ---------------------------------------------------------------------------------------------------------

    def walk(self) -> Program:
        regions = find_regions(self.model.graph, self.constant)
        for node in self.model.graph:
            if node in self.done or node.outputs and node.outputs[0] in regions.inside:
                continue
            region = regions.ending.get(node)
            if region is not None and (len(region.nodes) > 1 or node.op_type == "PRelu"):
                self._table_of(region)
            elif node.op_type == QUANTIZE:
                self._quantize(node)
            elif node.op_type == DEQUANTIZE:
                self._dequantize(node)
            else:
                ONNX_OPERATORS[node.op_type](self, node)
        inputs = tuple(self._input_port(value) for value in self.model.graph.inputs)
        outputs = tuple(self._output_port(value) for value in self.model.graph.outputs)
        program = Program(self.model.graph.name or "model", self.tensors, self.constants, tuple(self.ops), inputs, outputs)
        return program.with_ops(program.ops)

    def _table_of(self, region: Region) -> None:
        """Several nodes that are one function of one activation: one lookup."""
        last = region.nodes[-1]
        if region.source not in self.views:
            raise self.refuse(last, f"{region.source.name} is not a quantized activation", "the nodes before it do not come from DequantizeLinear", "quantize this tensor, or let edgec quantize the float model")
        self._require_readable(last, self.views[region.source])
        lower_table(self, last, self.views[region.source], *region.functions(self.constant))

    def _quantize(self, node: ir.Node) -> None:
        scale, zero_point = self.quantization(node)
        view = self.activation(node, 0)
        if "int16" in (view.tensor.dtype, f"int{self.bits(node)}"):
            view = self._rescale_wide(view, scale, zero_point, self.bits(node), node)
        elif (view.tensor.scale, view.tensor.zero_point) != (scale, zero_point):
            view = self.rescale(view, scale, zero_point, node)
        self.views[node.outputs[0]] = view

    def _open_input(self, value: ir.Value) -> None:
        """Give a graph input its tensor, quantized as the first QuantizeLinear that it reaches through layout operators says
        (DequantizeLinear where the input is 8-bit already)."""
        ahead = [value]
        while ahead:
            seen = ahead.pop(0)
            for use in seen.uses():
                if use.node.op_type in (QUANTIZE, DEQUANTIZE):
                    scale, zero_point = self.quantization(use.node)
                    shape = dims(value)
                    tensor = self.tensor(value.name or "input", shape, scale, zero_point, f"int{self.bits(use.node)}")
                    self.input_orders[tensor.name] = tuple(range(len(shape)))
                    self.views[value] = View(tensor, shape, tuple(range(len(shape))))
                    return
                if use.node.op_type in ONNX_LAYOUT:
                    ahead.append(use.node.outputs[0])

    def rescale(self, view: View, scale: float, zero_point: int, node: ir.Node, clamp: tuple[int, int] = (-128, 127)) -> View:
        """The same numbers under another scale: a lookup."""
        tensor = self.tensor(f"{view.tensor.name}.rescaled", view.tensor.shape, scale, zero_point)
        table = numerics.rescale_table(view.tensor.scale, view.tensor.zero_point, scale, zero_point, *clamp)
        self.emit("lookup", f"{node.name}.rescale", [view.tensor], tensor, {"count": tensor.size}, [table])
        flattened = replace(view.flattened, tensor=tensor) if view.flattened else None
        return replace(view, tensor=tensor, flattened=flattened)

    def _rescale_wide(self, view: View, scale: float, zero_point: int, bits: int, node: ir.Node) -> View:
        """The same numbers with another scale, from or to 16 bits; the view itself where nothing changes."""
        before = view.tensor
        if (before.dtype, before.scale, before.zero_point) == (f"int{bits}", scale, zero_point):
            return view
        tensor = self.tensor(f"{before.name}.rescaled", before.shape, scale, zero_point, f"int{bits}")
        self.emit("rescale_s16", f"{node.name}.rescale", [before], tensor, rescale_attributes(before, tensor))
        flattened = replace(view.flattened, tensor=tensor) if view.flattened else None
        return replace(view, tensor=tensor, flattened=flattened)

    def _dequantize(self, node: ir.Node) -> None:
        if node.inputs[0].const_value is not None:
            return  # a constant: read where it is used
        view = self.activation(node, 0)
        if (view.tensor.scale, view.tensor.zero_point) != self.quantization(node) or view.tensor.dtype != f"int{self.bits(node)}":
            raise self.refuse(node, "DequantizeLinear differs from its QuantizeLinear", f"{self.quantization(node)} against {(view.tensor.scale, view.tensor.zero_point)}", "use the same scale and zero_point on both")
        self.views[node.outputs[0]] = view

    def _is_unread_input(self, view: View) -> bool:
        """Whether view is a graph input in its own order that no operator has read and nothing has reshaped."""
        name = view.tensor.name
        return (
            name in self.input_orders
            and view.order == tuple(range(len(view.shape)))
            and not any(name in op.inputs for op in self.ops)
            and all(other == view for other in self.views.values() if other.tensor.name == name)
        )

    def _input_port(self, value: ir.Value) -> Port:
        if value not in self.views:
            raise ModelError(f"input {value.name!r} is not quantized", where="graph inputs", why="it does not go into QuantizeLinear", fix="quantize the input, or let edgec quantize the float model")
        tensor = self.views[value].tensor
        order = self.input_orders[tensor.name]
        return Port(value.name or "input", tensor.name, dims(value), None if order == tuple(range(len(order))) else order)

    def _output_port(self, value: ir.Value) -> Port:
        if value not in self.views:
            raise ModelError(f"output {value.name!r} is not quantized", where="graph outputs", why="it does not come from QuantizeLinear or DequantizeLinear", fix="quantize the output, or let edgec quantize the float model")
        view = self.views[value]
        if view.flattened is not None:
            producer = value.producer()
            assert producer is not None
            view = self.arrange(view, range(len(view.shape)), producer)
        identity = tuple(range(len(view.shape)))
        return Port(value.name or "output", view.tensor.name, view.shape, None if view.real_order == replace(view, order=identity).real_order else view.order)


def _unique(name: str, taken: Container[str]) -> str:
    """A name for the program: fused exporter names ("a/b;c/d:0") cut to their first part, since names cost flash."""
    short = name.split(";")[0].removesuffix(":0")[-NAME_LENGTH:]
    unique, n = short, 1
    while unique in taken:
        unique, n = f"{short}.{n}", n + 1
    return unique


def lower(model: ir.Model) -> Program:
    """Lower a QDQ model (static shapes, constants folded) to the integer program.

    Raises:
        ModelError: a tensor is not quantized, or an operator is used in a way edgec does not compile: which and why.
    """
    return Lowering(model).walk()
