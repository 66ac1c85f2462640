"""The clock of the accelerator: a PLL that makes it from the board's oscillator."""

from __future__ import annotations

import math

from amaranth.hdl import ClockSignal, Elaboratable, Module, Signal
from amaranth.lib.cdc import AsyncFFSynchronizer

from hwquant.boards.board import Board
from hwquant.boards.families.family import Device, Family
from hwquant.boards.families.pll import PllSettings
from hwquant.errors import Unsupported
from hwquant.rtl_templates.uart import fastest_baud


def pll_settings(family: Family, input_hz: int, wanted_hz: float) -> PllSettings:
    """Choose the settings of a family's PLL whose output is nearest to a clock, and not above it.

    Parameters
    ----------
    family : Family
        The family whose PLL it is.
    input_hz : int
        Frequency of the oscillator in Hz.
    wanted_hz : float
        Clock that is asked for, in Hz.

    Raises
    ------
    Unsupported
        The PLL reaches nothing from 30 % below the clock up to it.
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
    """Every clock in Hz that can be made of an oscillator's, which is one of them, in ascending order."""
    return sorted({float(input_hz)} | {settings.hertz for settings in family.pll.candidates(input_hz)})


def usable_clocks(board: Board) -> list[float]:
    """The clocks in Hz, in ascending order, that a board with a device can have and that give a UART link a rate."""
    family = board.device.family if board.device else None
    possible = clocks(family, board.clock_hz) if family else [float(board.clock_hz)]
    return [clock for clock in possible if board.link != "uart" or fastest_baud(clock, board.baud)]


def clock_option(hertz: float) -> str:
    """A clock as ``--clock`` takes it, rounded up, as the PLL makes the nearest one below."""
    return f"{math.ceil(hertz / 1e3 - 1e-6) / 1e3:g}"


class ClockGenerator(Elaboratable):
    """The driver of the clock of the domain ``sync``, which its parent has.

    Parameters
    ----------
    device : Device or None
        The FPGA; without one the oscillator is the clock.
    clock : Signal
        The signal of the pin ``clock``.
    input_hz : int
        Frequency of the oscillator in Hz.
    wanted_hz : float
        Clock that is asked for, in Hz.

    Attributes
    ----------
    settings : PllSettings or None
        Settings of the PLL; None where the oscillator is the clock.
    hertz : float
        Frequency of the domain in Hz.
    unlocked : Signal
        The PLL is not locked yet: what runs with the clock is to be reset. Never where the oscillator is the clock, for
        registers have their initial values then.
    """

    def __init__(self, device: Device | None, clock: Signal, input_hz: int, wanted_hz: float):
        self.device, self.clock, self.input_hz = device, clock, input_hz
        self.settings: PllSettings | None = None
        self.hertz = float(input_hz)
        self.unlocked = Signal()
        if device is not None and abs(wanted_hz - input_hz) > 1:
            self.settings = pll_settings(device.family, input_hz, wanted_hz)
            self.hertz = self.settings.hertz

    def elaborate(self, platform: object) -> Module:
        """Connect the clock, or the PLL and a synchronizer of its lock."""
        m = Module()
        if self.device is None or self.settings is None:
            m.d.comb += ClockSignal().eq(self.clock)
            return m
        locked = Signal()
        output = Signal()
        pll = self.device.family.pll
        m.submodules.pll = pll.instance(self.settings, self.device, (self.clock, output, locked))
        m.d.comb += ClockSignal().eq(output)
        m.submodules.unlocked = AsyncFFSynchronizer(~locked, self.unlocked, stages=4)
        return m
