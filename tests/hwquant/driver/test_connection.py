"""The driver against a model of a board whose accelerator is the golden model."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.link_model import ModelAccelerator, ModelBoard, Network
from hwquant_testing.small_networks import Net, images

from hwquant.boards.board import load_board
from hwquant.driver import connect
from hwquant.errors import HwquantError, MemoryFault
from hwquant.golden import predict
from hwquant.golden import run as golden
from hwquant.link.protocol import ESCAPE, LARGE, SMALL, Request, Status
from hwquant.link.rate import Line, link_time
from hwquant.program.batch import all_together, apart
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.program.registers import IDENTITY, VERSION, MemoryRegister, Register


def several():
    """Two inputs, two outputs, and words whose bytes are not full."""
    net = Net(x=(3, 5, 4), z=(2, 5, 4))
    first = net.layer(net.term("x", 5, (3, 3), padding=(1, 1, 1, 1)), net.term("z", 5))
    return net.build(first, net.conv(first, 2, (2, 2)))


def single():
    net = Net(seed=2, x=(4, 6, 6))
    net.pool(net.conv("x", 6, (3, 3)), (2, 2))
    return net.build()


def dense():
    net = Net(seed=3, x=(7, 1, 1))
    return net.build(net.conv("x", 5, (1, 1)))


CASES = {"several": (several, (3, 5)), "single": (single, (4, 4)), "batch": (dense, (3, 3), 8)}


@pytest.fixture(params=CASES)
def case(request):
    make, array, *batch = CASES[request.param]
    network = make()
    return network, compile_network(network, array, batch=batch[0] if batch else 1)


def registers(program, **changes):
    config = program.config
    values = {
        "IDENTITY": IDENTITY,
        "VERSION": VERSION,
        "CHECKSUM": program.checksum,
        "CONTROL": Register.CONTROL.pack(repeat=1),
        "STATUS": 0,
        "CYCLES": 1234,
        "INFERENCES": 0,
        "SHAPE": Register.SHAPE.pack(rows=config.rows, columns=config.columns, lanes=config.lanes),
    }
    return {Register[name]: value for name, value in {**values, **changes}.items()}


def model(network, program, latency=0, loads=0, window=LARGE, **changes):
    """A board that computes with the golden model, and wants ``loads`` words of weights before."""
    config = program.config
    bits, lanes = config.activation_bits, config.lanes

    def compute(frame):
        words, tensors, start = integers_to_words(frame, lanes, bits), {}, 0
        for item in program.inputs:
            tensors[item.name] = apart(
                item.from_words(words[None, start : start + item.words]), program.batch
            )
            start += item.words
        outputs = golden(network, tensors)
        rows = all_together(outputs, program.batch)
        result = [item.to_words(rows[item.name])[0] for item in program.outputs]
        return words_to_integers(np.concatenate(result), bits)

    count = sum(item.words for item in program.inputs)
    accelerator = ModelAccelerator(count, compute, registers(program, **changes), latency, loads)
    return ModelBoard(accelerator, config.word_bits, config.columns * config.slot_bits, window)


def unpacked(program):
    return all(item.packing is None for item in program.inputs)


@pytest.mark.parametrize("latency", [0, 3])
def test_integers_come_back_as_from_the_golden_model(case, latency):
    network, program = case
    assert unpacked(program)
    board = model(network, program, latency)
    q = images(network, 3)
    result = connect(board, network, program).run(q)
    expected = golden(network, q)
    assert set(result) == set(expected)
    assert all(np.array_equal(result[name], expected[name]) for name in expected)
    assert board.accelerator.inferences == -(-3 // program.batch)


def test_arrays_come_back_as_from_the_golden_model(case):
    network, program = case
    rng = np.random.default_rng(0)
    x = {item.name: rng.uniform(-150, 150, (2, *item.shape)).astype(np.float32) for item in network.inputs}
    result, expected = connect(model(network, program), network, program).infer(x), predict(network, x)
    assert len(result) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(result, expected))


def test_a_noisy_line_costs_time_and_nothing_else(case):
    network, program = case
    board = model(network, program)
    link = Network(board, line=(0.01, 0.002, 0.002))
    q = images(network, 30 * program.batch)
    connection = connect(link, network, program, silences=12, clock=link.clock)
    result, expected = connection.run(q), golden(network, q)
    assert all(np.array_equal(result[name], expected[name]) for name in expected)
    assert connection.statistics.retries > 20
    assert board.accelerator.inferences == 30


@pytest.mark.parametrize("line", [(0, 0, 0), (0.01, 0.002, 0.002)])
def test_weights_are_loaded_whole_and_in_order_by_every_session(case, line):
    network, program = case
    board = model(network, program, loads=len(program.weight_image))
    link = Network(board, line=line)
    q = images(network, 2)
    for session in range(1, 4):
        connection = connect(link, network, program, silences=12, clock=link.clock)
        assert board.accelerator.weights == program.weight_image * session
        result, expected = connection.run(q), golden(network, q)
        assert all(np.array_equal(result[name], expected[name]) for name in expected)
    assert (link.mishaps > 0) == (line[0] > 0)


def test_a_board_that_has_its_weights_is_not_loaded(case):
    network, program = case
    board = model(network, program)
    connect(board, network, program)
    assert Request.LOAD not in board.executed


@pytest.mark.parametrize("more", [-1, 1])
def test_a_board_that_wants_other_weights_is_refused(case, more):
    network, program = case
    count = len(program.weight_image)
    with pytest.raises(HwquantError, match=f"wants {count + more} words of weights, the build has {count};"):
        connect(model(network, program, loads=count + more), network, program)


@pytest.fixture(scope="module")
def outside():
    """A network whose weights are in external memory."""
    network = single()
    limits = {"weight_depth": 24, "parameter_depth": 16}
    return network, compile_network(network, (4, 4), external=ExternalMemory(16), limits=limits)


def board_outside(network, program, error=0, loads=None):
    """A board that loses what it has loaded with every session, as real ones do not."""
    loads = len(program.external_image) if loads is None else loads
    board = model(network, program, loads=loads)
    board.load_size = 2
    board.accelerator.registers |= {MemoryRegister.MEMORY: error, MemoryRegister.STALLED: 77}
    return board


def test_what_external_memory_has_is_loaded_where_it_is_missing(outside):
    network, program = outside
    board, steps = board_outside(network, program), []
    connection = connect(board, network, program, lambda *step: steps.append(step))
    image = program.external_image
    assert board.accelerator.weights == image.view("<u2")[:, 0].tolist()
    assert steps[-1] == ("load the external memory", len(image), len(image))
    assert len(steps) == board.executed.count(Request.LOAD) > 1
    q = images(network, 3)
    result, expected = connection.run(q), golden(network, q)
    assert all(np.array_equal(result[name], expected[name]) for name in expected)
    assert connection.stalled() == 77
    filled = board_outside(network, program, loads=0)
    connect(filled, network, program).run(q)
    assert Request.LOAD not in filled.executed


def test_an_error_of_external_memory_is_raised_behind_the_first_result(outside):
    network, program = outside
    connection = connect(board_outside(network, program, error=1), network, program)
    with pytest.raises(MemoryFault, match="external memory of the board on model has answered with an error"):
        connection.run(images(network, 2))


def test_a_board_that_wants_other_contents_of_external_memory_is_refused(outside):
    network, program = outside
    count = len(program.external_image)
    board = board_outside(network, program, loads=count + 1)
    with pytest.raises(
        HwquantError, match=f"wants {count + 1} words of external memory, the build has {count};"
    ):
        connect(board, network, program)


def test_a_register_is_read_behind_each_result_where_there_is_external_memory(outside):
    network, program = outside
    link = Counted(board_outside(network, program))
    connection = connect(link, network, program)
    connection.run(images(network, 20))
    before = link.bytes, connection.statistics.requests
    connection.run(images(network, 3))
    found = load_board("ulx3s-85f").link_time(program, 0.0)
    assert (link.bytes - before[0], connection.statistics.requests - before[1]) == (
        3 * found.bytes,
        3 * found.requests,
    )


def test_other_weights_outside_are_another_program(outside):
    network, program = outside
    weights = program.weights.copy()
    weights[-1, -1] ^= 1
    other = replace(program, weights=weights)
    assert not np.array_equal(other.external_image, program.external_image)
    assert other.checksum != program.checksum
    with pytest.raises(HwquantError, match="holds program"):
        connect(board_outside(network, program), network, other)


def test_a_board_without_external_memory_does_not_wait_for_it(case):
    network, program = case
    assert connect(model(network, program), network, program).stalled() is None


def test_the_identity_of_a_board_is_that_of_its_program(case):
    network, program = case
    connection = connect(model(network, program), network, program)
    identity, config = connection.identity(), program.config
    assert (identity.rows, identity.columns, identity.lanes) == (config.rows, config.columns, config.lanes)
    assert identity.checksum == program.checksum
    assert connection.cycles() == 1234


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"IDENTITY": 0x12345678},
            "what answers on model is no hwquant accelerator (identity 0x12345678); program the board",
        ),
        ({"VERSION": 9}, "has register version 9, this hwquant version 1; build its bitstream again"),
        (
            {"CHECKSUM": 7, "SHAPE": 0x080808},
            "the accelerator on model (8x8) holds program 0x00000007, the build",
        ),
    ],
)
def test_the_wrong_bitstream_is_refused(case, changes, message):
    network, program = case
    with pytest.raises(HwquantError) as error:
        connect(model(network, program, **changes), network, program)
    assert message in str(error.value)


def test_an_accelerator_that_stopped_is_an_error(case):
    network, program = case
    board = model(network, program, latency=1 << 30, STATUS=5)
    connection = connect(board, network, program, patience=0.02, clock=board.clock)
    message = r"the accelerator on model is not ready for 0\.02 s \(status register 0x5\); connect again"
    with pytest.raises(HwquantError, match=message):
        connection.run(images(network, 1))


def test_after_an_error_the_next_call_begins_anew(case):
    network, program = case
    board = model(network, program)
    connection = connect(board, network, program)
    q = images(network, 2)
    execute, left = board._execute, [2]

    def button(code, payload):
        left[0] -= 1
        if not left[0]:
            board.reset()
            return Status.OK, b""
        return execute(code, payload)

    board._execute = button
    with pytest.raises(HwquantError, match="lost the session"):
        connection.run(q)
    result, expected = connection.run(q), golden(network, q)
    assert all(np.array_equal(result[name], expected[name]) for name in expected)


def test_a_board_that_was_programmed_anew_meanwhile_is_refused(case):
    network, program = case
    board = model(network, program)
    connection = connect(board, network, program)
    board.reset()
    board.accelerator.registers[Register.CHECKSUM] ^= 1
    with pytest.raises(HwquantError, match="lost the session"):
        connection.run(images(network, 1))
    with pytest.raises(HwquantError, match="holds program"):
        connection.run(images(network, 1))


def test_inputs_are_checked_before_anything_is_sent(case):
    network, program = case
    board = model(network, program)
    connection = connect(board, network, program)
    with pytest.raises(HwquantError, match="input 'x' holds NaN"):
        connection.infer({item.name: np.full((1, *item.shape), np.nan) for item in network.inputs})
    assert set(board.executed) == {Request.PEEK}


class Counted:
    """A link that counts bytes, escapes aside."""

    def __init__(self, link):
        self.link, self.name, self.bytes = link, link.name, 0

    def write(self, data):
        self.bytes += len(data) - data.count(ESCAPE)
        self.link.write(data)

    def read(self, timeout):
        data = self.link.read(timeout)
        self.bytes += len(data) - data.count(ESCAPE)
        return data


@pytest.mark.parametrize("window", [LARGE, SMALL])
def test_an_inference_takes_the_bytes_and_requests_that_it_is_said_to_take(case, window):
    network, program = case
    link = Counted(model(network, program, window=window))
    connection = connect(link, network, program)
    connection.run(images(network, 20 * program.batch))  # packets grow until they are as large as they may be
    before = link.bytes, connection.statistics.requests
    connection.run(images(network, 3 * program.batch))
    found = link_time(*program.frame_sizes, Line.serial(1_000_000, 0.0, window))
    assert (link.bytes - before[0], connection.statistics.requests - before[1]) == (
        3 * found.bytes,
        3 * found.requests,
    )


def test_frames_follow_each_other_while_their_results_are_on_the_way(case):
    """Where a window has all requests of several frames, these take one delay there and back."""
    network, program = case
    link = Network(model(network, program))
    connection = connect(link, network, program, clock=link.clock)
    connection.run(images(network, 20 * program.batch))
    begin, requests = link.now, connection.statistics.requests
    connection.run(images(network, 24 * program.batch))
    delays = (connection.statistics.requests - requests) / LARGE.packets
    assert link.now - begin <= 2e-3 * (delays + 1)
