"""Float rewrites: each pass is Model → Model, states what it needs and what it leaves, and changes no result beyond float32 rounding.

The order is the tuple below; `optimize` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from edgec.errors import UsageError
from edgec.graph.decompose_lrn import decompose_lrn
from edgec.graph.decompose_norms import decompose_norms
from edgec.graph.decompose_reductions import decompose_reductions
from edgec.graph.edit import NOTE
from edgec.graph.eliminate_identities import eliminate_identities
from edgec.graph.fold_batch_norm import fold_batch_norm
from edgec.graph.fold_channel_constants import fold_channel_constants
from edgec.graph.fold_pad import fold_pad
from edgec.graph.fuse_matmul_add import fuse_matmul_add
from edgec.graph.macs import count_macs
from edgec.graph.remove_constant_channels import remove_constant_channels
from edgec.graph.split_sums import split_sums

PASSES: tuple[Callable[[ir.Model], ir.Model], ...] = (
    eliminate_identities,
    split_sums,
    decompose_norms,
    decompose_reductions,
    decompose_lrn,
    fuse_matmul_add,
    fold_batch_norm,
    fold_channel_constants,
    fold_pad,
    remove_constant_channels,
)

__all__ = ["PASSES", "count_macs", "optimize"]


def optimize(model: ir.Model, *, skip: Sequence[str] = ()) -> tuple[ir.Model, dict[str, int]]:
    """A copy of model after all passes, and what they did: counters by name, such as channels_removed.

    Args:
        model: static shapes and folded constants (importer.import_model); it is not changed.
        skip: names of passes to leave out.

    Raises:
        UsageError: skip names no pass.
    """
    names = [rewrite.__name__ for rewrite in PASSES]
    for name in skip:
        if name not in names:
            raise UsageError(
                f"unknown pass {name!r}", where="skip_passes", why=f"the passes are {', '.join(names)}", fix="use one of these names"
            )
    model = model.clone()
    for rewrite in PASSES:
        if rewrite.__name__ not in skip:
            model = rewrite(model)
    return model, {k.removeprefix(NOTE): int(v) for k, v in model.metadata_props.items() if k.startswith(NOTE)}
