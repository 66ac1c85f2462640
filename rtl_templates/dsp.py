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
        Bits of the narrower operand of the widest multiplier.
    part : int
        Bits of the parts into which wider operands are split.
    operand_bits : int
        Bits of the widest weight that one multiplier of a block takes: a wider adjusted weight is kept out of the
        array.
    least : int, default 2
        Bits of the narrowest operand that gets a block.
    least_product : int, default 4
        Bits of the narrowest product that gets a block.
    half : bool, default False
        Two products of at most ``operand_bits`` share what one of the widest kind takes.
    product : type of RegisteredProduct or None, default None
        Component of the registered product of a processing element in a block; None where what synthesis infers is
        as good.
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
    """Count the DSP blocks that a signed product takes.

    Parameters
    ----------
    dsp : DspBlocks
        Kind of the blocks.
    a_bits : int
        Width of one operand.
    b_bits : int
        Width of the other operand.
    least_product : int
        Bits of the narrowest product that gets a block.

    Returns
    -------
    float
        Blocks, as the devices' numbers of multipliers count them: some products take half of one.
    """
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
    """Count the DSP blocks of everything but processing elements.

    These products, of requantization, of two activations and of the offset in a sum column, are left to synthesis,
    which has a bound of its own for each kind of block.
    """
    least, total = dsp.least_product, 0.0
    if config.multiplier_bits:
        each = blocks_of(dsp, config.accumulator_bits, config.multiplier_bits, least)
        total += config.arrays * config.columns * each
    if config.product_bits:
        operand = config.product_bits + 1
        total += config.arrays * min(config.columns, config.lanes) * blocks_of(dsp, operand, operand, least)
    if config.offset == "sum" and not config.channel_offsets:
        total += config.arrays * blocks_of(dsp, config.input_sum_bits, config.offset_bits, least)
    return total


def array_multipliers(config: ArrayConfig, dsp: DspBlocks, available: int) -> int:
    """Count the processing elements that get a DSP block, in the order of the rows.

    The offset row of a sum column has wider products: it gets blocks when all other rows have them.

    Parameters
    ----------
    config : ArrayConfig
        Shape and widths.
    dsp : DspBlocks
        Kind of the device's blocks.
    available : int
        DSP blocks of the device.

    Returns
    -------
    int
        Processing elements, those of the offset row included.
    """
    left = available - blocks_elsewhere(config, dsp)
    elements = config.arrays * config.rows * config.columns
    each = blocks_of(dsp, config.activation_bits, config.operand_bits)
    count = elements if not each else max(0, min(elements, int(left / each)))
    if count == elements and config.offset == "sum" and config.channel_offsets:
        each_offset = blocks_of(dsp, config.input_sum_bits, config.operand_bits)
        left -= elements * each
        offsets = config.arrays * config.columns
        count += offsets if not each_offset else min(offsets, int(left / each_offset))
    return count


@dataclass(frozen=True)
class DspBudget:
    """The DSP blocks that an array may use; ``elaborate`` gets it as its argument ``platform``.

    It is all that components ask of the device that they are elaborated for. Where the argument is anything else
    (None, or a platform of Amaranth's), all products are left to synthesis.

    Attributes
    ----------
    dsp : DspBlocks
        Kind of the device's blocks.
    multipliers : int or None, default None
        Number of processing elements that get a DSP block, row by row (:func:`array_multipliers`); None: all of them.
    """

    dsp: DspBlocks
    multipliers: int | None = None

    def product(self, index: int, x_bits: int, weight_bits: int) -> type[RegisteredProduct] | None:
        """Choose what multiplies in a processing element.

        Parameters
        ----------
        index : int
            Number of the element, counted row by row.
        x_bits : int
            Width of its activation.
        weight_bits : int
            Width of its weight.

        Returns
        -------
        type of RegisteredProduct or None
            The component; None for ``*``, which synthesis makes a DSP block.
        """
        scarce = self.multipliers is not None and index >= self.multipliers
        if scarce or not blocks_of(self.dsp, x_bits, weight_bits):
            return SoftProduct
        return self.dsp.product
