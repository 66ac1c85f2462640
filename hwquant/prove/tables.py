"""Claims of the tables of functions: the value of the argument, in the table of the layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Array, Cat, Const

from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.tables import COLUMNS, Lookup

LATENCY = 2
"""Cycles from an argument to its value: claimed, so not asked of the component."""


def lookup(config: ArrayConfig, contents: Sequence[int]) -> Claim:
    """What is looked up is what the table has.

    Parameters
    ----------
    config : ArrayConfig
        Widths, and the number of tables.
    contents : Sequence of int
        Words of the memory, one table after the other.
    """

    def build(harness: Harness) -> None:
        dut = harness.component(Lookup(config, contents, COLUMNS))
        words = Array(Const(word, config.activation_bits) for word in contents)
        harness.assume(dut.page < config.tables)
        for column in range(COLUMNS):
            address, value = getattr(dut, f"address{column}"), getattr(dut, f"value{column}")
            expected = words[Cat(address, dut.page)]
            harness.always(
                ~harness.before(1, LATENCY) | (value.as_unsigned() == harness.before(expected, LATENCY))
            )

    return Claim(
        f"Lookup: {config.tables} table{'s' * (config.tables > 1)}, arguments of {config.table_bits} bits, values of "
        f"{config.activation_bits}",
        f"value = table[page, argument], {LATENCY} cycles later, for each column that shares the memory",
        build,
        Method.INDUCTION,
        LATENCY + 1,
    )


def _any_tables(table_bits: int, tables: int, bits: int) -> Claim:
    config = ArrayConfig(4, 4, activation_bits=bits, table_bits=table_bits, tables=tables)
    words = np.random.default_rng(0).integers(0, 1 << bits, config.table_depth)
    return lookup(config, words.tolist())


CLAIMS = (_any_tables(4, 3, 4), _any_tables(8, 1, 8))
"""Tables of values at random, so that no two arguments are alike."""
