"""A session, with a model of the board at the other end of a perfect or a bad line, in virtual time."""

import itertools

import numpy as np
import pytest
from hwquant_testing.link_model import ModelAccelerator, ModelBoard, Network
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.link import Session
from hwquant.link.flight import Call
from hwquant.link.protocol import LARGE, SMALL, VERSION, Request, Status, Window, encode
from hwquant.link.session import NotReady

WORDS = 20


def board(words=3, window=LARGE, latency=0):
    """Adds 1 to every word of its frames."""
    compute = lambda frame: [word + 1 & 255 for word in frame]  # noqa: E731
    return ModelBoard(ModelAccelerator(words, compute, {0: 0x48575131}, latency), 8, window=window)


def open_session(link, **options):
    session = Session(link, clock=link.clock, **options)
    session.open()
    return session


def test_requests_are_answered():
    session = open_session(board())
    assert session.window == LARGE
    assert session.request(Request.PEEK, b"\0").payload == b"1QWH"
    assert session.request(Request.WRITE, b"ab").status == Status.OK
    assert session.request(Request.LAST, b"c").status == Status.OK
    assert session.request(Request.READ, b"\2").payload == b"bc"
    assert session.request(Request.READ, b"\1").payload == b"d"
    assert session.statistics.requests == 6
    assert session.statistics.retries == session.statistics.losses == session.statistics.busy == 0


def frames_of(seed, count):
    """Frames, the requests that run them, cut anywhere, and what these return."""
    rng = np.random.default_rng(seed)
    calls, returned = [], []
    for _ in range(count):
        frame = rng.bytes(WORDS)
        result = bytes(byte + 1 & 255 for byte in frame)
        for request, data in ((Request.WRITE, frame), (Request.READ, result)):
            cuts = [
                0,
                *sorted(rng.choice(np.arange(1, WORDS), rng.integers(0, 4), replace=False).tolist()),
                WORDS,
            ]
            for start, end in itertools.pairwise(cuts):
                if request == Request.READ:
                    calls.append(Call(request, bytes([end - start])))
                    returned.append(data[start:end])
                else:
                    calls.append(Call(Request.LAST if end == WORDS else request, data[start:end]))
                    returned.append(b"")
    return calls, returned


def check_once_and_right(network, seed, count=15, **options):
    session = open_session(network, silences=30, tries=10_000, **options)
    far = network.board
    far.executed.clear()
    calls, returned = frames_of(seed, count)
    assert [response.payload for response in session.stream(calls)] == returned
    assert far.executed == [call.request for call in calls]
    assert far.accelerator.inferences == count
    return session


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data())
def test_on_a_bad_line_everything_is_executed_once_and_every_answer_is_right(data):
    chance = st.sampled_from([0, 0, 1e-3, 1e-2, 2e-2])
    window = data.draw(st.sampled_from([LARGE, SMALL, Window(2, 32), Window(16, 256)]))
    network = Network(
        board(WORDS, window, data.draw(st.integers(0, 3))),
        delay=data.draw(st.sampled_from([0.0, 1e-3, 0.5])),  # the last: longer than the time-out
        line=data.draw(st.tuples(chance, chance, chance)),
        seed=data.draw(st.integers(0, 1 << 32)),
    )
    check_once_and_right(network, 0)


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data())
def test_datagrams_that_are_lost_doubled_and_overtaken_change_nothing(data):
    chance = st.sampled_from([0, 0.01, 0.1, 0.3])
    network = Network(
        board(WORDS, data.draw(st.sampled_from([LARGE, SMALL, Window(16, 256)]))),
        datagrams=data.draw(st.tuples(chance, chance, chance)),
        seed=data.draw(st.integers(0, 1 << 32)),
    )
    check_once_and_right(network, 1)


