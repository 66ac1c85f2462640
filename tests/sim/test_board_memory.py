"""Boards with external memory: filled once, whoever comes; sessions that begin in the middle of an inference."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest
from hwquant_testing.banded_networks import CORNERS
from hwquant_testing.small_networks import images

from hwquant.boards.board import load_board
from hwquant.driver import connect
from hwquant.errors import MemoryFault
from hwquant.golden import run as golden
from hwquant.link import Link, SerialLink, Session
from hwquant.link.flight import Call
from hwquant.link.protocol import Request
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.layout import words_to_integers
from hwquant.program.registers import Register
from hwquant.rtl_templates.sdram import sdram_timings
from hwquant.rtl_templates.uart import MIN_DIVISOR
from hwquant.sim import BOARD_SIMULATORS
from hwquant.sim.board import TIMEOUT, SimulatedBoard
from hwquant.sim.board_bench import BoardBench
from hwquant.sim.board_memory import ClockedSdram
from hwquant.sim.external_memory import settings_of

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")

LIMITS = {"activation_depth": 512, "weight_depth": 64, "parameter_depth": 32}
SLICE = 50
"""Clock cycles that pass at a time; less than a byte and the pause behind it."""


@pytest.fixture(scope="module")
def network():
    return CORNERS["dilated"]()


@pytest.fixture(scope="module")
def program(network):
    """Bands of its tensors are outside, and so are its weights."""
    program = compile_network(network, (2, 2), external=ExternalMemory(16), limits=LIMITS)
    assert program.config.half_depth > 0
    return program


@pytest.fixture(scope="module")
def fetched(network):
    """Its program is outside too."""
    limits = {**LIMITS, "program_depth": 64}
    program = compile_network(network, (2, 2), external=ExternalMemory(16), limits=limits)
    assert program.config.half_depth > 0
    assert 2 * program.config.program_half == program.config.program_depth == 64 < len(program.words) / 3
    return program


class Bench(Link):
    """The line of a board whose time goes on when it is said so."""

    name = "bench"

    def __init__(self, program, settings):
        self.bench = BoardBench(program, MIN_DIVISOR, "cxxrtl", loadable=False, settings=settings)
        self._heard = b""

    def write(self, data):
        self._heard += data

    def read(self, timeout):
        for _ in range(10_000):
            if said := self.pass_slice():
                return said
        return b""

    def pass_slice(self):
        taken, said = self.bench.run(self._heard, SLICE)
        self._heard = self._heard[taken:]
        return said

    def close(self):
        self.bench.close()


def equal(result, expected):
    return all(np.array_equal(result[name], expected[name]) for name in expected)


def test_memory_is_filled_by_the_first_session_and_sessions_may_begin_at_any_time(network, program):
    """Also in the middle of bursts: what they have not brought yet would be taken for what comes next."""
    q, rng, loads = images(network, 1), np.random.default_rng(4), []
    memory = MemoryTiming(latency=60, gap=4, outstanding=8)
    frame = words_to_integers(program.frame(q)[0], program.config.activation_bits)
    with Bench(program, settings_of(memory)) as link:
        session = Session(link, timeout=1e9)
        session.open()
        session.request(Request.LOAD, bytes(100))  # a host that dies
        for delay in [None, *rng.integers(0, timing(program, memory).cycles // SLICE, 12)]:
            connection = connect(link, network, program, lambda *step: loads.append(step), timeout=1e9)
            assert equal(connection.run(q), golden(network, q))
            assert connection.cycles() == timing(program, memory).cycles
            assert connection.stalled() > 0
            assert connection.register(Register.INFERENCES) == 1
            if delay is not None:
                size = connection._frame_size
                calls = connection._chunks(frame, connection._beat, size, (Request.WRITE, Request.LAST))
                list(connection._answers(calls))
                for _ in range(delay):
                    link.pass_slice()
        count = len(program.external_image)
        assert loads[-1] == ("load the external memory", count, count)
        assert [step[1] for step in loads] == sorted(step[1] for step in loads), "once"


def test_a_program_outside_is_fetched_anew_by_every_session(network, fetched):
    """Whenever it begins: before its first half is there, between halves, and behind its end."""
    q, memory = images(network, 1), MemoryTiming(latency=60, gap=4, outstanding=8)
    expected, cycles = golden(network, q), timing(fetched, memory).cycles
    with Bench(fetched, settings_of(memory)) as link:
        # The first half is fetched as soon as memory is filled, or a session has begun: nobody waits for it.
        for passed in (0, 1, 2, 3, 5, 8, cycles // SLICE // 2, 2 * cycles // SLICE):
            connection = connect(link, network, fetched, timeout=1e9)
            for _ in range(passed):
                link.pass_slice()
            connection = connect(link, network, fetched, timeout=1e9)
            for number in (
                1,
                2,
            ):  # the second inference finds the words of the end, and fetches those of the beginning
                assert equal(connection.run(q), expected)
                assert connection.cycles() == cycles
                assert connection.register(Register.INFERENCES) == number


def test_half_a_frame_and_results_that_nobody_reads_hold_no_reset_up(network, program):
    q = images(network, 1)
    with Bench(program, settings_of(MemoryTiming())) as link:
        for request in (Request.WRITE, Request.LAST):
            connection = connect(link, network, program, timeout=1e9)
            beats = program.frame_words[0] if request is Request.LAST else 3
            words = [0] * beats
            calls = connection._chunks(
                words, connection._beat, connection._frame_size, (Request.WRITE, request)
            )
            list(connection._answers(calls))
            for _ in range(200):
                link.pass_slice()
        connection = connect(link, network, program, timeout=1e9)
        assert equal(connection.run(q), golden(network, q))


def test_no_inference_begins_before_memory_is_filled(network, program):
    with Bench(program, settings_of(MemoryTiming())) as link:
        session = Session(link, timeout=1e9)
        session.open()
        count, size = len(program.external_image), program.config.external_bits // 8

        def missing():
            return int.from_bytes(session.request(Request.PEEK, bytes([Register.LOAD])).payload, "little")

        for _ in range(count - 1):
            session.request(Request.LOAD, bytes(size))
        assert missing() == count
        assert session.request(Request.PEEK, bytes([Register.STATUS])).payload == bytes(4)
        session.request(Request.LOAD, bytes(size))
        assert missing() == 0
        assert session.request(Request.PEEK, bytes([Register.STATUS])).payload == bytes([1, 0, 0, 0])


def test_words_of_a_program_that_are_not_those_outside_are_an_error_of_the_run(network, fetched):
    with Bench(fetched, settings_of(MemoryTiming(), faulty=1)) as link:
        connection = connect(link, network, fetched, timeout=1e9)
        with pytest.raises(MemoryFault, match="memory of the board on bench has answered with an error"):
            connection.run(images(network, 1))


@pytest.mark.parametrize("faulty", ["weights", "activations"])
def test_an_error_of_the_memory_is_one_of_the_run(network, program, faulty):
    address = 3 if faulty == "weights" else 64 * (1 + (len(program.external_image) - 1) // 64) + 5
    with Bench(program, settings_of(MemoryTiming(), faulty=address)) as link:
        connection = connect(link, network, program, timeout=1e9)
        with pytest.raises(MemoryFault, match="memory of the board on bench has answered with an error"):
            connection.run(images(network, 2))
        with pytest.raises(MemoryFault):
            connection.run(images(network, 1))


@pytest.mark.nightly
@pytest.mark.skipif(find_spec("litedram") is None, reason="litedram is not installed")
@pytest.mark.parametrize(
    ("name", "simulator"),
    [*(("ulx3s-85f", simulator) for simulator in BOARD_SIMULATORS), ("tang-nano-20k", "verilator")],
)
def test_a_board_with_an_sdram_computes_what_the_golden_model_computes(network, name, simulator):
    """A rule of the data sheet that is broken makes all that is read wrong."""
    board = load_board(name)
    hertz = board.target(external=True) * 1e6
    program = compile_network(network, (2, 2), external=board.memory.external(hertz), limits=LIMITS)
    q, sdram = images(network, 4), ClockedSdram(board.memory.chip, hertz)
    best, worst = (timing(program, memory).cycles for memory in sdram_timings(sdram.chip, hertz))
    with (
        SimulatedBoard(program, sdram=sdram, simulator=simulator) as board,
        SerialLink(board.port) as link,
    ):
        for _ in range(2):
            connection = connect(link, network, program, timeout=TIMEOUT)
            assert equal(connection.run(q), golden(network, q))
            assert best <= connection.cycles() <= worst
            calls = [Call(Request.LAST, bytes(connection._beat))]
            list(connection._answers(iter(calls)))  # a frame that is too short; then a session begins
