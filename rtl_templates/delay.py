"""Shift registers that skew the edges of the array."""

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.rtl_templates.facts import Delay, Facts


def delayed(m: Module, value, cycles: int, *, name: str, reset_less: bool = True):
    """``value`` after ``cycles`` registers (the signal itself for 0)."""
    for i in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{i + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


class Skew(Component):
    """Delays lane ``i`` of a vector by ``i`` cycles (``width - 1 - i`` when ``reverse``).

    Members
    -------
    i{n} : In, ``shape``, lane n
    o{n} : Out, ``shape``, lane n, later
    """

    def __init__(self, shape, width: int, *, reverse: bool = False):
        self.width = width
        self.reverse = reverse
        super().__init__(
            {f"i{n}": In(shape) for n in range(width)} | {f"o{n}": Out(shape) for n in range(width)}
        )

    def elaborate(self, platform):
        m = Module()
        for n in range(self.width):
            cycles = self.width - 1 - n if self.reverse else n
            lane = delayed(m, getattr(self, f"i{n}"), cycles, name=f"lane{n}")
            m.d.comb += getattr(self, f"o{n}").eq(lane)
        return m

    @staticmethod
    def facts(bits: int, width: int) -> Facts:
        """Of ``width`` lanes of so many bits, whichever of them is the longest."""
        return Facts(delays=[Delay(bits, cycles) for cycles in range(1, width)])
