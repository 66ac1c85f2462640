"""A model of a board in Python, written from the protocol's description, to test the host's end against."""

import time
from collections import deque

from hwquant.link import Link
from hwquant.link.protocol import (
    HEADER_BYTES,
    MAX_PAYLOAD,
    VERSION,
    Decoder,
    Request,
    Status,
    encode,
    word_bytes,
)
from hwquant.program.registers import Register


class ModelAccelerator:
    """Takes frames of words, and gives ``compute(frame)`` after ``latency`` reads that find nothing.

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
    """A link with a board at its other end."""

    name = "model"

    def __init__(self, accelerator, bits, load_bits=0):
        self.accelerator, self.size, self.load_size = accelerator, word_bytes(bits), word_bytes(load_bits)
        self.decoder, self.said = Decoder(), bytearray()
        self.opened, self.sequence, self.kept = False, 0, b""
        self.executed = []
        self.silent = False

    def reset(self):
        """Somebody presses the button."""
        self.opened = False
        self.accelerator.reset()

    def write(self, data):
        for body in self.decoder.feed(data):
            if not self.silent:
                self.said += encode(self._answer(body))

    def read(self, timeout):
        if not self.said:
            time.sleep(min(timeout, 0.001))  # no test needs the time to be right
        data, self.said = bytes(self.said), bytearray()
        return data

    def close(self):
        pass

    def _notice(self, status):
        return bytes([VERSION << 4 | status, self.sequence])

    def _answer(self, body):
        if body is None:
            return self._notice(Status.DAMAGED)
        code, sequence, payload = body[0], body[1], body[HEADER_BYTES:]
        if code == VERSION << 4 | Request.OPEN:
            self.opened = True
            self.accelerator.reset()
            self._keep(sequence, Status.OK, payload)
        elif not self.opened:
            return self._notice(Status.CLOSED)
        elif sequence == (self.sequence + 1) % 256:
            self.executed.append(code & 15)
            self._keep(sequence, *self._execute(code, payload))
        elif sequence != self.sequence:
            return self._notice(Status.SEQUENCE)
        return self.kept

    def _keep(self, sequence, status, payload):
        self.sequence = sequence
        self.kept = bytes([VERSION << 4 | status, sequence]) + payload

    def _execute(self, code, payload):
        if code == VERSION << 4 | Request.PEEK:
            return Status.OK, self.accelerator.register(payload[0]).to_bytes(4, "little")
        if code == VERSION << 4 | Request.READ:
            words = self.accelerator.read(min(payload[0], MAX_PAYLOAD // self.size))
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
