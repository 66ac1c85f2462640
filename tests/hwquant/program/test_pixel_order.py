"""What is read and written when, from instructions alone, against what the hardware does."""

import numpy as np
import pytest
from hwquant_testing.seeds import nightly

from hwquant.program.compiler import compile_network
from hwquant.program.isa import Opcode
from hwquant.program.pixel_order import Geometry, Outputs
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.sim.simulators import simulate

ARRAYS = [(4, 4), (3, 7), (9, 4), (2, 4, 4), (3, 6, 3), (8, 4)]


def outputs(program):
    """The outputs of every layer, in order."""
    geometry, write, layers = Geometry(), {}, []
    for item in program.instructions:
        if item.opcode is Opcode.WRITE:
            write = item.values
        elif item.opcode is Opcode.TILE:
            if item.values["layer"]:
                layers.append([write, 0])
            layers[-1][1] += sum(job.outputs for job in geometry.jobs(item.values))
        else:
            geometry.set(item)
    return [Outputs(write, program.config, count) for write, count in layers]


@pytest.mark.parametrize("seed", [*range(6), *nightly(range(6, 60))])
def test_outputs_are_written_where_they_are_said_to_be(seed):
    rng = np.random.default_rng(seed)
    features = Features(products=seed % 2 == 0, copies=seed % 3 == 0, inputs=1 + seed % 2)
    qgraph, array = random_qgraph(rng, features), ARRAYS[seed % len(ARRAYS)]
    program = compile_network(qgraph, array)
    run = simulate(program, program.frame(random_inputs(rng, qgraph, 1)), simulator="amaranth", watch=1)
    config, expected = program.config, []
    for layer in outputs(program):
        for number in range(layer.count):
            words = layer.words(number)
            ((address, group),) = {(address, group) for _, address, group in words}
            banks = sum(1 << bank for bank, _, _ in words) if config.arrays > 1 else 0
            expected.append((address, 1 << group | banks << config.groups))
    assert [(write.address, write.enable) for write in run.writes[0]] == expected
