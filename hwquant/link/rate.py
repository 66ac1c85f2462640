"""How many inferences a second a host gets through a link, by the bytes and the round trips that one takes.

It is what :class:`hwquant.driver.Connection` sends on a line without noise, once its packets are as large as they may
be: write the frame, read the result, one request at a time. Bytes that must be escaped (2 of 256) and polls of a result
that is not there yet come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.link.protocol import CRC_BYTES, END_FLAGS, HEADER_BYTES, MAX_PAYLOAD, word_bytes

WIRE_BITS = 10
"""Bits of a byte on the wire: 8N1."""
FRAMING = 1 + HEADER_BYTES + CRC_BYTES + END_FLAGS
"""Bytes of a packet besides its payload."""


@dataclass(frozen=True)
class LinkTime:
    """What an inference takes on a link.

    Attributes
    ----------
    bytes : int
        Bytes on the wire, in both directions.
    requests : int
        Round trips.
    seconds : float
        Time in s that both take.
    """

    bytes: int
    requests: int
    seconds: float

    def frames_per_second(self, core_seconds: float) -> float:
        """Inferences in a second, of which the core takes ``core_seconds`` each."""
        return 1 / (self.seconds + core_seconds)

    def share(self, core_seconds: float) -> float:
        """Share of an inference's time, 0 to 1, that the link takes."""
        return self.seconds / (self.seconds + core_seconds)


def link_time(frame: tuple[int, int], result: tuple[int, int], *, baud: int, latency: float) -> LinkTime:
    """Tell what an inference takes on a link.

    Parameters
    ----------
    frame : tuple of int
        Beats of a frame, and bits of each.
    result : tuple of int
        Words of a result, and bits of each.
    baud : int
        Rate of the line in bit/s.
    latency : float
        Time in s that a round trip takes besides: of the host's operating system and its USB bridge.

    Returns
    -------
    LinkTime
        Bytes, round trips and time.
    """
    (words_in, size_in), (words_out, size_out) = (
        (words, word_bytes(bits)) for words, bits in (frame, result)
    )
    writes, reads = -(-words_in // (MAX_PAYLOAD // size_in)), -(-words_out // (MAX_PAYLOAD // size_out))
    requests = writes + reads
    # A read names the number of words in a byte; writes are answered without a payload.
    total = 2 * FRAMING * requests + words_in * size_in + reads + words_out * size_out
    return LinkTime(total, requests, WIRE_BITS * total / baud + latency * requests)
