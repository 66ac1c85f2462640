"""Shift registers that skew the edges of the array."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import HwquantError
from hwquant.rtl_templates.facts import Delay, Facts


def check_latency(what: str, found: int, expected: int) -> None:
    """That a part takes as many cycles as others count on.

    Parameters
    ----------
    what : str
        The part, for the message.
    found : int
        Its latency in cycles, as it says of itself or as its parts sum up to.
    expected : int
        What the cycle model, or the component around it, counts.

    Raises
    ------
    HwquantError
        The two differ.
    """
    if found != expected:
        raise HwquantError(
            f"{what} takes {found} cycles, and {expected} are counted on; change the component, or what counts on it "
            "(hwquant/program/config.py for the cycle model)"
        )


def delayed(m: Module, value: Signal, cycles: int, *, name: str, reset_less: bool = True) -> Signal:
    """``value`` after ``cycles`` registers (the signal itself for 0)."""
    for i in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{i + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


class Skew(Component):
    """Delays lane ``n`` of a vector by ``n`` cycles (``width - 1 - n`` when ``reverse``).

    Parameters
    ----------
    shape : ShapeLike
        Of a lane.
    width : int
        Number of lanes.
    reverse : bool
        The first lane is the latest.

    Attributes
    ----------
    latency : int
        Cycles of the latest lane.

    Members
    -------
    i{n} : In(shape)
        Lane n.
    o{n} : Out(shape)
        The same, later.
    """

    def __init__(self, shape: ShapeLike, width: int, *, reverse: bool = False):
        self.width = width
        self.reverse = reverse
        self.latency = width - 1
        super().__init__(
            {f"i{n}": In(shape) for n in range(width)} | {f"o{n}": Out(shape) for n in range(width)}
        )

    def elaborate(self, platform: object) -> Module:
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
