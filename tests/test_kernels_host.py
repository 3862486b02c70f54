"""Every host tier against the interpreter: every operator's cases, and chains that exercise fusion and layouts."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import interp
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from edgec.ops.resize import axis_table
from tests import programs, wide_rows
from tests.test_host_engine import core, encode

CASES = [program for operator in OPERATORS.values() for program in operator.cases()]


def inputs_of(program: Program, kind: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    fill = {"random": lambda n: rng.integers(-128, 128, n), "least": lambda n: np.full(n, -128), "most": lambda n: np.full(n, 127)}[kind]
    return {port.tensor: fill(program.tensors[port.tensor].nbytes).astype(np.int8) for port in program.inputs}


def check(program: Program, tier: str, kind: str = "random") -> None:
    """Bytes of a run and of every operator equal the interpreter's, twice, so that nothing is left over from the first."""
    engine = core.Engine(encode(program), tier)
    for attempt in range(2):
        values = inputs_of(program, kind)
        if attempt:
            values = {k: v[::-1].copy() for k, v in values.items()}
        wanted = dict(values)
        steps = []
        for _, outputs in interp.steps(program, values):
            wanted.update(outputs)
            steps.append(next(iter(outputs.values())))
        got = [np.zeros(program.tensors[port.tensor].nbytes, np.int8) for port in program.outputs]
        engine.run(*(values[port.tensor] for port in program.inputs), *got)
        for op, step, traced in zip(program.ops, steps, engine.trace(*(values[p.tensor] for p in program.inputs)), strict=True):
            np.testing.assert_array_equal(np.frombuffer(traced, np.int8), step.reshape(-1), f"{program.name}: traced {op.name} on {tier}")
        for port, y in zip(program.outputs, got, strict=True):
            np.testing.assert_array_equal(y, wanted[port.tensor].reshape(-1), f"{program.name}: output {port.tensor} on {tier}")


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("program", CASES, ids=lambda p: p.name)
def test_case(program, tier):
    for kind in ("random", "least", "most"):
        check(program, tier, kind)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("seed", range(40))
def test_random_program(seed, tier):
    """Branches, joins, several inputs and outputs, odd shapes: every layout the planner can meet."""
    check(programs.random_program(seed, ops=12), tier)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("network", ["resnet8", "ds_cnn", "mobilenet", "autoencoder"])
def test_network(network, tier):
    check(getattr(programs, network)(), tier)


@pytest.mark.slow
@pytest.mark.parametrize("tier", core.tiers()[1:])
@pytest.mark.parametrize("network", ["mobilenet_v2", "resnet18"])
def test_large_network(network, tier):
    """Too large for a place of its own for every value: arenas with reuse. The reference tier, itself tested, stands in for NumPy."""
    program = getattr(programs, network)()
    data = encode(program)
    values = list(inputs_of(program, "random").values())
    outputs = []
    for name in ("ref", tier):
        engine = core.Engine(data, name)
        y = [np.zeros(n, np.int8) for n in engine.output_bytes]
        engine.run(*values, *y)
        engine.run(*values, *y)
        outputs.append(np.concatenate(y))
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("tier", core.tiers())
def test_residuals_before_the_rounding(tier):
    program = programs.resnet8(summed=True)
    steps = core.Engine(encode(program), tier).steps
    assert sum("conv2d_add" in s for s in steps) >= 3 and (tier == "ref" or not any("ref" in s for s in steps if "conv2d_add" in s)), steps
    check(program, tier)


@pytest.mark.parametrize("tier", core.tiers())
def test_residual_is_fused_where_it_may_be(tier):
    steps = core.Engine(encode(programs.resnet8()), tier).steps
    assert sum("+add" in s for s in steps) == (0 if tier == "ref" else 3), steps


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("channels", [1, 3, 5, 8, 13, 16, 20, 24, 27, 32, 40, 57, 64, 107, 128, 130, 192])
def test_depthwise_channels(channels, tier):
    """Every period of weights in a flat row, odd and even row counts, behind and before pointwise layers."""
    for height in (5, 6):
        b = programs.Builder(f"depthwise_{channels}", (1, height, 7, channels), seed=channels)
        y = b.conv(b.depthwise(b.inputs[0]), channels, (1, 1))
        y = b.depthwise(y, (3, 3), (2, 2))
        check(b.program(b.depthwise(y)), tier)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("channels", [1, 2, 5, 8, 9, 12, 16, 17, 31, 32, 33, 63, 64, 65, 128])
