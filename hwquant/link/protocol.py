"""The protocol between a host and the accelerator on a board; driver and gateware both use this file.

The channel carries bytes in each direction that may be lost, repeated, changed and late; whole packets may come in
another order too, as datagrams do.

Packets are those of HDLC-like framing (RFC 1662): ``FLAG body crc FLAG FLAG``. A byte of body or CRC that equals
``FLAG`` or ``ESCAPE`` is sent as ``ESCAPE, byte ^ FLIP``. A packet ends at a byte that nothing else can be, so both
ends are in step again at the next flag without any timer, and no length needs to be trusted. The second flag at
the end, of an empty packet otherwise, saves a time-out where the first is lost. The CRC is the RFC's FCS-32 over
the body, low byte first: 32 bits, because with one byte in a hundred changed half of all packets are damaged, and
16 bits would let a wrong one through within an hour.

The host asks, the board answers, in order; a :class:`Window` says how many requests may be on their way at a time::

    request   version << 4 | Request   sequence (2 bytes, low one first)   payload
    response  version << 4 | Status    sequence (2 bytes, low one first)   payload

=====  =======================================  ============================================================
OPEN   any bytes that no earlier session used   a session begins with this sequence number: the accelerator is
                                                reset; the response returns the bytes, and those of the window
PEEK   register                                 its value, 4 bytes, low byte first
WRITE  beats of an input frame                  into the accelerator's stream
LAST   the last beats of an input frame         likewise, and the frame is complete
READ   number of words                          so many of the next words of the output frame, or as many as fit
LOAD   words of the weight memory, in order     into the weight memory, where the host loads it; or beats of
                                                external memory
=====  =======================================  ============================================================

A word is sent as whole bytes, low byte first, and so is a beat: a word of the activation memory, or, where the hardware
makes words of the network's inputs, the values of a pixel that come together.

Weights are in the bitstream, or, where they are in RAM that a bitstream does not fill, loaded at the beginning of
every session: the register LOAD says how many words are wanted, no inference begins before the last has come, and
further ones are ignored. External memory is loaded likewise, but once: it keeps what it has from session to session,
and LOAD says so. OPEN is answered when the moves under way are complete, for a reset must not cut a burst.

Why the answers are right: go-back-N, with a memory at either end. A packet takes effect after its CRC was found
right, never before: the board keeps it in a block RAM until then, and, as the executor may be at work, those that
follow it, a window of them. The sequence number of a request is one more than that of the request before. The board
executes a request of the number it expects, once. It keeps the responses of the last window of requests, in a block
RAM too, and for a request that was executed sends the same response again, without executing anything. Any other
number means that requests were lost: the board answers SEQUENCE, once until the number comes that it expects, and
the host goes back to that. So the host may repeat a request until a response with its number arrives, whichever of
the two was lost: a frame is written once, a result is read once. To a damaged packet the board answers DAMAGED at
once, which saves the host the time-out. While it repeats, the host has one request on its way, so that no notice
brings about more than one other; the window opens again with the responses.

No response waits for the accelerator longer than :data:`PATIENCE` clock cycles, so that silence always means a loss.
A request that would, a READ whose words are not there or a frame that the accelerator does not take, is answered
BUSY: it was not executed, its sequence number is the expected one still, and the host sends it again. Words that a
READ has got by then stay with the board, which goes on where it was. As reads wait, a host can ask for the results
and send the next frame while the accelerator is at work.

A host that comes back after it died opens a session, with a sequence number at random. What its predecessor left, a
half-written frame, a result that nobody read, bytes on their way, is gone with the reset; responses from before are
told apart by the bytes that OPEN returns, and requests by their number. An OPEN of the same number again, once others
have followed it, comes late and is ignored. A board that was reset itself answers CLOSED until a session is opened.

The board's end is about 900 LUTs and two block RAMs (iCE40; 1,000 LUTs on ECP5, with larger RAMs).

Version 1 had one request on its way, and sequence numbers of a byte.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from amaranth.lib import crc

from hwquant.errors import HwquantError, Unsupported

VERSION = 2

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
END_FLAGS = 2

CRC = crc.catalog.CRC32_ISO_HDLC(data_width=8)
CRC_BYTES = 4

SEQUENCE_BYTES = 2
SEQUENCES = 1 << 8 * SEQUENCE_BYTES
HEADER_BYTES = 1 + SEQUENCE_BYTES
LEAST_BODY = 2
"""Bytes of the shortest body: that of version 1, whose answers tell which version it is."""
PREFIX_BYTES = 2
"""What the gateware's buffers have before the bytes of a packet: their number, and the status of a response."""
REGISTER_BYTES = 4
"""Bytes of the value of a register."""

