"""Compiled plans: instructions that read and write the pieces of their step, and marks where activations move."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.errors import DoesNotFit
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.external import ExternalMemory
from hwquant.program.isa import LAYER, Instruction, MoveKind, Opcode
from hwquant.program.marks import ActivationMove, Await, transfers
from hwquant.program.pixel_order import Geometry, Outputs
from hwquant.program.sizing import Requirements
from hwquant.program.steps import Compute, Load, Receive, Send, Store, Wait
from hwquant.random_networks import Features, random_qgraph

FEATURES = Features(
    layers=(1, 5), size=(5, 14), channels=(1, 9), outputs=3, pool_chains=True, products=True, copies=True
)


def compiled(seed):
    """The passes over a random network, for a memory that is just too small for all of it."""
    array = [(2, 2), (3, 3), (4, 4), (2, 4), (4, 2), (9, 3)][seed % 6]
    features = replace(FEATURES, inputs=1 + seed % 2, steps=(1, 2) if seed % 3 == 0 else (1,))
    for number in count(100 * seed):
        qgraph = random_qgraph(np.random.default_rng(number), features)
        words, passes = 16, None
        while not passes:
            limits = {"activation_depth": words, "accumulator_depth": 60 + seed}
            requirements = Requirements(array, limits=limits, external=ExternalMemory())
            try:
                passes = Compilation(qgraph, lowered_network(qgraph), requirements)
                code = passes._marked
            except DoesNotFit:
                words, passes = words + words // 3, None
        if passes.plan:
            return passes, code
    raise AssertionError("there are no more numbers")


@pytest.mark.parametrize("seed", range(24))
def test_every_band_reads_and_writes_its_pieces(seed):
    passes, code = compiled(seed)
    assert passes.plan
    spans = {name: range(p.address, p.address + p.room) for name, p in passes.placed.tensors.items()}
    steps = [step for step in passes.plan.steps if isinstance(step, Compute)]
    geometry, layers, settings = Geometry(), [], {}
    for instruction in (item for item in code if isinstance(item, Instruction)):
        if instruction.opcode is Opcode.TILE:
            if instruction.values["layer"]:
                layers.append((dict(settings), []))
            layers[-1][1].extend(geometry.jobs(instruction.values))
        elif instruction.opcode in LAYER:
            settings[instruction.opcode] = instruction.values
        else:
            geometry.set(instruction)
    for step, (own, jobs) in zip(steps, layers, strict=True):
        read = {
            address
            for job in jobs
            for words in job.reads(passes.shape, alone=False)
            for _, address, _ in words
        }
        assert all(any(address in spans[name] for name in step.layer.reads) for address in read)
        outputs = Outputs(own[Opcode.WRITE], passes.shape, sum(job.outputs for job in jobs))
        written = [word for number in range(outputs.count) for word in outputs.words(number)]
        assert len(set(written)) == len(written)
        assert all(address in spans[step.layer.tensor] for _, address, _ in written)


@pytest.mark.parametrize("seed", range(8))
def test_marks_stand_where_the_plan_has_them(seed):
    passes, code = compiled(seed)
    plan, order, repeated = passes.plan, [], False
    for item in code:
        if isinstance(item, ActivationMove | Await):
            order.append(item)
            assert not repeated  # not between a REPEAT and its TILE
        elif item.opcode in (Opcode.INPUT, Opcode.OUTPUT) or (
            item.opcode is Opcode.TILE and item.values["layer"]
        ):
            order.append(item.opcode)
        repeated = isinstance(item, Instruction) and item.opcode is Opcode.REPEAT
    expected = []
    for step in plan.steps:
        match step:
            case Load(run) | Store(run):
                kind = MoveKind.LOAD if isinstance(step, Load) else MoveKind.STORE
                first = plan.outside[run.tensor] + run.first
                expected.append(ActivationMove(kind, first, run.address, run.count))
            case Wait(moves):
                expected.append(Await(moves))
            case Receive():
                expected.append(Opcode.INPUT)
            case Send():
                expected.append(Opcode.OUTPUT)
            case Compute():
                expected.append(Opcode.TILE)
    assert order == expected


def test_transfers_are_those_of_the_plan():
    passes, _ = compiled(1)
    inputs, outputs = transfers(passes.plan)
    assert [item.values["last"] for item in inputs] == [0] * (len(inputs) - 1) + [1]
    assert [item.values["last"] for item in outputs] == [0] * (len(outputs) - 1) + [1]
    words = {place.name: place.words for place in (*passes.program_ends[0], *passes.program_ends[1])}
    assert sum(item.values["count"] for item in inputs) == sum(
        words[item.name] for item in passes.qgraph.inputs
    )


def test_an_input_whose_words_hold_a_kernel_lies_outside():
    net = Net(x=(1, 20, 20))
    qgraph = net.build(net.conv("x", 4, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1)))
    requirements = Requirements((9, 4), limits={"activation_depth": 120}, external=ExternalMemory())
    passes = Compilation(qgraph, lowered_network(qgraph), requirements)
    place = passes.program_ends[0][0]
    assert place.packing
    assert passes.plan.outside_words >= place.words
    assert {piece.shape[0] for piece in passes.plan.pieces.values() if piece.tensor == "x"} == {9}


def test_what_fits_has_no_plan():
    net = Net(x=(1, 8, 8))
    qgraph = net.build(net.conv("x", 4, (3, 3)))
    layers = lowered_network(qgraph)
    assert Compilation(qgraph, layers, Requirements((4, 4), external=ExternalMemory())).plan is None
    limits = {"activation_depth": 300}
    assert Compilation(qgraph, layers, Requirements((4, 4), limits=limits)).plan is None
    assert (
        Compilation(qgraph, layers, Requirements((4, 4), limits=limits, external=ExternalMemory())).plan
        is None
    )
