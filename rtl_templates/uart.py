"""A UART, 8 data bits, no parity, one stop bit, as streams of bytes."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, ValueLike
from amaranth.lib import stream
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import HwquantError, Unsupported
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, Inside

MIN_DIVISOR = 4
"""Fewest clock cycles a bit."""
FRACTION_BITS = 4
"""A bit takes sixteenths of a cycle on average: some bits a cycle more than others."""
MIN_TOLERANCE = 0.02
"""Least relative deviation of the other end's rate that a receiver must bear."""
BYTE_BITS = 10
"""Bits of a byte on the line, after which a receiver is in step again."""

Divisor = int | Fraction
"""Clock cycles a bit, in whole sixteenths."""


def _nearest(frequency: float, baud: int) -> Fraction:
    return Fraction(round(frequency / baud * 2**FRACTION_BITS), 2**FRACTION_BITS)


def tolerance(frequency: float, baud: int) -> float:
    """How far the rate of the other end may be off, relatively, so that its bytes are received; below 0: never.

    A bit must be sampled within its bounds, whose edge is seen up to a cycle late. Where bits are not of whole cycles,
    the sample is up to a cycle early.

    Parameters
    ----------
    frequency : float
        Frequency of the clock, in Hz.
    baud : int
        Bits per second.
    """
    divisor = _nearest(frequency, baud)
    if divisor < MIN_DIVISOR:
        return -1.0
    slack = divisor // 2 - (1 if divisor.denominator == 1 else 2)
    return float(slack / (BYTE_BITS * divisor)) - abs(float(divisor) * baud / frequency - 1)