@pytest.mark.parametrize("window", [LARGE, SMALL, Window(2, 32)])
def test_a_window_of_requests_takes_one_delay(window):
    """Of 240 requests, a window's worth is on its way at a time: as many delays there and back as windows."""
    network = Network(board(WORDS, window))
    session = open_session(network)
    calls = [Call(Request.PEEK, b"\0")] * 240
    begin = network.now
    assert len(list(session.stream(calls))) == 240
    assert network.now - begin == pytest.approx(240 / window.packets * 2e-3)
    assert session.statistics.retries == 0


def test_one_loss_costs_a_few_delays_and_no_time_out():
    network = Network(board(WORDS))
    session = open_session(network)
    begin, lost = network.now, iter([False, True])
    send = network._send

    def lose_one(data, outward):
        if outward and next(lost, False):
            data = data[:25] + data[26:]  # in the second of eight packets
        send(data, outward)

    network._send = lose_one
    assert len(list(session.stream([Call(Request.PEEK, b"\0")] * 32))) == 32
    statistics = session.statistics
    assert (statistics.losses, statistics.timeouts) == (1, 0)
    assert statistics.retries < 8
    assert network.now - begin < 10 * 2e-3


def test_on_a_hopeless_line_repetitions_do_not_multiply():
    """A notice brings about one packet at most, so that noise does not fill the line with repetitions."""
    network = Network(board(WORDS), line=(0.02, 0.005, 0.005), seed=3)
    session = check_once_and_right(network, 3)
    assert session.statistics.losses > 20
    assert session.statistics.retries < 3 * session.statistics.requests


def packet(request, sequence, payload):
    return encode(bytes([VERSION << 4 | request]) + (sequence % 65536).to_bytes(2, "little") + payload)


def test_a_lost_response_is_sent_again_not_computed_again():
    far = board(words=1)
    session = open_session(far)
    session.request(Request.LAST, b"a")
    far.executed.clear()
    lost = iter([True, False])
    said = far.read

    def read(timeout):
        data = said(timeout)
        return b"" if data and next(lost) else data

    far.read = read
    assert session.request(Request.READ, b"\1").payload == b"b"
    assert (session.statistics.retries, session.statistics.timeouts) == (1, 1)
    assert far.executed == [Request.READ]


def test_late_answers_to_earlier_requests_are_ignored():
    far = board(words=1)
    session = open_session(far)
    number = session._flight.next_sequence
    session.request(Request.PEEK, b"\0")
    for late in range(2):  # they come when the next requests are sent
        far.write(packet(Request.PEEK, number - late, b"\0"))
    assert session.request(Request.LAST, b"a").payload == b""
    assert session.request(Request.READ, b"\1").payload == b"b"


def test_a_host_that_comes_back_finds_a_clean_board():
    far = board(words=3)
    first = open_session(far)
    first.request(Request.WRITE, b"xy")  # and dies, in the middle of a frame and of a packet
    far.write(packet(Request.LAST, first._flight.next_sequence, b"c")[:4])
    second = open_session(far)
    second.request(Request.LAST, b"abc")
    assert second.request(Request.READ, b"\3").payload == b"bcd"
    third = open_session(far)  # a result that nobody read
    third.request(Request.LAST, b"abc")
    open_session(far).request(Request.LAST, b"cde")
    fourth = open_session(far, patience=0.0)
    with pytest.raises(NotReady, match="the accelerator on model is not ready"):
        fourth.request(Request.READ, b"\3")


def test_sequence_numbers_begin_again_after_65535(monkeypatch):
    monkeypatch.setattr("secrets.randbelow", lambda count: count - 100)
    session = open_session(board(words=1))
    for index in range(100):
        session.request(Request.LAST, bytes([index & 127]))
        assert session.request(Request.READ, b"\1").payload == bytes([(index & 127) + 1])


def test_silence_is_an_error():
    far = board()
    far.silent = True
    with pytest.raises(HwquantError, match=r"no answer from the board on model to OPEN, 3 times in a row"):
        open_session(far, silences=3)


