"""The driver's datagrams, over real sockets to a model of a board, on networks that lose, repeat and reorder them."""

import random
import socket
import threading

import pytest
from hwquant_testing.link_model import ModelAccelerator, ModelBoard

from hwquant.errors import HwquantError
from hwquant.link import Session
from hwquant.link.flight import Call
from hwquant.link.protocol import Request, encode, packets
from hwquant.link.transport import DATAGRAM, UdpLink

SECONDS = 0.02
"""Time-out of the session: nothing takes long on one machine."""


class Server:
    """A model of a board at a UDP port; ``faults`` is the probability that a datagram has an accident."""

    def __init__(self, faults=0.0, seed=0):
        self.board = ModelBoard(ModelAccelerator(1, lambda frame: frame, {3: 0x1234}), 32)
        self.faults, self.random, self.injected, self.datagrams = faults, random.Random(seed), 0, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", ("127.0.0.1", self.port))  # the end
        self.thread.join()
        self.socket.close()

    def run(self):
        late = {"there": [], "back": []}
        while True:
            data, host = self.socket.recvfrom(1 << 16)
            if not data:
                return
            self.datagrams.append(data)
            for datagram in self.spoilt(data, late["there"]):
                answer = self.board.hear(datagram)
                for part in packets(answer):
                    for said in self.spoilt(part, late["back"]):
                        self.socket.sendto(said, host)

    def spoilt(self, datagram, late):
        waiting, late[:] = late[:], []
        if self.random.random() >= self.faults:
            return [datagram, *waiting]
        self.injected += 1
        match self.random.randrange(3):
            case 0:
                return waiting
            case 1:
                return [datagram, *waiting, datagram]
            case _:
                late[:] = [*waiting, datagram]
                return []


@pytest.mark.parametrize("faults", [0.0, 0.1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_request_is_executed_once_and_in_order(faults, seed):
    with Server(faults, seed) as server, UdpLink("127.0.0.1", server.port) as link:
        session = Session(link, timeout=SECONDS, silences=20)
        session.open()
        numbers = range(40)
        calls = [
            call
            for number in numbers
            for call in (Call(Request.LAST, number.to_bytes(4, "little")), Call(Request.READ, b"\1"))
        ]
        answers = [response.payload for response in session.stream(calls)]
    assert answers[1::2] == [number.to_bytes(4, "little") for number in numbers]
    assert server.board.accelerator.inferences == len(numbers)
    assert (server.injected > 5) == (session.statistics.losses > 0) == (faults > 0)


def test_a_datagram_has_whole_packets():
    sent = [encode(bytes([2, 0x7E, number] * 60)) for number in range(40)]
    with Server() as server, UdpLink("127.0.0.1", server.port) as link:
        link.write(b"".join(sent))
        link.write(encode(b"last"))
        while not server.datagrams or not server.datagrams[-1].endswith(encode(b"last")):
            link.read(SECONDS)
    assert b"".join(server.datagrams) == b"".join(sent) + encode(b"last")
    for datagram in server.datagrams:
        assert len(datagram) <= DATAGRAM
        assert set(packets(datagram)) <= {*sent, encode(b"last")}
    assert len(server.datagrams) < 12


def test_where_nobody_is_there_is_silence():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    with UdpLink("127.0.0.1", port) as link:
        session = Session(link, timeout=0.001, silences=3)
        with pytest.raises(
            HwquantError, match=rf"no answer from the board on udp://127.0.0.1:{port} to OPEN"
        ):
            session.open()


def test_a_name_that_is_none_is_an_error():
    with pytest.raises(
        HwquantError, match=r"there is no way to udp://no\.such\.name\.invalid:5005: .*; check name"
    ):
        UdpLink("no.such.name.invalid")
