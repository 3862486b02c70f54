"""The last bits of the weights, learned: the quantized network is trained towards the float one while its weights settle on integers.

The closed form (`second_order`, `low_bits`) makes each layer's output right; what arrives at the network's outputs is another matter, which
gradients know. The training is that of `distillation`, and its torch is needed for it.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from edgec.compress.report import Rung
from edgec.compress.splits import Split
from edgec.progress import Progress

STEPS, BATCH = 2000, 32


def learn_rounding(quantized: ir.Model, exact: ir.Model, split: Split, progress: Progress | None = None) -> tuple[ir.Model, Rung]:
    """The QDQ model with weights and biases learned on the fit part, or as it was if that is no better on the select part.

    Args:
        exact: the float model that `quantized` was made from, values of the same names.

    Raises:
        ToolError: torch is not installed. ModelError: an operator that cannot be trained.
    """
    from edgec import importer
    from edgec.compress.distillation import distill

    made, report = distill(
        importer.fold(quantized), exact, split.source, steps=STEPS, batch=BATCH, augment="mixup", learned_rounding="all", progress=progress
    )
    first, *later = (max(loss, 1e-20) for _, loss in report["loss"]["select"])
    return made, Rung("learned rounding", report["select"]["sqnr_db"], 10 * math.log10(first / min(later)), 0.0, min(later) < first)