def fastest_baud(frequency: float, most: int) -> int | None:
    """The fastest rate that a clock can give, of a converter's fastest and those that are a whole part of it.

    Parameters
    ----------
    frequency : float
        Frequency of the clock, in Hz.
    most : int
        Greatest rate, in bit/s.

    Returns
    -------
    int or None
        The rate in bit/s; None where the clock gives none that is at least a 64th of the greatest.
    """
    rates = (most // part for part in range(1, 65) if most % part == 0)
    return next((rate for rate in rates if tolerance(frequency, rate) >= MIN_TOLERANCE), None)


def baud_divisor(frequency: float, baud: int) -> Divisor:
    """Compute the clock cycles that a bit takes.

    Parameters
    ----------
    frequency : float
        Frequency of the clock, in Hz.
    baud : int
        Bits per second.

    Returns
    -------
    int or Fraction
        Clock cycles a bit, at least MIN_DIVISOR.

    Raises
    ------
    Unsupported
        The clock cannot give that rate well enough.
    """
    if tolerance(frequency, baud) < MIN_TOLERANCE:
        raise Unsupported(
            f"a clock of {frequency / 1e6:g} MHz cannot give {baud} baud; "
            f"choose a rate of at most {frequency / MIN_DIVISOR / 2:.0f}"
        )
    divisor = _nearest(frequency, baud)
    return int(divisor) if divisor.denominator == 1 else divisor


def divisor_constant(divisor: Divisor) -> int:
    """A divisor as the components take it from a signal: whole cycles less one, and sixteenths below."""
    return int(divisor * 2**FRACTION_BITS) - 2**FRACTION_BITS


@dataclass(frozen=True)
class BitTime:
    """The clock cycles that a bit takes, as a timer that counts down to 0 wants them.

    Attributes
    ----------
    whole, half : ValueLike
        Where it begins for a bit, and for half a bit.
    bits : int
        Bits of the timer.
    fraction : ValueLike or None
        Sixteenths of a cycle that a bit takes besides; None where there are none.
    """

    whole: ValueLike
    half: ValueLike
    bits: int
    fraction: ValueLike | None

    @classmethod
    def of(cls, divisor: Divisor | Signal) -> "BitTime":
        """The time of a number of cycles; of a signal that has :func:`divisor_constant`, and is constant."""
        if isinstance(divisor, Signal):
            whole = divisor[FRACTION_BITS:]
            return cls(whole, whole[1:], len(whole) + 1, divisor[:FRACTION_BITS])
        if divisor < MIN_DIVISOR:
            raise HwquantError(
                f"the divisor must be at least {MIN_DIVISOR} clock cycles a bit, not {float(divisor):g}"
            )
        cycles, fraction = int(divisor), int(divisor % 1 * 2**FRACTION_BITS)
        if not fraction:
            return cls(cycles - 1, cycles // 2 - 1, index_bits(cycles), None)
        return cls(cycles - 1, cycles // 2 - 1, index_bits(cycles + 1), Const(fraction, FRACTION_BITS))

    def another(self, m: Module, timer: Signal, phase: Signal) -> list[Any]:
        """What a clock edge does for the timer to begin another bit; ``phase`` has the sixteenths that are left."""
        if self.fraction is None:
            return [timer.eq(self.whole)]
        total = Signal(FRACTION_BITS + 1, name="total")
        m.d.comb += total.eq(phase + self.fraction)
        return [timer.eq(self.whole + total[-1]), phase.eq(total)]


def _time_facts(divisor: Divisor) -> dict[str, int]:
    time = BitTime.of(divisor)
    return {"timer": time.bits, "phase": 0 if time.fraction is None else FRACTION_BITS}


class UartReceiver(Component):
    """The receiver of a serial line, which samples every bit in its middle.

    A byte whose start or stop bit is wrong is left out. Throughput: a byte in ten bits of ``divisor`` cycles.

    Parameters
    ----------
    divisor : int or Fraction or Signal
        Clock cycles a bit; or a signal with :func:`divisor_constant`, which does not change.

    Members
    -------
    rx : In(1, init=1)
        The line, asynchronous.
    bytes : Out(stream.Signature(8, always_ready=True))
        Bytes, each for one cycle: the line does not wait.
    """

    def __init__(self, divisor: Divisor | Signal):
        self.bit = BitTime.of(divisor)
        super().__init__({"rx": In(1, init=1), "bytes": Out(stream.Signature(8, always_ready=True))})

    def elaborate(self, platform: object) -> Module:
        """Build the synchronizer, the timer of bits, and the register that bits enter."""
        m = Module()
        rx = Signal(init=1)
        before = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        m.d.sync += before.eq(rx)
        busy = Signal()
        timer = Signal(self.bit.bits)
        phase = Signal(FRACTION_BITS)
        # Start bit and data enter from above; a mark before them shows, at the bottom, that they are complete.
        bits = Signal(10, reset_less=True)
        valid = Signal()
        following = self.bit.another(m, timer, phase)
        m.d.sync += valid.eq(0)
        with m.If(~busy):
            m.d.sync += [
                busy.eq(before & ~rx),
                timer.eq(self.bit.half),
                bits.eq(1 << 9),
            ]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [*following, bits.eq(Cat(bits[1:], rx)), busy.eq(~bits[0])]
            m.d.sync += valid.eq(bits[0] & ~bits[1] & rx)
        m.d.comb += [self.bytes.valid.eq(valid), self.bytes.payload.eq(bits[1:9])]
        return m

    @staticmethod
    def facts(divisor: Divisor) -> Facts:
        """The bits, their timer, and the two registers that bring the line into the clock domain."""
        return Facts(
            registers={"bits": 10, **_time_facts(divisor), "control": 3},
            gates={"control": 1},
            inside=[Inside("synchronizer", Facts(registers={"line": 2}))],
        )


class UartTransmitter(Component):
    """The transmitter of a serial line.

    Throughput: a byte in ten bits of ``divisor`` cycles.

    Parameters
    ----------
    divisor : int or Fraction or Signal
        Clock cycles a bit; or a signal with :func:`divisor_constant`, which does not change.

    Members
    -------
    bytes : In(stream.Signature(8))
        Bytes to send.
    tx : Out(1, init=1)
        The line, from a register.
    """

    def __init__(self, divisor: Divisor | Signal):
        self.bit = BitTime.of(divisor)
        super().__init__({"bytes": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        """Build the timer of bits, and the register that they leave."""
        m = Module()
        timer = Signal(self.bit.bits)
        phase = Signal(FRACTION_BITS)
        # The line is the lowest bit; a lone 1 is the stop bit, and afterwards the idle line.
        bits = Signal(10, init=1)
        following = self.bit.another(m, timer, phase)
        m.d.comb += [self.tx.eq(bits[0]), self.bytes.ready.eq((bits == 1) & (timer == 0))]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(self.bytes.ready), m.If(self.bytes.valid):
            m.d.sync += [
                bits.eq(Cat(Const(0, 1), self.bytes.payload, Const(1, 1))),
                *following,
            ]
        with m.Else():
            m.d.sync += [bits.eq(bits[1:]), *following]
        return m

    @staticmethod
    def facts(divisor: Divisor) -> Facts:
        """The byte, and the timer of its bits."""
        return Facts(registers={"bits": 10, **_time_facts(divisor)}, gates={"control": 1})
