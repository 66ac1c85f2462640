"""A session, with a model of the board at the other end of a perfect or a bad line."""

import itertools

import numpy as np
import pytest
from hwquant_testing.link_model import ModelAccelerator, ModelBoard

from hwquant.errors import HwquantError
from hwquant.link import Session
from hwquant.link.protocol import MAX_PAYLOAD, Request, Status, encode
from hwquant.sim.faults import Faults, FaultyLink

QUICK = {"timeout": 0.002}


def board(words=3):
    """Adds 1 to every word of its frames."""
    return ModelBoard(
        ModelAccelerator(words, lambda frame: [word + 1 & 255 for word in frame], {0: 0x48575131}), 8
    )


def open_session(link, **options):
    session = Session(link, **{**QUICK, **options})
    session.open()
    return session


def test_requests_are_answered():
    session = open_session(board())
    assert session.request(Request.PEEK, b"\0").payload == b"1QWH"
    assert session.request(Request.WRITE, b"ab").status == Status.OK
    assert session.request(Request.READ, b"\3").payload == b""
    assert session.request(Request.LAST, b"c").status == Status.OK
    assert session.request(Request.WRITE, b"d").status == Status.BUSY
    assert session.request(Request.READ, b"\2").payload == b"bc"
    assert session.request(Request.READ, b"\2").payload == b"d"
    assert session.statistics.requests == 8
    assert session.statistics.retries == 0


@pytest.mark.parametrize(
    "faults",
    [
        Faults(corrupt=0.01),
        Faults(drop=0.01),
        Faults(duplicate=0.01),
        Faults(corrupt=0.02, drop=0.02, duplicate=0.02, seed=1),
        Faults(delay=0.004, seconds=0.003, seed=2),
        Faults(corrupt=0.005, drop=0.005, duplicate=0.005, delay=0.002, seconds=0.003, seed=3),
    ],
)
def test_on_a_bad_line_everything_is_executed_once_and_every_answer_is_right(faults):
    far = board(words=20)
    link = FaultyLink(far, faults)
    session = open_session(link, silences=12)
    rng = np.random.default_rng(faults.seed)
    asked = []
    for _ in range(60):
        frame = rng.bytes(20)
        cut = int(rng.integers(1, 20))
        asked += [Request.WRITE, Request.LAST, Request.READ, Request.READ]
        assert session.request(Request.WRITE, frame[:cut]).status == Status.OK
        assert session.request(Request.LAST, frame[cut:]).status == Status.OK
        parts = [session.request(Request.READ, bytes([count])).payload for count in (7, 20)]
        assert b"".join(parts) == bytes(byte + 1 & 255 for byte in frame)
    assert link.injected > 20
    assert session.statistics.retries > 5
    assert far.executed == asked
    assert far.accelerator.inferences == 60


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
    far.write(
        encode(bytes([0x10 | Request.PEEK, 1, 0]))
    )  # as request 1, and its response is still on its way
    session.request(Request.PEEK, b"\0")
    assert session.request(Request.LAST, b"a").payload == b""
    assert session.request(Request.READ, b"\1").payload == b"b"


def test_a_host_that_comes_back_finds_a_clean_board():
    far = board(words=3)
    first = open_session(far)
    first.request(Request.WRITE, b"xy")  # and dies, in the middle of a frame and of a packet
    far.write(encode(bytes([0x10 | Request.LAST, 2, 9]))[:4])
    second = open_session(far)
    second.request(Request.LAST, b"abc")
    assert second.request(Request.READ, b"\3").payload == b"bcd"
    third = open_session(far)  # a result that nobody read
    third.request(Request.LAST, b"abc")
    open_session(far).request(Request.LAST, b"cde")
    fourth = open_session(far)
    assert fourth.request(Request.READ, b"\3").payload == b""


def test_sequence_numbers_begin_again_after_255():
    session = open_session(board(words=1))
    for index in range(600):
        session.request(Request.LAST, bytes([index & 127]))
        assert session.request(Request.READ, b"\1").payload == bytes([(index & 127) + 1])


def test_silence_is_an_error():
    far = board()
    far.silent = True
    with pytest.raises(HwquantError, match=r"no answer from the board on model to OPEN, 3 times in a row"):
        open_session(far, silences=3)


def test_noise_is_an_error():
    far = board()
    session = open_session(far, tries=20)
    link = FaultyLink(far, Faults(corrupt=1.0))
    session.link = link
    with pytest.raises(HwquantError, match=r"too noisy: PEEK failed 20 times|no answer from the board"):
        session.request(Request.PEEK, b"\0")


def test_a_board_that_was_reset_is_an_error():
    far = board()
    session = open_session(far)
    far.reset()
    with pytest.raises(HwquantError, match="lost the session: it was reset, or another host talks to it"):
        session.request(Request.PEEK, b"\0")


def test_another_host_is_an_error():
    far = board()
    session = open_session(far)
    session.request(Request.PEEK, b"\0")
    session.request(Request.PEEK, b"\0")
    open_session(far)
    with pytest.raises(HwquantError, match="lost the session"):
        session.request(Request.PEEK, b"\0")


def test_an_unknown_request_is_an_error(monkeypatch):
    far = board()
    session = open_session(far)
    monkeypatch.setattr(far, "_execute", lambda code, payload: (Status.UNKNOWN, b""))
    with pytest.raises(HwquantError, match="does not know the request PEEK"):
        session.request(Request.PEEK, b"\0")


@pytest.mark.parametrize("first", [2 << 4, 1 << 4 | 15])
def test_another_version_of_the_protocol_is_an_error(monkeypatch, first):
    far = board()
    monkeypatch.setattr(far, "_answer", lambda body: bytes([first, 0]))
    with pytest.raises(HwquantError, match=r"version . of the link's protocol"):
        open_session(far)


def test_a_payload_that_is_too_long_is_an_error():
    session = open_session(board())
    with pytest.raises(HwquantError, match=f"at most {MAX_PAYLOAD} bytes, not {MAX_PAYLOAD + 1}"):
        session.request(Request.WRITE, bytes(MAX_PAYLOAD + 1))


def test_each_silence_waits_longer():
    far = board()
    far.silent = True
    waits = []
    session = Session(far, timeout=0.001, silences=4)
    responses = session._responses
    session._responses = lambda timeout: (waits.append(timeout), responses(timeout))[1]
    with pytest.raises(HwquantError, match="no answer"):
        session.open()
    assert all(later > earlier for earlier, later in itertools.pairwise(waits))