def test_sum_channels(channels, tier):
    """As test_convolution_channels, with residuals added before the rounding: of padded layouts, of the input itself, of other pitches."""
    for shape, kernel in (((1, 5, 6, 7), (3, 3)), ((1, 3, 3, 20), (1, 1)), ((1, 1, 1, 33), (1, 1)), ((1, 12, 8, 3), (3, 3))):
        b = programs.Builder(f"sum_{channels}", shape, seed=channels)
        x = b.inputs[0]
        y = b.conv(x, channels, kernel)
        z = b.conv_add(x, y, kernel)
        z = b.conv_add(z, z, kernel)
        check(b.program(b.conv_add(b.add(z, y), x, kernel), y), tier)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("channels", [1, 2, 5, 8, 9, 12, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 160])
def test_convolution_channels(channels, tier):
    """Every split of output channels into blocks of registers and their tails, for several numbers of positions."""
    for shape, kernel in (((1, 5, 6, 7), (3, 3)), ((1, 3, 3, 20), (1, 1)), ((1, 1, 1, 33), (1, 1)), ((1, 12, 8, 3), (3, 3))):
        b = programs.Builder(f"conv_{channels}", shape, seed=channels)
        y = b.conv(b.inputs[0], channels, kernel)
        z = b.conv(y, channels, kernel)
        check(b.program(b.add(z, y), y), tier)


@pytest.mark.parametrize("tier", core.tiers())
def test_outputs_that_are_also_read(tier):
    """One value is a graph output, twice, is read by a convolution, and would else be fused; an input is handed out as it is."""
    b = programs.Builder("outputs", (1, 6, 6, 8), seed=4)
    y = b.conv(b.inputs[0], 8)
    z = b.add(b.conv(y, 8), y)
    check(b.program(y, z, y, b.inputs[0]), tier)


@pytest.mark.parametrize("tier", core.tiers())
def test_addition_of_a_value_to_itself(tier):
    b = programs.Builder("twice", (1, 5, 5, 12), seed=5)
    y = b.conv(b.inputs[0], 12)
    check(b.program(b.add(y, y)), tier)


@pytest.mark.parametrize("tier", core.tiers())
def test_one_value_in_many_layouts(tier):
    """Padded for a convolution, split for a stride, flat for dense, plain for softmax and for the caller."""
    b = programs.Builder("layouts", (1, 7, 9, 5), seed=6)
    y = b.conv(b.inputs[0], 24)
    outputs = [b.conv(y, 3), b.depthwise(y, (3, 3), (2, 2)), b.max_pool(y, (2, 2)), b.dense(y, 11), b.softmax(y), b.lookup(y), b.depthwise(y), y]
    check(b.program(*outputs), tier)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("program", wide_rows.wide_programs(), ids=lambda p: p.name)
def test_wide_rows(program, tier):
    for kind in ("random", "least", "most"):
        check(program, tier, kind)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("order", [(0, 3, 1, 2), (0, 2, 3, 1), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1)])
def test_transposes(order, tier):
    """Runs, interleaved rows, blocks of 8 and their tails, single steps."""
    for i, shape in enumerate([(1, 3, 5, 2), (1, 4, 9, 3), (1, 7, 3, 4), (1, 8, 8, 8), (1, 9, 17, 10), (1, 2, 33, 16), (1, 24, 2, 31)]):
        b = programs.Builder(f"transpose_{i}", shape, seed=i)
        y = b.transpose(b.inputs[0], order)
        check(b.program(b.lookup(y), y), tier)


@pytest.mark.parametrize("tier", core.tiers())
@pytest.mark.parametrize("channels", [1, 8, 16, 23, 64, 70, 130])
def test_resize_channels(channels, tier):
    """Whole vectors of channels, rests of one, and pixels of several chunks; up and down, blended and copied."""
    for out_h, out_w, nearest in ((7, 10, None), (2, 3, None), (8, 10, "floor")):
        b = programs.Builder(f"resize_{channels}_{out_h}", (1, 4, 5, channels), seed=channels)
        tables = [axis_table(4, out_h, out_h / 4, "half_pixel", nearest), axis_table(5, out_w, out_w / 5, "half_pixel", nearest)]
        attrs = {"in_h": 4, "in_w": 5, "channels": channels, "out_h": out_h, "out_w": out_w}
        y = b._op("resize", (b.inputs[0],), (1, out_h, out_w, channels), attrs, tables)
        check(b.program(b.lookup(y), y), tier)
