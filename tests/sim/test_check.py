"""The checker must notice every kind of difference and name its place; and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant.program.cycles import timing
from hwquant.program.isa import Instruction, Opcode, encode, fields
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.qgraph import Layer
from hwquant.sim import Run, Write, simulate
from hwquant.sim.check import check
from hwquant.sim.differences import CycleMismatch, Mismatch, MissingResult, WriteMismatch

WATCH = 2


@pytest.fixture(scope="module")
def it(plain_case):
    return plain_case


@pytest.fixture(scope="module")
def run(it):
    """A right run."""
    return simulate(it.program, it.frames, simulator="cxxrtl", watch=WATCH)


def judge(it, run):
    return check(run, it.program, it.qgraph, it.inputs)


def with_writes(run: Run, sample: int, change) -> Run:
    """A run in which one sample's writes are changed."""
    writes = [list(frame) for frame in run.writes]
    change(writes[sample])
    return replace(run, writes=tuple(tuple(frame) for frame in writes))


def with_write(run: Run, sample: int, index: int, write: Write) -> Run:
    """A run in which one write is another."""
    return with_writes(run, sample, lambda writes: writes.__setitem__(index, write))


def with_lane(program, write: Write, lane: int, step: int = 1) -> Write:
    """A write with one lane changed."""
    lanes, bits = program.config.lanes, program.config.activation_bits
    words = integers_to_words([write.data], lanes, bits)
    words[0, lane] ^= step
    return write._replace(data=words_to_integers(words, bits)[0])