def test_noise_is_an_error():
    network = Network(board())
    session = open_session(network, tries=20)
    network.line = (0.3, 0, 0)
    with pytest.raises(HwquantError, match=r"the link network is too noisy: PEEK failed 20 times"):
        session.request(Request.PEEK, b"\0")


def test_a_board_that_was_reset_is_an_error():
    far = board()
    session = open_session(far)
    far.reset()
    with pytest.raises(HwquantError, match="lost the session: it was reset, or another host talks to it"):
        session.request(Request.PEEK, b"\0")


def test_another_host_is_an_error(monkeypatch):
    # Far apart: by chance, both hosts could count from where the other one is.
    first = iter((100, 40_000))
    monkeypatch.setattr("secrets.randbelow", lambda count: next(first))
    far = board()
    session = open_session(far)
    open_session(far)
    with pytest.raises(HwquantError, match="lost the session"):
        session.request(Request.PEEK, b"\0")


def test_an_unknown_request_is_an_error(monkeypatch):
    far = board()
    session = open_session(far)
    monkeypatch.setattr(far, "_execute", lambda code, payload: (Status.UNKNOWN, b""))
    with pytest.raises(HwquantError, match="does not know the request PEEK"):
        session.request(Request.PEEK, b"\0")


def test_a_board_that_is_not_ready_is_an_error_and_what_was_asked_is_not_executed():
    far = board(words=1)
    session = open_session(far, patience=1e-4)
    session.request(Request.LAST, b"a")
    with pytest.raises(NotReady):
        session.request(Request.LAST, b"b")
    with pytest.raises(HwquantError, match="was interrupted; connect again"):
        session.request(Request.READ, b"\1")
    session.abandon()
    assert session.request(Request.READ, b"\1").payload == b"b"
    assert far.accelerator.inferences == 1


def test_a_read_goes_on_where_it_was_when_the_results_pause():
    far = board(words=4)
    session = open_session(far)
    read, pauses = far.accelerator.read, iter([1, 0, 2])
    far.accelerator.read = lambda count: read(min(count, next(pauses, count)))
    calls = [Call(Request.LAST, b"abcd"), Call(Request.READ, b"\4"), Call(Request.LAST, b"efgh")]
    assert [response.payload for response in session.stream(calls)] == [b"", b"bcde", b""]
    assert session.statistics.busy == 3
    assert session.statistics.losses == 0


@pytest.mark.parametrize("body", [b"\x15\0", b"\x30\0\0", b"\x2f\0\0"])
def test_another_version_of_the_protocol_is_an_error(monkeypatch, body):
    """The first is what a board of version 1 answers to an OPEN of version 2."""
    far = board()
    monkeypatch.setattr(far, "_answer", lambda request: body)
    with pytest.raises(HwquantError, match=r"version . of the link's protocol.*build its bitstream again"):
        open_session(far)._flight  # noqa: B018


def test_a_payload_that_is_too_long_is_an_error():
    session = open_session(board(window=SMALL))
    with pytest.raises(HwquantError, match="at most 120 bytes, not 121"):
        session.request(Request.WRITE, bytes(121))


def test_a_stream_that_is_not_read_to_its_end_is_the_last():
    session = open_session(board(words=1))
    stream = session.stream([Call(Request.PEEK, b"\0")] * 9)
    next(stream)
    stream.close()
    with pytest.raises(HwquantError, match="the session on model was interrupted; connect again"):
        session.request(Request.PEEK, b"\0")
    session.open()
    assert session.request(Request.PEEK, b"\0").payload == b"1QWH"


def test_each_silence_waits_longer():
    far = board()
    far.silent = True
    waits, read = [], far.read
    far.read = lambda timeout: (waits.append(timeout), read(timeout))[1]
    with pytest.raises(HwquantError, match="no answer"):
        Session(far, timeout=0.001, silences=4, clock=far.clock).open()
    assert all(later > earlier for earlier, later in itertools.pairwise(waits))
    assert len(waits) == 4
