"""Shift registers that skew the edges of the array, and the check of a component's latency."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import HwquantError
from hwquant.rtl_templates.facts import Delay, Facts


def check_latency(what: str, found: int, expected: int) -> None:
    """Check that a component takes as many cycles as others count on.

    Parameters
    ----------
    what : str
        Name of the component or of the way through it, for the message.
    found : int
        Its latency in cycles, as it says of itself or as those inside it sum up to.
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
    """Delay a signal by registers.

    Parameters
    ----------
    m : Module
        Module that gets the registers, in its domain ``sync``.
    value : Signal
        The signal.
    cycles : int
        Number of registers.
    name : str
        Beginning of the registers' names.
    reset_less : bool
        Whether a reset leaves the registers as they are.

    Returns
    -------
    Signal
        The last register; ``value`` itself for 0 cycles.
    """
    for i in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{i + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


class Skew(Component):
    """Delays of the lanes of a vector, each by one cycle more than its neighbour.

    ::

        o[n] = i[n], n cycles later               without reverse
        o[n] = i[n], width - 1 - n cycles later   with reverse
        o[n] = i[n], n - n % span cycles later    with a span

    Throughput: one vector a cycle.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a lane.
    width : int
        Number of lanes.
    reverse : bool, default False
        Whether the first lane is the latest.
    span : int, default 1
        Neighbouring lanes that are delayed alike; without ``reverse`` only.
    early : bool, default False
        Whether lanes are there a cycle earlier as well; without ``reverse`` and ``span`` only.

    Attributes
    ----------
    latency : int
        Cycles of the latest lane.

    Members
    -------
    i{n} : In(shape)
        Lane n.
    o{n} : Out(shape)
        Lane n, delayed.
    early{n} : Out(shape)
        Lane n, a cycle before ``o{n}``; only with ``early``, and not of the first one.
    """

    def __init__(
        self, shape: ShapeLike, width: int, *, reverse: bool = False, span: int = 1, early: bool = False
    ):
        self.delays = [width - 1 - n if reverse else n - n % span for n in range(width)]
        self.early = early
        self.latency = max(self.delays)
        super().__init__(
            {f"i{n}": In(shape) for n in range(width)}
            | {f"o{n}": Out(shape) for n in range(width)}
            | ({f"early{n}": Out(shape) for n in range(1, width)} if early else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the shift register of each lane."""
        m = Module()
        for n, cycles in enumerate(self.delays):
            lane = getattr(self, f"i{n}")
            if self.early and n:
                lane, cycles = delayed(m, lane, cycles - 1, name=f"lane{n}"), 1
                m.d.comb += getattr(self, f"early{n}").eq(lane)
            m.d.comb += getattr(self, f"o{n}").eq(
                delayed(m, lane, cycles, name=f"lane{n}_last" if self.early else f"lane{n}")
            )
        return m

    @staticmethod
    def facts(bits: int, width: int, span: int = 1) -> Facts:
        """What a skew is made of, whichever of its lanes is the latest.

        Parameters
        ----------
        bits : int
            Width of a lane.
        width : int
            Number of lanes.
        span : int, default 1
            Neighbouring lanes that are delayed alike.

        Returns
        -------
        Facts
            A delay for each lane but the earliest.
        """
        delays = [n - n % span for n in range(width)]
        return Facts(delays=[Delay(bits, cycles) for cycles in delays if cycles])
