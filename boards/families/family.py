"""A family of FPGAs, and a device of it: all that the rest of the package asks about either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwquant.boards.families.constraints import Constraints
from hwquant.boards.families.flow import OpenFlow, VendorFlow
from hwquant.boards.families.pll import Pll
from hwquant.boards.families.ram import LogicCost, Ram, ShiftRegisters
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.dsp import DspBlocks, DspBudget, array_multipliers, blocks_of


@dataclass(frozen=True)
class CellModels:
    """Verilog models of a family's cells.

    Attributes
    ----------
    yosys : str
        A file of Yosys' share folder.
    own : tuple[str, ...]
        Files of ``boards/cells`` with what Yosys has no models of.
    """

    yosys: str
    own: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Family:
    """A family of FPGAs: devices of the same cells and the same tools, in different numbers.

    What its LUTs and flip-flops cost is fitted by ``benchmarks/resource_model.py``, and in ``boards/resources.json``
    under its name.

    Attributes
    ----------
    name : str
        As in reports.
    dsp : DspBlocks
        Which products its DSP blocks take.
    rams : tuple[Ram, ...]
        Its block RAMs and distributed RAMs.
    logic_cost : LogicCost
        Of memories that become neither.
    pll : Pll
        What makes the accelerator's clock.
    constraints : Constraints
        Pins and clock for its tools.
    synthesis : Callable
        Yosys' command for a device and the name of the top module; it writes ``netlist.json``.
    cells : Mapping[str, Mapping[str, float]]
        By resource: the cells of a netlist, each with what it counts for. LUTs are four-input ones, except Xilinx'.
        A name that ends in "*" stands for all that begin so.
    flow : OpenFlow | VendorFlow
        What follows synthesis.
    board_fields : tuple[str, ...]
        What its tools ask of a board besides the device: "package", "speed", "part".
    models : CellModels | None
        Of its cells, for simulations of netlists; None where there are none.
    shift_registers : ShiftRegisters | None
        Whether LUTs become shift registers.
    notes : tuple[str, ...]
        What to know about figures of every implementation.
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
    shift_registers: ShiftRegisters | None = None
    notes: tuple[str, ...] = ()

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Resources of a netlist, from its cells by type: LUTs, flip-flops, multipliers, RAMs."""
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
        As in "--target lfe5u-85f".
    family : Family
        What it is made of, and its tools.
    luts : int
        Four-input look-up tables; six-input ones of Xilinx 7.
    flip_flops : int
        Flip-flops.
    multipliers : int
        DSP multipliers of the family's widest kind.
    rams : int
        Block RAMs.
    ram_bits : int
        Of each.
    large_rams : int
        Single-port RAMs that are not initialized by the bitstream (UP5K's SPRAM).
    large_ram_bits : int
        Of each.
    arguments : tuple[str, ...]
        What tells the family's place and route about the device.
    series : str
        How the family's other tools call it.
    packages : tuple[str, ...]
        What it comes in, as the tools write it; none where there is nothing to choose.
    speeds : tuple[str, ...]
        Its speed grades, likewise.
    aliases : tuple[str, ...]
        Other names.
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
    arguments: tuple[str, ...] = ()
    series: str = ""
    packages: tuple[str, ...] = ()
    speeds: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def resources(self) -> Mapping[str, int]:
        """Counts by the names that reports use; large RAMs only where there are such."""
        return {
            "lut": self.luts,
            "ff": self.flip_flops,
            "dsp": self.multipliers,
            "ram": self.rams,
            **({"large_ram": self.large_rams} if self.large_rams else {}),
        }

    @property
    def operand_bits(self) -> int:
        """Widest weight that one multiplier takes."""
        return self.family.dsp.operand_bits

    def products(self, a_bits: int, b_bits: int) -> int | None:
        """Signed products of such widths that the DSP blocks hold; None where such products need no block."""
        each = blocks_of(self.family.dsp, a_bits, b_bits)
        return int(self.multipliers / each) if each else None

    def budget(self, config: ArrayConfig) -> DspBudget:
        """What an accelerator is told about this device: who gets a DSP block."""
        dsp = self.family.dsp
        return DspBudget(dsp, array_multipliers(config, dsp, self.multipliers))
