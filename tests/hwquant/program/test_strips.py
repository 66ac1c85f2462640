"""Several arrays: which rows each of them computes, and the strips of the activation memory that follow from it."""

import dataclasses

import numpy as np
import pytest
from hwquant_testing.older import without_overlap
from hwquant_testing.small_networks import Net, images
from hypothesis import given
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.program import storage
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.isa import Opcode
from hwquant.program.layout import Placement
from hwquant.program.sizing import Requirements
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.sim.check import verify


def passes(qgraph, array):
    return Compilation(qgraph, lowered_network(qgraph), Requirements(array))


def rows(qgraph, array):
    """The rows that each array computes of a layer's output, by its name; None for a layer that one computes alone."""
    return {
        item.layer.name: None if item.alone else item.layer.pixels[0]
        for item in passes(qgraph, array).divided.layers
    }


def strided(height, *, last=(1, 1)):
    """A convolution, one of stride 2, and one more."""
    net = Net(x=(2, height, 3))
    net.conv("x", 2, (3, 3), padding=(1, 1, 1, 1))
    net.conv("layer0", 2, (3, 3), padding=(1, 1, 1, 1), stride=(2, 1))
    net.conv("layer1", 2, last)
    return net.build()


def test_one_array_has_no_strips():
    divided = passes(strided(8), (2, 2)).divided
    assert divided.strips == {}
    assert not any(item.alone for item in divided.layers)


def test_strips_of_a_stride_are_as_many_times_as_high():
    compilation = passes(strided(8), (2, 2, 2))
    assert compilation.divided.strips == {"x": 4, "layer0": 4, "layer1": 2, "layer2": 2}
    assert rows(strided(8), (2, 2, 2)) == {"layer0": 4, "layer1": 2, "layer2": 2}


def test_strips_are_higher_than_a_share_where_later_layers_need_it():
    """Six rows on four arrays are two each; so the twelve before them are four each, for three of the arrays."""
    assert passes(strided(12), (4, 2, 2)).divided.strips == {"x": 4, "layer0": 4, "layer1": 2, "layer2": 2}


def test_a_layer_between_strips_that_do_not_match_is_computed_alone():
    """Many layers before the stride, and many behind it, are worth that one array computes the stride."""
    net = Net(x=(2, 12, 8))
    name = "x"
    for _ in range(3):
        name = net.conv(name, 2, (3, 3), padding=(1, 1, 1, 1))
    name = middle = net.conv(name, 2, (1, 1), stride=(2, 1))
    for _ in range(3):
        name = net.conv(name, 2, (3, 3), padding=(1, 1, 1, 1))
    found = rows(net.build(), (4, 2, 2))
    assert found.pop(middle) is None
    assert list(found.values()) == [3, 3, 3, 2, 2, 2]


def test_what_has_one_row_is_computed_alone_and_lies_in_every_bank():
    net = Net(x=(2, 4, 4))
    net.conv("x", 3, (4, 4))
    qgraph = net.build(net.conv("layer0", 2))
    program = compile_network(qgraph, (2, 2, 2))
    assert [layer.rows for layer in program.layers] == [None, None]
    writes = [item.values for item in program.instructions if item.opcode is Opcode.WRITE]
    assert all(values["alone"] and not values["spread"] for values in writes)


def test_the_host_reads_and_writes_strip_by_strip():
    program = compile_network(strided(6), (4, 2, 2))
    moves = {
        opcode: [item.values for item in program.instructions if item.opcode is opcode]
        for opcode in (Opcode.INPUT, Opcode.OUTPUT)
    }
    (x,), (out,) = program.inputs, program.outputs
    assert (x.strip_rows, out.strip_rows) == (2, 1)
    for place, opcode in ((x, Opcode.INPUT), (out, Opcode.OUTPUT)):
        assert [item["banks"] for item in moves[opcode]] == [1, 2, 4]
        assert sum(item["count"] for item in moves[opcode]) == place.words
        assert [item["last"] for item in moves[opcode]] == [0, 0, 1]


