"""The protocol between a host and the accelerator on a board; driver and gateware both use this file.

The channel is a stream of bytes in each direction, 8N1 on a wire, that may lose, repeat, change and delay bytes
but does not reorder them.

Packets are those of HDLC-like framing (RFC 1662): ``FLAG body crc FLAG FLAG``. A byte of body or CRC that equals
``FLAG`` or ``ESCAPE`` is sent as ``ESCAPE, byte ^ FLIP``. A packet ends at a byte that nothing else can be, so both
ends are in step again at the next flag without any timer, and no length needs to be trusted. The second flag at
the end, of an empty packet otherwise, saves a time-out where the first is lost. The CRC is the RFC's FCS-32 over
the body, low byte first: 32 bits, because with one byte in a hundred changed half of all packets are damaged, and
16 bits would let a wrong one through within an hour.

The host asks, the board answers, one request at a time::

    request   version << 4 | Request   sequence   payload, at most MAX_PAYLOAD bytes
    response  version << 4 | Status    sequence   payload

=====  =======================================  ============================================================
OPEN   any bytes that no earlier session used   a session begins with this sequence number: the accelerator is
                                                reset; the response returns the bytes
PEEK   register                                 its value, 4 bytes, low byte first
WRITE  beats of an input frame                  into the accelerator's stream, or BUSY where it takes none now;
LAST   the last beats of an input frame         likewise, and the frame is complete
READ   number of words                          the next words of the output frame: no more than asked for, than
                                                fit, and than are there; none while the inference runs
LOAD   words of the weight memory, in order     into the weight memory, where the host loads it
=====  =======================================  ============================================================

A word is sent as whole bytes, low byte first, and so is a beat: a word of the activation memory, or, where the hardware
makes words of the network's inputs, the values of a pixel that come together.

Weights are in the bitstream, or, where they are in RAM that a bitstream does not fill, loaded at the beginning of
every session: the register LOAD says how many words are wanted, no inference begins before the last has come, and
further ones are ignored.

Why the answers are right. A packet takes effect after its CRC was found right, never before: the board keeps it
in a block RAM until then (which bounds MAX_PAYLOAD). The sequence number of a request is one more than that of
the request before. The board executes a request of the number it expects, once; for the number it executed
last it sends the same response again, from a block RAM too, without executing anything; to any other it answers
SEQUENCE. So the host may repeat a request until a response with its number arrives, whichever of the two was
lost: a frame is written once, a result is read once, and results are kept until the request after shows that
they have arrived. No response waits for the accelerator, so that silence always means a loss. To a damaged
packet the board answers DAMAGED at once, which saves the host the time-out; such notices, and responses to
repeated requests, may come late and are ignored.

A host that comes back after it died opens a session. What its predecessor left, a half-written frame, a result
that nobody read, bytes on their way, is gone with the reset, and responses from before are told apart by the
bytes that OPEN returns. A board that was reset itself answers CLOSED until a session is opened.

Stop and wait, rather than a window of requests, because then one number and one buffer suffice: the board's end
is about 750 LUTs and two block RAMs (8x8, iCE40). It costs one round trip for MAX_PAYLOAD bytes, 23 ms at 115,200 baud.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from enum import IntEnum

from amaranth.lib import crc

VERSION = 1

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
END_FLAGS = 2

CRC = crc.catalog.CRC32_ISO_HDLC(data_width=8)
CRC_BYTES = 4

HEADER_BYTES = 2
MAX_PACKET = 256
"""Bytes between two flags, without escapes: header, payload and CRC. The gateware's buffers are this large."""
MAX_PAYLOAD = MAX_PACKET - HEADER_BYTES - CRC_BYTES

SEQUENCES = 256
NONCE_BYTES = 8
"""Number of bytes that the driver sends with OPEN, at random."""


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

    After DAMAGED, SEQUENCE and CLOSED nothing was executed, and the sequence number is that of the latest request
    that was.
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
    if escaped or len(body) < HEADER_BYTES or tail != checksum(body).to_bytes(CRC_BYTES, "little"):
        return None
    return body
