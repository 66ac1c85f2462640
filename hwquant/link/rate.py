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
        Bytes in a second.
    duplex : bool
        Whether so many go in each direction; else in both together.
    latency : float
        Time in s that a round trip takes besides: of the host's operating system and its USB bridge.
    window : Window
        How much may be on its way.
    """

    bytes_per_second: float
    duplex: bool
    latency: float
    window: Window

    @classmethod
    def serial(cls, baud: int, latency: float, window: Window) -> Line:
        """A serial line of a rate in bit/s, with a latency in s."""
        return cls(baud / WIRE_BITS, True, latency, window)

    def seconds(self, to_board: int, from_board: int) -> float:
        """Time in s that so many bytes take in each direction."""
        return (max if self.duplex else sum)((to_board, from_board)) / self.bytes_per_second


@dataclass(frozen=True)
class LinkTime:
    """What an inference takes on a link.

    Attributes
    ----------
    bytes : int
        Bytes on the wire, in both directions.
    requests : int
        Requests.
    seconds : float
        Time in s from one inference to the next, if the core takes none.
    ahead : float
        Time in s of computing that the link does not wait for, as the next frame is on its way meanwhile: as long as
        the window is not full.
    """

    bytes: int
    requests: int
    seconds: float
    ahead: float

    def _period(self, core_seconds: float) -> float:
        return self.seconds + max(0.0, core_seconds - self.ahead)

    def frames_per_second(self, core_seconds: float) -> float:
        """Inferences in a second, of which the core takes ``core_seconds`` each."""
        return 1 / self._period(core_seconds)

    def share(self, core_seconds: float) -> float:
        """Share of an inference's time, 0 to 1, that the link takes."""
        return self.seconds / self._period(core_seconds)


def link_time(words: tuple[int, int], word_bits: int, line: Line) -> LinkTime:
    """Tell what an inference takes on a link.

    Parameters
    ----------
    words : tuple of int
        Words of a frame and of a result.
    word_bits : int
        Bits of a word.
    line : Line
        What carries the bytes.

    Returns
    -------
    LinkTime
        Bytes, requests and time.
    """
    size = word_bytes(word_bits)
    most = line.window.words(size)
    writes, reads = (-(-count // most) for count in words)
    requests = writes + reads
    # A read names the number of words in a byte; writes are answered without a payload.
    to_board = FRAMING * requests + words[0] * size + reads
    from_board = FRAMING * requests + words[1] * size
    waits = line.latency * requests / line.window.packets
    seconds = max(line.seconds(to_board, from_board), waits)
    # While a read waits for the result, the rest of the window comes: what of it is the next frame.
    room = min(writes, max(0, line.window.packets - reads)) * (FRAMING + most * size)
    ahead = min(room, to_board) / line.bytes_per_second
    return LinkTime(to_board + from_board, requests, seconds, ahead)
