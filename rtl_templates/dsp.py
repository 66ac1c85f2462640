"""DSP blocks of FPGAs: which products of an accelerator get one, and which are made of look-up tables."""

import itertools
from dataclasses import dataclass
from typing import Self

from hwquant.program.array_shape import TAP_COLUMNS
from hwquant.program.config import ArrayConfig
from hwquant.program.limits import PRODUCT_STAGES
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.ports import array_rows
from hwquant.rtl_templates.registered_product import OutputProduct, PairedProduct, RegisteredProduct
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
    output : type of OutputProduct or None, default None
        Component of a product of at most ``wide`` and ``narrow`` bits with its register in a block; None where what
        synthesis infers is as good.
    pair : type of PairedProduct or None, default None
        Component of the registered products of two processing elements in one block; None where there is no such.
    """

    wide: int
    narrow: int
    part: int
    operand_bits: int
    least: int = 2
    least_product: int = 4
    half: bool = False
    product: type[RegisteredProduct] | None = None
    output: type[OutputProduct] | None = None
    pair: type[PairedProduct] | None = None


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

    def parts(bits: int, limit: int, part: int = dsp.part) -> list[int]:
        whole = -(-max(0, bits - limit) // part)
        return [part] * whole + [bits - whole * part]

    def cost(a: int, b: int) -> float:
        if dsp.half and max(a, b) <= dsp.operand_bits:
            return 0.5
        if (
            dsp.half and wide > dsp.wide and a <= dsp.operand_bits
        ):  # what is left of a split: halves, and no whole one
            return 0.5 * sum(
                item >= dsp.least for item in parts(b, dsp.operand_bits, part=dsp.operand_bits - 1)
            )
        return 1.0

    return sum(
        cost(a, b)
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


def pairable_elements(config: ArrayConfig) -> tuple[int, int]:
    """The first row, and the number of pairs in a row, of processing elements that may share a block.

    Two neighbours in a row share an activation but where pixels come from above, a column its own.
    """
    return TAP_COLUMNS * config.tap_lines, config.columns // 2


WORTHWHILE = 3 / 4
"""Of the logic of a product made of look-up tables: more is not worth the longer paths of a pair."""


def is_worthwhile(pair: type[PairedProduct], x_bits: int, weight_bits: int) -> bool:
    """Whether two products in a block leave much less to look-up tables than one in a block, and one made of them."""
    if not pair.takes(x_bits, weight_bits):
        return False
    paired, soft = (kind.facts(x_bits, weight_bits) for kind in (pair, SoftProduct))
    return _logic(paired) <= WORTHWHILE * _logic(soft)


def _logic(facts: Facts) -> int:
    return sum(facts.adders.values()) + sum(facts.muxes.values()) + sum(facts.gates.values())


Multiplier = type[RegisteredProduct] | type[PairedProduct] | None
"""What multiplies in a processing element; a paired product does for two neighbours; None: ``*``."""


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
        Number of processing elements that get a DSP block of their own, row by row; None: all of them.
    pairs : int, default 0
        Number of pairs of processing elements that share a block, in the last rows.
    """

    dsp: DspBlocks
    multipliers: int | None = None
    pairs: int = 0

    @classmethod
    def share(cls, config: ArrayConfig, dsp: DspBlocks, available: int) -> Self:
        """Share the blocks of a device out.

        Where there are too few for all processing elements, as many of them as necessary share blocks. The offset
        row of a sum column has wider products: it gets blocks when all other rows have them.

        Parameters
        ----------
        config : ArrayConfig
            Shape and widths.
        dsp : DspBlocks
            Kind of the device's blocks.
        available : int
            DSP blocks of the device.
        """
        left = max(0.0, available - blocks_elsewhere(config, dsp))
        elements = config.arrays * config.rows * config.columns
        each = blocks_of(dsp, config.activation_bits, config.operand_bits)
        count = elements if not each else min(elements, int(left / each))
        pairs = 0
        if (
            count < elements
            and config.product_stages == PRODUCT_STAGES
            and dsp.pair
            and is_worthwhile(dsp.pair, config.activation_bits, config.operand_bits)
        ):
            first, in_row = pairable_elements(config)
            pairs = min(config.arrays * (config.rows - first) * in_row, count, elements - count)
            count = min(count - pairs, elements - 2 * pairs)
        if count == elements and config.offset == "sum" and config.channel_offsets:
            each_offset = blocks_of(dsp, config.input_sum_bits, config.operand_bits)
            left -= elements * each
            offsets = config.arrays * config.columns
            count += offsets if not each_offset else min(offsets, int(left / each_offset))
        return cls(dsp, count, pairs)

    def products(self, config: ArrayConfig, array: int = 0) -> list[list[Multiplier]]:
        """Choose what multiplies in each processing element of an array, by row and column.

        Of several arrays, blocks go to a row of all of them before the next one. The row of offsets, where an array has
        one, is the last.
        """
        first, in_row = pairable_elements(config)
        begin = config.arrays * (config.rows - first) * in_row - self.pairs
        counted = 0
        chosen: list[list[Multiplier]] = []
        for row, number in itertools.product(range(array_rows(config)), range(config.arrays)):
            x_bits = config.activation_bits if row < config.rows else config.input_sum_bits
            needs_block = blocks_of(self.dsp, x_bits, config.operand_bits) > 0
            kinds: list[Multiplier] = []
            for column in range(config.columns):
                pair = ((row - first) * config.arrays + number) * in_row + column // 2
                if first <= row < config.rows and column // 2 < in_row and pair >= begin:
                    kinds.append(self.dsp.pair)
                    continue
                scarce = self.multipliers is not None and counted >= self.multipliers
                kinds.append(SoftProduct if scarce or not needs_block else self.dsp.product)
                counted += 1
            if number == array:
                chosen.append(kinds)
        return chosen
