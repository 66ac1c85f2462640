"""A model of a board in Python, written from the protocol's description, to test the host's end against."""

import heapq
from collections import deque

import numpy as np

from hwquant.link import Link
from hwquant.link.protocol import (
    HEADER_BYTES,
    LARGE,
    SEQUENCES,
    VERSION,
    Decoder,
    Request,
    Status,
    encode,
    word_bytes,
)
from hwquant.program.registers import Register


class ModelAccelerator:
    """Takes frames of words, and gives ``compute(frame)`` after ``latency`` reads that do not wait so long.

    Of weights it wants ``loads`` words, which are then in ``loaded``, before it takes frames.
    """

    def __init__(self, words, compute, registers=None, latency=0, loads=0):
        self.words, self.compute, self.latency, self.loads = words, compute, latency, loads
        self.registers = registers or {}
        self.inferences, self.weights = 0, []  # of all sessions
        self.reset()

    def reset(self):
        self.frame, self.results, self.wait, self.loaded = [], deque(), 0, []

    @property
    def ready(self):
        return not self.results and len(self.loaded) == self.loads

    def register(self, address):
        missing = self.loads if len(self.loaded) < self.loads else 0
        return self.registers.get(address, missing if address == Register.LOAD else 0)

    def load(self, word):
        if len(self.loaded) < self.loads:
            self.loaded.append(word)
            self.weights.append(word)

    def write(self, word, last):
        self.frame.append(word)
        assert last == (len(self.frame) == self.words), "a frame of the wrong length"
        if last:
            self.inferences += 1
            self.results.extend(self.compute(self.frame))
            self.frame, self.wait = [], self.latency

    def read(self, count):
        if self.wait:
            self.wait -= 1
            return []
        return [self.results.popleft() for _ in range(min(count, len(self.results)))]


