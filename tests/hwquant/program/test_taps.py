"""Depthwise layers as filters along the columns, and pools as window sums, down to the simulated hardware."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.seeds import seed_ranges

from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import timing
from hwquant.program.isa import encode, fields
from hwquant.program.lowering import lower
from hwquant.program.taps import plan_taps
from hwquant.program.window_sums import sum_over_window
from hwquant.qgraph import Layer, QGraph, Tensor, Term
from hwquant.sim import simulate
from hwquant.sim.check import check
from hwquant.window import Window


def network(rng, channels, size, kernel, stride, padding, *, uniform=False, per_channel=False):
    """A 1x1 convolution, the separate layer, and a layer that reads everything."""
    first = rng.integers(-90, 91, (channels, 3, 1, 1)).astype(np.int8)
    weight = rng.integers(-90, 91, (channels, 1, *kernel)).astype(np.int8)
    if uniform:
        weight[:] = weight[:, :, :1, :1]
    offsets = rng.integers(-9, 10, channels if per_channel else 1)
    x = Tensor("x", (3, *size), 0.1, -5)
    terms = [
        Term("x", first, offsets, np.full(offsets.shape, 0.1), window=Window(first.shape[2:])),
        Term(
            "c0",
            weight,
            offsets,
            np.full(offsets.shape, 0.1),
            window=Window(weight.shape[2:], stride=stride, padding=padding),
            groups=channels,
        ),
    ]
    tensors = {"x": x, "c0": Tensor("c0", (channels, *size), 0.1, int(rng.integers(-20, 21)))}
    shape = terms[1].output_shape(tensors["c0"].shape)
    tensors["c1"] = Tensor("c1", shape, 0.1, 3)
    last = rng.integers(-90, 91, (3, *shape)).astype(np.int8)
    terms.append(
        Term(
            "c1",
            last,
            offsets[:1].repeat(3 if per_channel else 1),
            np.full(offsets[:1].shape, 0.1),
            window=Window(last.shape[2:]),
        )
    )
    tensors["c2"] = Tensor("c2", (3, 1, 1), 0.1, 0)
    shifts = [8, 6 + math.ceil(math.log2(math.prod(kernel)) / 2), 8 + math.ceil(math.log2(last[0].size) / 2)]
    nodes = tuple(
        Layer(name, (term,), rng.integers(-500, 501, len(term.codes)), np.array([shift]), -128, 127)
        for name, term, shift in zip(("c0", "c1", "c2"), terms, shifts)
    )
    return QGraph("separate", (Input("x", x.shape, x.shape),), nodes, (Output("y", "c2", (3,)),), tensors)


def assert_equal_to_golden(qgraph, program, seed):
    tensor = qgraph.tensors["x"]
    q = {"x": np.random.default_rng(seed).integers(*tensor.limits, (2, *tensor.shape))}
    run = simulate(program, program.frame(q), simulator="amaranth", watch=1)
    result = check(run, program, qgraph, q)
    assert result.mismatches == 0, f"seed {seed}: {result.first}"
    assert set(run.cycles) == {timing(program).cycles}


CASES = [
    # array, channels, size, kernel, stride, padding
    ((9, 4), 6, (6, 7), (3, 3), (1, 1), (1, 1, 1, 1)),
    ((9, 9), 9, (3, 3), (3, 3), (1, 1), (1, 1, 1, 1)),
    ((8, 8), 9, (5, 6), (3, 3), (1, 1), (1, 1, 1, 1)),
    ((10, 4), 12, (5, 4), (3, 3), (1, 1), (1, 0, 1, 2)),
    ((9, 4), 5, (7, 8), (3, 3), (2, 2), (0, 0, 1, 1)),
    ((9, 4), 5, (8, 7), (3, 3), (2, 1), (1, 1, 1, 1)),
    ((9, 5), 5, (6, 6), (5, 5), (1, 1), (2, 2, 2, 2)),
    ((4, 3), 5, (6, 6), (3, 3), (1, 1), (1, 1, 1, 1)),
    ((9, 3), 3, (4, 9), (1, 3), (1, 1), (0, 0, 0, 2)),
    ((9, 3), 3, (9, 4), (4, 1), (3, 1), (2, 0, 3, 0)),
    ((9, 4), 4, (5, 5), (2, 2), (1, 1), (0, 0, 0, 0)),
    ((16, 8), 20, (4, 5), (3, 3), (1, 1), (1, 1, 1, 1)),
]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("number", range(len(CASES)))
def test_depthwise_tiles_equal_the_golden_model(number):
    array, *case = CASES[number]
    qgraph = network(np.random.default_rng(number), *case)
    program = compile_network(qgraph, array)
    assert program.config.tap_lines == min(3, array[0] // 3)
    assert_equal_to_golden(qgraph, program, number)


def test_depthwise_tiles_take_blocks_of_rows_and_channel_offsets():
    qgraph = network(np.random.default_rng(1), 6, (9, 5), (3, 3), (1, 1), (1, 1, 1, 1), per_channel=True)
    program = compile_network(qgraph, (9, 4), limits={"accumulator_depth": 12})
    assert program.config.channel_offsets
    assert_equal_to_golden(qgraph, program, 1)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((4, 6), (4, 6), (0, 0, 0, 0)), ((2, 2), (2, 2), (0, 0, 0, 0)), ((3, 2), (1, 2), (1, 0, 1, 0))],
)
@pytest.mark.parametrize("array", [(4, 4), (4, 8), (8, 4), (3, 5), (2, 9)])
def test_window_sums_equal_the_golden_model(kernel, stride, padding, array):
    rng = np.random.default_rng(7)
    qgraph = network(rng, 6, (4, 6), kernel, stride, padding, uniform=True)
    program = compile_network(qgraph, array)
    assert program.config.window_sums != (program.config.tap_lines > 0 and kernel != (4, 6))
    # One window and several tiles visit an accumulator again at once: these wait for it.
    alone = qgraph.tensors["c1"].shape[1:] == (1, 1) and program.config.reads_per_word > 1
    settling = [item for item in program.instructions if item.values.get("settle")]
    assert bool(settling) == alone
    assert_equal_to_golden(qgraph, program, 7)


def test_tiles_that_do_not_wait_for_the_accumulators_would_be_wrong():
    """What the mark is for: without it the second tile reads a sum that the first has not written yet."""
    rng = np.random.default_rng(5)
    qgraph = network(rng, 8, (4, 6), (4, 6), (1, 1), (0, 0, 0, 0), uniform=True)
    program = compile_network(qgraph, (4, 8))
    formats = fields(program.config)
    words = [
        encode(
            replace(item, values={**item.values, "settle": 0}) if "settle" in item.values else item, formats
        )
        for item in program.instructions
    ]
    with pytest.raises(AssertionError, match="seed 5"):
        assert_equal_to_golden(qgraph, replace(program, words=tuple(words)), 5)


@pytest.mark.parametrize("columns", [2, 4, 8, 16])
def test_a_sum_over_a_window_takes_no_weights_for_its_positions(columns):
    """Global average pooling: one tile for each read of the rows, whatever the window is."""
    qgraph = network(np.random.default_rng(5), 16, (4, 6), (4, 6), (1, 1), (0, 0, 0, 0), uniform=True)
    program = compile_network(qgraph, (4, columns))
    (layer,) = (layer for layer in program.layers if layer.name == "c1")
    assert layer.jobs == 16 // min(4, columns)


@pytest.mark.parametrize("seeds", seed_ranges(3, 200))
def test_sums_over_windows_on_wide_arrays_equal_the_golden_model(seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        rows = int(rng.integers(2, 7))
        array = rows, int(rng.integers(rows + 1, 3 * rows + 3))
        size = tuple(rng.integers(1, 6, 2).tolist())
        kernel = size if rng.random() < 0.7 else tuple(int(rng.integers(1, n + 1)) for n in size)
        channels, wide = int(rng.integers(1, 20)), bool(rng.integers(2))
        qgraph = network(rng, channels, size, kernel, (1, 2), (0, 0, 0, 0), uniform=True, per_channel=wide)
        limits = {"accumulator_depth": int(rng.choice([16, 64]))}
        assert_equal_to_golden(qgraph, compile_network(qgraph, array, limits=limits), seed)


def test_hardware_without_depthwise_mode_and_window_sums_executes_the_network_in_dense_tiles():
    qgraph = network(np.random.default_rng(3), 6, (6, 7), (3, 3), (1, 1), (1, 1, 1, 1))
    fitted = compile_network(qgraph, (9, 4))
    plain = replace(fitted.config, tap_lines=0, weight_depth=4096, program_depth=4096, coordinate_bits=8)
    program = compile_network(qgraph, (9, 4), config=plain)
    assert_equal_to_golden(qgraph, program, 3)
    assert timing(program).cycles > 1.5 * timing(fitted).cycles


def test_a_3x3_layer_takes_one_tile_of_the_image_with_its_border():
    qgraph = network(np.random.default_rng(3), 9, (12, 10), (3, 3), (1, 1), (1, 1, 1, 1))
    program = compile_network(qgraph, (9, 9))
    (layer,) = (layer for layer in program.layers if layer.name == "c1")
    # A row is its 10 pixels and one column of padding; two rows come before the first output is complete.
    assert (layer.tiles, layer.jobs) == (1, 1)
    assert layer.ideal_cycles == 2 * (11 - 3) + 11 * 11 + 10 + 8


def test_only_layers_whose_channels_do_not_mix_are_separate():
    qgraph = network(np.random.default_rng(0), 4, (5, 5), (3, 3), (1, 1), (1, 1, 1, 1))
    layers = lower(qgraph)
    assert [layer.terms[0].separate for layer in layers] == [False, True, False]
    stored = (4, 5, 5)
    assert plan_taps(layers[1], stored, 3, 512) is not None
    assert plan_taps(layers[1], stored, 0, 512) is None
    assert plan_taps(layers[1], stored, 3, 4) is None, "a row of outputs needs as many accumulators"
    assert sum_over_window(layers[1]) is None


def test_arrays_with_more_columns_than_rows_have_no_depthwise_mode():
    qgraph = network(np.random.default_rng(0), 4, (5, 5), (3, 3), (1, 1), (1, 1, 1, 1))
    assert compile_network(qgraph, (4, 8)).config.tap_lines == 0
    with pytest.raises(Exception, match="as many rows as columns"):
        ArrayConfig(4, 8, tap_lines=1)
