"""A whole board behind a pseudo-terminal, with the driver that real ones have, on good lines and on bad ones."""

import os
import shutil

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, board_network, images

from hwquant.driver import connect
from hwquant.errors import HwquantError
from hwquant.golden import predict
from hwquant.golden import run as golden
from hwquant.link import SerialLink, Session
from hwquant.link.flight import Call
from hwquant.link.protocol import FLAG, SMALL, VERSION, Request, Status, encode
from hwquant.link.session import NotReady
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.registers import Register
from hwquant.sim import BOARD_SIMULATORS
from hwquant.sim.board import TIMEOUT, SimulatedBoard
from hwquant.sim.faults import Faults, FaultyLink

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def network():
    return board_network()


@pytest.fixture(scope="module")
def program(network):
    return compile_network(network, (2, 2))


@pytest.fixture
def board(program):
    with SimulatedBoard(program) as board:
        yield board


@pytest.fixture
def link(board):
    with SerialLink(board.port) as link:
        yield link


def equal(result, expected):
    return all(np.array_equal(result[name], expected[name]) for name in expected)


@pytest.mark.parametrize("simulator", BOARD_SIMULATORS)
def test_the_board_computes_what_the_golden_model_computes(network, program, simulator):
    q = images(network, 5)
    with SimulatedBoard(program, simulator=simulator) as board, SerialLink(board.port) as link:
        connection = connect(link, network, program)
        assert equal(connection.run(q), golden(network, q))
        assert connection.cycles() == timing(program).cycles
        assert connection.register(Register.INFERENCES) == 5
        assert connection.register(Register.STATUS) >> 1 == 0, "no illegal instruction, no dropped frame"


def test_a_board_infers_float_arrays_as_the_golden_model_does(network, program, link):
    x = np.random.default_rng(1).uniform(-130, 130, (3, 2, 4, 4)).astype(np.float32)
    done = []
    result = connect(link, network, program).infer(x, lambda *step: done.append(step))
    expected = predict(network, x)
    assert len(result) == len(expected)
    for one, other in zip(result, expected):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert done == [("run on the board", index, 3) for index in (1, 2, 3)]


@pytest.mark.parametrize(
    "faults",
    [
        Faults(corrupt=0.01, seed=1),
        Faults(drop=0.005, duplicate=0.005, seed=2),
        Faults(corrupt=0.005, drop=0.002, duplicate=0.002, delay=0.001, seconds=0.03, seed=3),
    ],
)
def test_on_a_bad_line_every_answer_is_right(network, program, link, faults):
    noisy = FaultyLink(link, faults)
    q = images(network, 25)
    connection = connect(noisy, network, program)
    assert equal(connection.run(q), golden(network, q))
    assert noisy.injected > 5
    assert connection.statistics.retries > 0
    assert connection.register(Register.INFERENCES) == 25


@pytest.mark.nightly
@pytest.mark.parametrize(("simulator", "frames"), [("cxxrtl", 1000), ("verilator", 200)])
def test_many_frames_with_a_byte_in_a_hundred_changed(network, program, simulator, frames):
    q = images(network, frames)
    with SimulatedBoard(program, simulator=simulator) as board, SerialLink(board.port) as link:
        noisy = FaultyLink(link, Faults(corrupt=0.01))
        connection = connect(noisy, network, program)
        assert equal(connection.run(q), golden(network, q))
        assert noisy.injected > frames
        assert connection.register(Register.INFERENCES) == frames


def test_a_host_may_die_anywhere_and_another_one_finds_a_clean_board(network, program, board):
    q = images(network, 2)
    frame = encode(bytes([VERSION << 4 | Request.WRITE, 1, 0, *range(20)]))
    with SerialLink(board.port) as link:
        session = Session(link)
        session.open()
        session.request(Request.WRITE, bytes(8))  # half a frame,
        link.write(frame[:9])  # half a packet
    with SerialLink(board.port) as link:
        assert equal(connect(link, network, program).run(q), golden(network, q))
        connection = connect(link, network, program)
        next(
            connection._session.stream([Call(Request.LAST, bytes(connection._beat * program.frame_words[0]))])
        )
    with SerialLink(board.port) as link:
        link.write(bytes([FLAG, 1, 2, 3]) * 50)  # and noise
        connection = connect(link, network, program)
        assert equal(connection.run(q), golden(network, q))
        assert connection.register(Register.INFERENCES) == 2


