"""Groups of channels that can go together, in the order in which they should go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.pruning.reference import Reference
from edgec.compress.pruning.regression import Normal
from edgec.compress.pruning.rows import patches_at
from edgec.compress.pruning.selection import Reading, eliminate
from edgec.compress.pruning.sites import Site
from edgec.compress.pruning.walk import walk
from edgec.compress.segment import Arrays
from edgec.graph.channel_affine import weights_and_bias
from edgec.graph.channels import ChannelSpaces, Space
from edgec.graph.edit import shape_of


@dataclass(frozen=True)
class Group:
    """Channels of one space that may go. widths: allowed numbers of channels, descending, the first all of them.

    order: channels as they go, first the one that is missed least.
    """

    name: str
    space: Space
    widths: tuple[int, ...]
    order: tuple[int, ...]

    def keep(self, width: int) -> np.ndarray:
        """bool [channels]: the width channels that go last."""
        mask = np.ones(self.space.size, bool)
        mask[list(self.order[: self.space.size - width])] = False
        return mask


def prunable(channels: ChannelSpaces) -> tuple[list[Space], list[tuple[str, str]]]:
    """(spaces whose channels may go, (name, reason) of the others)."""
    free, protected = [], []
    for space in channels.all():
        reason = (
            "; ".join(space.reasons)
            or ("" if space.readers else "no layer reads them")
            or ("" if space.size > 1 else "there is one channel")
        )
        if reason:
            protected.append((name_of(space), reason))
        else:
            free.append(space)
    return free, protected


def name_of(space: Space) -> str:
    """Of the layers that make the channels."""
    return " + ".join(n.name or n.outputs[0].name or "" for n in space.producers)


def widths_of(size: int, granularity: int) -> tuple[int, ...]:
    """size and the multiples of granularity below it, descending."""
    return (size, *range((size - 1) // granularity * granularity, 0, -granularity))


def rank(
    model: ir.Model,
    channels: ChannelSpaces,
    spaces: Sequence[Space],
    sites: Sequence[Site],
    reference: Reference,
    granularity: int,
    ridge: float,
) -> list[Group]:
    """The groups of model with their channels ranked by what the layers that read them lose (`selection.eliminate`)."""
    readers = {n for s in spaces for n in s.readers}
    readings: dict[ir.Node, tuple[np.ndarray, np.ndarray, float]] = {}
    nodes = list(model.graph)

    def before(site: Site, arrays: Arrays) -> None:
        for i in site.layers:
            node = nodes[i]
            if node in readers:
                x = patches_at(arrays[node.inputs[0]][: reference.fitted], node, reference.picks)
                covariance = Normal.of(x).covariance[0]
                weights, _ = weights_and_bias(node)
                weights = weights.reshape(len(weights), -1).T
                energy = float(np.einsum("eo,ef,fo->", weights, covariance, weights, optimize=True))
                covariance += ridge * max(np.trace(covariance) / len(covariance), 1e-30) * np.eye(len(covariance))
                readings[node] = (weights, covariance, 1.0 / max(energy, 1e-30))

    walk(model, sites, reference.samples, before, batched=reference.batched)
    groups = []
    for space in spaces:
        found = []
        for node in dict.fromkeys(space.readers):
            weights, covariance, weight = readings[node]
            taps = int(np.prod(shape_of(node.inputs[1])[2:]))
            entries = channels.layout[node.inputs[0]].entries(space)
            blocks = (entries[:, :, None] * taps + np.arange(taps)).reshape(space.size, -1)
            found.append(Reading(weights, covariance, blocks, weight))
        order, _ = eliminate(found, space.size, 1)
        groups.append(Group(name_of(space), space, widths_of(space.size, granularity), tuple(order)))
    return groups