NONCE_BYTES = 8
"""Number of bytes that the driver sends with OPEN, at random."""
PATIENCE = 1 << 18
"""Clock cycles that a request waits for the accelerator, until it is answered BUSY."""


@dataclass(frozen=True)
class Window:
    """How much may be on its way to a board that has not been answered: what the gateware's buffers hold.

    Attributes
    ----------
    packets : int
        Number of requests, a power of two from 2 to 64.
    packet_bytes : int
        Bytes of the buffer of a packet, a power of two from 32 to 256.
    """

    packets: int
    packet_bytes: int

    def __post_init__(self) -> None:
        for name, least, most in (("packets", 2, 64), ("packet_bytes", 32, 256)):
            value = getattr(self, name)
            if value & (value - 1) or not least <= value <= most:
                raise HwquantError(
                    f"{name} of a window must be a power of two from {least} to {most}, not {value}"
                )

    @property
    def payload(self) -> int:
        """Most bytes of a payload."""
        return self.packet_bytes - 1 - HEADER_BYTES - CRC_BYTES

    def words(self, size: int) -> int:
        """Most words of ``size`` bytes in a packet.

        Raises
        ------
        Unsupported
            Not even one fits.
        """
        if size > self.payload:
            raise Unsupported(
                f"a word of {size} bytes does not fit a request of the link, which has {self.payload}; "
                "compile for an array with fewer rows or columns"
            )
        return self.payload // size

    def encode(self) -> bytes:
        """The bytes of the window in a response to OPEN."""
        return bytes([self.packets.bit_length() - 1, self.packet_bytes.bit_length() - 1])

    @classmethod
    def decode(cls, data: bytes) -> Window:
        """The window of a response to OPEN."""
        return cls(1 << data[0], 1 << data[1])


LARGE = Window(8, 256)
"""The window where a block RAM has 2 KiB: one in each direction."""
SMALL = Window(4, 128)
"""The window where a block RAM has 512 bytes (iCE40): one in each direction."""


class Request(IntEnum):
    """What a host asks for."""

    OPEN = 1
    PEEK = 2
    WRITE = 3
    LAST = 4
    READ = 5
    LOAD = 6


class Status(IntEnum):
    """How a board answers.

    After all but OK and UNKNOWN nothing was executed. The sequence number of DAMAGED and SEQUENCE is that of the latest
    request that was, of the others that of the request that they answer.
    """

    OK = 0
    BUSY = 1
    UNKNOWN = 2
    DAMAGED = 3
    SEQUENCE = 4
    CLOSED = 5


def word_bytes(bits: int) -> int:
    """Number of bytes of a word of ``bits`` bits on the link."""
    return -(-bits // 8)


def checksum(body: bytes) -> int:
    """The :data:`CRC` of a body, by zlib: a thousand times faster than ``CRC.compute``."""
    return zlib.crc32(body)


def encode(body: bytes) -> bytes:
    """The bytes on the link of a packet with this body."""
    content = body + checksum(body).to_bytes(CRC_BYTES, "little")
    escape = bytes([ESCAPE])
    for byte in (ESCAPE, FLAG):  # in this order: what replaces FLAG holds ESCAPE
        content = content.replace(bytes([byte]), escape + bytes([byte ^ FLIP]))
    return bytes([FLAG]) + content + bytes([FLAG]) * END_FLAGS


def packets(data: bytes) -> Iterator[bytes]:
    """Cut bytes behind each of the packets that :func:`encode` has made of them."""
    end = bytes([FLAG]) * END_FLAGS
    yield from re.findall(b".*?" + re.escape(end) + b"|.+", data, re.DOTALL)


class Decoder:
    """What finds packets in a stream of bytes."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Bodies of the packets that ``data`` completes, in order; None for each that is damaged."""
        first, *rest = data.split(bytes([FLAG]))
        self._pending += first
        for part in rest:
            content, self._pending = bytes(self._pending), bytearray(part)
            if content:
                yield _unpack(content)


def _unpack(content: bytes) -> bytes | None:
    """The body in the bytes between two flags; None where they are damaged."""
    plain = bytearray()
    escaped = False
    for byte in content:
        if byte == ESCAPE:
            escaped = True
        else:
            plain.append(byte ^ FLIP if escaped else byte)
            escaped = False
    body, tail = bytes(plain[:-CRC_BYTES]), bytes(plain[-CRC_BYTES:])
    if escaped or len(body) < LEAST_BODY or tail != checksum(body).to_bytes(CRC_BYTES, "little"):
        return None
    return body
