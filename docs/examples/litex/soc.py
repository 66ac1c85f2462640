"""A LiteX SoC in LiteX's simulator: VexRiscv runs ``main.c``, which drives a core of hwquant.

Usage: ``python soc.py CORE_FOLDER NAME --firmware FILE.bin --output FOLDER`` simulates, and without ``--firmware``
only the headers are written that the firmware is compiled with (``FOLDER/generated``).
"""

import argparse
import sys
from pathlib import Path

from litex.build.generic_platform import Pins, Subsignal
from litex.build.io import CRG
from litex.build.sim import SimPlatform
from litex.build.sim.config import SimConfig
from litex.soc.integration.common import get_mem_data
from litex.soc.integration.export import get_csr_header, get_linker_regions, get_mem_header
from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCCore
from litex.soc.interconnect.csr import CSRStorage
from migen import Finish, If

CLOCK = int(1e6)
SERIAL = (
    "serial",
    0,
    *(
        Subsignal(f"{end}_{name}", Pins(bits))
        for end in ("source", "sink")
        for name, bits in (("valid", 1), ("ready", 1), ("data", 8))
    ),
)
"""What LiteX's simulator connects to the terminal."""


class Soc(SoCCore):
    """A processor with ROM and RAM, a serial port, the core, and a register that ends the simulation."""

    def __init__(self, platform, folder, name, firmware):
        from hwquant_litex import HwquantCore

        self.crg = CRG(platform.request("sys_clk"))
        super().__init__(
            platform,
            CLOCK,
            cpu_type="vexriscv",
            cpu_variant="lite",
            integrated_rom_size=0x10000,
            integrated_rom_init=firmware,
            integrated_sram_size=0x2000,
            uart_name="sim",
        )
        self.accelerator = HwquantCore(platform, name, folder)
        self.bus.add_slave("accelerator", self.accelerator.bus, SoCRegion(size=64, cached=False))
        self.done = CSRStorage(1)
        self.sync += If(self.done.storage, Finish())


def main():
    """Write headers, or simulate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--firmware", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    sys.path.insert(0, str(options.folder))
    platform = SimPlatform("SIM", [("sys_clk", 0, Pins(1)), ("sys_rst", 0, Pins(1)), SERIAL])
    firmware = get_mem_data(str(options.firmware), endianness="little") if options.firmware else []
    soc = Soc(platform, options.folder.absolute(), options.name, firmware)
    simulator = SimConfig()
    simulator.add_clocker("sys_clk", freq_hz=CLOCK)
    simulator.add_module("serial2console", "serial")
    if options.firmware:
        soc.build(build_dir=str(options.output), sim_config=simulator, interactive=False, run=True)
    else:
        soc.finalize()
        generated = options.output / "generated"
        generated.mkdir(parents=True, exist_ok=True)
        (generated / "csr.h").write_text(
            get_csr_header(soc.csr_regions, soc.constants, with_access_functions=False)
        )
        (generated / "mem.h").write_text(get_mem_header(soc.mem_regions))
        (generated / "regions.ld").write_text(get_linker_regions(soc.mem_regions))


if __name__ == "__main__":
    main()
