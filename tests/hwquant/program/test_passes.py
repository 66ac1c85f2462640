"""Each pass of the compiler by itself, on small networks."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.errors import HwquantError
from hwquant.program.array_shape import ArrayShape
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.config import BIASES, KEY, LATER, OPTIONAL, SHAPE_FIELDS, SIZES, ArrayConfig
from hwquant.program.emission import drop_redundant_sets, emit, receive, send
from hwquant.program.isa import REGISTERS, Instruction, Opcode
from hwquant.program.listing import PASSES, listing
from hwquant.program.mapping import Dense, Taps, WindowSums
from hwquant.program.schedule import tile_weights
from hwquant.program.sizing import Requirements
from hwquant.program.window_sums import revisits_early
from hwquant.random_networks import Features, random_qgraph
from hwquant.sim.check import verify


def passes(qgraph, array, **options):
    return Compilation(qgraph, lowered_network(qgraph), Requirements(array, **options))


def three_ways(seed=0):
    """A first layer to pack, a depthwise one, and a pooling that sums over windows."""
    net = Net(seed, x=(1, 8, 9))
    net.conv("x", 4, (3, 3), padding=(1, 1, 1, 1))
    net.conv("layer0", 4, (3, 3), groups=4, padding=(1, 1, 1, 1))
    net.conv("layer1", 4, (4, 3), groups=4, codes=np.ones((4, 1, 4, 3)), stride=(4, 3))
    return net.build()


def random_passes(seed):
    rng = np.random.default_rng(seed)
    array = int(rng.integers(2, 9)), int(rng.integers(2, 9))
    features = Features(
        zero_blocks=float(rng.choice([0.0, 0.6])), block=array, inputs=int(rng.integers(1, 4))
    )
    return passes(random_qgraph(rng, features), array)


# Mapping


def test_every_layer_is_mapped_to_what_is_cheapest():
    mapped = passes(three_ways(), (9, 4)).mapped
    first, depthwise, pooling = (item.strategy for item in mapped)
    assert isinstance(first, Dense)
    assert (first.packing.rows, first.packing.kernel) == (3, 3)
    assert (first.packing.height, first.packing.width) == (8, 9)
    assert mapped[0].layer.terms[0].kernel == (1, 1)
    assert isinstance(depthwise, Taps)
    assert isinstance(pooling, WindowSums)
    assert (mapped[2].layer.window, mapped[2].visits) == ((4, 3), 12)


def test_the_mapping_depends_on_geometry_alone():
    one, other = (passes(three_ways(seed), (9, 4)).mapped for seed in (0, 1))
    assert [item.strategy for item in one] == [item.strategy for item in other]


def test_an_array_has_the_modes_that_its_layers_use():
    compilation = passes(three_ways(), (9, 4))
    assert (compilation.offered.tap_lines, compilation.offered.window_sums) == (3, True)
    plan = compilation.mapped[1].plan
    assert (compilation.needed.tap_lines, compilation.needed.tap_depth) == (3, plan.delay)
    net = Net(x=(3, 5, 5))
    net.conv("x", 4, (2, 2))
    assert not passes(net.build(), (9, 4)).needed.window_sums
    assert passes(net.build(), (9, 4)).needed.tap_lines == 0


def test_an_input_that_is_read_twice_or_an_output_is_not_packed():
    for case in ("alone", "twice", "output"):
        net = Net(x=(1, 8, 8))
        net.conv("x", 4, (3, 3))
        if case == "twice":
            net.conv("x", 4, (1, 1))
        outputs = ["layer0", "x"] if case == "output" else []
        strategy = passes(net.build(*outputs), (8, 8)).mapped[0].strategy
        assert (strategy.packing is not None) == (case == "alone"), case


def test_grouped_weights_that_are_packed_read_what_they_did():
    net = Net(x=(4, 6, 6))
    net.conv("x", 6, (3, 3), groups=2, padding=(1, 1, 1, 1))
    qgraph = net.build()
    compilation = passes(qgraph, (12, 6))
    packing = compilation.mapped[0].strategy.packing
    (before,), (after,) = compilation.lowered[0].terms, compilation.mapped[0].layer.terms
    expected = before.dense().transpose(0, 3, 1, 2).reshape(6, 12, 3, 1)
    assert packing.kernel == 3
    np.testing.assert_array_equal(after.dense(), expected)
    np.testing.assert_array_equal(after.connected(), np.tile(before.connected(), (1, 3)))


# Placement


@pytest.mark.parametrize("seed", range(12))
def test_tensors_that_are_alive_together_lie_apart(seed):
    compilation = random_passes(seed)
    mapped, placed = compilation.mapped, compilation.placed
    last = {item.tensor: len(mapped) for item in compilation.qgraph.outputs}
    for index, item in enumerate(mapped):
        for term in item.layer.terms:
            last[term.tensor] = max(index, last.get(term.tensor, 0))
    for index, item in enumerate(mapped):
        alive = [place for name, place in placed.tensors.items() if last.get(name, -1) >= index]
        born = {other.layer.name: number for number, other in enumerate(mapped)}
        alive = [place for place in alive if born.get(place.name, -1) < index]
        spans = sorted((place.address, place.address + place.words) for place in alive)
        own = placed.tensors[item.layer.name]
        spans = sorted([*spans, (own.address, own.address + own.words)])
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
        assert spans[-1][1] <= placed.peak


def test_inputs_lie_one_after_the_other_in_their_order():
    names = [f"in{n}" for n in range(6)]
    net = Net(**dict.fromkeys(names, (2, 3, 3)))
    net.layer(*(net.term(name, 4) for name in names))
    placed = passes(net.build(), (4, 4)).placed
    assert list(placed.tensors) == [*names, "layer0"]
    assert [placed.tensors[name].address for name in names] == [9 * n for n in range(6)]


# Schedule


@pytest.mark.parametrize("seed", range(12))
def test_the_schedule_has_every_tile_that_is_not_zero_and_counts_the_others(seed):
    compilation = random_passes(seed)
    for item in compilation.schedule:
        assert [block for column_pass in item.passes for block in column_pass.block.channels] == list(
            range(item.output.shape[0])
        )
        for column_pass in item.passes:
            left_out = 0
            executed = {id(part.term): part.tiles for part in column_pass.terms}
            for term in item.mapped.layer.terms:
                weights = tile_weights(item.mapped, term, column_pass.block, compilation.needed)
                nonzero = set(np.flatnonzero(weights.any(axis=(1, 2))).tolist())
                tiles = {tile.number for tile in executed.get(id(term), ())}
                assert tiles == nonzero or (not nonzero and column_pass.count == 1)
                left_out += int(not nonzero and bool(tiles))
            assert column_pass.skipped == column_pass.dense - column_pass.count + left_out


def test_rows_of_the_schedule_count_their_tiles():
    for item in passes(three_ways(), (3, 2), limits={"accumulator_depth": 16}).schedule:
        done = {}
        for sweep in item.sweeps():
            key = sweep.block, sweep.pixels
            assert sweep.done == done.get(key, 0)
            done[key] = sweep.done + len(sweep.tiles)
            assert done[key] <= sweep.count
            assert sweep.parameters == (sweep.pixels == item.pixel_blocks[0] and sweep.done == 0)
        assert len(done) == len(item.passes) * len(item.pixel_blocks)


def test_a_column_block_that_is_zero_keeps_one_tile():
    net = Net(x=(8, 3, 3))
    codes = net.rng.integers(1, 9, (8, 8, 2, 2))
    codes[4:] = 0
    net.conv("x", 8, (2, 2), codes=codes)
    full, empty = passes(net.build(), (4, 4)).schedule[0].passes
    assert (full.count, full.dense, full.skipped) == (8, 8, 0)
    assert (empty.count, empty.dense, empty.skipped) == (1, 8, 8)


@pytest.mark.parametrize("array", [(8, 4), (8, 2)])
def test_lanes_without_a_channel_are_written_where_the_reader_has_no_zero(array):
    """A column block without a channel: its one tile writes the zero point."""
    net = Net(x=(3, 4, 4))
    net.conv("x", 4, bits=4)
    net.conv("layer0", 8, (2, 2), offset=100, bits=4)
    qgraph = net.build()
    program = compile_network(qgraph, array)
    assert [block.block.channels for block in passes(qgraph, array).schedule[0].passes][-1] == range(4, 4)
    result = verify(program, qgraph, images(qgraph, 2), simulator="amaranth", watch=2)
    assert result.first is None, str(result.first)


# Emission


def effects(code):
    """Every tile with what the registers hold for it; ``source`` and ``layer`` bring in what was set before."""
    held, active, repeat = {}, {}, 0
    for instruction in code:
        opcode, values = instruction.opcode, dict(instruction.values)
        if opcode in REGISTERS:
            held[opcode, values.get("level")] = values
        elif opcode is Opcode.REPEAT:
            repeat = values
        elif opcode is Opcode.TILE:
            if values.pop("source") | values["layer"]:
                active = dict(held)
            current = {
                key: held[key] for key in held if key[0] in (Opcode.COUNT, Opcode.OFFSET, Opcode.FORMAT)
            }
            yield values, repeat, active | current
            repeat = 0
        else:
            yield opcode, values


@pytest.mark.parametrize("seed", range(12))
def test_sets_that_are_dropped_change_nothing_for_any_tile(seed):
    compilation = random_passes(seed)
    places = compilation.placed.tensors
    inputs = [places[item.name] for item in compilation.qgraph.inputs]
    outputs = [places[item.tensor] for item in compilation.qgraph.outputs]
    pages, formats = compilation.tables.pages, compilation.formats
    ends = receive(inputs, compilation.shape), send(outputs, compilation.shape)
    everything = list(emit(compilation.schedule, *ends, compilation.shape, formats, pages))
    kept = list(drop_redundant_sets(everything))
    assert list(effects(kept)) == list(effects(everything))
    assert len(kept) < len(everything)
    assert list(drop_redundant_sets(kept)) == kept


def test_a_register_is_set_again_only_for_another_value():
    count = [Instruction(Opcode.COUNT, {"count": value}) for value in (3, 3, 4, 3)]
    assert list(drop_redundant_sets(count)) == [count[0], *count[2:]]


# Images and formats


def test_the_weight_image_is_the_tiles_in_order_last_row_first():
    net = Net(x=(8, 3, 3))
    net.conv("x", 4, (2, 2))
    compilation = passes(net.build(), (4, 4))
    (item,) = compilation.schedule
    (column_pass,) = item.passes
    (part,) = column_pass.terms
    weights = tile_weights(item.mapped, part.term, column_pass.block, compilation.shape)
    expected = np.concatenate([weights[tile.number][::-1] for tile in part.tiles])
    np.testing.assert_array_equal(compilation.images.weights, expected)


def test_no_format_loads_so_fast_that_a_window_sum_would_miss_its_last_pixel():
    """Of narrow weights two rows enter at once, but not where sums of four pixels each would follow too fast then."""
    net = Net(x=(24, 2, 2))
    codes = net.rng.integers(-2, 2, (6, 24, 2, 2))
    net.conv("x", 6, (2, 2), codes=codes, bits=2)
    assert passes(net.build(), (8, 8)).shape.load_rows == 2
    net = Net(x=(24, 2, 2))
    net.conv("x", 6, (2, 2), codes=np.broadcast_to(codes[:, :, :1, :1], codes.shape), bits=2)
    qgraph = net.build()
    compilation = passes(qgraph, (8, 8))
    (item,) = compilation.mapped
    assert item.summed
    assert compilation.shape.load_rows == 1
    assert not revisits_early(item.layer, compilation.shape)
    assert revisits_early(
        item.layer, dataclasses.replace(compilation.shape, weight_slot_bits=4, weight_packing=2, load_rows=2)
    )
    result = verify(compilation.program, qgraph, images(qgraph, 2), simulator="amaranth", watch=2)
    assert result.first is None, str(result.first)


# The array


def test_an_array_is_a_shape_and_sizes_and_its_key_has_them_all():
    assert {*SHAPE_FIELDS, *SIZES, *BIASES, *OPTIONAL} == {*KEY, *LATER}
    assert len(KEY) + len(LATER) == len(SHAPE_FIELDS) + len(SIZES) + len(BIASES) + len(OPTIONAL)
    shape = ArrayShape(4, 6, weight_bits=3)
    assert not any(hasattr(shape, name) for name in SIZES)
    config = ArrayConfig.of(shape, dict.fromkeys(SIZES, 16))
    assert config.key == (*(getattr(config, name) for name in KEY), 2, "product_stages")
    narrow = ArrayConfig.of(shape, dict.fromkeys(SIZES, 16) | {"bias_bits": 6, "bias_zeros": 3})
    assert narrow.key == (*config.key[: len(KEY)], 6, 3, 2, *BIASES, "product_stages")
    assert {*dataclasses.asdict(narrow)} == {*KEY, *LATER}
    assert (config.columns, config.weight_bits, config.program_depth) == (6, 3, 16)
    with pytest.raises(KeyError):
        ArrayConfig.of(shape, {})


# Listings


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_can_be_listed_for_all_layers_and_for_one(name):
    compilation = passes(three_ways(), (9, 4))
    found = listing(compilation, name)
    assert found.rows
    assert all(row.keys() == found.rows[0].keys() for row in found.rows)
    if name in ("shape", "sized"):
        with pytest.raises(HwquantError, match=f"the pass {name} is about the array"):
            listing(compilation, name, "layer1")
    else:
        own = listing(compilation, name, "layer1").rows
        assert 0 < len(own) < len(found.rows)
        assert all(row in found.rows for row in own)


def test_the_tiles_that_are_listed_are_those_of_the_weight_memory():
    compilation = passes(three_ways(), (9, 4))
    rows = listing(compilation, "tiles").rows
    assert sum(row["words"] for row in rows) == len(compilation.images.weights)
    for row in rows:
        words = compilation.images.weights[row["word"] : row["word"] + row["words"]]
        assert np.count_nonzero(words) == row["nonzero"] or row["packed"] > 1


def test_a_listed_tile_says_which_weights_it_holds():
    compilation = passes(three_ways(), (9, 4))
    rows = iter(listing(compilation, "tiles").rows)
    for item in compilation.schedule:
        for column_pass in item.passes:
            for part in column_pass.terms:
                every = tile_weights(item.mapped, part.term, column_pass.block, compilation.shape)
                kernels = part.term.dense(column_pass.block.outputs)
                for tile in part.tiles:
                    row = next(rows)
                    ys, xs = ([int(n) for n in row[key].split(", ")] for key in ("kernel y", "kernel x"))
                    assert row["inputs"] == ("own" if item.mapped.plan else f"0..{part.term.channels - 1}")
                    held = kernels[:, :, ys][:, :, :, xs]
                    assert sorted(every[tile.number][every[tile.number] != 0]) == sorted(held[held != 0])


def test_a_listed_tensor_says_what_reads_it_last():
    rows = listing(passes(three_ways(), (9, 4)), "placed").rows
    assert [(row["tensor"], row["read last by"]) for row in rows] == [
        ("x", "layer0"),
        ("layer0", "layer1"),
        ("layer1", "layer2"),
        ("layer2", "host"),
    ]


def test_a_pass_can_be_listed_though_a_later_one_fails():
    compilation = passes(three_ways(), (9, 4), limits={"weight_depth": 2})
    assert listing(compilation, "images").rows
    with pytest.raises(HwquantError, match="weight_depth"):
        listing(compilation, "sized")


def test_an_unknown_layer_is_refused_with_those_that_there_are():
    with pytest.raises(HwquantError, match="no layer 'none'; there are layer0, layer1, layer2"):
        listing(passes(three_ways(), (9, 4)), "mapped", "none")
