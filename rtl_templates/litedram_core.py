"""LiteDRAM's controller in Verilog, on the standard output.

``python -m hwquant.rtl_templates.litedram_core CHIP HERTZ LEAST``, with the chip as :func:`chip_argument` writes it.
"""

import json
import sys
from dataclasses import asdict
from typing import Any

from hwquant.rtl_templates.sdram_chips import SdramChip

CORE = "litedram_core"
"""Name of the module that LiteDRAM generates."""
PINS_DELAY = 2
"""Cycles that commands and data take through the registers at the pins, besides the CAS latency."""
COMMANDS = ("cs_n", "ras_n", "cas_n", "we_n")
"""Signals of a command, besides its bank and address."""


def chip_argument(chip: SdramChip) -> str:
    """A chip as an argument of this program."""
    return json.dumps(asdict(chip))


def verilog(chip: SdramChip, hertz: float, least: float) -> str:
    """The controller of a chip at clocks from ``hertz`` to ``least``: AXI4 on one side, commands of DFI on the other.

    LiteDRAM's own generator makes a system around it, with a bus of registers for a processor that initializes the
    chip; who uses this module does that, and keeps it in reset until it is done.
    """
    from litedram.common import GeomSettings, PhySettings, TimingSettings
    from litedram.core.controller import LiteDRAMController
    from litedram.core.crossbar import LiteDRAMCrossbar
    from litedram.frontend.axi import LiteDRAMAXI2Native, LiteDRAMAXIPort
    from litex.build.generic_platform import Pins
    from litex.build.lattice import LatticePlatform
    from migen import ClockDomain, Module

    cas = chip.cas_latency(hertz)
    latency = cas + PINS_DELAY
    bits = chip.data_bits
    phy = PhySettings(
        phytype="GENSDRPHY",
        memtype="SDR",
        databits=bits,
        dfi_databits=bits,
        nphases=1,
        rdphase=0,
        wrphase=0,
        cl=cas,
        read_latency=latency,
        write_latency=0,
    )
    geometry = GeomSettings(bankbits=chip.bank_bits, rowbits=chip.row_bits, colbits=chip.column_bits)
    geometry.addressbits = chip.address_bits

    def cycles(time: float) -> int:
        return chip.cycles(time, hertz)

    timing = TimingSettings(
        tRP=cycles(chip.t_rp),
        tRCD=cycles(chip.t_rcd),
        tWR=cycles(chip.t_wr),
        tWTR=2,
        tREFI=chip.refresh_cycles(least),
        tRFC=cycles(chip.t_rfc),
        tFAW=None,
        tCCD=1,
        tRRD=cycles(chip.t_rrd),
        tRC=cycles(chip.t_rc),
        tRAS=cycles(chip.t_ras),
        tZQCS=None,
    )

    class Core(Module):  # type: ignore[misc]
        def __init__(self, pads: Any) -> None:
            self.clock_domains.cd_sys = ClockDomain()
            self.comb += [self.cd_sys.clk.eq(pads("sys_clock")), self.cd_sys.rst.eq(pads("sys_reset"))]
            self.submodules.controller = controller = LiteDRAMController(phy, geometry, timing, hertz)
            self.submodules.crossbar = crossbar = LiteDRAMCrossbar(controller.interface)
            native = crossbar.get_port()
            axi = LiteDRAMAXIPort(
                data_width=bits,
                address_width=native.address_width + (bits // 8).bit_length() - 1,
                id_width=1,
            )
            self.submodules.frontend = LiteDRAMAXI2Native(axi, native)
            for name in ("ar", "aw"):
                channel = getattr(axi, name)
                self.comb += [
                    channel.valid.eq(pads(f"{name}_valid")),
                    pads(f"{name}_ready").eq(channel.ready),
                    channel.addr.eq(pads(f"{name}_address")),
                    channel.len.eq(pads(f"{name}_length")),
                    channel.burst.eq(1),
                    channel.size.eq((bits // 8).bit_length() - 1),
                ]
            self.comb += [
                axi.w.valid.eq(pads("w_valid")),
                pads("w_ready").eq(axi.w.ready),
                axi.w.data.eq(pads("w_data")),
                axi.w.strb.eq(2 ** (bits // 8) - 1),
                axi.w.last.eq(pads("w_last")),
                pads("r_valid").eq(axi.r.valid),
                axi.r.ready.eq(pads("r_ready")),
                pads("r_data").eq(axi.r.data),
                pads("r_last").eq(axi.r.last),
                pads("b_valid").eq(axi.b.valid),
                axi.b.ready.eq(pads("b_ready")),
            ]
            dfi = controller.dfi.p0
            self.comb += [
                *(pads(name).eq(getattr(dfi, name)) for name in (*COMMANDS, "bank", "address")),
                pads("write_data").eq(dfi.wrdata),
                pads("write_enable").eq(dfi.wrdata_en),
                dfi.rddata.eq(pads("read_data")),
            ]

    single = {"sys_clock": 1, "sys_reset": 1}
    for name in ("ar", "aw"):
        single |= {f"{name}_valid": 1, f"{name}_ready": 1, f"{name}_address": 32, f"{name}_length": 8}
    single |= {"w_valid": 1, "w_ready": 1, "w_data": bits, "w_last": 1}
    single |= {"r_valid": 1, "r_ready": 1, "r_data": bits, "r_last": 1, "b_valid": 1, "b_ready": 1}
    single |= dict.fromkeys(COMMANDS, 1) | {"bank": chip.bank_bits, "address": chip.address_bits}
    single |= {"write_data": bits, "write_enable": 1, "read_data": bits}
    platform = LatticePlatform("LFE5U-25F-6BG381C", io=[], toolchain="trellis")
    platform.add_extension([(name, 0, Pins(width)) for name, width in single.items()])
    core = Core(platform.request)
    core.finalize()
    fragment = core.get_fragment()
    platform.finalize(fragment)
    return str(platform.get_verilog(fragment, name=CORE))


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given["cas"] = tuple(map(tuple, given["cas"]))
    sys.stdout.write(verilog(SdramChip(**given), *map(float, sys.argv[2:])))
