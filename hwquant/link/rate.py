"""How many inferences a second a host gets through a link, by the bytes and the requests that one takes.

It is what :class:`hwquant.driver.Connection` sends on a line without noise, once its packets are as large as they may
be: write the frames, read the results, a window of requests on their way. Bytes that must be escaped (2 of 256) come on
top.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.link.protocol import CRC_BYTES, END_FLAGS, HEADER_BYTES, Window, word_bytes

WIRE_BITS = 10
"""Bits of a byte on a serial line: 8N1."""
FRAMING = 1 + HEADER_BYTES + CRC_BYTES + END_FLAGS
"""Bytes of a packet besides its payload."""


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
    """

    bytes_per_second: float
    latency: float
    window: Window

    @classmethod
    def serial(cls, baud: int, latency: float, window: Window) -> Line:
        """A serial line of a rate in bit/s, with a latency in s."""
        return cls(baud / WIRE_BITS, latency, window)


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
    """

    bytes: int
    requests: int
    to_board: float
    from_board: float
    results: float
    ahead: float
    waits: float

    def period(self, core_seconds: float) -> float:
        """Time in s from one inference to the next, of which the core takes ``core_seconds``.

        The board answers one request after the other, and a read waits for the core; meanwhile the next frame is on its
        way, as long as the window is not full.
        """
        stall = core_seconds + self.results
        arrives = self.to_board + max(0.0, stall - self.ahead)
        return max(arrives, self.from_board + core_seconds, self.waits)

    def frames_per_second(self, core_seconds: float) -> float:
        """Inferences in a second, of which the core takes ``core_seconds`` each."""
        return 1 / self.period(core_seconds)

    def share(self, core_seconds: float) -> float:
        """Share of an inference's time, 0 to 1, that the link takes, as the core waits for it."""
        return 1 - core_seconds / self.period(core_seconds)


def link_time(frame: tuple[int, int], result: tuple[int, int], line: Line) -> LinkTime:
    """Tell what an inference takes on a link.

    Parameters
    ----------
    frame : tuple of int
        Beats of a frame, and bits of each.
    result : tuple of int
        Words of a result, and bits of each.
    line : Line
        What carries the bytes.

    Returns
    -------
    LinkTime
        Bytes, requests and time.
    """
    sizes = [(count, word_bytes(bits)) for count, bits in (frame, result)]
    writes, reads = (-(-count // line.window.words(size)) for count, size in sizes)
    sent, received = (count * size for count, size in sizes)
    requests = writes + reads
    # A read names the number of words in a byte; writes are answered without a payload.
    to_board = FRAMING * requests + sent + reads
    from_board = FRAMING * requests + received
    byte = 1 / line.bytes_per_second
    # While the board is at the last of the reads, the rest of the window can come.
    room = (line.window.packets - 1) * (FRAMING + line.window.words(sizes[0][1]) * sizes[0][1])
    return LinkTime(
        bytes=to_board + from_board,
        requests=requests,
        to_board=to_board * byte,
        from_board=from_board * byte,
        results=(FRAMING * reads + received) * byte,
        ahead=min(room, to_board) * byte,
        waits=line.latency * requests / line.window.packets,
    )
