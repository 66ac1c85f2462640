"""What moves for each layer, and what waits for it: all of it, once, and where it belongs."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.banded_networks import inverted_residuals
from hwquant_testing.small_networks import Net

from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.isa import Instruction, MoveKind, Opcode, encode, fields
from hwquant.program.moving import move_beats
from hwquant.program.port_use import LayerUse, port_use
from hwquant.random_networks import Features, random_qgraph

LIMITS = {"weight_depth": 24, "parameter_depth": 16, "activation_depth": 110}


@pytest.fixture(scope="module", params=["random", "residuals"])
def program(request):
    memory = ExternalMemory(16, timing=MemoryTiming(latency=60, gap=3, outstanding=1))
    if request.param == "random":
        qgraph, limits = random_qgraph(np.random.default_rng(2), Features(layers=(1, 3))), LIMITS
    else:
        qgraph, limits = inverted_residuals(), {"activation_depth": 256, "weight_depth": 100}
    return compile_network(qgraph, (4, 4), external=memory, limits=limits)


def test_every_byte_and_every_stalled_cycle_is_some_layers(program):
    times = timing(program)
    layers = port_use(program, times)
    expected = dict.fromkeys(("weights", "parameters", "load", "store"), 0)
    for instruction in program.instructions:
        if instruction.opcode is Opcode.MOVE:
            kind = MoveKind(instruction.values["kind"])
            expected[kind.name.lower()] += 2 * move_beats(program.config, kind, instruction.values["count"])
    assert {name: sum(layer.moved[name] for layer in layers) for name in expected} == expected
    assert expected["weights"] > 0 < expected["load"]
    assert sum(sum(layer.stalled.values()) for layer in layers) == times.stalled > 0
    assert sum(layer.bands for layer in layers) == len(program.layers)
    assert [layer.covers for layer in layers] == list(dict.fromkeys(item.covers for item in program.layers))


def test_a_quick_memory_never_takes_longer_and_a_kind_without_moves_never_stalls(program):
    quickest = timing(program, program.memory.quickest)
    assert quickest.cycles < timing(program).cycles
    assert quickest.stalled < timing(program).stalled
    alone = compile_network(
        random_qgraph(np.random.default_rng(2), Features(layers=(1, 2))), (4, 4), external=ExternalMemory(128)
    )
    layers = port_use(alone, timing(alone, MemoryTiming(latency=400)))
    assert all(
        layer.stalled[name] == layer.moved[name] == 0 for layer in layers for name in ("load", "store")
    )


@pytest.fixture(scope="module")
def large_and_tiny():
    """A layer whose weights do not fit at once, before one of a few words."""
    net = Net(x=(4, 4, 4))
    net.conv(net.conv("x", 24, (3, 3), name="large"), 2, name="tiny")
    memory = ExternalMemory(16, timing=MemoryTiming(latency=60, gap=3, outstanding=1))
    return compile_network(net.build(), (4, 4), external=memory, limits={"weight_depth": 24})


def _with(program, instructions):
    """The program with other instructions."""
    return replace(program, words=tuple(encode(item, fields(program.config)) for item in instructions))


def _output(program):
    """Where the OUTPUT is."""
    return [item.opcode for item in program.instructions].index(Opcode.OUTPUT)


def test_what_a_layer_waits_for_in_its_middle_is_its_own(large_and_tiny):
    program, times = large_and_tiny, timing(large_and_tiny)
    large, tiny = port_use(program, times)
    assert (large.covers, tiny.covers) == (("large",), ("tiny",))
    size = 2 * move_beats(program.config, MoveKind.WEIGHTS, 1)
    words = [layer.weight_words for layer in program.layers]
    assert words[0] > 5 * words[1] > 0
    assert [large.moved["weights"], tiny.moved["weights"]] == [size * count for count in words]

    instructions = program.instructions
    tiles = [number for number, item in enumerate(instructions) if item.opcode is Opcode.TILE]
    (_, second) = (number for number in tiles if instructions[number].values["layer"])
    end = max(number for number in tiles if number < second) + 1
    without_tiny = timing(_with(program, instructions[:end] + instructions[_output(program) :]))
    assert sum(large.stalled.values()) == without_tiny.stalled > 0
    assert sum(tiny.stalled.values()) == times.stalled - without_tiny.stalled
    assert sum(large.stalled.values()) > 5 * sum(tiny.stalled.values())
    assert large.bound == "weights"


def test_what_the_output_waits_for_counts_for_the_last_layer(large_and_tiny):
    program, output = large_and_tiny, _output(large_and_tiny)
    move = Instruction(Opcode.MOVE, {"kind": MoveKind.WEIGHTS, "address": 0, "count": 8})
    added = (move, Instruction(Opcode.WAIT, {"moves": 0}))
    later = _with(program, program.instructions[:output] + added + program.instructions[output:])
    before, after = timing(program), timing(later)
    place = len(program.layers), MoveKind.WEIGHTS
    assert {**before.stalls, place: after.stalls[place]} == after.stalls
    assert place not in before.stalls
    (large, tiny), (same, last) = port_use(program, before), port_use(later, after)
    assert same == large
    assert last.stalled["weights"] == tiny.stalled["weights"] + after.stalls[place] > tiny.stalled["weights"]
    assert last.moved["weights"] == tiny.moved["weights"] + 2 * move_beats(
        program.config, MoveKind.WEIGHTS, 8
    )


@pytest.mark.parametrize(
    ("stalled", "bound"),
    [
        ({"weights": 9, "parameters": 0, "load": 0, "store": 0}, "multiplications"),
        ({"weights": 12, "parameters": 13, "load": 0, "store": 0}, "parameters"),
        ({"weights": 12, "parameters": 0, "load": 8, "store": 8}, "activations"),
        ({"weights": 12, "parameters": 0, "load": 5, "store": 5}, "weights"),
    ],
)
def test_a_layer_is_bound_by_what_it_waits_for_most(stalled, bound):
    assert LayerUse(("conv",), 1, {}, stalled, 100).bound == bound
