"""What random networks do not reach, on hardware exactly as large as each network needs.

Amaranth's simulator executes the compiled programs; every written tensor, every output and every cycle is
compared with the golden model and the cycle model.
"""

import dataclasses

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.quantize import quantize
from hwquant.random_networks import Features, random_images, random_qgraph
from hwquant.sim.check import verify
from hwquant.window import Window


def assert_right(qgraph, array=(4, 4), count=2, **options):
    """Compiles, simulates, compares; returns the program."""
    program = compile_network(qgraph, array, **options)
    result = verify(program, qgraph, images(qgraph, count), simulator="amaranth", watch=count)
    assert result.first is None, str(result.first)
    return program


def test_an_accumulator_for_one_pixel():
    net = Net(x=(10, 1, 1))
    net.conv("x", 7)
    net.conv("layer0", 5, offset=3)
    assert assert_right(net.build()).config.accumulator_depth == 1


@pytest.mark.parametrize("array", [(2, 2), (3, 5), (5, 3)])
def test_one_channel_one_pixel_one_weight(array):
    net = Net(x=(1, 1, 1))
    net.conv("x", 1)
    program = assert_right(net.build(), array)
    assert len(program.layers) == 1


@pytest.mark.parametrize("offset", ["edge", "sum"])
def test_memories_whose_depth_is_a_power_of_two_and_full(offset):
    """4x4: 8 tiles of 4 rows, two column blocks of 4 parameters, 64 words of activations."""
    net = Net(x=(16, 4, 4))
    net.conv("x", 8, offset=5)
    program = assert_right(net.build(), (4, 4), offset=offset)
    config = program.config
    assert (config.weight_depth, config.parameter_depth, config.activation_depth) == (32, 8, 96)
    exact = dataclasses.replace(config, activation_depth=128, program_depth=len(program.words))
    assert_right(net.build(), (4, 4), config=exact)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("depth", [1, 2, 4, 7, 24, 25, 26])
def test_accumulators_of_any_depth(depth):
    net = Net(x=(3, 5, 5))
    net.conv("x", 5, (3, 3), padding=(1, 1, 1, 1))
    net.conv("layer0", 3, (2, 2), stride=(2, 1))
    program = assert_right(net.build(), (4, 3), limits={"accumulator_depth": depth})
    assert program.config.accumulator_depth == min(depth, 25)


@pytest.mark.parametrize("depth", [6, 7, 11, 12, 24])
def test_pooling_windows_as_large_as_the_accumulators(depth):
    """Blocks of one window, of a part of a row, of a row."""
    net = Net(x=(3, 6, 9))
    net.conv("x", 5)
    net.pool("layer0", (2, 3))
    assert_right(net.build(), (4, 3), limits={"accumulator_depth": depth})


@pytest.mark.one_in(2)
@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("anchor", ["min", "max"])
@pytest.mark.parametrize("sign", [1, -1])
def test_channels_whose_weights_have_one_sign(anchor, literal, sign):
    """Their offsets are as large as a stored one can be."""
    rng = np.random.default_rng(3)
    weight = sign * rng.uniform(0.0, 1.0, (5, 3, 2, 2))
    graph = Graph(
        "positive",
        (Input("x", (3, 4, 4), (3, 4, 4)),),
        (Conv("conv", ("x",), weight, np.zeros(5), Window(weight.shape[2:])),),
        (Output("y", "conv", (5, 3, 3)),),
    )
    x = rng.uniform(-1, 1, (8, 3, 4, 4)).astype(np.float32)
    qgraph = quantize(graph, x, anchor=anchor, literal_range=literal, per_channel=True)
    assert_right(qgraph)


def test_the_whole_image_as_one_pooling_window():
    net = Net(x=(2, 7, 5))
    net.conv("x", 6)
    net.pool("layer0", (7, 5))
    net.conv("pool1", 3)
    assert_right(net.build(), (4, 4), limits={"accumulator_depth": 35})


@pytest.mark.parametrize("array", [(2, 2), (4, 3), (3, 7)])
def test_padding_larger_than_the_kernel(array):
    net = Net(x=(3, 4, 3))
    net.conv("x", 4, (2, 3), padding=(3, 4, 5, 6))
    net.conv("layer0", 2, (1, 1), padding=(2, 0, 0, 3))
    net.conv("layer1", 2, (3, 2), padding=(0, 5, 4, 0), stride=(3, 2), dilation=(2, 3))
    assert_right(net.build(), array)


def test_a_kernel_larger_than_its_input():
    net = Net(x=(5, 2, 3))
    net.conv("x", 4, (5, 7), padding=(2, 3, 2, 3))
    assert_right(net.build(), (4, 4))


