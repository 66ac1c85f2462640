"""A USB host at the wires of a simulated device: LUNA's model of transactions over Valenty's model of the line code.

LUNA's :class:`USBDeviceTest` knows tokens, transactions and control transfers, and the functions of Luke Valenty that
come with it know bits, CRCs, stuffing and NRZI. What is ours is what joins them to the wires, the reading of the
device's line code, and the serial port's data: packets of 64 bytes with their toggles, sent again where no answer
comes, and faults.
"""

import random
import warnings

import numpy as np

from hwquant.link import Link
from hwquant.sim.usb_bench import DEVICE, IDLE, SE0, J, K

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from luna.gateware.test.contrib import usb_packet
    from luna.gateware.test.usb2 import USBDeviceTest
    from luna.gateware.usb.usb2 import USBPacketID

SAMPLES = 4
"""Samples of a bit."""
FRAME = 12_000
"""Bits of a millisecond."""
TURNAROUND = 3
"""Bits between packets of the host (USB 2.0, 7.1.18.1: at least two)."""
PATIENCE = 18
"""Bits after which a host gives an answer up (USB 2.0, 7.1.19)."""
LONGEST = 64 * 8 * 2 + 100
DATA = 4
"""The endpoint of the serial port's data."""
PACKET = 64


class NoAnswer(Exception):
    """The device says nothing, or nothing that can be read."""


