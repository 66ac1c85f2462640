"""The constants of the array's pipeline, and the cycles that follow from them."""

from __future__ import annotations

MEMORY_LATENCY = 2
"""Cycles from a registered address to registered read data (the memory, then a register)."""

FEED_LATENCY = MEMORY_LATENCY + 1
"""From an address to the array's edge: memory, register, then padding or offset adder with its register.

Activations and weights have the same, so that loading a tile may begin in the cycle in which the tile before
it starts to stream."""

PRODUCT_LATENCY = 2
"""Of two activations: both less their zero points, and the product, each registered."""
TABLE_LATENCY = 2
"""From an address of a table to its registered value (the memory, then a register)."""


class Latencies:
    """Cycles from one stage of an array to another."""

    rows: int
    columns: int
    product_stages: int
    offset: str
    multiplier_bits: int
    tables: int

    @property
    def table_latency(self) -> int:
        """Cycles from the clamped integer to the output."""
        return TABLE_LATENCY * (self.tables > 0)

    @property
    def element_latency(self) -> int:
        """Cycles from an activation to a partial sum: operands, the stages of the product, and the sum, registered."""
        return 1 + self.product_stages + 1

    @property
    def array_latency(self) -> int:
        """Cycles from a pixel's address to the first column's sum at the bottom of the array."""
        below = 1 if self.offset == "sum" else 0
        return FEED_LATENCY + self.rows - 1 + self.element_latency + below

    @property
    def product_latency(self) -> int:
        """Cycles from a pixel's address to the first column's product with its factor."""
        return FEED_LATENCY + PRODUCT_LATENCY

    @property
    def requantize_latency(self) -> int:
        """Cycles from a finished sum to the clamped output."""
        return 3 if not self.multiplier_bits else 6

    @property
    def write_latency(self) -> int:
        """Cycles from a pixel's address to the writing of its output word.

        Those of the array, an addition, requantization, tables, the pooling maximum, and of the last column's delay.
        """
        return self.array_latency + self.requantize_latency + self.table_latency + self.columns + 1

    @property
    def drain_latency(self) -> int:
        """Cycles from the last pixel of a layer to the first that may read what the layer wrote."""
        return self.write_latency + 1