@given(
    height=st.integers(1, 20),
    strip=st.integers(1, 20),
    width=st.integers(1, 4),
    channels=st.integers(1, 9),
    lanes=st.integers(1, 4),
)
def test_segments_cover_every_pixel_once(height, strip, width, channels, lanes):
    place = Placement("x", (channels, height, width), lanes, 0, address=7, strip_rows=strip)
    words = [(address + word, number) for address, count, number in place.segments() for word in range(count)]
    assert len(words) == len(set(words)) == place.words
    assert all(7 <= address < 7 + place.room for address, _ in words)
    pixels = [(plane, y) for plane in range(place.planes) for y in range(height) for _ in range(width)]
    for (address, number), (plane, y) in zip(words, pixels, strict=True):
        assert (number, (address - 7 - plane * place.plane) // width) == place.locate(y)


@pytest.mark.parametrize("seed", range(12))
def test_arrays_compute_together_only_what_lies_alike(seed):
    """The rule, said once more: array k's first row of every input is the first one of its strip."""
    rng = np.random.default_rng(seed)
    features = Features(products=seed % 2 == 0, copies=seed % 3 == 0, inputs=int(rng.integers(1, 3)))
    arrays = int(rng.integers(2, 6))
    compilation = passes(random_qgraph(rng, features), (arrays, 3, 3))
    strips, tensors = compilation.divided.strips, compilation.placed.tensors
    for whole, item in zip(compilation.mapped, compilation.divided.layers, strict=True):
        layer, place = item.layer, tensors[item.layer.tensor]
        assert place.strip_rows * arrays >= place.stored_shape[1]
        if item.alone:
            assert layer.pixels == whole.layer.pixels
            assert layer.into is None or place.last_strip == 0
        else:
            height = layer.pixels[0]
            assert height < whole.layer.pixels[0] <= arrays * height
            step = layer.into.grid.step[0] if layer.into else 1
            assert strips[layer.tensor] == step * height
            for term in layer.terms:
                assert strips[term.tensor] == layer.window_stride[0] * term.stride[0] * height
        if layer.product:
            assert layer.product.held or len({strips[name] for name in layer.reads}) == 1
    assert compile_network(compilation.qgraph, (arrays, 3, 3)).checksum == compilation.program.checksum


@pytest.mark.parametrize(("array", "height"), [((2, 2, 2), 7), ((3, 2, 3), 5), ((4, 3, 2), 2)])
def test_odd_heights_residuals_pools_and_a_state_of_one_pixel_are_computed_in_hardware(array, height):
    net = Net(x=(3, height, 4), s=(2, 1, 1))
    first = net.conv("x", 3, (3, 3), padding=(1, 1, 1, 1))
    both = net.layer(net.term(first, 3, (3, 1), padding=(1, 0, 1, 0)), net.term("x", 3))
    pooled = net.pool(both, (2, 2))
    whole = net.conv(both, 2, (height, 4))
    qgraph = net.build(net.layer(net.term(whole, 2), net.term("s", 2)), pooled)
    found = verify(compile_network(qgraph, array), qgraph, images(qgraph), simulator="amaranth", watch=2)
    assert (found.samples, found.mismatches) == (2, 0), found.first


def test_two_arrays_take_about_half_of_the_cycles():
    net = Net(x=(8, 16, 16))
    for name in ("x", "layer0", "layer1"):
        net.conv(name, 8, (3, 3), padding=(1, 1, 1, 1))
    qgraph = net.build()
    one, two, four = (
        timing(without_overlap(qgraph, array)).cycles for array in ((8, 8), (2, 8, 8), (4, 8, 8))
    )
    tiles = 3 * 9
    assert (one - two, two - four) == (tiles * 128, tiles * 64)


def test_a_file_of_several_arrays_comes_back_and_one_without_knows_nothing_of_them(tmp_path):
    qgraph = strided(7)
    for array in ((2, 2), (3, 2, 2)):
        program = compile_network(qgraph, array)
        storage.save(program, tmp_path / "net.hwp")
        loaded = storage.load(tmp_path / "net.hwp")
        assert loaded.config == program.config
        assert (loaded.inputs, loaded.outputs, loaded.layers) == (
            program.inputs,
            program.outputs,
            program.layers,
        )
        assert (b"strip_rows" in (tmp_path / "net.hwp").read_bytes()) == (len(array) == 3)


def test_hardware_with_too_few_bits_for_strips_is_refused():
    qgraph = strided(8)
    config = compile_network(qgraph, (2, 2, 2)).config
    narrow = dataclasses.replace(config, strip_bits=1)
    with pytest.raises(HwquantError, match="strip_bits"):
        compile_network(qgraph, (2, 2, 2), config=narrow)
    with pytest.raises(HwquantError, match="the hardware is 2x2x2, not 2x2"):
        compile_network(qgraph, (2, 2), config=config)


def test_inputs_of_random_networks_are_laid_out_for_any_number_of_arrays():
    rng = np.random.default_rng(5)
    qgraph = random_qgraph(rng, Features(inputs=2))
    inputs = random_inputs(rng, qgraph, 2)
    frames = [compile_network(qgraph, array).frame(inputs) for array in ((4, 3), (2, 4, 3), (3, 4, 3))]
    assert all(np.array_equal(frame, frames[0]) for frame in frames)
