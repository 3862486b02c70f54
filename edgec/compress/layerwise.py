"""The walk that quantizes layer by layer: float network and quantized network side by side on a few samples.

Each layer sees what the layers before it really do after quantization, so later layers make up for earlier ones: second-order
rounding uses those inputs, and the bias takes the remaining difference of the means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from edgec.compress import _hotloops, low_bits
from edgec.compress import second_order as so
from edgec.compress.node_runner import NodeRunner
from edgec.compress.placement import Placement, group_count
from edgec.compress.ranges import Quantization
from edgec.compress.report import LayerReport, sqnr_db
from edgec.compress.weights import (
    LayerWeights,
    as_rows,
    bias_scale,
    channel_scales,
    from_rows,
    grid_of,
    round_bias,
    round_nearest,
    smallest_scales,
)
from edgec.compress.wide import reads_wide
from edgec.graph.channel_affine import weights_and_bias
from edgec.graph.edit import constant, is_op, set_constant_input, sole_consumer
from edgec.progress import Progress


@dataclass(frozen=True)
class LayerOptions:
    """rounding: "nearest" or "second_order"; search: MSE-optimal weight scales; bits: of the weights of the layers named, 8 of the others.

    With second-order rounding and any layer of 4 bits, all layers are solved anew for the inputs they get: `low_bits`. metrics: of the
    layers named, whose rows are then rounded together (`output_metrics`).
    """

    rounding: str = "second_order"
    search: bool = True
    bias_correction: bool = True
    bits: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, np.ndarray] = field(default_factory=dict)

    def bits_of(self, node: ir.Node) -> int:
        return self.bits.get(layer_name(node), 8)

    @property
    def refit(self) -> bool:
        return self.rounding == "second_order" and any(b < 8 for b in self.bits.values())


@dataclass
class Walk:
    """Results: weights of each layer, a report of each, and stacked (float, quantized) arrays of the values asked for.

    instead: weights of each layer by other options, for the same inputs, where they were asked for.
    """

    weights: dict[ir.Node, LayerWeights]
    layers: list[LayerReport]
    kept: dict[ir.Value, tuple[np.ndarray, np.ndarray]]
    instead: dict[ir.Node, LayerWeights] = field(default_factory=dict)


def layer_name(node: ir.Node) -> str:
    """What reports and options call a layer."""
    return node.name or node.outputs[0].name


def fake_quantize(x: np.ndarray, parameters: Quantization) -> np.ndarray:
    """float32 x through QuantizeLinear and DequantizeLinear."""
    x = np.ascontiguousarray(x, np.float32)
    if parameters.bits == 16:
        scale = np.float32(parameters.scale)
        return np.clip(np.rint(x / scale), -32768, 32767).astype(np.float32) * scale
    out = np.empty_like(x)
    _hotloops.fake_quantize(x.reshape(-1), out.reshape(-1), parameters.scale, parameters.zero_point)
    return out


class _Reads:
    """How often each value of a graph is still to be read, in a walk over its nodes."""

    def __init__(self, graph: ir.Graph) -> None:
        self.left = {v: len(list(v.uses())) for n in graph for v in n.inputs if v is not None}

    def after(self, node: ir.Node) -> list[ir.Value]:
        """What is never read again, once node has read its inputs."""
        values = dict.fromkeys(v for v in node.inputs if v is not None)
        for value in values:
            self.left[value] -= sum(v is value for v in node.inputs)
        return [v for v in values if self.left[v] <= 0]


class LayerwiseQuantizer:
    """Sessions of the nodes of a graph, kept from walk to walk. probes: input name → float32 [samples, *shape]."""

    def __init__(self, model: ir.Model, placement: Placement, probes: Mapping[str, np.ndarray]) -> None:
        self.model, self.placement, self.probes = model, placement, probes
        self.layers = set(placement.layers)
        opset = model.opset_imports.get("", 18)
        self.runners = {n: NodeRunner(n, opset, variable=(1, 2) if n in self.layers else ()) for n in model.graph}

    def walk(
        self,
        parameters: Mapping[ir.Value, Quantization],
        options: LayerOptions,
        keep: tuple[ir.Value, ...] = (),
        fit: slice | np.ndarray = slice(None),
        progress: Progress | None = None,
        instead: LayerOptions | None = None,
    ) -> Walk:
        """Quantize every layer in order.

        Args:
            parameters: of each value in the placement's groups.
            fit: the probes that rounding and biases are fitted to; all of them run through the network.
            instead: options by which every layer is solved once more, without effect on the layers behind it.
        """
        _hotloops.trim_heap()
        result = Walk({}, [], {})
        exact: dict[ir.Value, np.ndarray] = {}
        rounded: dict[ir.Value, np.ndarray] = {}
        for value in self.model.graph.inputs:
            exact[value] = self.probes[value.name]
            rounded[value] = self._round(value, exact[value], parameters)
        reads = _Reads(self.model.graph)
        nodes = list(self.model.graph)
        for done, node in enumerate(nodes, 1):
            if progress is not None:
                progress("quantize", done / len(nodes))
            read = reads.after(node)
            outputs = self.run(node, exact, self.constants(node))
            for value in read:  # before the other arrays are made
                exact.pop(value, None)
            if node in self.layers:
                approximations = [self._layer(node, outputs[0], exact, rounded, parameters, options, fit, result)]
                if instead is not None:
                    result.instead[node] = self._solve(node, outputs[0], exact, rounded, parameters, instead, fit)[0]
            else:
                approximations = self.run(node, self._as_read(node, rounded, parameters))
            for value, a, b in zip(node.outputs, outputs, approximations, strict=True):
                exact[value], rounded[value] = a, self._round(value, b, parameters)
                if value in keep:
                    result.kept[value] = (a, rounded[value])
            for value in read:
                rounded.pop(value, None)
        return result

    def _round(self, value: ir.Value, x: np.ndarray, parameters: Mapping[ir.Value, Quantization]) -> np.ndarray:
        return fake_quantize(x, parameters[value]) if value in self.placement.groups else x

    def _as_read(self, node: ir.Node, rounded: Mapping[ir.Value, np.ndarray], parameters: Mapping[ir.Value, Quantization]):
        """rounded, with values of 16 bits rounded to 8 where node knows only those."""
        wide = [v for v in node.inputs if v in parameters and parameters[v].bits == 16]
        if not wide or reads_wide(node, self.placement):
            return rounded
        return {**rounded, **{v: fake_quantize(rounded[v], parameters[v].narrow) for v in wide}}

    def run(self, node: ir.Node, arrays: Mapping[ir.Value, np.ndarray], constants: tuple[np.ndarray, ...] = ()) -> list[np.ndarray]:
        """All outputs of node, of stacked samples."""
        runner = self.runners[node]
        return runner([arrays[v] for v in runner.fed if v in arrays], constants)

    def constants(self, node: ir.Node) -> tuple[np.ndarray, ...]:
        """float32 weights and bias of a layer, as its session takes them; of other nodes nothing."""
        return tuple(a.astype(np.float32) for a in weights_and_bias(node)) if node in self.layers else ()

    def _layer(self, node, wanted: np.ndarray, exact, rounded, parameters, options: LayerOptions, fit, result: Walk) -> np.ndarray:
        """As _solve, its output alone; weights and report go into result."""
        weights, _ = weights_and_bias(node)
        layer, approximation = self._solve(node, wanted, exact, rounded, parameters, options, fit)
        result.weights[node] = layer
        result.layers.append(
            LayerReport(
                layer_name(node), node.op_type, sqnr_db(weights, layer.real()), sqnr_db(wanted, approximation),
                float(layer.scale.min()), float(layer.scale.max()), layer.bits,
            )  # fmt: skip
        )
        assert layer.q.shape == weights.shape
        return approximation

    def _solve(
        self, node, wanted: np.ndarray, exact, rounded, parameters, options: LayerOptions, fit: slice | np.ndarray
    ) -> tuple[LayerWeights, np.ndarray]:
        """Integers for one layer, and its output in the quantized network; wanted [samples, batch, channels, …] is the float one."""
        weights, bias = weights_and_bias(node)
        x, y, bits = parameters[node.inputs[0]], self._output_parameters(node, parameters), options.bits_of(node)
        if options.refit and not is_op(node, "ConvTranspose"):
            wanted = self._with_missing_sum(node, wanted, exact, rounded)
            layer = _solve_weights(node, weights, bias, rounded[node.inputs[0]][fit], wanted[fit], x, y, bits, options.metrics.get(layer_name(node)))
        else:
            layer = _round_weights(node, weights, bias, rounded[node.inputs[0]][fit], x, y, options, bits)
        (approximation,) = self.run(node, rounded, (layer.real(), _real_bias(layer, x)))
        if options.bias_correction:
            axes = tuple(i for i in range(wanted.ndim) if i != 2)  # [samples, batch, channels, …]
            missing = (wanted[fit] - approximation[fit]).mean(axis=axes, dtype=np.float64)
            step = bias_scale(x, layer.scale).astype(np.float64)
            bias_q = round_bias(layer.bias * step + missing, x, layer.scale)
            approximation += ((bias_q - layer.bias) * step).astype(np.float32).reshape(-1, *(1,) * (wanted.ndim - 3))
            layer = replace(layer, bias=bias_q)
        return layer, approximation

    def replay(
        self, parameters: Mapping[ir.Value, Quantization], weights: Mapping[ir.Node, LayerWeights], keep: tuple[ir.Value, ...], part: slice | np.ndarray
    ) -> dict[ir.Value, np.ndarray]:
        """The values asked for, of the quantized network with given weights, on a part of the probes."""
        arrays = {v: self._round(v, self.probes[v.name][part], parameters) for v in self.model.graph.inputs}
        reads = _Reads(self.model.graph)
        for node in self.model.graph:
            layer = weights.get(node)
            outputs = self.run(node, arrays, () if layer is None else (layer.real(), _real_bias(layer, parameters[node.inputs[0]])))
            for value, array in zip(node.outputs, outputs, strict=True):
                arrays[value] = self._round(value, array, parameters)
            for value in reads.after(node):
                if value not in keep:
                    arrays.pop(value, None)
        return {value: arrays[value] for value in keep}

    def _with_missing_sum(self, node: ir.Node, wanted: np.ndarray, exact: Mapping, rounded: Mapping) -> np.ndarray:
        """What node should give where only an Add reads it: the error of the other summand too, so that the sum is right."""
        reader = sole_consumer(node.outputs[0])
        if not is_op(reader, "Add"):
            return wanted
        other = reader.inputs[1 if reader.inputs[0] is node.outputs[0] else 0]
        if other not in exact or exact[other].shape != wanted.shape:  # not computed yet: then the other one sees our error
            return wanted
        return wanted + (exact[other] - rounded[other])

    def _output_parameters(self, node: ir.Node, parameters: Mapping[ir.Value, Quantization]) -> Quantization | None:
        """Of the value behind node, or behind the activation that is fused into it."""
        value = node.outputs[0]
        while value in self.placement.fused:
            value = next(iter(value.uses()))[0].outputs[0]
        return parameters.get(value)


def _real_bias(layer: LayerWeights, x: Quantization) -> np.ndarray:
    """float32 bias as DequantizeLinear gives it."""
    return (layer.bias * bias_scale(x, layer.scale).astype(np.float64)).astype(np.float32)


def _round_weights(
    node: ir.Node,
    weights: np.ndarray,
    bias: np.ndarray,
    rounded: np.ndarray,
    x: Quantization,
    y: Quantization | None,
    options: LayerOptions,
    bits: int,
) -> LayerWeights:
    rows = as_rows(weights, node)
    groups, transposed = group_count(node), is_op(node, "ConvTranspose")
    floor = smallest_scales(bias, x, y)
    statistics = None
    if options.rounding == "second_order" and not transposed:
        statistics = so.input_statistics(rounded, node, weights.shape[2:])
    importance = np.ones_like(rows) if statistics is None else statistics.importance(len(rows) // groups) + 1e-12
    scale = channel_scales(rows, importance, floor, search=options.search, bits=bits)
    if transposed and groups > 1:
        scale = np.full_like(scale, scale.max())
    if statistics is None:
        q = round_nearest(rows, scale, bits)
    else:
        split = rows.reshape(groups, len(rows) // groups, -1)
        q = so.round_second_order(split, scale.astype(np.float64).reshape(groups, -1), statistics.covariance, grid_of(bits)).reshape(rows.shape)
    q = from_rows(q, weights.shape, node).astype(np.int8)
    return LayerWeights(q, scale, round_bias(bias, x, scale), 1 if transposed else 0, bits)


def _solve_weights(
    node: ir.Node, weights: np.ndarray, bias: np.ndarray, rounded: np.ndarray, wanted: np.ndarray, x: Quantization, y: Quantization | None, bits: int,
    metric: np.ndarray | None,
) -> LayerWeights:
    """rounded, wanted: [samples, batch, channels, …], the layer's input in the quantized network and the output it should give."""
    rows = as_rows(weights, node)
    limit = low_bits.patch_limit(group_count(node) * rows.shape[1])
    patches = so.patches(rounded, node, weights.shape[2:], group_count(node), limit)
    q, scale = low_bits.fit_layer(rows, patches, so.outputs_of_patches(wanted, limit), smallest_scales(bias, x, y), bits, metric)
    return LayerWeights(from_rows(q, weights.shape, node).astype(np.int8), scale, round_bias(bias, x, scale), 0, bits)


def ensure_bias(model: ir.Model, layers: list[ir.Node]) -> None:
    """Gives every layer a bias, which the correction needs (zeros [out_channels] where there was none)."""
    for node in layers:
        if len(node.inputs) < 3 or node.inputs[2] is None or constant(node.inputs[2]) is None:
            weights, bias = weights_and_bias(node)
            set_constant_input(node, 2, f"{node.inputs[1].name}.bias", bias)
