"""Gowin: the pins of an SDRAM, such as the one in the package of a GW2AR.

Source: Gowin UG289 (programmable IO).
"""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Const, Instance, IOPort, Module, Signal, Value

from hwquant.boards.families.sdram import DataWire, SdramCells


def _clock(port: IOPort) -> Module:
    """The second half of a cycle high: DDR output of a zero and a one."""
    m, level = Module(), Signal()
    m.submodules.ddr = Instance(
        "ODDR", i_CLK=ClockSignal(), i_D0=Const(0), i_D1=Const(1), i_TX=Const(0), o_Q0=level, o_Q1=Signal()
    )
    m.submodules.buffer = Instance("OBUF", i_I=level, o_O=port)
    return m


def _register(value: Value, first: int, level: Signal) -> Instance:
    """A register of its own, which synthesis joins with no other of the same value."""
    kind, idle = ("DFFS", "i_SET") if first else ("DFFR", "i_RESET")
    return Instance(kind, i_CLK=ClockSignal(), i_D=value, o_Q=level, **{idle: Const(0)})


def _output(port: IOPort, value: Value, first: int) -> Module:
    """The register of the pin, as IOBFF asks place and route for."""
    m, level = Module(), Signal()
    m.submodules.register = _register(value, first, level)
    m.submodules.buffer = Instance("OBUF", a_IOBFF=1, i_I=level, o_O=port)
    return m


def _data(wire: DataWire) -> Module:
    """The registers of the pin for what is read, which have both edges; others for what is written.

    A pin has its registers for one mode only, single or double data rate.
    """
    m, level, released, arrives = Module(), Signal(), Signal(), Signal()
    m.submodules.level = _register(wire.o, 0, level)
    m.submodules.released = _register(~wire.oe, 1, released)
    m.submodules.buffer = Instance("IOBUF", i_I=level, i_OEN=released, o_O=arrives, io_IO=wire.port)
    m.submodules.ddr = Instance("IDDR", i_CLK=ClockSignal(), i_D=arrives, o_Q0=Signal(), o_Q1=wire.i)
    return m


# From the falling edge to the next one: 4 ns to the chip's clock, 6 ns of the chip, 1.5 ns into the pin's register.
# For what is written, whose registers are somewhere near the pins, half a cycle. A budget, not measured.
SDRAM = SdramCells(_clock, _output, _data, most_hertz=66.7e6)
