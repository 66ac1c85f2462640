"""A family of FPGAs, and a device of it: all that the rest of the package asks about either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hwquant.boards.families.constraints import Constraints
from hwquant.boards.families.flow import OpenFlow, VendorFlow
from hwquant.boards.families.pll import Pll
from hwquant.boards.families.ram import LogicCost, Ram, ShiftRegisters
from hwquant.boards.families.sdram import SdramCells
from hwquant.boards.families.usb import UsbCells
from hwquant.link.protocol import LARGE, SMALL, Window
from hwquant.rtl_templates.dsp import DspBlocks, blocks_of

ROUTABLE: Mapping[str, float] = {"lut": 0.85, "ff": 0.85, "cell": 0.95}
"""Of most families: see :attr:`Family.routable`."""


@dataclass(frozen=True)
class CellModels:
    """Verilog models of a family's cells.

    Attributes
    ----------
    yosys : str
        File of Yosys' share folder with its models.
    own : tuple of str
        Files of ``boards/cells`` with models that Yosys lacks.
    macros : tuple of str
        Macros to define before Yosys' models, so that these are Verilog without SystemVerilog.
    """

    yosys: str
    own: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()


BLOCKS = "blocks.v"
"""Name of the file with a family's own blocks where synthesis runs."""


@dataclass(frozen=True, eq=False)
class Family:
    """A family of FPGAs: devices of the same cells and the same tools, in different numbers.

    What its LUTs and flip-flops cost is fitted by ``benchmarks/resource_model.py``; ``boards/resources.json`` has it
    under the family's name.

    Attributes
    ----------
    name : str
        Name as reports have it.
    dsp : DspBlocks
        Products that its DSP blocks take.
    rams : tuple of Ram
        Modes of its block RAMs and distributed RAMs.
    logic_cost : LogicCost
        Cost of memories that become no RAM.
    pll : Pll
        PLL that makes the accelerator's clock.
    constraints : Constraints
        How its tools are told of pins and clock.
    synthesis : callable
        Yosys' command for a device and the name of the top module; it writes ``netlist.json``. Its folder has
        ``blocks`` by the name :data:`BLOCKS`.
    improve : callable or None
        What changes the module of Yosys' JSON where its cells can more than Yosys knows; None where nothing does.
    place : callable or None
        What gives cells of the top module of Yosys' JSON their places, for a device's name; None where place and route
        finds all of them.
    cells : mapping of str to mapping of str to float
        Cells of a netlist by resource, each with what it counts for. LUTs have four inputs, Xilinx' six. A name that
        ends in "*" stands for all that begin so.
    flow : OpenFlow or VendorFlow
        What follows synthesis.
    board_fields : tuple of str
        Fields of a board that its tools need besides the device: "package", "speed", "part".
    models : CellModels or None
        Models of its cells, for simulations of netlists; None where there are none.
    shift_registers : ShiftRegisters or None
        Which delays become shift registers made of LUTs; None where none does.
    unread : mapping of str to str, optional
        Outputs, one by type of cell, for which place and route takes cells where they are connected, read or not: those
        that nothing reads are left open.
    routable : mapping of str to float, optional
        Share of a resource that may be used, above which placing and routing get slow or fail; 1 for those not named.
    crowded : float or None, default None
        By how much the share of its DSP blocks that an array may use falls with the share of block RAMs that are used
        beyond half of them, unless all products of the array get a block: more, and routing gets slow or fails. None
        where it is not known that this matters.
    rgmii : bool, default False
        Whether LiteEth has a PHY for it.
    usb : UsbCells or None, default None
        Its cells for a USB cable; None where it can have none.
    sdram : SdramCells or None, default None
        Its cells for an SDRAM; None where it can have none.
    blocks : str, default ""
        Verilog file in ``cells`` of blocks that synthesis is not to look into; "" where there are none.
    notes : tuple of str
        What to know about figures of every implementation.
    timed : bool, default True
        Whether place and route knows how fast all cells are. Where it does not, no clock above the one that is asked
        for is tried: nothing says that the hardware bears it.
    """

    name: str
    dsp: DspBlocks
    rams: tuple[Ram, ...]
    logic_cost: LogicCost
    pll: Pll
    constraints: Constraints
    synthesis: Callable[[Device, str], str]
    cells: Mapping[str, Mapping[str, float]]
    flow: OpenFlow | VendorFlow
    board_fields: tuple[str, ...] = ()
    models: CellModels | None = None
    improve: Callable[[dict[str, Any]], None] | None = None
    place: Callable[[dict[str, Any], str], None] | None = None
    shift_registers: ShiftRegisters | None = None
    unread: Mapping[str, str] = field(default_factory=dict)
    routable: Mapping[str, float] = field(default_factory=lambda: ROUTABLE)
    crowded: float | None = None
    rgmii: bool = False
    usb: UsbCells | None = None
    sdram: SdramCells | None = None
    blocks: str = ""
    notes: tuple[str, ...] = ()
    timed: bool = True

    @property
    def window(self) -> Window:
        """How many requests a board's link may have on its way: a block RAM in each direction."""
        block = max((2**ram.address_bits * ram.widths[0] for ram in self.rams if ram.blocks), default=0)
        return LARGE if block >= 8 * LARGE.packets * LARGE.packet_bytes else SMALL

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Count the resources of a netlist: LUTs, flip-flops, multipliers, RAMs, from its cells by type."""
        result = {}
        for resource, weights in self.cells.items():
            total = 0.0
            for pattern, weight in weights.items():
                for name, number in cells.items():
                    if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
                        total += weight * number
            result[resource] = round(total + 0.25)
        return result


@dataclass(frozen=True)
class Device:
    """An FPGA.

    Attributes
    ----------
    name : str
        Name on the command line, such as "lfe5u-85f".
    family : Family
        Family that it belongs to: its cells and tools.
    luts : int
        Number of look-up tables, of four inputs, or of six for Xilinx 7.
    flip_flops : int
        Number of flip-flops.
    multipliers : int
        Number of DSP multipliers of the family's widest kind.
    rams : int
        Number of block RAMs.
    ram_bits : int
        Bits of each block RAM.
    large_rams : int
        Number of large RAMs: with one port, and not initialized by the bitstream (UP5K's SPRAM).
    large_ram_bits : int
        Bits of each large RAM.
    large_ram_width : int
        Bits of a word of a large RAM.
    arguments : tuple of str
        Arguments by which the family's place and route knows the device.
    series : str
        Name by which the family's other tools know it.
    packages : tuple of str
        Packages that it comes in, as the tools write them; empty where there is nothing to choose.
    speeds : tuple of str
        Speed grades that it comes in, as the tools write them; empty where there is nothing to choose.
    aliases : tuple of str
        Other names on the command line.
    """

    name: str
    family: Family
    luts: int
    flip_flops: int
    multipliers: int
    rams: int
    ram_bits: int
    large_rams: int = 0
    large_ram_bits: int = 0
    large_ram_width: int = 0
    arguments: tuple[str, ...] = ()
    series: str = ""
    packages: tuple[str, ...] = ()
    speeds: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def resources(self) -> Mapping[str, int]:
        """Counts by the names of resources in reports; large RAMs only where there are such.

        A cell is a LUT's place as place and route fills it: with a LUT, a bit of a carry chain or of what begins and
        ends one, a part of a distributed RAM, a flip-flop without a LUT where these share places.
        """
        return {
            "lut": self.luts,
            "ff": self.flip_flops,
            **({"cell": self.luts} if isinstance(self.family.flow, OpenFlow) else {}),
            "dsp": self.multipliers,
            "ram": self.rams,
            **({"large_ram": self.large_rams} if self.large_rams else {}),
        }

    @property
    def operand_bits(self) -> int:
        """Bits of the widest weight that one multiplier takes."""
        return self.family.dsp.operand_bits

    def products(self, a_bits: int, b_bits: int) -> int | None:
        """Number of signed products of such widths that the DSP blocks hold; None where these need no block."""
        each = blocks_of(self.family.dsp, a_bits, b_bits)
        return int(self.multipliers / each) if each else None
