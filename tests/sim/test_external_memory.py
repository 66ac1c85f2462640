"""Networks whose weights and parameters come from external memory: every value, every cycle."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.halves import halved
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import Net

from hwquant.errors import DoesNotFit, HwquantError
from hwquant.golden import run as golden
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.isa import MoveKind, Opcode
from hwquant.program.program import Part
from hwquant.program.registers import MemoryRegister
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.sim import Stalls, amaranth_backend, icarus_backend, simulate
from hwquant.sim.check import check, verify
from hwquant.sim.cocotb_backend import SCENARIOS, run_scenario

QUICK, SLOW = MemoryTiming(latency=1, gap=0, outstanding=8), MemoryTiming(latency=40, gap=5, outstanding=1)
REFRESHED = MemoryTiming(latency=20, outstanding=4, refresh_interval=203, refresh_cycles=31)
ROWS = MemoryTiming(latency=20, gap=8, outstanding=4, row=128)
NOWHERE = Part("", 0, 0)
ARRAYS = ((4, 4), (2, 5), (6, 3), (3, 9))


SMALL = Features(layers=(1, 2))


def case(seed, array, bits=32, features=SMALL, **limits):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, features)
    inputs = random_inputs(rng, qgraph, 3)
    limits = {"weight_depth": 6 * array[0], "parameter_depth": 4 * array[1], **limits}
    return compile_network(qgraph, array, external=ExternalMemory(bits), limits=limits), qgraph, inputs


def random_timing(rng):
    refresh = (int(rng.integers(150, 900)), int(rng.integers(1, 60))) if rng.random() < 0.5 else ()
    row = int(rng.choice([0, 64, 128, 512]))
    return MemoryTiming(
        int(rng.integers(1, 60)), int(rng.integers(0, 9)), int(rng.integers(1, 9)), *(refresh or (0, 0)), row
    )


@pytest.mark.parametrize("seed", [*range(1, 4), *nightly([0, *range(4, 24)])])
def test_random_networks_give_every_tensor_and_the_predicted_cycles(seed):
    rng = np.random.default_rng(seed)
    array, bits = ARRAYS[seed % len(ARRAYS)], int(rng.choice([16, 32, 64, 128]))
    depth = int(rng.integers(array[0] + 1, 12 * array[0]))
    program, qgraph, inputs = case(seed, array, bits, weight_depth=depth, accumulator_depth=16)
    memory = random_timing(rng)
    verification = verify(program, qgraph, inputs, simulator="amaranth", watch=2, memory=memory)
    assert verification.first is None, f"{memory}"
    assert verification.cycles == timing(program, memory).cycles


@pytest.mark.one_in(2)
@pytest.mark.parametrize("memory", [None, QUICK, SLOW, REFRESHED, ROWS])
def test_cxxrtl_takes_the_predicted_cycles_for_every_memory(memory):
    program, qgraph, inputs = case(2, (4, 4))
    verification = verify(program, qgraph, inputs, simulator="cxxrtl", watch=3, memory=memory)
    assert verification.first is None
    assert verification.cycles == timing(program, memory).cycles
    assert memory is QUICK or timing(program, memory).stalled > 0


def test_the_hardware_counts_the_cycles_in_which_it_waited(monkeypatch):
    monkeypatch.setattr(amaranth_backend, "COUNTER", MemoryRegister.STALLED)
    program, _, inputs = case(2, (4, 4))
    run = simulate(program, program.frame(inputs), simulator="amaranth", memory=REFRESHED)
    assert list(run.cycles) == [timing(program, REFRESHED).stalled] * 3


def test_a_memory_that_pauses_and_a_host_that_pauses_change_no_value():
    program, qgraph, inputs = case(2, (4, 4))
    stalls = Stalls(idle=0.3, busy=0.4, seed=3)
    for pauses in (40, 150):
        verification = verify(
            *(program, qgraph, inputs), simulator="cxxrtl", watch=3, memory_pauses=pauses, stalls=stalls
        )
        assert verification.first is None
        assert verification.simulated_cycles > 3 * timing(program).frame_cycles


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_the_emitted_verilog_does_the_same(simulator, build_dir):
    program, qgraph, inputs = case(2, (4, 4))
    verification = verify(
        *(program, qgraph, inputs), simulator=simulator, watch=2, memory=REFRESHED, build_dir=build_dir
    )
    assert verification.first is None


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "features",
    [
        Features(layers=(1, 1), products=True, residual=False),
        Features(layers=(1, 2), tables=0.7),
        Features(layers=(2, 2), multiplier=True, kernels=(1, 3)),
        Features(layers=(1, 2), steps=(1, 2), per_channel=False, weight_bits=(2, 4)),
    ],
)
def test_all_that_networks_may_contain_comes_from_outside(features):
    program, qgraph, inputs = case(11, (6, 3), 16, features)
    verification = verify(program, qgraph, inputs, simulator="amaranth", watch=2, memory=QUICK)
    assert verification.first is None


def without_room(seed, array, bits, depth, **limits):
    """A network whose program does not fit into a memory of so many words, and comes in halves of it."""
    program, qgraph, inputs = case(seed, array, bits, program_depth=depth, **limits)
    assert program.config.program_depth == depth < len(program.words) / 3
    return program, qgraph, inputs


@pytest.mark.parametrize(
    ("seed", "depth"),
    [(2, 16), *nightly([(5, 32), *((seed, 16) for seed in (1, 7, 8, 12, 15))])],
)
def test_a_program_comes_in_halves_in_the_predicted_cycles(seed, depth, build_dir):
    rng = np.random.default_rng(seed)
    array, bits = ARRAYS[seed % len(ARRAYS)], int(rng.choice([16, 32, 64, 128]))
    program, qgraph, inputs = without_room(seed, array, bits, depth)
    for memory in (QUICK, REFRESHED, random_timing(rng)):
        verification = verify(
            *(program, qgraph, inputs), simulator="icarus", watch=2, memory=memory, build_dir=build_dir
        )
        assert verification.first is None, f"{memory}"
        assert verification.cycles == timing(program, memory).cycles


@pytest.mark.parametrize("memory", [SLOW, ROWS, *nightly([None, QUICK, REFRESHED])])
def test_cxxrtl_fetches_programs_in_the_predicted_cycles(memory):
    program, qgraph, inputs = without_room(2, (4, 4), 32, 32)
    verification = verify(program, qgraph, inputs, simulator="cxxrtl", watch=3, memory=memory)
    assert verification.first is None
    assert verification.cycles == timing(program, memory).cycles


@pytest.mark.parametrize("pauses", [40, 150])
def test_programs_are_right_whatever_the_memory_does(pauses):
    program, qgraph, inputs = without_room(2, (4, 4), 32, 32)
    stalls = Stalls(idle=0.3, busy=0.4, seed=pauses)
    options = {"memory_pauses": pauses, "stalls": stalls}
    assert verify(program, qgraph, inputs, simulator="cxxrtl", watch=3, **options).first is None


def test_a_program_of_other_words_outside_is_found():
    program, qgraph, inputs = without_room(2, (4, 4), 32, 32)
    other = replace(program, words=(*program.words[:100], program.words[-1], *program.words[101:]))
    run = simulate(other, program.frame(inputs), simulator="cxxrtl", watch=1)
    assert check(run, program, qgraph, inputs).first is not None


WIDE = Features(layers=(1, 3), size=(6, 10), channels=(2, 6))


def banded(seed, array, bits, depth, features=WIDE, **limits):
    """A network of which no tensor, or not all, fit into the activation memory."""
    limits |= {"activation_depth": depth, "parameter_depth": 36}
    program, qgraph, inputs = case(seed, array, bits, features, **limits)
    kinds = {item.values["kind"] for item in program.instructions if item.opcode is Opcode.MOVE}
    assert kinds == set(MoveKind) - ({MoveKind.PROGRAM} if not program.config.program_half else set())
    assert program.parts
    return program, qgraph, inputs


@pytest.mark.parametrize(
    ("seed", "array", "bits", "depth"),
    [
        (3, (3, 9), 64, 54),
        *nightly([(11, (4, 4), 32, 65), (4, (4, 8), 64, 200)]),
    ],
)
@pytest.mark.parametrize("memory", [None, REFRESHED])
def test_tensors_that_do_not_fit_move_in_pieces(seed, array, bits, depth, memory):
    program, qgraph, inputs = banded(seed, array, bits, depth)
    verification = verify(program, qgraph, inputs, simulator="amaranth", watch=2, memory=memory)
    assert verification.first is None


def test_what_is_shifted_left_comes_in_fewer_terms_where_tensors_are_outside():
    """As what is added to sums is, where shifts alone scale."""
    net = Net(5, x=(4, 12, 10))
    codes = np.array([64, -100, 3, 1]).reshape(4, 1, 1, 1)
    added = net.term("x", 4, codes=codes, groups=4, shift=4)
    net.layer(net.term("x", 4, (3, 3), padding=(1, 1, 1, 1)), added)
    net.conv("layer0", 4)
    qgraph, limits = net.build(), {"weight_depth": 60, "parameter_depth": 16}
    tiles = []
    for depth in (400, 200):
        program = compile_network(
            qgraph, (4, 4), external=ExternalMemory(32), limits={**limits, "activation_depth": depth}
        )
        inputs = random_inputs(np.random.default_rng(5), qgraph, 2)
        verification = verify(program, qgraph, inputs, simulator="amaranth", watch=2, memory=QUICK)
        assert verification.first is None
        assert verification.cycles == timing(program, QUICK).cycles
        tiles.append(max(info.tiles for info in program.layers))
    assert tiles == [9 + 16, 9 + 13]


def test_a_piece_that_is_another_part_of_its_tensor_is_found():
    program, qgraph, inputs = banded(3, (3, 9), 64, 54)
    run = simulate(program, program.frame(inputs), simulator="amaranth", watch=1)
    assert check(run, program, qgraph, inputs).first is None
    name = next(layer.tensor for layer in program.layers if program.parts.get(layer.tensor, NOWHERE).row)
    moved = {**program.parts, name: replace(program.parts[name], row=program.parts[name].row - 1)}
    found = check(run, replace(program, parts=moved), qgraph, inputs).first
    assert found.layer.startswith(name.partition("[")[0])


@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
def test_pieces_move_in_every_simulator(simulator, build_dir):
    program, qgraph, inputs = banded(11, (4, 4), 32, 65)
    options = {"simulator": simulator, "memory": REFRESHED, "build_dir": build_dir}
    assert verify(program, qgraph, inputs, watch=2, **options).first is None


@pytest.mark.parametrize("pauses", [60, 160])
def test_pieces_are_right_whatever_the_memory_does(pauses):
    program, qgraph, inputs = banded(11, (4, 4), 32, 65)
    verification = verify(
        *(program, qgraph, inputs),
        simulator="cxxrtl",
        watch=3,
        memory_pauses=pauses,
        stalls=Stalls(idle=0.3, busy=0.4, seed=pauses),
    )
    assert verification.first is None


@pytest.mark.parametrize(
    ("seed", "array", "bits"), [(2, (4, 4), 32), (4, (2, 5), 16), *nightly([(6, (6, 3), 64)])]
)
@pytest.mark.parametrize("memory", [QUICK, REFRESHED])
def test_words_of_the_activation_memory_go_outside_and_come_back(seed, array, bits, memory):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, Features(layers=(1, 2)))
    program = halved(qgraph, array, bits)
    inputs = random_inputs(rng, qgraph, 3)
    verification = verify(program, qgraph, inputs, simulator="amaranth", watch=3, memory=memory)
    assert verification.first is None


def test_what_does_not_fit_is_refused_by_name():
    with pytest.raises(DoesNotFit, match=r"weight_depth \d is needed for a tile, 3 is available"):
        case(2, (4, 4), weight_depth=3)
    with pytest.raises(DoesNotFit, match="parameter_depth 4 is needed for a tile, 2 is available"):
        case(2, (4, 4), parameter_depth=3)
    qgraph = random_qgraph(np.random.default_rng(2))
    with pytest.raises(DoesNotFit, match=r"take \d+ bytes of external memory, which has 4096"):
        compile_network(
            random_qgraph(np.random.default_rng(13), Features(channels=(30, 40))),
            (4, 4),
            external=ExternalMemory(16, 4096),
        )
    with pytest.raises(HwquantError, match="several arrays cannot have external memory"):
        compile_network(qgraph, (2, 4, 4), external=ExternalMemory())
    inside = compile_network(qgraph, (4, 4), pack_input="none").config
    with pytest.raises(HwquantError, match="port to external memory has 0 bits, not 64"):
        compile_network(qgraph, (4, 4), config=inside, external=ExternalMemory())


def test_a_network_is_compiled_for_hardware_that_exists():
    program, qgraph, _ = case(2, (4, 4))
    again = compile_network(qgraph, (4, 4), config=program.config, external=ExternalMemory(32))
    assert again.words == program.words
    assert (again.external_image == program.external_image).all()


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("limits", [{}, {"program_depth": 16}])
def test_the_hardware_passes_each_scenario(scenario, limits, build_dir):
    """Resets in the middle of moves, frames of wrong lengths whose pieces begin again, and registers."""
    program, qgraph, inputs = banded(11, (4, 4), 32, 65, **limits)
    inputs_at = [number for number, item in enumerate(program.instructions) if item.opcode is Opcode.INPUT]
    assert not limits or inputs_at[-1] > program.config.program_depth
    tensors = golden(qgraph, inputs)
    expected = np.concatenate([item.to_words(tensors[item.name]) for item in program.outputs], axis=1)
    stalls = Stalls(0.3, 0.4, seed=2)
    frames = program.frame(inputs)
    run_scenario(
        *(icarus_backend.tool(), program, frames, expected, scenario), stalls=stalls, build_dir=build_dir
    )
