"""Narrow weights: where each lies in a word, and which networks are worth the hardware."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import timing
from hwquant.program.isa import Opcode
from hwquant.program.memories import memory_bits
from hwquant.program.weight_format import WeightFormat
from hwquant.report import make_report


def formats(config):
    return [WeightFormat.of(n, config) for n in (1, 2, 4, 8) if n <= config.weight_packing]


def row_of(form, config, word, index):
    """The row of the tile that field ``index`` of a word holds, or None."""
    segment = -(-config.rows // form.rows_per_cycle)
    cycle = word * (form.rows_per_word // form.rows_per_cycle) + index // form.rows_per_cycle
    if cycle >= segment:
        return None
    row = index % form.rows_per_cycle * segment + segment - 1 - cycle
    return row if row < config.rows else None


@pytest.mark.parametrize("load_rows", [1, 2, 4, 8])
@pytest.mark.parametrize("rows", [8, 9, 13, 32])
@pytest.mark.parametrize("slot", [8, 11, 16])
def test_every_row_of_a_tile_is_in_one_field_of_one_word(slot, rows, load_rows):
    config = ArrayConfig(rows, 3, weight_slot_bits=slot, weight_packing=8, load_rows=load_rows)
    rng = np.random.default_rng((slot, rows, load_rows))
    for form in formats(config):
        width = 8 if form.rows_per_word == 1 else slot // form.rows_per_word
        weight = rng.integers(-(1 << (width - 1)), 1 << (width - 1), (rows, 3))
        slots = form.pack(weight, config)
        assert slots.shape == (form.words(config), 3)
        assert -(1 << (slot - 1)) <= slots.min() <= slots.max() < 1 << (slot - 1)
        seen = []
        for word, values in enumerate(slots):
            for index in range(form.rows_per_word):
                row = row_of(form, config, word, index)
                if row is not None:
                    fields = (values >> (index * width)) & ((1 << width) - 1)
                    np.testing.assert_array_equal(fields, weight[row] & ((1 << width) - 1))
                    seen.append(row)
        assert sorted(seen) == list(range(rows))


def test_a_tile_takes_its_segments_rows_in_cycles_but_never_fewer_than_the_accumulators_need():
    config = ArrayConfig(16, 4, weight_packing=8, load_rows=8)
    assert [form.load_cycles(config) for form in formats(config)] == [16, 8, 4, 4]
    assert [form.words(config) for form in formats(config)] == [16, 8, 4, 2]
    assert [
        form.load_cycles(replace(config, load_rows=2)) for form in formats(replace(config, load_rows=2))
    ] == [
        16,
        8,
        8,
        8,
    ]


def connected(bits, *, size=32, layers=2, **options):
    """Fully connected layers, so that loading bounds the time."""
    net, name = Net(x=(size, 1, 1)), "x"
    for _ in range(layers):
        name = net.conv(name, size, bits=bits, **options)
    return net


def packing(qgraph, array=(16, 16), **options):
    config = compile_network(qgraph, array, **options).config
    return config.slot_bits, config.weight_packing, config.load_rows


@pytest.mark.parametrize(
    ("bits", "chosen"),
    [
        (8, (32, 4, 4)),
        (7, (28, 4, 4)),
        (5, (20, 4, 4)),
        (4, (16, 4, 4)),
        (3, (12, 4, 4)),
        (2, (8, 4, 4)),
        (1, (4, 4, 4)),
    ],
)
def test_where_loading_takes_the_time_rows_are_loaded_together(bits, chosen):
    assert packing(connected(bits).build()) == chosen


def test_no_more_rows_are_loaded_together_than_make_it_faster():
    assert packing(connected(2).build(), (8, 8)) == (4, 2, 2)
    assert packing(connected(2).build(), (4, 4)) == (2, 1, 1)


@pytest.mark.parametrize("array", [(16, 16), (8, 8)])
def test_four_bits_take_half_the_memory_of_eight_and_the_same_time(array):
    wide, narrow = (compile_network(connected(bits, size=128).build(), array) for bits in (8, 4))
    assert make_report(narrow).weight_bytes * 2 == make_report(wide).weight_bytes == 2 * 128 * 128
    ideal = [sum(layer.ideal_cycles for layer in program.layers) for program in (wide, narrow)]
    assert ideal[1] == ideal[0] == 2 * 128 * 128 // array[1] // wide.config.load_rows
    assert wide.config.load_rows == narrow.config.load_rows == array[0] // 4
    assert all(timing(program).cycles - least < 100 for program, least in zip((wide, narrow), ideal))


def mixed(pixels, narrow, wide):
    """A layer of 8 bits and one of 4, over so many pixels."""
    net = Net(x=(16, pixels, pixels))
    net.conv(
        net.conv("x", wide, bits=8, codes=codes(wide, 16, 8)), narrow, bits=4, codes=codes(narrow, wide, 4)
    )
    return net.build()


def codes(out, channels, bits):
    half = 1 << (bits - 1)
    return np.random.default_rng(bits).integers(-half, half, (out, channels, 1, 1))


def test_memory_alone_needs_no_entries_into_the_array():
    qgraph = mixed(pixels=8, narrow=32, wide=16)
    assert packing(qgraph, (8, 8)) == (8, 2, 1)
    program = compile_network(qgraph, (8, 8))
    assert [layer.rows_per_word for layer in program.layers] == [1, 2]
    assert [layer.weight_bytes for layer in make_report(program).layers] == [16 * 16, 16 * 32 // 2]


def test_a_few_narrow_weights_are_not_worth_hardware():
    net = Net(x=(16, 8, 8))
    net.conv(net.conv("x", 32, (3, 3), bits=8), 1, bits=4)
    assert packing(net.build(), (8, 8)) == (8, 1, 1)


def test_formats_change_only_between_terms_that_differ():
    program = compile_network(mixed(pixels=1, narrow=32, wide=32), (8, 8))
    assert [layer.rows_per_word for layer in program.layers] == [2, 4]
    found = [item.values["packing"] for item in program.instructions if item.opcode is Opcode.FORMAT]
    assert found == [1, 2]


def test_weight_zero_is_stored_in_the_same_bits_or_the_layer_is_not_packed():
    """Lanes without a channel need it; a literal range may be far from it."""
    config = ArrayConfig(8, 8, weight_packing=8)
    found = {}
    for offset in (0, 3, 100):
        net = Net(x=(8, 2, 2))
        net.conv("x", 8, bits=2, offset=offset)
        (layer,) = compile_network(net.build(), (8, 8), config=config).layers
        found[offset] = layer.rows_per_word
    assert found == {0: 4, 3: 2, 100: 1}


def test_layers_weights_add_up_to_what_the_memory_holds():
    for array in ((8, 8), (3, 5), (16, 4)):
        program = compile_network(mixed(pixels=2, narrow=24, wide=16), array)
        assert sum(layer.weight_words for layer in program.layers) == len(program.weights)
        assert program.config.weight_depth == len(program.weights) == len(program.weight_image)
        bits = len(program.weights) * array[1] * program.config.slot_bits
        assert memory_bits(program.config)["weight"] == bits
        assert make_report(program).weight_bytes == -(-bits // 8)