class Host(USBDeviceTest):
    """The transactions of a host with the device on a bench."""

    def __init__(self, bench):
        super().__init__()
        self.bench, self.bits = bench, 0.0
        self.address, self.max_packet_size_ep0 = 0, 64
        self.offset = 0.0  # of the host's clock, in parts of a bit a bit

    def do(self, generator):
        """Run one of LUNA's generators to its end, and give what it returns."""
        while True:
            try:
                next(generator)
            except StopIteration as stop:
                return stop.value

    def drive(self, levels):
        seen = self.bench.run(np.asarray(levels, np.uint8))
        self.bits += len(seen) / SAMPLES
        return seen

    def idle(self, bits):
        self.drive([IDLE] * round(SAMPLES * bits))

    def advance_cycles(self, cycles):
        self.idle(cycles)
        yield from ()

    def interpacket_delay(self):
        yield from self.advance_cycles(TURNAROUND)

    def send(self, bits):
        """A packet, its edges where a clock that is off by ``offset`` has them."""
        line = usb_packet.wrap_packet(bits, cycles=1)
        codes = np.array([{"J": J, "K": K, "_": SE0}[item] for item in line], np.uint8)
        places = np.arange(round(len(codes) * SAMPLES * (1 + self.offset))) / (SAMPLES * (1 + self.offset))
        self.drive(codes[np.minimum(places.astype(int), len(codes) - 1)])

    def provide_bits(self, bits, cycle_after=True):
        self.send(bits)
        yield from ()

    def provide_packet(self, *octets, cycle_after=True):
        self.send(usb_packet.encode_data(octets))
        yield from ()

    def receive_packet(self, as_bytes=True, timeout=0):
        yield from ()
        levels = []
        for _ in range(PATIENCE):
            levels = self.drive([IDLE] * SAMPLES)
            if levels[-1] & DEVICE:
                break
        else:
            raise NoAnswer
        rest = self.drive([IDLE] * SAMPLES * LONGEST)
        levels = np.concatenate([levels, rest])
        driven = levels[levels & DEVICE > 0] & 3
        self.idle(TURNAROUND)
        return decoded(driven)

    def sof(self):
        self.send(usb_packet.sof_packet(int(self.bits // FRAME) % 2048))
        self.idle(TURNAROUND)

    def reset(self):
        self.drive([SE0] * SAMPLES * 1000)
        self.idle(1000)
        self.address = 0


def decoded(levels):
    """The bytes of a packet in samples of the line, which must be one: sync, stuffed bits, end."""
    bits = [int(level) for level in levels[SAMPLES // 2 :: SAMPLES]]
    end = bits.index(SE0)
    assert bits[end : end + 3] == [SE0, SE0, J], "the end of a packet is two bits of SE0 and one of J"
    assert bits[:8] == [K, J, K, J, K, J, K, K], "a packet begins with a sync"
    plain, ones, before = [], 1, K
    for level in bits[8:end]:
        bit = level == before
        before = level
        if ones == 6:
            assert not bit, "a zero is stuffed behind six ones"
            ones = 0
            continue
        ones = ones + 1 if bit else 0
        plain.append(bit)
    assert len(plain) % 8 == 0, "a packet is whole bytes"
    return np.packbits(plain, bitorder="little").tobytes()


class UsbLink(Link):
    """The serial port of a device that was enumerated, as the driver's link; time is that on the cable.

    ``faults`` is the probability of each of five accidents in a transaction: a token, data to the device or data from
    it is damaged, or an acknowledgement in either direction is lost. ``pauses`` is that of a pause of the host, of up
    to half a millisecond, before it sends, and before it asks for data.
    """

    name = "the cable"

    def __init__(self, host, faults=0.0, pauses=0.0, seed=0):
        self.host, self.faults, self.pauses, self.random = host, faults, pauses, random.Random(seed)
        self.injected = self.out_packets = self.in_packets = self.naks = 0
        self._out = self._in = 0  # toggles
        self._pending = self._packet = b""  # what waits, and what comes again until it is acknowledged
        self._next_frame = 0.0

    def clock(self):
        return self.host.bits / 12e6

    def write(self, data):
        self._pending += data

    def read(self, timeout):
        end = self.clock() + timeout
        while self.clock() < end:
            if self.host.bits >= self._next_frame:
                self._next_frame = self.host.bits // FRAME * FRAME + FRAME
                self.host.sof()
            if not self._packet:
                self._packet, self._pending = self._pending[:PACKET], self._pending[PACKET:]
            if self._packet:
                self._send(self._packet)
            if data := self._receive():
                return data
        return b""

    def close(self):
        self.host.bench.close()

    def _pause(self):
        if self.random.random() < self.pauses:
            self.host.idle(self.random.randrange(FRAME // 2))

    def _accident(self):
        happens = self.random.random() < self.faults
        self.injected += happens
        return happens

    def _damaged(self, bits):
        place = self.random.randrange(8, len(bits))  # not in the PID: its check is another
        return bits[:place] + "10"[int(bits[place])] + bits[place + 1 :] if self._accident() else bits

    def _token(self, pid):
        self.host.send(self._damaged(usb_packet.token_packet(pid, self.host.address, DATA)))
        self.host.idle(TURNAROUND)

    def _answer(self):
        return self.host.do(self.host.receive_packet())

    def _send(self, data):
        self._pause()
        pid = (USBPacketID.DATA0, USBPacketID.DATA1)[self._out]
        self._token(USBPacketID.OUT)
        self.host.send(self._damaged(usb_packet.data_packet(pid, data)))
        self.out_packets += 1
        try:
            answer = USBPacketID.from_byte(self._answer())
        except NoAnswer:
            return
        if self._accident():  # the acknowledgement is lost: the packet comes again
            return
        self.naks += answer == USBPacketID.NAK
        if answer == USBPacketID.ACK:
            self._packet = b""
            self._out ^= 1

    def _receive(self):
        self._pause()
        self._token(USBPacketID.IN)
        try:
            pid, *data = self._answer()
        except NoAnswer:
            return b""
        if USBPacketID.from_int(pid) == USBPacketID.NAK:
            return b""
        *data, low, high = data
        assert [low, high] == usb_packet.crc16(data)
        if self._accident():  # the data are damaged: they come again
            return b""
        self.in_packets += 1
        fresh = USBPacketID.from_int(pid) == (USBPacketID.DATA0, USBPacketID.DATA1)[self._in]
        if not self._accident():  # else the acknowledgement is lost
            self.host.send(usb_packet.handshake_packet(USBPacketID.ACK))
            self.host.idle(TURNAROUND)
        self._in ^= fresh
        return bytes(data) if fresh else b""
