"""An integer program as an int8 .tflite, for peers: the same shapes and weights, their arithmetic (bytes are not compared).

Only what the networks of bench/large.py hold: convolutions, dense, additions, pooling. Uses the schema that ai-edge-litert ships.
"""

from __future__ import annotations

import numpy as np

from edgec.ir.core import Op, Program


def to_tflite(program: Program) -> bytes:
    """The bytes of the model. Weight scales are chosen so that s_x·s_w/s_y is each channel's factor in the program."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as s

    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    model.buffers = [s.BufferT()]
    graph.tensors, graph.operators = [], []
    index: dict[str, int] = {}
    scales = {name: (t.scale, t.zero_point) for name, t in program.tensors.items()}
    for op in program.ops:
        if op.opcode.endswith("pool2d"):  # one quantization on both sides
            scales[op.outputs[0]] = scales[op.inputs[0]]

    def tensor(name: str, shape, kind: int, scale, zero, axis: int = 0, data: np.ndarray | None = None) -> int:
        t, q = s.TensorT(), s.QuantizationParametersT()
        q.scale, q.zeroPoint, q.quantizedDimension = np.atleast_1d(np.float32(scale)).tolist(), np.atleast_1d(zero).tolist(), axis
        t.name, t.shape, t.type, t.quantization, t.buffer = name, list(shape), kind, q, 0
        if data is not None:
            b = s.BufferT()
            b.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            model.buffers.append(b)
            t.buffer = len(model.buffers) - 1
        graph.tensors.append(t)
        index[name] = len(graph.tensors) - 1
        return index[name]

    for name, t in program.tensors.items():
        tensor(name, t.shape, s.TensorType.INT8, *scales[name])

    def add_operator(builtin: int, kind: int, options, inputs: list[int], outputs: list[int]) -> None:
        codes = [c.builtinCode for c in model.operatorCodes]
        if builtin not in codes:
            code = s.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 3
            model.operatorCodes.append(code)
            codes.append(builtin)
        o = s.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs, o.builtinOptionsType, o.builtinOptions = codes.index(builtin), inputs, outputs, kind, options
        graph.operators.append(o)

    def padding(a) -> int:
        same = -(-a["in_h"] // a["stride_h"]) == a["out_h"] and -(-a["in_w"] // a["stride_w"]) == a["out_w"]
        return s.Padding.SAME if same else s.Padding.VALID

    def constants(op: Op, weights: np.ndarray, axis: int) -> list[int]:
        a = op.attrs
        _, bias, multiplier = program.values(op)
        scale_x, scale_y = scales[op.inputs[0]][0], scales[op.outputs[0]][0]
        scale_w = np.maximum(multiplier, 2).astype(np.float64) * 2.0 ** (a["shift"] - 32) * scale_y / scale_x
        zeros = np.zeros(len(scale_w), np.int64)
        w = tensor(f"{op.name}.w", weights.shape, s.TensorType.INT8, scale_w, zeros, axis, weights)
        b = tensor(f"{op.name}.b", bias.shape, s.TensorType.INT32, scale_w * scale_x, zeros, 0, bias)
        return [index[op.inputs[0]], w, b]

    for op in program.ops:
        a, outputs = op.attrs, [index[t] for t in op.outputs]
        if op.opcode == "conv2d":
            o = s.Conv2DOptionsT()
            o.padding, o.strideH, o.strideW, o.dilationHFactor, o.dilationWFactor = padding(a), a["stride_h"], a["stride_w"], 1, 1
            add_operator(s.BuiltinOperator.CONV_2D, s.BuiltinOptions.Conv2DOptions, o, constants(op, program.values(op)[0], 0), outputs)
        elif op.opcode == "depthwise_conv2d":
            o = s.DepthwiseConv2DOptionsT()
            o.padding, o.strideH, o.strideW, o.depthMultiplier, o.dilationHFactor, o.dilationWFactor = padding(a), a["stride_h"], a["stride_w"], 1, 1, 1
            add_operator(s.BuiltinOperator.DEPTHWISE_CONV_2D, s.BuiltinOptions.DepthwiseConv2DOptions, o, constants(op, program.values(op)[0][None], 3), outputs)
        elif op.opcode == "dense":
            add_operator(s.BuiltinOperator.FULLY_CONNECTED, s.BuiltinOptions.FullyConnectedOptions, s.FullyConnectedOptionsT(), constants(op, program.values(op)[0], 0), outputs)
        elif op.opcode == "add":
            add_operator(s.BuiltinOperator.ADD, s.BuiltinOptions.AddOptions, s.AddOptionsT(), [index[t] for t in op.inputs], outputs)
        elif op.opcode in ("average_pool2d", "max_pool2d"):
            o = s.Pool2DOptionsT()
            o.padding, o.strideH, o.strideW, o.filterHeight, o.filterWidth = s.Padding.VALID, a["stride_h"], a["stride_w"], a["kernel_h"], a["kernel_w"]
            builtin = s.BuiltinOperator.AVERAGE_POOL_2D if op.opcode == "average_pool2d" else s.BuiltinOperator.MAX_POOL_2D
            add_operator(builtin, s.BuiltinOptions.Pool2DOptions, o, [index[op.inputs[0]]], outputs)
        else:
            raise ValueError(f"bench/tflite.py writes no {op.opcode}")
    graph.inputs, graph.outputs = [index[p.tensor] for p in program.inputs], [index[p.tensor] for p in program.outputs]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
