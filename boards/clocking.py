"""The clock of the accelerator: a PLL that makes it from the board's oscillator."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib.cdc import ResetSynchronizer

from hwquant.boards.families.family import Device, Family
from hwquant.boards.families.pll import PllSettings
from hwquant.errors import Unsupported


def pll_settings(family: Family, input_hz: int, wanted_hz: float) -> PllSettings:
    """The settings whose output is nearest to what is wanted, and not above it.

    Raises
    ------
    Unsupported
        The PLL reaches nothing within 30 % below what is wanted.
    """
    best: PllSettings | None = None
    for settings in family.pll.candidates(input_hz):
        above = settings.hertz > wanted_hz * (1 + 1e-9)
        if not above and (best is None or settings.hertz > best.hertz):
            best = settings
    if best is None or best.hertz < 0.7 * wanted_hz:
        raise Unsupported(
            f"no PLL setting of {family.name} makes {wanted_hz / 1e6:g} MHz of {input_hz / 1e6:g} MHz; "
            "ask for another clock"
        )
    return best


def clocks(family: Family, input_hz: int) -> list[float]:
    """Every clock in Hz that can be had of an oscillator, itself too, in ascending order."""
    return sorted({float(input_hz)} | {settings.hertz for settings in family.pll.candidates(input_hz)})


class ClockGenerator(Elaboratable):
    """Drives the domain ``sync``, which its parent has, from the pin ``clock``; reset until the PLL is locked.

    ``hertz`` is the frequency that it makes. Without a device it is the oscillator's.
    """

    def __init__(self, device: Device | None, clock: Signal, input_hz: int, wanted_hz: float):
        self.device, self.clock, self.input_hz = device, clock, input_hz
        self.settings: PllSettings | None = None
        self.hertz = float(input_hz)
        if device is not None and abs(wanted_hz - input_hz) > 1:
            self.settings = pll_settings(device.family, input_hz, wanted_hz)
            self.hertz = self.settings.hertz

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.device is None or self.settings is None:
            # Counts from the configured state: registers have their initial values then.
            m.d.comb += [ClockSignal().eq(self.clock), ResetSignal().eq(0)]
            return m
        locked = Signal()
        output = Signal()
        pll = self.device.family.pll
        m.submodules.pll = pll.instance(self.settings, self.device, (self.clock, output, locked))
        m.d.comb += ClockSignal().eq(output)
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync", stages=4)
        return m
