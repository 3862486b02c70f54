"""A backend that differs from the interpreter by one constant is found, and the message says where: layer, index, both bytes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import edgec
from edgec import run
from edgec.artifact import Artifact
from tests.models import compiled, network


def with_another_bias(artifact: Artifact, layer: int) -> Artifact:
    """The same bytes for host and device, but the interpreter's program has another bias in one channel of `layer`."""
    altered = Artifact(artifact.data)
    op = altered.program.ops[layer]
    bias = altered.program.constants[op.constants[1]]
    data = bias.data.copy()
    data[3] += 40_000
    constants = {**altered.program.constants, bias.name: replace(bias, data=data)}
    altered.program = replace(altered.program, constants=constants)
    return altered


@pytest.mark.parametrize("on", ["host", "runtime", "c"])
def test_a_mismatch_names_layer_index_and_bytes(on, needs_target):
    artifact = compiled("digits", "generic-c" if on == "host" else "cortex-m4")
    if on != "host":
        needs_target("cortex-m4")
    layer = [i for i, op in enumerate(artifact.program.ops) if op.opcode == "conv2d"][1]
    x = artifact.quantize_input(network("digits").samples[:20])
    with pytest.raises(edgec.MismatchError) as caught:
        run.compare(with_another_bias(artifact, layer), x, on="host" if on == "host" else "qemu", engine="runtime" if on == "host" else on)
    found = re.fullmatch(r"layer (\d+) \((\S+), conv2d\), byte (\d+): (-?\d+) instead of (-?\d+)", caught.value.where)
    assert found, caught.value.where
    channels = artifact.program.ops[layer].attrs["out_c"]
    assert int(found[1]) == layer and found[2] == artifact.program.ops[layer].name and int(found[3]) % channels == 3
    assert found[4] != found[5] and caught.value.exit_code == 8
    assert run.compare(artifact, x[:2]) == 2 * np.size(artifact.run(x[:1]))
