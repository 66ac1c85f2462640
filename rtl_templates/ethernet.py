"""Ethernet in gateware: the core that LiteEth generates, from an RGMII PHY to datagrams of UDP."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from ipaddress import IPv4Address
from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, ResetSignal
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import ToolStopped, require
from hwquant.packages import check_version
from hwquant.rtl_templates.facts import KNOWN, Facts, Inside
from hwquant.rtl_templates.liteeth_core import CORE, FIELDS
from hwquant.rtl_templates.udp import UdpPort

LITEETH = Facts(
    registers={"core": 2279},
    gates={KNOWN: 3365},
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


LEAST_HZ = 32e6
"""A clock of the core must be above that: a word a cycle is then faster than the wire."""
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
    return text[text.index("`timescale") : text.rindex(end)] + end  # what is around has the date


class EthernetPort(Component):
    """Bytes over UDP, at an RGMII PHY of 1 Gbit/s.

    Throughput: a byte a cycle in each direction; the clock must be above 32 MHz, as what Ethernet has begun to send, in
    words, it sends without a pause.

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
        streams = {name: self.udp.signature.members[name] for name in ("received", "sent")}
        super().__init__(RGMII | streams)

    def elaborate(self, platform: object) -> Module:
        """Connect the core to the wires, and its datagrams to the bytes."""
        m = Module()
        m.submodules.udp = udp = self.udp
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
            i_sys_clock=ClockSignal(),
            i_sys_reset=ResetSignal(),
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
            self.received.payload.eq(udp.received.payload),
            self.received.valid.eq(udp.received.valid),
            udp.sent.payload.eq(self.sent.payload),
            udp.sent.valid.eq(self.sent.valid),
            self.sent.ready.eq(udp.sent.ready),
        ]
        return m

    @staticmethod
    def facts() -> Facts:
        """The port, and LiteEth's core as a whole."""
        return Facts(inside=[Inside("udp", UdpPort.facts()), Inside("core", LITEETH)])
