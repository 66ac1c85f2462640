"""How many inferences a second a host gets through a link, by the bytes and the requests that one takes.

It is what :class:`hwquant.driver.Connection` sends on a line without noise, once its packets are as large as they may
be: write the frames, read the results, a window of requests on their way. Bytes that must be escaped (2 of 256) come on
top, and on a USB cable bits that are stuffed (one of 64 or so, never more than one of seven).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwquant.link.protocol import CRC_BYTES, END_FLAGS, HEADER_BYTES, REGISTER_BYTES, Window, word_bytes

WIRE_BITS = 10
"""Bits of a byte on a serial line: 8N1."""
FRAMING = 1 + HEADER_BYTES + CRC_BYTES + END_FLAGS
"""Bytes of a packet besides its payload."""


USB_BYTES = 12_000_000 / 8
"""Bytes of a full-speed USB cable in a second, both directions together."""


GIGABIT = 125e6
"""Bytes of Ethernet in a second, in each direction."""
DATAGRAM = 66
"""Bytes on the wire that a datagram of UDP takes besides: preamble, Ethernet, IP, UDP, check and gap."""


@dataclass(frozen=True)
class Packets:
    """How a line that carries one packet at a time, in either direction, cuts bytes.

    Attributes
    ----------
    payload : int
        Most bytes of a packet.
    overhead : int
        Bytes on the line that a packet takes besides.
    poll : int
        Bytes on the line that a packet in vain takes: the host asks, and the board has nothing.
    """

    payload: int
    overhead: int
    poll: int


FULL_SPEED = Packets(64, 13, 8)
"""Bulk transfers of full-speed USB (USB 2.0, 5.8.4): sync, PID, address, CRC, and the time between packets."""


@dataclass(frozen=True)
class Line:
    """What carries the bytes of a link.

    Attributes
    ----------
    bytes_per_second : float
        Bytes in a second, in each direction.
    latency : float
        Time in s that a round trip takes besides: of the host's operating system and its USB bridge.
    window : Window
        How much may be on its way.
    packets : Packets or None, default None
        How bytes are cut, where both directions share the line; None where each has its own.
    datagram : int, default 0
        Bytes on the line that each request and each answer takes besides.
    """

    bytes_per_second: float
    latency: float
    window: Window
    packets: Packets | None = None
    datagram: int = 0

    @classmethod
    def serial(cls, baud: int, latency: float, window: Window) -> Line:
        """A serial line of a rate in bit/s, with a latency in s."""
        return cls(baud / WIRE_BITS, latency, window)

    @classmethod
    def usb(cls, latency: float, window: Window) -> Line:
        """A cable of full-speed USB, with a latency in s."""
        return cls(USB_BYTES, latency, window, FULL_SPEED)

    @classmethod
    def ethernet(cls, hertz: float, latency: float, window: Window) -> Line:
        """A network of 1 Gbit/s, with a latency in s; the board takes a byte a cycle of its clock in Hz."""
        return cls(min(GIGABIT, hertz), latency, window, datagram=DATAGRAM)

    def sent(self, count: int) -> int:
        """Bytes on the line for so many that follow each other."""
        if self.packets is None:
            return count
        return count + self.packets.overhead * -(-count // self.packets.payload)

    def answered(self, sizes: Sequence[int]) -> int:
        """Bytes on the line for answers of these sizes, each of which ends with a packet that is not full."""
        if self.packets is None:
            return sum(sizes)
        return sum(size + self.packets.overhead * (size // self.packets.payload + 1) for size in sizes)

    def busy(self, count: int, sizes: Sequence[int]) -> float:
        """Least time in s for so many bytes to the board, and answers of these sizes."""
        to_board, from_board = self.sent(count), self.answered(sizes)
        if self.packets is None:
            return max(to_board, from_board) / self.bytes_per_second
        # A host asks for answers as often as it sends.
        asked = -(-count // self.packets.payload)
        found = sum(size // self.packets.payload + 1 for size in sizes)
        vain = self.packets.poll * max(0, asked - found)
        return (to_board + from_board + vain) / self.bytes_per_second


@dataclass(frozen=True)
class LinkTime:
    """What an inference takes on a link.

    Attributes
    ----------
    bytes : int
        Bytes on the wire, in both directions.
    requests : int
        Requests.
    to_board, from_board : float
        Time in s that the bytes take in each direction.
    results : float
        Time in s of ``from_board`` that results take.
    ahead : float
        Time in s of ``to_board`` that the next frame takes until the window is full, if the board executes nothing.
    waits : float
        Least time in s that the line's latency leaves.
    busy : float
        Least time in s that the line is busy.
    """

    bytes: int
    requests: int
    to_board: float
    from_board: float
    results: float
    ahead: float
    waits: float
    busy: float

    def period(self, core_seconds: float) -> float:
        """Time in s from one inference to the next, of which the core takes ``core_seconds``.

        The board answers one request after the other, and a read waits for the core; meanwhile the next frame is on its
        way, as long as the window is not full.
        """
        stall = core_seconds + self.results
        arrives = self.to_board + max(0.0, stall - self.ahead)
        return max(arrives, self.from_board + core_seconds, self.waits, self.busy)

    def frames_per_second(self, core_seconds: float) -> float:
        """Inferences in a second, of which the core takes ``core_seconds`` each."""
        return 1 / self.period(core_seconds)

    def share(self, core_seconds: float) -> float:
        """Share of an inference's time, 0 to 1, that the link takes, as the core waits for it."""
        return 1 - core_seconds / self.period(core_seconds)


def link_time(frame: tuple[int, int], result: tuple[int, int], line: Line, registers: int = 0) -> LinkTime:
    """Tell what an inference takes on a link.

    Parameters
    ----------
    frame : tuple of int
        Beats of a frame, and bits of each.
    result : tuple of int
        Words of a result, and bits of each.
    line : Line
        What carries the bytes.
    registers : int, default 0
        Registers that are read besides.

    Returns
    -------
    LinkTime
        Bytes, requests and time.
    """
    (beats, beat), (words, word) = ((count, word_bytes(bits)) for count, bits in (frame, result))
    each = line.window.words(word)  # words of a read
    writes, reads = -(-beats // line.window.words(beat)), -(-words // each)
    requests = writes + reads + registers
    # A read names the number of words, or a register, in a byte; writes are answered without a payload.
    framing = FRAMING + line.datagram
    to_board = framing * requests + beats * beat + reads + registers
    results = [framing + word * min(each, words - first) for first in range(0, words, each)]
    answers = [framing] * writes + results + [framing + REGISTER_BYTES] * registers
    # While the board is at the last of the reads, the rest of the window can come.
    room = (line.window.packets - 1) * (framing + line.window.words(beat) * beat)
    second = line.bytes_per_second
    return LinkTime(
        bytes=to_board + sum(answers),
        requests=requests,
        to_board=line.sent(to_board) / second,
        from_board=line.answered(answers) / second,
        results=line.answered(results) / second,
        ahead=line.sent(min(room, to_board)) / second,
        waits=line.latency * requests / line.window.packets,
        busy=line.busy(to_board, answers),
    )
