"""LiteEth's core in Verilog, on the standard output: ``python -m hwquant.rtl_templates.liteeth_core``."""

import sys
from typing import Any

from hwquant.link.transport import UDP_PORT
from hwquant.rtl_templates.udp import WORD_BYTES

CORE = "liteeth_core"
"""Name of the module that LiteEth generates."""
SENT_DELAY, RECEIVED_DELAY = 0.0, 2e-9
"""Seconds by which the FPGA delays the clock that it sends, and the data that it receives: as LiteX' targets for the
boards of Colorlight have it, whose PHY delays the clock that it receives."""
FIELDS = ("valid", "data", "last", "last_be", "length", "src_port", "dst_port", "ip_address")
"""Signals of a datagram's words, besides ``ready``."""


def verilog() -> str:
    """The core; LiteEth's own generator gives no port a number of ours."""
    from liteeth import gen
    from litex.build.generic_platform import Pins, Subsignal
    from litex.build.lattice import LatticePlatform

    class Core(gen.UDPCore):  # type: ignore[misc, name-defined]
        def add_raw_port(self, platform: Any, name: str, port_cfg: Any) -> None:
            platform.add_extension(gen.get_udp_raw_port_ios(name, data_width=8 * WORD_BYTES))
            outer = platform.request(name)
            inner = self.core.udp.crossbar.get_port(port_cfg["port"], dw=8 * WORD_BYTES)
            self.comb += [getattr(inner.sink, item).eq(getattr(outer, f"sink_{item}")) for item in FIELDS]
            self.comb += [getattr(outer, f"source_{item}").eq(getattr(inner.source, item)) for item in FIELDS]
            self.comb += [outer.sink_ready.eq(inner.sink.ready), inner.source.ready.eq(outer.source_ready)]

    def wires(**widths: int) -> list[Any]:
        return [Subsignal(name, Pins(width)) for name, width in widths.items()]

    platform = LatticePlatform("LFE5U-25F-6BG381C", io=[], toolchain="trellis")
    single = {"sys_clock": 1, "sys_reset": 1, "mac_address": 48, "ip_address": 32}
    platform.add_extension(
        [
            *((name, 0, Pins(width)) for name, width in single.items()),
            ("rgmii_clocks", 0, *wires(tx=1, rx=1)),
            ("rgmii", 0, *wires(rst_n=1, rx_ctl=1, rx_data=4, tx_ctl=1, tx_data=4)),
        ]
    )
    core = Core(
        platform,
        {
            "phy": gen.liteeth_phys.LiteEthECP5PHYRGMII,
            "clk_freq": 100_000_000,
            "core": "udp",
            "data_width": 8 * WORD_BYTES,
            "phy_tx_delay": SENT_DELAY,
            "phy_rx_delay": RECEIVED_DELAY,
            "udp_ports": {"link": {"mode": "raw", "port": UDP_PORT}},
        },
    )
    core.finalize()
    fragment = core.get_fragment()
    platform.finalize(fragment)
    return str(platform.get_verilog(fragment, name=CORE))


if __name__ == "__main__":
    sys.stdout.write(verilog())
