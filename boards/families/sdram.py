"""What a family must have so that an SDRAM can be at its pins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Elaboratable, IOPort, Signal, Value


@dataclass(frozen=True)
class DataWire:
    """Signals of a wire that both sides drive, in cycles of the controller.

    Attributes
    ----------
    port : IOPort
        The pin.
    i, o, oe : Value
        What the wire has, what it is to have, and whether it is driven.
    """

    port: IOPort
    i: Signal
    o: Value
    oe: Value


@dataclass(frozen=True)
class SdramCells:
    """A family's cells for an SDRAM: what :class:`~hwquant.rtl_templates.sdram.SdramPort` says of its pins.

    Attributes
    ----------
    clock : callable
        The chip's clock at its pin: that of the domain ``sync``, inverted.
    output : callable
        A pin, the signal that it has from the next cycle on, and what it has before the first.
    data : callable
        A wire: it is driven from the next cycle on; what is read is taken at the falling edge of the clock of ``sync``,
        and again at the rising one.
    most_hertz : float
        Fastest clock at which what the chip drives is there by that falling edge.
    """

    clock: Callable[[IOPort], Elaboratable]
    output: Callable[[IOPort, Value, int], Elaboratable]
    data: Callable[[DataWire], Elaboratable]
    most_hertz: float
