"""Cross-layer equalization: every channel of an activation is brought towards the same range before quantization.

An int8 activation has one scale, so a channel ten times smaller than its neighbours has a tenth of their steps. Where only
scale-free operators (Relu, pooling, sums) stand between two layers, channel c can be multiplied by f_c > 0 in the first and
divided by it in the second, and the float network stays the same (Nagel et al. 2019, arXiv:1906.04721). The first layer does
not mind, its weights have a scale for each channel; nor does a depthwise layer behind. For a dense layer behind, the small
channels' weights shrink, so it goes part of the way only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgec.graph.channel_affine import scale_input, scale_output
from edgec.graph.channels import ChannelSpaces, Place
from edgec.graph.edit import count

LARGEST_FACTOR = 64.0


def equalize(model: ir.Model, reach: Mapping[str, np.ndarray], *, dense: float = 0.5, depthwise: float = 1.0) -> ir.Model:
    """Scales channels, in place, so that their reaches come nearer to each other.

    Args:
        reach: value name → float64 [channels], how far each channel of a quantized activation reaches (calibrate.channel_reach).
        dense, depthwise: exponents; 1 makes all channels equal, 0 leaves them. `depthwise` holds where only depthwise
            layers read the activation.

    Precondition: layers have a bias. Postcondition: the same function up to float32 rounding; channels without signal stay.
    """
    channels = ChannelSpaces(model.graph, scalable=True)
    spaces = [s for s in channels.all() if not s.protected and s.producers and (s.readers or s.depthwise)]
    changed = 0
    for space in spaces:
        found = [_by_channel(reach[v.name], channels.place[v]) for v in space.values if v.name in reach and channels.place[v].axis == 1]
        if not found:
            continue
        largest = np.max([r / max(r.max(), 1e-30) for r in found], axis=0)
        exponent = dense if space.readers else depthwise
        factor = np.where(largest > 0, np.maximum(largest, 1e-30) ** -exponent, 1.0)
        factor = np.minimum(factor, LARGEST_FACTOR)
        if exponent == 0 or np.all(factor == factor[0]):
            continue
        zero = np.zeros(space.size)
        for node in space.producers:
            scale_output(node, factor, zero)
        for node in space.depthwise:
            scale_input(node, 1.0 / factor, zero)
        for node in space.readers:
            scale_input(node, np.repeat(1.0 / factor, channels.place[node.inputs[0]].repeat), zero)
        changed += 1
    count(model, "activations_equalized", changed)
    return model


def _by_channel(reach: np.ndarray, place: Place) -> np.ndarray:
    """The largest reach among the entries of each channel."""
    return reach.reshape(-1, place.repeat).max(axis=1)