@pytest.mark.parametrize("shift", [0, 1, 7, 8, 20])
def test_shifts_from_none_to_beyond_the_sum(shift):
    net = Net(x=(6, 3, 3))
    net.conv("x", 5, bits=2, shift=shift)
    assert_right(net.build(), (4, 4))


@pytest.mark.parametrize("shift", [0, 1, 12, 30])
def test_multipliers_with_any_shift(shift):
    net = Net(x=(6, 3, 3))
    net.conv("x", 5, bits=3, shift=shift, multiplier=[1, 2, 77, 4000, 32767])
    net.conv("layer0", 3, shift=9)
    assert_right(net.build(), (4, 4))


def test_a_repetition_that_is_longer_than_a_count():
    """More than 4096 tiles whose addresses are equally far apart."""
    net = Net(x=(2, 51, 82))
    net.conv("x", 2, (51, 82), shift=14)
    program = assert_right(net.build(), (2, 2), count=1)
    counts = [item.values["count"] for item in program.instructions if item.opcode is Opcode.REPEAT]
    assert sum(count + 1 for count in counts) == 51 * 82
    assert max(counts) == 4095


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("array", "lanes"), [((32, 2), 32), ((2, 32), 32), ((9, 20), 18)])
def test_words_and_masks_of_many_lanes(array, lanes):
    net = Net(x=(35, 2, 2))
    net.conv("x", 40, offset=-9)
    net.conv("layer0", 3, (2, 2))
    assert assert_right(net.build(), array, count=1).config.lanes == lanes


@pytest.mark.one_in(3)
@pytest.mark.parametrize("array", [(4, 4), (5, 2), (3, 7), (7, 3)])
@pytest.mark.parametrize("groups", [2, 3, 6])
def test_groups_whose_channels_cross_words(array, groups):
    net = Net(x=(18, 3, 3))
    net.conv("x", 12, (2, 2), groups=groups, offset=11)
    net.conv("layer0", 5)
    assert_right(net.build(), array)


def test_a_tensor_that_is_read_twice_by_one_layer():
    net = Net(x=(3, 4, 4))
    net.layer(net.term("x", 4), net.term("x", 4, offset=3))
    net.concat("layer0", "layer0")
    assert_right(net.build(), (3, 4))


def test_layers_without_any_weight_that_is_not_zero():
    """Their outputs still have to be written."""
    net = Net(x=(6, 4, 4))
    net.conv("x", 9, (3, 3), codes=np.zeros((9, 6, 3, 3)), padding=(1, 1, 1, 1))
    codes = np.zeros((5, 9, 1, 1))
    codes[4, 8] = 3
    net.conv("layer0", 5, codes=codes, shift=1)
    program = assert_right(net.build(), (4, 4))
    assert [layer.tiles - layer.tiles_skipped for layer in program.layers] == [0, 1]
    assert [layer.jobs for layer in program.layers] == [3, 2]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("kernel", [(1, 3), (3, 3), (2, 2)])
@pytest.mark.parametrize("array", [(4, 3), (9, 4), (12, 8)])
def test_depthwise_layers_behind_and_before_pools(kernel, array):
    net = Net(x=(5, 7, 8))
    net.conv("x", 5, kernel, groups=5)
    net.pool("layer0", (2, 2))
    net.conv("pool1", 5, kernel, groups=5, padding=(1, 1, 1, 1), offset=7)
    net.pool("layer2", (2, 2), (1, 1))
    assert_right(net.build(), array)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("array", "offset"), [((3, 5), "auto"), ((6, 4), "sum"), ((9, 3), "auto")])
def test_random_networks_on_hardware_exactly_as_large_as_they_need(array, offset, seed):
    rng = np.random.default_rng((*array, seed))
    qgraph = random_qgraph(rng, Features(size=(2, 7), layers=(1, 2), channels=(1, 7)))
    program = compile_network(qgraph, array, offset=offset)
    q = {program.inputs[0].name: random_images(rng, qgraph, 2)}
    result = verify(program, qgraph, q, simulator="amaranth", watch=2)
    assert result.first is None, f"seed {seed}: {result.first}"


def test_depthwise_tiles_on_hardware_with_short_line_memories():
    net = Net(x=(4, 5, 30))
    net.conv("x", 4, (3, 3), groups=4, padding=(1, 1, 1, 1))
    fitted = compile_network(net.build(), (9, 4)).config
    assert fitted.tap_depth > 16
    roomy = {"activation_depth": 1024, "weight_depth": 512, "program_depth": 512}
    short = dataclasses.replace(fitted, tap_depth=16, **roomy)
    assert_right(net.build(), (9, 4), config=short)


def test_no_hardware_has_depthwise_tiles_and_a_sum_column():
    with pytest.raises(HwquantError, match="depthwise"):
        ArrayConfig(9, 4, offset="sum", tap_lines=3)


