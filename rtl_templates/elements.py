"""Which processing elements an array has: what multiplies in each, and what they are made of."""

from collections import Counter
from typing import TypeGuard

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.dsp import DspBudget, Multiplier
from hwquant.rtl_templates.facts import Inside
from hwquant.rtl_templates.pe import ProcessingElement
from hwquant.rtl_templates.ports import array_rows
from hwquant.rtl_templates.registered_product import PairedProduct
from hwquant.rtl_templates.ternary_product import TernaryProduct


def multipliers_of(config: ArrayConfig, platform: object, array: int) -> list[list[Multiplier]]:
    """What multiplies in each element, by row and column: nothing does where weights are ternary."""
    if config.ternary:
        return [[TernaryProduct] * config.columns] * array_rows(config)
    if isinstance(platform, DspBudget):
        return platform.products(config, array)
    return [[None] * config.columns] * array_rows(config)


def span_of(multipliers: list[list[Multiplier]]) -> int:
    """Columns that get an activation at once: those of a pair, where there is one."""
    return 2 if any(is_pair(kind) for row in multipliers for kind in row) else 1


def is_pair(multiplier: Multiplier) -> TypeGuard[type[PairedProduct]]:
    """Whether it multiplies for two elements."""
    return multiplier is not None and issubclass(multiplier, PairedProduct)


def appended_bit(config: ArrayConfig, row: int) -> int | None:
    """The bit at the low end of a row's weights that the array does not carry: 0 of offsets, which are doubled."""
    if config.odd_weights != "all":
        return None
    return 1 if row < config.rows else 0


def element_facts(config: ArrayConfig, multipliers: list[list[Multiplier]]) -> list[Inside]:
    """The processing elements, and products that they share; those that are alike are counted together."""
    elements: list[Inside] = []
    for row, kinds in enumerate(multipliers):
        x_bits = config.activation_bits if row < config.rows else config.input_sum_bits
        next_bits = config.sum_bits(row + 1) if row < config.rows else config.column_bits
        appended = appended_bit(config, row) is not None
        for kind, count in Counter(kinds).items():
            facts = ProcessingElement.facts(
                x_bits,
                config.operand_bits,
                next_bits,
                first=row == 0,
                product=None if is_pair(kind) else kind,
                paired=is_pair(kind),
                appended=appended,
                stages=config.product_stages,
            )
            elements.append(Inside("pe", facts, count))
            if is_pair(kind):
                pair = kind.facts(x_bits, config.operand_bits, appended=appended)
                elements.append(Inside("pair", pair, count // 2))
    return elements