def test_after_an_interruption_the_same_device_goes_on(network, program, link):
    """Ctrl-C in the middle of a frame: the next call does not continue that frame."""
    q = images(network, 2)
    connection = connect(link, network, program)
    write, left = link.write, [2]

    def interrupted(data):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        write(data)

    connection._frame_size._size = 5.0
    link.write = interrupted
    with pytest.raises(KeyboardInterrupt):
        connection.run(q)
    link.write = write
    assert equal(connection.run(q), golden(network, q))


def test_another_program_is_refused(program, link):
    net = Net(seed=1, x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 2)
    other = net.build()
    wrong = compile_network(other, (2, 2))
    with pytest.raises(HwquantError) as error:
        connect(link, other, wrong)
    assert str(error.value) == (
        f"the accelerator on {link.name} (2x2) holds program {program.checksum:#010x}, the build (2x2) "
        f"{wrong.checksum:#010x}; program the board with the bitstream of this build"
    )


def test_two_hosts_cannot_have_the_port(link):
    with pytest.raises(HwquantError, match=f"cannot open the port {link.name}.*nobody else using it"):
        SerialLink(link.name)


def test_a_port_that_nobody_answers_on():
    master, slave = os.openpty()
    try:
        with SerialLink(os.ttyname(slave)) as link:
            session = Session(link, timeout=0.01, silences=3)
            with pytest.raises(HwquantError, match=r"no answer from the board on /dev/.* to OPEN"):
                session.open()
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_that_fails_is_an_error(network, program):
    with SimulatedBoard(program) as board:
        link = SerialLink(board.port)
        connection = connect(link, network, program)
    with pytest.raises(HwquantError, match=f"the port {board.port} has failed"):
        connection.run(images(network, 1))
    link.close()


def test_a_board_that_does_not_take_frames(network, program, link):
    """The session says that results are not read instead of waiting for ever; the rest is not executed."""
    connection = connect(link, network, program, patience=0.01, timeout=TIMEOUT)
    frame = Call(Request.LAST, bytes(connection._beat * program.frame_words[0]))
    with pytest.raises(HwquantError, match=r"is not ready for 0.01 s \(status register 0x1\)"):
        list(connection._answers(iter([frame, frame, frame])))
    assert connection.register(Register.INFERENCES) == 0, "its result was not read"


@pytest.mark.parametrize("corrupt", [0.0, 0.02])
def test_weights_are_loaded_by_every_session_whatever_the_line(network, program, corrupt):
    q = images(network, 4)
    with SimulatedBoard(program, loadable=True) as board, SerialLink(board.port) as link:
        noisy = FaultyLink(link, Faults(corrupt=corrupt, drop=corrupt / 10, duplicate=corrupt / 10, seed=4))
        session = Session(noisy)
        session.open()
        wanted = session.request(Request.PEEK, bytes([Register.LOAD])).payload
        assert int.from_bytes(wanted, "little") == len(program.weight_image) > 10
        for _ in range(2):
            connection = connect(noisy, network, program)
            assert connection.register(Register.LOAD) == 0
            assert equal(connection.run(q), golden(network, q))
            assert connection.cycles() == timing(program).cycles
            assert connection.register(Register.INFERENCES) == 4
        assert (noisy.injected > 10) == (corrupt > 0)


def test_nothing_runs_before_all_weights_are_loaded(network, program):
    with SimulatedBoard(program, loadable=True) as board, SerialLink(board.port) as link:
        session = Session(link, timeout=TIMEOUT)
        session.open()
        size = program.config.columns * program.config.slot_bits // 8
        missing = len(program.weight_image) - 1
        for _ in range(missing):
            assert session.request(Request.LOAD, bytes(size)).status == Status.OK
        session.patience = 0.0
        with pytest.raises(NotReady):
            session.request(Request.WRITE, bytes(8))
        session.abandon()
        assert session.request(Request.PEEK, bytes([Register.STATUS])).payload == bytes(4)
        assert session.request(Request.LOAD, bytes(size)).status == Status.OK
        assert session.request(Request.WRITE, bytes(8)).status == Status.OK


def test_a_board_with_weights_does_not_know_how_to_load(link):
    session = Session(link)
    session.open()
    with pytest.raises(HwquantError, match="does not know the request LOAD"):
        session.request(Request.LOAD, bytes(2))


@pytest.mark.nightly  # it compiles once more
def test_a_divisor_and_a_window_like_real_ones(network, program):
    q = images(network, 9)
    with SimulatedBoard(program, divisor=13, window=SMALL) as board, SerialLink(board.port) as link:
        assert equal(connect(link, network, program).run(q), golden(network, q))
