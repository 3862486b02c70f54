"""Matrix products whose sums are made in one order, whatever the number of threads of a BLAS: scales and roundings depend on them."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx_ir as ir
import onnxruntime

from edgec.compress.float_run import make_session


def rows_product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ over rows of x [groups, rows, a] times y [groups, rows, b]: float32 [groups, a, b]."""
    return _session().run(None, {"x": x, "y": y})[0]


@cache
def _session() -> onnxruntime.InferenceSession:
    def value(name: str, *shape: str) -> ir.Value:
        return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))

    x, y = value("x", "G", "N", "A"), value("y", "G", "N", "B")
    turned = ir.Node("", "Transpose", [x], ir.convenience.convert_attributes({"perm": [0, 2, 1]}), outputs=[value("t", "G", "A", "N")])
    product = ir.Node("", "MatMul", [turned.outputs[0], y], outputs=[value("z", "G", "A", "B")])
    graph = ir.Graph([x, y], product.outputs, nodes=[turned, product], opset_imports={"": 18}, name="product")
    return make_session(ir.Model(graph, ir_version=10), arena=False)
