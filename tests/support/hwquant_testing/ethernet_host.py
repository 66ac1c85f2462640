"""A host on the wire of a simulated board: Scapy's ARP, IP and UDP, and frames with their preamble and checksum."""

import random
import zlib

import numpy as np
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from hwquant.link import Link
from hwquant.link.protocol import packets
from hwquant.link.transport import UDP_PORT
from hwquant.sim.ethernet_bench import BYTE_HZ, VALID

MAC, ADDRESS, PORT = "02:00:00:00:00:01", "192.168.1.10", 40_123
BROADCAST = "ff:ff:ff:ff:ff:ff"
PREAMBLE = b"\x55" * 7 + b"\xd5"
GAP, LEAST, CHECK = 12, 60, 4
SLICE = 256
"""Bytes of the wire between two looks at what the board said."""


class NetworkLink(Link):
    """Datagrams to a board on a bench; time is that on the wire.

    ``faults`` is the probability that a datagram, in either direction, is lost, comes twice, comes behind the one after
    it, or has a byte changed.
    """

    name = "the wire"

    def __init__(self, bench, address, faults=0.0, seed=0):
        self.bench, self.address, self.faults, self.random = bench, str(address), faults, random.Random(seed)
        self.bytes, self.injected, self.board = 0, 0, BROADCAST
        self._queue, self._frame, self._late = [], bytearray(), {}
        self._ask()

    def clock(self):
        return self.bytes / BYTE_HZ

    def _ask(self):
        self._queue += wire(
            Ether(src=MAC, dst=BROADCAST) / ARP(op=1, hwsrc=MAC, psrc=ADDRESS, pdst=self.address)
        )
        self.read(20e-6)
        assert self.board != BROADCAST, "the board says where it is"

    def write(self, data):
        for packet in packets(data):
            for datagram in self._spoilt("there", packet):
                self._queue += wire(
                    Ether(src=MAC, dst=self.board)
                    / IP(src=ADDRESS, dst=self.address)
                    / UDP(sport=PORT, dport=UDP_PORT)
                    / Raw(datagram)
                )

    def read(self, timeout):
        end = self.clock() + timeout
        while self.clock() < end:
            heard, self._queue = self._queue[:SLICE], self._queue[SLICE:]
            said = self.bench.run(np.array(heard + [0] * (SLICE - len(heard)), np.uint16))
            self.bytes += SLICE
            found = []
            for byte in said.tolist():
                if byte & VALID:
                    self._frame.append(byte & 0xFF)
                elif self._frame:
                    found += self._take(bytes(self._frame))
                    self._frame = bytearray()
            if found:
                return b"".join(found)
        return b""

    def close(self):
        self.bench.close()

    def _take(self, frame):
        assert frame[: len(PREAMBLE)] == PREAMBLE
        body, check = frame[len(PREAMBLE) : -CHECK], frame[-CHECK:]
        assert zlib.crc32(body).to_bytes(CHECK, "little") == check
        assert len(body) >= LEAST
        packet = Ether(body)
        if ARP in packet:
            if packet[ARP].op == 1:
                self._queue += wire(
                    Ether(src=MAC, dst=packet.src)
                    / ARP(op=2, hwsrc=MAC, psrc=ADDRESS, hwdst=packet.src, pdst=packet[ARP].psrc)
                )
            elif packet[ARP].psrc == self.address:
                self.board = packet[ARP].hwsrc
            return []
        assert (packet.dst, packet[IP].src, packet[IP].dst) == (MAC, self.address, ADDRESS)
        assert (packet[UDP].sport, packet[UDP].dport) == (UDP_PORT, PORT)
        header = packet[IP].copy()
        del header.chksum
        assert IP(bytes(header)).chksum == packet[IP].chksum
        return self._spoilt("back", bytes(packet[UDP].payload)[: packet[UDP].len - 8])

    def _spoilt(self, way, datagram):
        late, accident = self._late.pop(way, []), self.random.random() < self.faults
        self.injected += accident
        match self.random.randrange(4) if accident else None:
            case 0:
                return late
            case 1:
                return [datagram, *late, datagram]
            case 2:
                self._late[way] = [*late, datagram]
                return []
            case 3:
                place = self.random.randrange(len(datagram))
                changed = bytes([datagram[place] ^ 1 << self.random.randrange(8)])
                return [datagram[:place] + changed + datagram[place + 1 :], *late]
            case _:
                return [datagram, *late]


def wire(packet):
    """The bytes of a frame on the wire, and the gap behind it."""
    body = bytes(packet)
    body += bytes(max(0, LEAST - len(body)))
    frame = PREAMBLE + body + zlib.crc32(body).to_bytes(CHECK, "little")
    return [VALID | byte for byte in frame] + [0] * GAP
