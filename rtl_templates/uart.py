"""A UART, 8 data bits, no parity, one stop bit, as streams of bytes."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, ValueLike
from amaranth.lib import stream
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import HwquantError, Unsupported
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, Inside

MIN_DIVISOR = 4
"""Fewest clock cycles a bit."""
MAX_BAUD_ERROR = 0.02
"""Largest relative deviation from the baud rate; both ends together may be off by 5 % (half a bit in ten)."""


def has_rate(frequency: float, baud: int) -> bool:
    """Tell whether a clock can give a baud rate to within MAX_BAUD_ERROR.

    Parameters
    ----------
    frequency : float
        Frequency of the clock, in Hz.
    baud : int
        Bits per second.

    Returns
    -------
    bool
        Whether it can.
    """
    divisor = round(frequency / baud)
    return divisor >= MIN_DIVISOR and abs(frequency / divisor - baud) <= MAX_BAUD_ERROR * baud


def baud_divisor(frequency: float, baud: int) -> int:
    """Compute the clock cycles that a bit takes.

    Parameters
    ----------
    frequency : float
        Frequency of the clock, in Hz.
    baud : int
        Bits per second.

    Returns
    -------
    int
        Clock cycles a bit, at least MIN_DIVISOR.

    Raises
    ------
    Unsupported
        The clock cannot give that rate well enough.
    """
    if not has_rate(frequency, baud):
        raise Unsupported(
            f"a clock of {frequency / 1e6:g} MHz cannot give {baud} baud; "
            f"choose a rate of at most {frequency / MIN_DIVISOR / 10:.0f}"
        )
    return round(frequency / baud)


@dataclass(frozen=True)
class BitTime:
    """The clock cycles that a bit takes, as a timer that counts down to 0 wants them.

    Attributes
    ----------
    whole, half : ValueLike
        Where it begins for a bit, and for half a bit.
    bits : int
        Bits of the timer.
    """

    whole: ValueLike
    half: ValueLike
    bits: int

    @classmethod
    def of(cls, divisor: int | Signal) -> "BitTime":
        """The time of a number of cycles; a signal has one cycle less, and is constant."""
        if isinstance(divisor, Signal):
            return cls(divisor, divisor >> 1, len(divisor))
        if divisor < MIN_DIVISOR:
            raise HwquantError(
                f"the divisor must be at least {MIN_DIVISOR} clock cycles a bit, not {divisor}"
            )
        return cls(divisor - 1, divisor // 2 - 1, index_bits(divisor))


class UartReceiver(Component):
    """The receiver of a serial line, which samples every bit in its middle.

    A byte whose start or stop bit is wrong is left out. Throughput: a byte in ten bits of ``divisor`` cycles.

    Parameters
    ----------
    divisor : int or Signal
        Clock cycles a bit; or a signal with one less, which does not change.

    Members
    -------
    rx : In(1, init=1)
        The line, asynchronous.
    bytes : Out(stream.Signature(8, always_ready=True))
        Bytes, each for one cycle: the line does not wait.
    """

    def __init__(self, divisor: int | Signal):
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
        # Start bit and data enter from above; a mark before them shows, at the bottom, that they are complete.
        bits = Signal(10, reset_less=True)
        valid = Signal()
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
            m.d.sync += [timer.eq(self.bit.whole), bits.eq(Cat(bits[1:], rx)), busy.eq(~bits[0])]
            m.d.sync += valid.eq(bits[0] & ~bits[1] & rx)
        m.d.comb += [self.bytes.valid.eq(valid), self.bytes.payload.eq(bits[1:9])]
        return m

    @staticmethod
    def facts(divisor: int) -> Facts:
        """The bits, their timer, and the two registers that bring the line into the clock domain."""
        return Facts(
            registers={"bits": 10, "timer": index_bits(divisor), "control": 3},
            gates={"control": 1},
            inside=[Inside("synchronizer", Facts(registers={"line": 2}))],
        )


class UartTransmitter(Component):
    """The transmitter of a serial line.

    Throughput: a byte in ten bits of ``divisor`` cycles.

    Parameters
    ----------
    divisor : int or Signal
        Clock cycles a bit; or a signal with one less, which does not change.

    Members
    -------
    bytes : In(stream.Signature(8))
        Bytes to send.
    tx : Out(1, init=1)
        The line, from a register.
    """

    def __init__(self, divisor: int | Signal):
        self.bit = BitTime.of(divisor)
        super().__init__({"bytes": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        """Build the timer of bits, and the register that they leave."""
        m = Module()
        timer = Signal(self.bit.bits)
        # The line is the lowest bit; a lone 1 is the stop bit, and afterwards the idle line.
        bits = Signal(10, init=1)
        m.d.comb += [self.tx.eq(bits[0]), self.bytes.ready.eq((bits == 1) & (timer == 0))]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(self.bytes.ready), m.If(self.bytes.valid):
            m.d.sync += [
                bits.eq(Cat(Const(0, 1), self.bytes.payload, Const(1, 1))),
                timer.eq(self.bit.whole),
            ]
        with m.Else():
            m.d.sync += [bits.eq(bits[1:]), timer.eq(self.bit.whole)]
        return m

    @staticmethod
    def facts(divisor: int) -> Facts:
        """The byte, and the timer of its bits."""
        return Facts(registers={"bits": 10, "timer": index_bits(divisor)}, gates={"control": 1})
