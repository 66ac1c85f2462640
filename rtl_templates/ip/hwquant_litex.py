"""A core of hwquant with a Wishbone bus as a peripheral of a LiteX SoC.

In a SoC's ``__init__``::

    from hwquant_litex import HwquantCore

    self.accelerator = HwquantCore(platform, "net")
    self.bus.add_slave("accelerator", self.accelerator.bus, SoCRegion(origin=0x30000000, size=64, cached=False))

Software finds the core at ``ACCELERATOR_BASE`` (``generated/mem.h``) and drives it with ``hwquant.c``.
"""

from pathlib import Path
from typing import Any

from litex.gen import ClockSignal, LiteXModule, ResetSignal
from litex.soc.interconnect import wishbone
from migen import Instance


class HwquantCore(LiteXModule):
    """The core in the clock domain ``sys``.

    Parameters
    ----------
    platform : litex.build.generic_platform.GenericPlatform
        What gets the core's Verilog as a source.
    name : str
        Name of the core's module, ``hwquant core --bus wishbone --name``.
    folder : str or Path, optional
        Where its Verilog is; by default beside this file.
    source : str, optional
        The file with its Verilog; by default the name, and ``.v``.

    Attributes
    ----------
    bus : litex.soc.interconnect.wishbone.Interface
        The core's registers: 16 words of 32 bits.
    """

    def __init__(
        self, platform: Any, name: str, folder: str | Path | None = None, source: str | None = None
    ) -> None:
        self.bus = wishbone.Interface(data_width=32, adr_width=30)
        self.specials += Instance(
            name,
            i_clk=ClockSignal("sys"),
            i_rst=ResetSignal("sys"),
            i_cyc=self.bus.cyc,
            i_stb=self.bus.stb,
            i_we=self.bus.we,
            i_adr=self.bus.adr[:4],
            i_dat_w=self.bus.dat_w,
            o_dat_r=self.bus.dat_r,
            o_ack=self.bus.ack,
            o_err=self.bus.err,
        )
        platform.add_source(str(Path(folder or Path(__file__).parent, source or f"{name}.v")))