def test_one_channel_as_a_depthwise_tile_where_zero_cannot_be_stored():
    net = Net(seed=5, x=(1, 6, 7))
    net.conv("x", 1, (2, 2), bits=4, offset=-32)
    assert_right(net.build(), (4, 3))


def test_two_inputs_are_one_frame():
    net = Net(a=(3, 4, 4), b=(5, 4, 4))
    net.layer(net.term("a", 6), net.term("b", 6))
    assert_right(net.build(), (4, 4))


def test_two_outputs_one_of_which_is_read_again():
    net = Net(x=(3, 4, 4))
    first = net.conv("x", 5)
    second = net.pool(first, (2, 2))
    third = net.conv(first, 2, (4, 4))
    assert_right(net.build(first, third, second), (4, 4))


@pytest.mark.parametrize("kernels", [((2, 2), (2, 2)), ((1, 2), (3, 1)), ((2, 2), (1, 1))])
def test_pools_behind_pools(kernels):
    net = Net(x=(3, 12, 8))
    net.conv("x", 5)
    for kernel in kernels:
        net.pool(net.nodes[-1].name, kernel, kernel if kernel != (1, 1) else (2, 2))
    assert_right(net.build(), (4, 4))


def test_a_pool_behind_an_overlapping_pool():
    net = Net(x=(3, 9, 9))
    net.pool("x", (3, 3), (1, 1))
    net.pool("pool0", (2, 2))
    assert_right(net.build(), (4, 4))


@pytest.mark.parametrize("clamp", [(20, 100), (-120, -90)])
def test_idle_lanes_that_cannot_be_zero_nor_be_left_out_are_refused(clamp):
    net = Net(x=(4, 3, 3))
    net.conv("x", 5, low=clamp[0], high=clamp[1], zero_point=0)
    net.conv("layer0", 8, offset=200, shift=11)
    with pytest.raises(HwquantError, match=r"layer 'layer0' only gives values .*literal range"):
        compile_network(net.build(), (4, 4))


@pytest.mark.parametrize("kernel", [(3, 3), (2, 2)])
def test_a_depthwise_layer_that_is_subsampled(kernel):
    net = Net(x=(4, 7, 7))
    net.conv("x", 4, kernel, groups=4)
    net.pool("layer0", (1, 1), (2, 2))
    assert_right(net.build(), (9, 4))


def test_an_average_that_is_subsampled():
    net = Net(x=(4, 9, 9))
    net.conv("x", 4, (2, 2), codes=np.full((4, 1, 2, 2), 5), groups=4, stride=(1, 1))
    net.pool("layer0", (1, 1), (2, 2))
    assert_right(net.build(), (2, 2))


def test_a_shifted_term_with_weights_of_both_signs():
    net = Net(x=(4, 3, 3))
    net.conv("x", 5, term_shift=2)
    assert_right(net.build(), (4, 4))


def test_a_symmetric_residual_network_needs_no_offsets():
    net = Net(x=(4, 3, 3))
    net.layer(net.term("x", 4), net.term("x", 4, codes=np.eye(4)[:, :, None, None], shift=8))
    assert_right(net.build(), (4, 4), offset="none")


def test_hardware_of_8_bits_takes_a_network_whose_codes_do_not_include_zero():
    net = Net(x=(3, 3, 3))
    net.conv("x", 2, codes=np.full((2, 3, 1, 1), -1), offset=7)
    hardware = ArrayConfig(4, 4, activation_depth=64, weight_depth=64)
    assert_right(net.build(), (4, 4), config=hardware)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("offset", ["edge", "sum"])
@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_fully_connected_layers(bits, offset):
    """A tile for one pixel, loaded several rows a cycle, as fast as accumulators allow."""
    net = Net(x=(40, 1, 1))
    net.conv(net.conv("x", 20, bits=bits, offset=1), 9, bits=bits)
    program = assert_right(net.build(), (16, 4), offset=offset)
    assert program.config.load_rows == 4
    assert {layer.rows_per_cycle for layer in program.layers} == {4}


@pytest.mark.parametrize("load_rows", [1, 2, 4])
def test_layers_that_add_terms_of_different_bits(load_rows):
    """So that tiles of every format follow each other at once."""
    net, name = Net(x=(20, 1, 2)), "x"
    for _ in range(3):
        name = net.layer(*(net.term(name, 20, bits=bits, offset=1) for bits in (8, 2, 8, 4, 1, 3)))
    exact = compile_network(net.build(), (12, 4)).config
    config = dataclasses.replace(
        exact,
        weight_slot_bits=0,
        weight_packing=4,
        load_rows=load_rows,
        weight_depth=4000,
        program_depth=1000,
    )
    program = assert_right(net.build(), (12, 4), config=config)
    assert {item.values["packing"] for item in program.instructions if item.opcode is Opcode.FORMAT} == {
        0,
        1,
        2,
    }
