"""Ethernet in gateware: the core that LiteEth generates, from an RGMII PHY to datagrams of UDP."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from ipaddress import IPv4Address
from typing import Any

from amaranth.hdl import ClockSignal, Const, DomainRenamer, Instance, Module, ResetSignal
from amaranth.lib import stream
from amaranth.lib.fifo import AsyncFIFO
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import ToolStopped, require
from hwquant.packages import check_version
from hwquant.rtl_templates.facts import KNOWN, Facts, Inside
from hwquant.rtl_templates.liteeth_core import CORE, FIELDS
from hwquant.rtl_templates.udp import UdpPort
from hwquant.rtl_templates.usb import QUEUE, queue_facts

LITEETH = Facts(
    registers={"core": 2257},
    gates={KNOWN: 3482},
)
"""LiteEth's core (2024.12), as Yosys 0.70 counts it for ECP5, small memories among its LUTs."""
RGMII = {
    "eth_rx_clk": In(1),
    "eth_rx_ctl": In(1),
    "eth_rx_data": In(4),
    "eth_tx_clk": Out(1),
    "eth_tx_ctl": Out(1),
    "eth_tx_data": Out(4),
    "eth_reset_n": Out(1, init=1),
}
"""Wires of a PHY."""


NET_HZ = 50e6
"""Clock of LiteEth: more than 32 MHz, so that a word a cycle is faster than the wire, which cannot wait."""
_IP = IPv4Address("192.168.1.50")


@dataclass(frozen=True)
class Addresses:
    """Who a board is on its network.

    Attributes
    ----------
    ip : IPv4Address
        Its address.
    mac : int
        Its hardware address, 48 bits: by default one that is administered locally (IEEE 802, 8.2.2).
    """

    ip: IPv4Address = _IP
    mac: int = 0x02_68_77_71_00_01


@cache
def core_verilog() -> str:
    """The core in Verilog; its addresses are ports.

    LiteEth runs in a process of its own: the names that it writes hang on the order of sets, which a process chooses.

    Raises
    ------
    MissingPackage
        The package liteeth is not installed.
    ToolStopped
        It stopped.
    """
    if find_spec("liteeth") is None:
        raise require("liteeth", "ethernet", "an Ethernet link")
    check_version("liteeth", "ethernet", "an Ethernet link")
    command = [sys.executable, "-W", "ignore", "-m", "hwquant.rtl_templates.liteeth_core"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolStopped(f"LiteEth stopped: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    text, end = done.stdout, "endmodule\n"
    text = text[text.index("`timescale") : text.rindex(end)] + end  # what is around has the date
    # Comments have a tree in the order of addresses in memory.
    return re.sub(r"/\*.*?\*/|^//[^\n]*\n", "", text, flags=re.DOTALL | re.MULTILINE)


class EthernetPort(Component):
    """Bytes over UDP, at an RGMII PHY of 1 Gbit/s.

    LiteEth bears no fast clock; so it is in a domain of its own, ``net`` of :data:`NET_HZ`.

    Throughput: a byte a cycle of ``net`` in each direction.

    Parameters
    ----------
    addresses : Addresses
        Who the board is.

    Members
    -------
    eth_rx_clk, eth_rx_ctl : In(1)
        Clock from the PHY, and whether there are data.
    eth_rx_data : In(4)
        Data from the PHY, at both edges.
    eth_tx_clk, eth_tx_ctl : Out(1)
        Clock to the PHY, and whether there are data.
    eth_tx_data : Out(4)
        Data to the PHY, at both edges.
    eth_reset_n : Out(1)
        Low where the PHY is in reset.
    received : Out(stream.Signature(8, always_ready=True))
        Bytes from the host.
    sent : In(stream.Signature(8))
        Bytes to the host.
    """

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.udp = UdpPort()
        streams = {
            "received": Out(stream.Signature(8, always_ready=True)),
            "sent": In(stream.Signature(8)),
        }
        super().__init__(RGMII | streams)

    def elaborate(self, platform: object) -> Module:
        """Connect the core to the wires, and its datagrams to the bytes."""
        m = Module()
        udp = self.udp
        m.submodules.udp = DomainRenamer("net")(udp)
        m.submodules.arriving = arriving = AsyncFIFO(width=8, depth=QUEUE, w_domain="net", r_domain="sync")
        m.submodules.leaving = leaving = AsyncFIFO(width=8, depth=QUEUE, w_domain="sync", r_domain="net")
        ports: dict[str, Any] = {}
        for name in FIELDS:
            ports[f"o_link_source_{name}"] = getattr(udp.arriving, name)
            ports[f"i_link_sink_{name}"] = getattr(udp.leaving, name)
        for name in ("rx_ctl", "rx_data"):
            ports[f"i_rgmii_{name}"] = getattr(self, f"eth_{name}")
        for name in ("tx_ctl", "tx_data"):
            ports[f"o_rgmii_{name}"] = getattr(self, f"eth_{name}")
        m.submodules.core = Instance(
            CORE,
            i_sys_clock=ClockSignal("net"),
            i_sys_reset=ResetSignal("net"),
            i_mac_address=Const(self.addresses.mac, 48),
            i_ip_address=Const(int(self.addresses.ip), 32),
            i_rgmii_clocks_rx=self.eth_rx_clk,
            o_rgmii_clocks_tx=self.eth_tx_clk,
            o_rgmii_rst_n=self.eth_reset_n,
            i_link_source_ready=udp.arriving.ready,
            o_link_sink_ready=udp.leaving.ready,
            **ports,
        )
        m.d.comb += [
            arriving.w_data.eq(udp.received.payload),
            arriving.w_en.eq(udp.received.valid),
            udp.received.ready.eq(arriving.w_rdy),
            self.received.payload.eq(arriving.r_data),
            self.received.valid.eq(arriving.r_rdy),
            arriving.r_en.eq(1),
            leaving.w_data.eq(self.sent.payload),
            leaving.w_en.eq(self.sent.valid),
            self.sent.ready.eq(leaving.w_rdy),
            udp.sent.payload.eq(leaving.r_data),
            udp.sent.valid.eq(leaving.r_rdy),
            leaving.r_en.eq(udp.sent.ready),
        ]
        return m

    @staticmethod
    def facts() -> Facts:
        """The port, and LiteEth's core as a whole."""
        queues = [queue_facts(name, 8) for name in ("arriving", "leaving")]
        return Facts(inside=[Inside("udp", UdpPort.facts()), Inside("core", LITEETH), *queues])
