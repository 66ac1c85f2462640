"""AMD 7 series (Artix): Yosys counts, Vivado makes the bitstream.

Sources: AMD DS180 (7 series), UG472 (MMCM).
"""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Const, Instance, Signal

from hwquant.boards.families.constraints import SPEED, STANDARD, Constraints, Pin, lines
from hwquant.boards.families.family import Device, Family
from hwquant.boards.families.flow import VendorFlow
from hwquant.boards.families.languages import tcl, tcl_comment, tcl_word
from hwquant.boards.families.pll import Pll, PllPins, PllSettings
from hwquant.boards.families.ram import NARROW, WIDE, WIDEST, LogicCost, Ram, ShiftRegisters
from hwquant.rtl_templates.dsp import DspBlocks
from hwquant.rtl_templates.paired_product import PackedProduct

VIVADO_SCRIPT, VIVADO_BITSTREAM = "vivado.tcl", "top.bit"
"""Names of files beside the Verilog: the script that Vivado runs, and the bitstream that it writes."""
COMMAND = f"vivado -mode batch -source {VIVADO_SCRIPT}"


def _pll(settings: PllSettings, device: Device, pins: PllPins) -> Instance:
    clock, output, locked = pins
    feedback = Signal()
    return Instance(
        "MMCME2_BASE",
        p_CLKIN1_PERIOD=1e9 / settings.input_hz,
        p_DIVCLK_DIVIDE=settings.divide,
        p_CLKFBOUT_MULT_F=float(settings.multiply),
        p_CLKOUT0_DIVIDE_F=float(settings.post),
        i_CLKIN1=clock,
        i_CLKFBIN=feedback,
        i_RST=Const(0),
        i_PWRDWN=Const(0),
        o_CLKFBOUT=feedback,
        o_CLKOUT0=output,
        o_LOCKED=locked,
    )


def _constraints(pins: Mapping[str, Pin], clock_hz: int) -> str:
    commands = [
        f"{tcl('set_property', key, value)} [get_ports {tcl_word(port)}]"
        for port, pin in pins.items()
        for key, value in {"PACKAGE_PIN": pin.location, **pin.attributes}.items()
    ]
    return lines(*commands, f"create_clock -name clock -period {1e9 / clock_hz:.3f} [get_ports clock]")


def vivado_script(title: str, part: str, constraints_file: str) -> str:
    """Text of the script by which Vivado makes a bitstream of Verilog and constraints."""
    return lines(
        f"# {COMMAND}: the bitstream for this board",
        tcl_comment(title),
        tcl("create_project", "-in_memory", "-part", part),
        tcl("read_verilog", "top.v"),
        tcl("read_xdc", constraints_file),
        tcl("synth_design", "-top", "top", "-part", part),
        "opt_design",
        "place_design",
        "route_design",
        "report_timing_summary -file timing.rpt",
        "report_utilization -file utilization.rpt",
        tcl("write_bitstream", "-force", VIVADO_BITSTREAM),
    )


_YES = "TRUE|true"


class Xilinx7PackedProduct(PackedProduct):
    """Two products of one multiplication in one DSP48E1, as synthesis infers it."""

    wide = 25
    narrow = 18


FAMILY = Family(
    name="xilinx7",
    # A split operand loses a bit of each part, since the parts are unsigned and the blocks are not.
    dsp=DspBlocks(25, 18, part=17, operand_bits=18, least_product=9, pair=Xilinx7PackedProduct),
    rams=(
        Ram(5, (6,), 6, 8, scaled=7, luts=4, rom=False, read_first=True),  # RAM32M
        Ram(6, (3,), 3, 8, scaled=7, luts=4, rom=False, read_first=True),  # RAM64M
        Ram(14, NARROW, 9, 129, blocks=0.5, read_first=True, dual=True),  # RAMB18E1
        Ram(15, WIDE, 9, 257, blocks=1, read_first=True, dual=True),  # RAMB36E1
        Ram(16, (1,), 1, 513, blocks=2, read_first=True),  # two of them, cascaded
        Ram(14, WIDE, 9, 129, blocks=0.5, read_first=True),  # RAMB18E1, simple dual port
        Ram(15, WIDEST, 9, 257, blocks=1, read_first=True),
    ),
    logic_cost=LogicCost(register=1.0, table=1 / 64),
    pll=Pll(
        oscillator=(600, 1200),
        detector=(10, 450),
        output=(4.69, 800),
        divide=64,
        multiply=64,
        posts=tuple(range(1, 129)),
        internal=True,
        instance=_pll,
    ),
    constraints=Constraints(
        "top.xdc",
        _constraints,
        {
            "IOSTANDARD": STANDARD,
            "DRIVE": "4|8|12|16|24",
            "SLEW": SPEED,
            "PULLTYPE": "PULLUP|PULLDOWN|KEEPER|NONE",
            "PULLUP": _YES,
            "PULLDOWN": _YES,
        },
    ),
    synthesis=lambda device, top: (
        f"synth_xilinx -family xc7 -flatten -top {top}\nautoname\nwrite_json netlist.json"
    ),
    cells={
        "lut": {
            **{f"LUT{size}": 1 for size in range(1, 7)},
            "RAM32M": 4,
            "RAM64M": 4,
            "SRL16E": 1,
            "SRLC32E": 1,
        },
        "ff": {"FD*": 1},
        "dsp": {"DSP48E1": 1},
        "ram": {"RAMB18E1": 0.5, "RAMB36E1": 1},
    },
    flow=VendorFlow("Vivado", VIVADO_SCRIPT, COMMAND, VIVADO_BITSTREAM, vivado_script),
    board_fields=("part",),
    shift_registers=ShiftRegisters(least=3, bits=16),
    notes=(
        "no open place and route: counts are Yosys' estimate, the clock is what "
        f"{VIVADO_SCRIPT} asks for; Vivado makes the bitstream: {COMMAND}",
    ),
)

_SPEEDS = ("1", "2", "3", "1L", "2L")

DEVICES = (
    Device(
        "xc7a35t",
        FAMILY,
        *(20800, 41600, 90, 50, 36864),
        packages=("cpg236", "csg324", "csg325", "fgg484", "ftg256"),
        speeds=_SPEEDS,
    ),
    Device(
        "xc7a100t",
        FAMILY,
        *(63400, 126800, 240, 135, 36864),
        packages=("csg324", "fgg484", "fgg676", "ftg256"),
        speeds=_SPEEDS,
    ),
)