def layer_of(program, index: int):
    """Layer, place and number within the layer of a sample's index-th write (here every group is written)."""
    config = program.config
    for layer in program.layers:
        place = program.tensors[layer.name]
        channels = place.shape[0]
        groups = sum(
            plane * place.lanes + config.group_lanes(group).start < channels
            for plane in range(-(-channels // place.lanes))
            for group in range(config.groups)
        )
        if index < groups * place.plane:
            return layer, place, index
        index -= groups * place.plane
    raise AssertionError("beyond the last write")


def test_the_case_has_planes_groups_and_idle_lanes(it, run):
    config = it.program.config
    assert config.groups == 2
    assert any(place.shape[0] > config.lanes for place in it.program.tensors.values())
    assert any(place.shape[0] % config.lanes for place in it.program.tensors.values())
    assert layer_of(it.program, len(run.writes[0]) - 1)[0] is it.program.layers[-1]


def test_a_right_run_has_no_difference(it, run):
    verification = judge(it, run)
    assert (verification.mismatches, verification.first, verification.differences) == (0, None, ())
    assert (verification.samples, verification.watched) == (3, WATCH)
    assert verification.cycles == timing(it.program).cycles
    assert verification.simulated_cycles == sum(run.periods)


@pytest.mark.parametrize("sample", range(WATCH))
def test_every_written_value_is_compared_and_named(it, run, sample):
    config = it.program.config
    compared = 0
    for index, write in enumerate(run.writes[sample]):
        layer, place, number = layer_of(it.program, index)
        (group,) = (group for group in range(config.groups) if write.enable == 1 << group)
        for lane in range(config.lanes):
            wrong = with_write(run, sample, index, with_lane(it.program, write, lane))
            plane, pixel = divmod(write.address - place.address, place.plane)
            channel = plane * config.lanes + lane
            if lane not in config.group_lanes(group) or channel >= place.shape[0]:
                assert judge(it, wrong).first is None
                continue
            compared += 1
            first = judge(it, wrong).first
            assert isinstance(first, Mismatch)
            assert (first.sample, first.layer, first.channel) == (sample, layer.name, channel)
            assert (first.y, first.x) == divmod(pixel, place.shape[2])
            value = integers_to_words([write.data], config.lanes, config.activation_bits)[0, lane]
            assert (first.expected, first.got) == (value, value ^ 1)
            assert number >= 0
    assert compared == sum(np.prod(it.program.tensors[layer.name].shape) for layer in it.program.layers)


def test_a_wrong_value_reads_as_a_sentence(it, run):
    place = it.program.tensors[it.program.layers[0].name]
    first = judge(it, with_write(run, 1, 1, with_lane(it.program, run.writes[1][1], 0))).first
    assert str(first) == (
        f"sample 1, layer {place.name!r}, y 0, x 1, channel 0: expected {first.expected}, got {first.got}"
    )


def test_a_missing_write_is_named(it, run):
    for index in (0, 5, len(run.writes[0]) - 1):
        layer, _, number = layer_of(it.program, index)
        first = judge(it, with_writes(run, 0, lambda writes, index=index: writes.pop(index))).first
        assert isinstance(first, WriteMismatch)
        assert (first.sample, first.layer, first.index) == (0, layer.name, number)
        assert first.expected == run.writes[0][index][:2]
        assert first.got == (run.writes[0][index + 1][:2] if index + 1 < len(run.writes[0]) else None)
    assert str(first).endswith("got no write")


def test_a_write_too_many_is_named(it, run):
    def repeat(writes):
        writes.insert(5, writes[5])

    layer, _, number = layer_of(it.program, 6)
    first = judge(it, with_writes(run, 1, repeat)).first
    assert isinstance(first, WriteMismatch)
    assert (first.sample, first.layer, first.index) == (1, layer.name, number)

    first = judge(it, with_writes(run, 1, lambda writes: writes.append(Write(0, 1, 0)))).first
    assert (first.layer, first.expected, first.got) == (it.program.layers[-1].name, None, (0, 1))
    assert "expected no write, got a write to address 0, groups 1" in str(first)


@pytest.mark.parametrize("change", [{"address": 1}, {"enable": 3}])
def test_a_write_in_the_wrong_place_is_named(it, run, change):
    index = 7
    layer, _, number = layer_of(it.program, index)
    write = run.writes[0][index]
    moved = write._replace(**{name: getattr(write, name) ^ value for name, value in change.items()})
    first = judge(it, with_write(run, 0, index, moved)).first
    assert isinstance(first, WriteMismatch)
    assert (first.layer, first.index, first.expected, first.got) == (
        layer.name,
        number,
        write[:2],
        moved[:2],
    )


def test_the_earliest_difference_is_the_one_that_is_reported(it, run):
    def spoil(writes):
        writes[9] = writes[9]._replace(address=writes[9].address + 1)
        writes[8] = with_lane(it.program, writes[8], it.program.config.group_lanes(0).start)

    first = judge(it, with_writes(run, 0, spoil)).first
    assert isinstance(first, Mismatch | WriteMismatch)
    assert run.writes[0][8].enable == 1, "group 0, whose lane is changed"
    assert isinstance(first, Mismatch)


@pytest.mark.parametrize("sample", range(3))
def test_every_output_value_is_compared(it, run, sample):
    (place,) = it.program.outputs
    for word, lane in np.ndindex(run.words.shape[1:]):
        words = run.words.copy()
        words[sample, word, lane] ^= 1
        verification = judge(it, replace(run, words=words))
        plane, pixel = divmod(word, place.plane)
        channel = plane * place.lanes + lane
        if channel >= place.shape[0]:
            assert verification.mismatches == 0
            continue
        y, x = divmod(pixel, place.shape[2])
        value = int(run.words[sample, word, lane])
        assert verification.differences == (Mismatch(sample, place.name, y, x, channel, value, value ^ 1),)


def test_samples_that_differ_are_counted(it, run):
    words = run.words.copy()
    words[1:, 0] ^= 1
    verification = judge(it, replace(run, words=words))
    assert verification.mismatches == 2
    assert [item.sample for item in verification.differences] == [1, 2]
    assert verification.first.sample == 1


def test_wrong_cycles_are_named(it, run):
    cycles = list(run.cycles)
    cycles[2] += 1
    first = judge(it, replace(run, cycles=tuple(cycles))).first
    assert first == CycleMismatch(2, "inference", cycles[2] - 1, cycles[2])
    assert str(first) == f"sample 2: inference: expected {cycles[2] - 1} cycles, got {cycles[2]}"


def test_a_wrong_frame_period_is_named_unless_the_host_paused(it, run):
    periods = list(run.periods)
    periods[1] += 3
    wrong = replace(run, periods=tuple(periods))
    expected = timing(it.program).frame_cycles
    assert judge(it, wrong).first == CycleMismatch(1, "frame period", expected, expected + 3)
    assert check(wrong, it.program, it.qgraph, it.inputs, stalled=True).first is None


def test_missing_results_are_named(it, run):
    short = replace(run, words=run.words[:2], cycles=run.cycles[:2], periods=run.periods[:2])
    assert judge(it, short).differences == (MissingResult(2, run.patience),)


def test_a_wrong_golden_value_is_named(it, run):
    """One bias of each layer is changed in the model, not in the hardware."""
    for node in it.qgraph.nodes:
        assert isinstance(node, Layer)
        channel = len(node.bias) - 1
        bias = node.bias.copy()
        bias[channel] += 3 << int(np.broadcast_to(node.shift, bias.shape)[channel])
        other = replace(node, bias=bias)
        nodes = tuple(other if item is node else item for item in it.qgraph.nodes)
        qgraph = replace(it.qgraph, nodes=nodes)
        first = check(run, it.program, qgraph, it.inputs).first
        assert isinstance(first, Mismatch)
        assert (first.layer, first.channel) == (node.name, channel)


# Faults in the hardware's memories: the program that the hardware executes differs from the one it is checked
# against. -------------------------------------------------------------------------------------------------------


def weight_rows(program) -> list[range]:
    """The words of each layer in the weight memory."""
    ranges, start = [], 0
    for layer in program.layers:
        stop = start + layer.weight_words
        ranges.append(range(start, stop))
        start = stop
    assert start == len(program.weights)
    return ranges


def parameter_words(program) -> list[range]:
    """The words of each layer in the parameter memory."""
    ranges, start, config = [], 0, program.config
    for layer in program.layers:
        channels = program.tensors[layer.name].shape[0]
        blocks = sum(
            plane * config.lanes + config.group_lanes(group).start < channels
            for plane in range(-(-channels // config.lanes))
            for group in range(config.groups)
        )
        ranges.append(range(start, start + blocks * config.columns))
        start = ranges[-1].stop
    assert start == len(program.bias)
    return ranges


def first_difference(it, program):
    run = simulate(program, it.frames, simulator="cxxrtl", watch=3)
    return judge(it, run).first


def test_a_flipped_weight_bit_is_found_in_its_layer(it):
    rng = np.random.default_rng(5)
    for layer, rows in zip(it.program.layers, weight_rows(it.program), strict=True):
        found = 0
        for row in rng.permutation(rows)[:8].tolist():
            weights = it.program.weights.copy()
            weights[row, 0] ^= 1 << (it.program.config.slot_bits // layer.rows_per_word - 2)
            first = first_difference(it, replace(it.program, weights=weights))
            # A weight that only meets zeros or saturated sums does not show.
            assert first is None or (isinstance(first, Mismatch) and first.layer == layer.name)
            found += first is not None
        assert found >= 6


def test_a_flipped_bias_bit_is_found_in_its_layer_and_channel(it):
    for layer, words in zip(it.program.layers, parameter_words(it.program), strict=True):
        found = 0
        for channel, word in zip(range(it.program.config.columns), words):
            bias = it.program.bias.copy()
            bias[word] ^= 1 << int(it.program.shift[word]) + 1
            first = first_difference(it, replace(it.program, bias=bias))
            assert first is None or (first.layer, first.channel) == (layer.name, channel)
            found += first is not None
        assert found


@pytest.mark.parametrize(
    ("opcode", "field", "step"),
    [
        (Opcode.TILE, "address", 1),
        (Opcode.TILE, "y", 1),
        (Opcode.CLAMP, "low", 3),
        (Opcode.CLAMP, "high", -3),
        (Opcode.WRITE, "address", 1),
        (Opcode.PLANE, "pad", 5),
        (Opcode.LEVEL, "step", 1),
        (Opcode.OFFSET, "offset", 1),
    ],
    ids=lambda value: value.name if isinstance(value, Opcode) else str(value),
)
def test_a_wrong_program_word_is_found_in_the_layer_that_it_belongs_to(it, opcode, field, step):
    program = it.program
    layer, found, layers_of_words = -1, 0, []
    for instruction in program.instructions:
        # Registers are set before the first tile of the layer that takes them.
        if instruction.opcode is Opcode.TILE and instruction.values["layer"]:
            layer += 1
        sets = instruction.opcode not in (Opcode.TILE, Opcode.REPEAT, Opcode.COUNT)
        layers_of_words.append(layer + 1 if sets else layer)
    for index, (instruction, layer) in enumerate(zip(program.instructions, layers_of_words, strict=True)):
        if instruction.opcode is not opcode or layer >= len(program.layers):
            continue
        values = {**instruction.values, field: instruction.values[field] + step}
        words = list(program.words)
        words[index] = encode(Instruction(opcode, values), fields(program.config))
        first = first_difference(it, replace(program, words=tuple(words)))
        if first is not None:
            assert first.layer == program.layers[layer].name, str(instruction)
            found += 1
    assert found


def test_a_wrong_value_is_found_in_the_bank_of_any_array(case):
    it = case("3x4x2, several arrays")
    run = simulate(it.program, it.frames[:1], simulator="amaranth", watch=1)
    config, layer = it.program.config, it.program.layers[0]
    q = {name: values[:1] for name, values in it.inputs.items()}
    assert check(run, it.program, it.qgraph, q).first is None
    assert layer.rows
    height = it.program.tensors[layer.tensor].stored_shape[1]
    for bank in range(config.arrays):
        write = run.writes[0][0]
        wrong = write._replace(data=write.data ^ 1 << bank * config.word_bits)
        found = check(replace(run, writes=((wrong, *run.writes[0][1:]),)), it.program, it.qgraph, q).first
        if bank * layer.rows < height:
            assert (type(found), found.layer, found.y, found.channel) == (
                Mismatch,
                layer.tensor,
                bank * layer.rows,
                0,
            )
        else:
            assert found is None, "beyond the picture"
