"""What moves for each layer, and what waits for it: all of it, once, and where it belongs."""

import numpy as np
import pytest
from hwquant_testing.banded_networks import inverted_residuals
from hwquant_testing.random_features import Features
from hwquant_testing.random_networks import random_qgraph

from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.isa import MoveKind, Opcode
from hwquant.program.moving import move_beats
from hwquant.program.port_use import LayerUse, port_use

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