class ModelBoard(Link):
    """A link with a board at its other end: it answers at once, and silence takes no time."""

    name = "model"

    def __init__(self, accelerator, bits, load_bits=0, window=LARGE):
        self.accelerator, self.size, self.load_size = accelerator, word_bytes(bits), word_bytes(load_bits)
        self.window = window
        self.decoder, self.said = Decoder(), bytearray()
        self.opened, self.sequence, self.kept, self.rejected = False, 0, {}, False
        self.origin = 0  # the number of the request that opened the session
        self.part = []  # words of a read that is not complete
        self.executed = []
        self.silent = False
        self.now = 0.0

    def clock(self):
        return self.now

    def reset(self):
        """Somebody presses the button."""
        self.opened, self.sequence, self.rejected, self.part = False, 0, False, []
        self.accelerator.reset()

    def write(self, data):
        self.said += self.hear(data)

    def hear(self, data):
        """What the board answers to bytes."""
        answers = [self._answer(body) for body in self.decoder.feed(data)]
        return b"" if self.silent else b"".join(encode(answer) for answer in answers if answer is not None)

    def read(self, timeout):
        self.now += 1e-6 if self.said else timeout
        data, self.said = bytes(self.said), bytearray()
        return data

    def close(self):
        pass

    def _notice(self, status, sequence=None):
        number = self.sequence if sequence is None else sequence
        return bytes([VERSION << 4 | status]) + number.to_bytes(2, "little")

    def _answer(self, body):
        """The answer to a packet; None where there is none."""
        if body is None:
            return self._notice(Status.DAMAGED)
        code, sequence, payload = body[0], int.from_bytes(body[1:HEADER_BYTES], "little"), body[HEADER_BYTES:]
        if code == VERSION << 4 | Request.OPEN:
            if self.opened and sequence == self.origin != self.sequence:
                return None
            self.reset()
            self.opened, self.origin = True, sequence
            return self._keep(sequence, Status.OK, payload + self.window.encode())
        if not self.opened:
            return self._notice(Status.CLOSED, sequence)
        if sequence == (self.sequence + 1) % SEQUENCES:
            status, data = self._execute(code, payload)
            self.rejected = status == Status.BUSY
            if self.rejected:
                return self._notice(Status.BUSY, sequence)
            self.executed.append(code & 15)
            return self._keep(sequence, status, data)
        if (self.sequence - sequence) % SEQUENCES < self.window.packets:
            return self.kept.get(sequence)
        if not self.rejected:
            self.rejected = True
            return self._notice(Status.SEQUENCE)
        return None

    def _keep(self, sequence, status, payload):
        self.sequence = sequence
        self.kept[sequence] = self._notice(status) + payload
        return self.kept[sequence]

    def _execute(self, code, payload):
        if code != VERSION << 4 | Request.READ:
            self.part = []
        if not payload and code in {VERSION << 4 | item for item in Request if item != Request.LOAD}:
            return Status.OK, b""
        if code == VERSION << 4 | Request.PEEK:
            return Status.OK, self.accelerator.register(payload[0]).to_bytes(4, "little")
        if code == VERSION << 4 | Request.READ:
            wanted = min(payload[0], self.window.payload // self.size)
            self.part += self.accelerator.read(wanted - len(self.part))
            if len(self.part) < wanted:
                return Status.BUSY, b""
            words, self.part = self.part, []
            return Status.OK, b"".join(word.to_bytes(self.size, "little") for word in words)
        if code in (VERSION << 4 | Request.WRITE, VERSION << 4 | Request.LAST):
            if not self.accelerator.ready:
                return Status.BUSY, b""
            starts = range(0, len(payload), self.size)
            for start in starts:
                last = start == starts[-1] and code & 15 == Request.LAST
                self.accelerator.write(int.from_bytes(payload[start : start + self.size], "little"), last)
            return Status.OK, b""
        if code == VERSION << 4 | Request.LOAD and self.accelerator.loads:
            for start in range(0, len(payload), self.load_size):
                self.accelerator.load(int.from_bytes(payload[start : start + self.load_size], "little"))
            return Status.OK, b""
        return Status.UNKNOWN, b""


class Network(Link):
    """A channel with a delay to a model of a board, in virtual time: bytes and whole datagrams may meet with mishaps.

    ``line``: chances that a byte is changed, lost, or comes twice. ``datagrams``: chances that what was written at once
    is lost, comes twice, or comes so late that others overtake it.
    """

    name = "network"

    def __init__(self, board, *, delay=1e-3, line=(0, 0, 0), datagrams=(0, 0, 0), seed=0):
        self.board, self.delay, self.line, self.datagrams = board, delay, line, datagrams
        self.rng = np.random.default_rng(seed)
        self.now, self.number, self.mishaps = 0.0, 0, 0
        self.events = []  # time, number, to the board?, bytes

    def clock(self):
        return self.now

    def write(self, data):
        self._send(data, True)

    def read(self, timeout):
        end = self.now + timeout
        while self.events and self.events[0][0] <= end:
            self.now, _, outward, data = heapq.heappop(self.events)
            if not outward:
                return data
            if said := self.board.hear(data):
                self._send(said, False)
        self.now = end
        return b""

    def close(self):
        pass

    def _send(self, data, outward):
        lost, twice, late = self.rng.random(3) < self.datagrams
        self.mishaps += int(lost) + int(twice) + int(late)
        for _ in range(0 if lost else 1 + twice):
            delay = self.delay * (1 + (4 * self.rng.random() if late else 0))
            self.number += 1
            heapq.heappush(self.events, (self.now + delay, self.number, outward, self._spoilt(data)))

    def _spoilt(self, data):
        hits = self.rng.random((len(data), 3)) < self.line
        self.mishaps += int(hits.sum())
        spoilt = bytearray()
        for byte, (change, lose, repeat) in zip(data, hits.tolist()):
            byte ^= int(self.rng.integers(1, 256)) if change else 0
            spoilt += bytes([byte]) * (0 if lose else 2 if repeat else 1)
        return bytes(spoilt)
