"""DSP blocks of FPGAs: which products of an accelerator get one, and which are made of look-up tables."""

from dataclasses import dataclass

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.pe import RegisteredProduct
from hwquant.rtl_templates.soft_product import SoftProduct


@dataclass(frozen=True)
class DspBlocks:
    """DSP blocks of one kind, as Yosys' ``mul2dsp`` uses them.

    Attributes
    ----------
    wide : int
        Bits of the wider operand of the widest multiplier.
    narrow : int
        Bits of its narrower operand.
    part : int
        Bits of the parts into which wider operands are split.
    operand_bits : int
        Widest weight that one multiplier of a block takes: a wider adjusted weight is kept out of the array.
    least : int
        Operands of fewer bits get no block.
    least_product : int
        Products of fewer bits get none.
    half : bool
        Two products of at most ``operand_bits`` share what one of the widest kind takes.
    product : type[RegisteredProduct] | None
        The registered product of a processing element in a block; None where what synthesis infers is as good.
    """

    wide: int
    narrow: int
    part: int
    operand_bits: int
    least: int = 2
    least_product: int = 4
    half: bool = False
    product: type[RegisteredProduct] | None = None


LEAST_PRODUCT_BITS = 11
"""Narrower products of processing elements are look-up tables on every device (no family has a higher bound)."""


def blocks_of(dsp: DspBlocks, a_bits: int, b_bits: int, least_product: int = LEAST_PRODUCT_BITS) -> float:
    """DSP blocks that a signed product takes (as the devices' numbers of multipliers count them)."""
    wide, narrow = max(a_bits, b_bits), min(a_bits, b_bits)
    if narrow < dsp.least or wide + narrow < least_product:
        return 0.0

    def parts(bits: int, limit: int) -> list[int]:
        whole = -(-max(0, bits - limit) // dsp.part)
        return [dsp.part] * whole + [bits - whole * dsp.part]

    return sum(
        0.5 if dsp.half and max(a, b) <= dsp.operand_bits else 1.0
        for a in parts(wide, dsp.wide)
        for b in parts(narrow, dsp.narrow)
        if min(a, b) >= dsp.least and a + b >= least_product
    )


def blocks_elsewhere(config: ArrayConfig, dsp: DspBlocks) -> float:
    """DSP blocks of everything but processing elements: requantization, and the offset of a sum column.

    These products are left to synthesis, which has a bound of its own for each kind of block.
    """
    least, total = dsp.least_product, 0.0
    if config.multiplier_bits:
        total += config.columns * blocks_of(dsp, config.accumulator_bits, config.multiplier_bits, least)
    if config.offset == "sum" and not config.channel_offsets:
        total += blocks_of(dsp, config.input_sum_bits, config.offset_bits, least)
    return total


def array_multipliers(config: ArrayConfig, dsp: DspBlocks, available: int) -> int:
    """Processing elements that get a DSP block where a device has so many of them, in the order of the rows.

    The offset row of a sum column has wider products: it gets blocks when all other rows have them.
    """
    left = available - blocks_elsewhere(config, dsp)
    elements = config.rows * config.columns
    each = blocks_of(dsp, config.activation_bits, config.operand_bits)
    found = elements if not each else max(0, min(elements, int(left / each)))
    if found == elements and config.offset == "sum" and config.channel_offsets:
        each_offset = blocks_of(dsp, config.input_sum_bits, config.operand_bits)
        left -= elements * each
        found += config.columns if not each_offset else min(config.columns, int(left / each_offset))
    return found


@dataclass(frozen=True)
class DspBudget:
    """The DSP blocks that an array may use; ``elaborate`` gets it as its argument ``platform``.

    It is all that components ask of the device that they are elaborated for. Where the argument is anything else
    (None, or a platform of Amaranth's), all products are left to synthesis.

    Attributes
    ----------
    dsp : DspBlocks
        Of the device.
    multipliers : int | None
        How many processing elements get a DSP block, row by row (:func:`array_multipliers`); None: all of them.
    """

    dsp: DspBlocks
    multipliers: int | None = None

    def product(self, index: int, x_bits: int, weight_bits: int) -> type[RegisteredProduct] | None:
        """The component of the product of a processing element, or None: ``*``, which synthesis makes a DSP block.

        ``index`` counts the elements row by row.
        """
        scarce = self.multipliers is not None and index >= self.multipliers
        if scarce or not blocks_of(self.dsp, x_bits, weight_bits):
            return SoftProduct
        return self.dsp.product
