"""Multipliers of FPGAs: which products of an accelerator are DSP blocks, and which are look-up tables."""

from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Const, Instance, Module
from amaranth.lib.wiring import Component

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.sizing import OPERAND_BITS
from hwquant.rtl_templates.facts import Facts, Product
from hwquant.rtl_templates.pe import product_members
from hwquant.rtl_templates.soft_product import SoftProduct

MULTIPLIER_BITS = 18


class Ecp5Product(Component):
    """The registered product of a processing element in one MULT18X18D, with the registers of both operands.

    ::

        active  <= weight                 when swap
        product <= previous x * active

    Yosys infers the multiplier alone, so that signals leave registers, cross the device, pass the multiplier and
    cross it again within a cycle.

    Members
    -------
    x : In, weight, swap : In, as of the processing element; product : Out
    """

    def __init__(self, x_bits: int, weight_bits: int):
        super().__init__(product_members(x_bits, weight_bits))

    def elaborate(self, platform):
        m = Module()
        registers = {"INPUTA": "CE0", "INPUTB": "CE1", "OUTPUT": "CE0"}
        ports: dict[str, object] = {}
        for name, enable in registers.items():
            ports |= {f"p_REG_{name}_CLK": "CLK0", f"p_REG_{name}_CE": enable, f"p_REG_{name}_RST": "RST0"}
        for name, value in (("A", self.x), ("B", self.weight)):
            wide = [*value, *[value[-1]] * (MULTIPLIER_BITS - len(value))]
            ports |= {f"i_{name}{n}": bit for n, bit in enumerate(wide)}
        ports |= {f"i_C{n}": Const(0) for n in range(MULTIPLIER_BITS)}
        ports |= {f"o_P{n}": bit for n, bit in enumerate(self.product)}
        m.submodules.multiplier = Instance(
            "MULT18X18D",
            p_REG_INPUTC_CLK="NONE",
            p_REG_PIPELINE_CLK="NONE",
            p_RESETMODE="SYNC",
            p_GSR="DISABLED",
            i_CLK0=ClockSignal(),
            i_CE0=Const(1),
            i_CE1=self.swap,
            i_RST0=Const(0),
            i_SIGNEDA=Const(1),
            i_SIGNEDB=Const(1),
            i_SOURCEA=Const(0),
            i_SOURCEB=Const(0),
            **ports,
        )
        return m

    @staticmethod
    def facts(x_bits: int, weight_bits: int) -> Facts:
        """The registers are the block's own."""
        return Facts(products=[Product(x_bits, weight_bits)])


@dataclass(frozen=True)
class Blocks:
    """The DSP blocks of a family, as Yosys' ``mul2dsp`` uses them.

    Attributes
    ----------
    wide, narrow : bits of the wider and of the narrower operand of the widest multiplier
    part : bits of the parts into which wider operands are split
    least : operands of fewer bits get no block
    least_product : products of fewer bits get none
    half : two products of at most ``OPERAND_BITS`` share what one of the widest kind takes
    """

    wide: int
    narrow: int
    part: int
    least: int = 2
    least_product: int = 4
    half: bool = False


BLOCKS = {
    "ecp5": Blocks(18, 18, part=18),
    "ice40": Blocks(16, 16, part=16, least_product=11),
    "gowin": Blocks(18, 18, part=18, least=4, half=True),
    # A split operand loses a bit of each part, since the parts are unsigned and the blocks are not.
    "xilinx7": Blocks(25, 18, part=17, least_product=9),
}
"""By family."""

LEAST_PRODUCT_BITS = 11
"""Narrower products of processing elements are look-up tables in every family (iCE40's bound is the highest)."""


def blocks_of(family: str, a_bits: int, b_bits: int, least_product: int = LEAST_PRODUCT_BITS) -> float:
    """DSP blocks that a signed product takes (as :class:`hwquant.boards.device.Device` counts them)."""
    blocks = BLOCKS[family]
    wide, narrow = max(a_bits, b_bits), min(a_bits, b_bits)
    if narrow < blocks.least or wide + narrow < least_product:
        return 0.0

    def parts(bits: int, limit: int) -> list[int]:
        whole = -(-max(0, bits - limit) // blocks.part)
        return [blocks.part] * whole + [bits - whole * blocks.part]

    return sum(
        0.5 if blocks.half and max(a, b) <= OPERAND_BITS[family] else 1.0
        for a in parts(wide, blocks.wide)
        for b in parts(narrow, blocks.narrow)
        if min(a, b) >= blocks.least and a + b >= least_product
    )


def blocks_elsewhere(config: ArrayConfig, family: str) -> float:
    """DSP blocks of everything but processing elements: requantization, and the offset of a sum column.

    These products are left to synthesis, which has a bound of its own in each family.
    """
    least, total = BLOCKS[family].least_product, 0.0
    if config.multiplier_bits:
        total += config.columns * blocks_of(family, config.accumulator_bits, config.multiplier_bits, least)
    if config.offset == "sum" and not config.channel_offsets:
        total += blocks_of(family, config.input_sum_bits, config.offset_bits, least)
    return total


def array_multipliers(config: ArrayConfig, family: str, available: int) -> int:
    """Processing elements that get a DSP block where a device has so many of them, in the order of the rows.

    The offset row of a sum column has wider products: it gets blocks when all other rows have them.
    """
    left = available - blocks_elsewhere(config, family)
    elements = config.rows * config.columns
    each = blocks_of(family, config.activation_bits, config.operand_bits)
    found = elements if not each else max(0, min(elements, int(left / each)))
    if found == elements and config.offset == "sum" and config.channel_offsets:
        each_offset = blocks_of(family, config.input_sum_bits, config.operand_bits)
        left -= elements * each
        found += config.columns if not each_offset else min(config.columns, int(left / each_offset))
    return found


@dataclass(frozen=True)
class Platform:
    """What components ask of the device that they are elaborated for.

    Attributes
    ----------
    family : of the device
    multipliers : how many processing elements get a DSP block, row by row; None: all of them
    """

    family: str
    multipliers: int | None = None

    def product(
        self, index: int, x_bits: int, weight_bits: int
    ) -> type[SoftProduct] | type[Ecp5Product] | None:
        """The component of the product of a processing element, or None: ``*``, which synthesis makes a DSP block.

        ``index`` counts the elements row by row.
        """
        scarce = self.multipliers is not None and index >= self.multipliers
        if scarce or not blocks_of(self.family, x_bits, weight_bits):
            return SoftProduct
        return Ecp5Product if self.family == "ecp5" else None


def platform_for(family: str, multipliers: int | None = None) -> Platform | None:
    """What components are told about a device; None for the family "generic", of which nothing is known.

    Parameters
    ----------
    family : ecp5, ice40, gowin, xilinx7 or generic
    multipliers : processing elements that may have a DSP block (:func:`array_multipliers`); the products of the
        others are made of look-up tables. None: no limit
    """
    if family == "generic":
        return None
    if family not in BLOCKS:
        raise HwquantError(f"family {family!r} is none of {', '.join(BLOCKS)}, generic")
    return Platform(family, multipliers)
