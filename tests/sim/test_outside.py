"""Networks that do not fit inside: the hardware gives every band's integers, in as many cycles as predicted."""

import pytest
from hwquant_testing.banded_networks import CORNERS
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import images

from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.isa import MoveKind, Opcode
from hwquant.sim.check import verify

CASES = {
    "stem": ((4, 4), 1024, 16, "cxxrtl"),
    "inverted_residuals": ((9, 4), 256, 32, "cxxrtl"),
    "whole_pictures": ((4, 3), 256, 64, "cxxrtl"),
    "rearranged": ((2, 2), 700, 128, "cxxrtl"),
    "fused_pools": ((4, 3), 160, 32, "amaranth"),
    "sequence": ((6, 3), 128, 32, "amaranth"),
    "several_ends": ((4, 4), 128, 16, "amaranth"),
}
"""By name of a network: the array, words of the activation memory, bits of the port, and what simulates it."""

LONG = ["stem", "whole_pictures", "sequence"]
"""Those that take longest, and have nothing that the others have not."""


@pytest.mark.parametrize("name", [*(name for name in CASES if name not in LONG), *nightly(LONG)])
def test_networks_that_do_not_fit_inside_give_the_same_integers_in_the_predicted_cycles(name):
    array, words, bits, simulator = CASES[name]
    qgraph = CORNERS[name]()
    limits = {"activation_depth": words, "weight_depth": 20 * array[0], "parameter_depth": 8 * array[1]}
    program = compile_network(qgraph, array, external=ExternalMemory(bits), limits=limits)
    assert 0 < program.config.half_depth < program.config.activation_depth <= words
    moved = {item.values["kind"] for item in program.instructions if item.opcode is Opcode.MOVE}
    assert moved >= {MoveKind.LOAD, MoveKind.STORE}
    memory = MemoryTiming(latency=17, gap=3, outstanding=2, refresh_interval=400, refresh_cycles=30)
    verification = verify(program, qgraph, images(qgraph, 2), simulator=simulator, watch=2, memory=memory)
    assert verification.first is None
    assert verification.cycles == timing(program, memory).cycles
