"""The clock of the accelerator: a PLL that makes it from the board's oscillator, one for each family.

Sources: Lattice FPGA-TN-02200 (ECP5 sysCLOCK), FPGA-TN-02052 (iCE40 sysCLOCK), Gowin UG286 (rPLL), AMD UG472 (MMCM).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Const, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.lib.cdc import ResetSynchronizer

from hwquant.boards.device import Device
from hwquant.boards.languages import megahertz
from hwquant.errors import Unsupported

LIMITS = {
    # oscillator of the PLL, phase detector, and output, in MHz: least, greatest
    "ecp5": ((400, 800), (3.125, 400), (3.125, 400)),
    "ice40": ((533, 1066), (10, 133), (16, 275)),
    "gowin": ((500, 1200), (3, 400), (3.125, 600)),
    "xilinx7": ((600, 1200), (10, 450), (4.69, 800)),
}


@dataclass(frozen=True)
class PllSettings:
    """``output = input * multiply / divide``; the oscillator runs at ``output * post``."""

    divide: int
    multiply: int
    post: int
    hertz: float


def pll_settings(family: str, input_hz: int, wanted_hz: float) -> PllSettings:
    """The settings whose output is nearest to what is wanted, and not above it.

    Raises
    ------
    Unsupported : the PLL reaches nothing within 30 % below what is wanted
    """
    best: PllSettings | None = None
    for settings in _candidates(family, input_hz):
        above = settings.hertz > wanted_hz * (1 + 1e-9)
        if not above and (best is None or settings.hertz > best.hertz):
            best = settings
    if best is None or best.hertz < 0.7 * wanted_hz:
        raise Unsupported(
            f"no PLL setting of {family} makes {wanted_hz / 1e6:g} MHz of {input_hz / 1e6:g} MHz; ask for another clock"
        )
    return best


def clocks(family: str, input_hz: int) -> list[float]:
    """Every clock in Hz that can be had of an oscillator, itself too, in ascending order."""
    return sorted({float(input_hz)} | {settings.hertz for settings in _candidates(family, input_hz)})


def _candidates(family: str, input_hz: int) -> Iterator[PllSettings]:
    (low, high), (least, greatest), (slowest, fastest) = LIMITS[family]
    for divide in range(1, 65):
        if not least <= input_hz / divide / 1e6 <= greatest:
            continue
        for multiply in range(1, 129 if family == "ice40" else 65):
            for post in _posts(family):
                # iCE40 and MMCM multiply up to the oscillator, ECP5 and Gowin up to the output.
                internal = family in ("ice40", "xilinx7")
                output = input_hz * multiply / divide / (post if internal else 1)
                if low <= output * post / 1e6 <= high and slowest <= output / 1e6 <= fastest:
                    yield PllSettings(divide, multiply, post, output)
                    if not internal:
                        break  # the output is the same with any other


def _posts(family: str) -> tuple[int, ...]:
    if family == "ecp5":
        return tuple(range(1, 129))
    if family == "ice40":
        return (2, 4, 8, 16, 32, 64)
    if family == "gowin":
        return (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)
    return tuple(range(1, 129))


class ClockGenerator(Elaboratable):
    """Drives the domain ``sync``, which its parent has, from the pin ``clock``; reset until the PLL is locked.

    ``hertz`` is the frequency that it makes.
    """

    def __init__(self, device: Device, clock: Signal, input_hz: int, wanted_hz: float):
        self.device, self.clock, self.input_hz = device, clock, input_hz
        self.settings: PllSettings | None = None
        self.hertz = float(input_hz)
        if device.family != "generic" and abs(wanted_hz - input_hz) > 1:
            self.settings = pll_settings(device.family, input_hz, wanted_hz)
            self.hertz = self.settings.hertz

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.settings is None:
            # Counts from the configured state: registers have their initial values then.
            m.d.comb += [ClockSignal().eq(self.clock), ResetSignal().eq(0)]
            return m
        locked = Signal()
        output = Signal()
        m.submodules.pll = getattr(self, f"_{self.device.family}")(self.settings, output, locked)
        m.d.comb += ClockSignal().eq(output)
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync", stages=4)
        return m

    def _ecp5(self, settings: PllSettings, output: Signal, locked: Signal) -> Instance:
        return Instance(
            "EHXPLLL",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=settings.post,
            p_CLKOP_CPHASE=settings.post - 1,
            p_CLKOP_FPHASE=0,
            p_CLKI_DIV=settings.divide,
            p_CLKFB_DIV=settings.multiply,
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=self.clock,
            i_CLKFB=output,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0),
            i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=output,
            o_LOCK=locked,
        )

    def _ice40(self, settings: PllSettings, output: Signal, locked: Signal) -> Instance:
        detector = self.input_hz / settings.divide / 1e6
        limits = (17, 26, 44, 66, 101)
        return Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=settings.divide - 1,
            p_DIVF=settings.multiply - 1,
            p_DIVQ=settings.post.bit_length() - 1,
            p_FILTER_RANGE=1 + sum(detector >= limit for limit in limits),
            i_PACKAGEPIN=self.clock,
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=output,
            o_LOCK=locked,
        )

    def _gowin(self, settings: PllSettings, output: Signal, locked: Signal) -> Instance:
        return Instance(
            "rPLL",
            p_FCLKIN=megahertz(self.input_hz),
            p_DEVICE=self.device.series,
            p_IDIV_SEL=settings.divide - 1,
            p_FBDIV_SEL=settings.multiply - 1,
            p_ODIV_SEL=settings.post,
            p_CLKFB_SEL="internal",
            p_CLKOUT_BYPASS="false",
            i_CLKIN=self.clock,
            i_CLKFB=Const(0),
            i_RESET=Const(0),
            i_RESET_P=Const(0),
            i_FBDSEL=Const(0, 6),
            i_IDSEL=Const(0, 6),
            i_ODSEL=Const(0, 6),
            i_PSDA=Const(0, 4),
            i_DUTYDA=Const(0, 4),
            i_FDLY=Const(0, 4),
            o_CLKOUT=output,
            o_LOCK=locked,
        )

    def _xilinx7(self, settings: PllSettings, output: Signal, locked: Signal) -> Instance:
        feedback = Signal()
        return Instance(
            "MMCME2_BASE",
            p_CLKIN1_PERIOD=1e9 / self.input_hz,
            p_DIVCLK_DIVIDE=settings.divide,
            p_CLKFBOUT_MULT_F=float(settings.multiply),
            p_CLKOUT0_DIVIDE_F=float(settings.post),
            i_CLKIN1=self.clock,
            i_CLKFBIN=feedback,
            i_RST=Const(0),
            i_PWRDWN=Const(0),
            o_CLKFBOUT=feedback,
            o_CLKOUT0=output,
            o_LOCKED=locked,
        )
