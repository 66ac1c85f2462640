"""ECP5: the pins of an SDRAM.

Source: Lattice FPGA-TN-02035 (high-speed I/O), FPGA-DS-02012 (ECP5), Libraries Reference Guide.
"""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Const, Instance, IOPort, Module, Signal, Value

from hwquant.boards.families.sdram import DataWire, SdramCells


def _clock(port: IOPort) -> Module:
    """The second half of a cycle high: DDR output of a zero and a one."""
    m, level = Module(), Signal()
    m.submodules.ddr = Instance(
        "ODDRX1F", i_SCLK=ClockSignal(), i_RST=Const(0), i_D0=Const(0), i_D1=Const(1), o_Q=level
    )
    m.submodules.buffer = Instance("OB", i_I=level, o_O=port)
    return m


def _output(port: IOPort, value: Value, first: int) -> Module:
    """The register of the pin."""
    m, level = Module(), Signal()
    kind, idle = ("OFS1P3BX", "i_PD") if first else ("OFS1P3DX", "i_CD")
    m.submodules.register = Instance(
        kind, i_SCLK=ClockSignal(), i_SP=Const(1), i_D=value, o_Q=level, **{idle: Const(0)}
    )
    m.submodules.buffer = Instance("OB", i_I=level, o_O=port)
    return m


def _data(wire: DataWire) -> Module:
    """The registers of the pin for what is read, which have both edges; others, beside it, for what is written.

    A pin has its registers for one mode only, single or double data rate. Writing is not urgent: the chip's clock is as
    late at its pin as the data.
    """
    m, level, driven, arrives = Module(), Signal(reset_less=True), Signal(), Signal()
    m.d.sync += [level.eq(wire.o), driven.eq(wire.oe)]
    m.submodules.buffer = Instance("BB", i_I=level, i_T=~driven, o_O=arrives, io_B=wire.port)
    m.submodules.ddr = Instance(
        "IDDRX1F", i_SCLK=ClockSignal(), i_RST=Const(0), i_D=arrives, o_Q0=Signal(), o_Q1=wire.i
    )
    return m


# From the falling edge to the next one: 4 ns to the pin of the chip's clock, 6 ns of the chip (tAC of the slowest),
# 1 ns of the board's wires in both directions, 1.5 ns through the pin into its register. A budget, not measured.
SDRAM = SdramCells(_clock, _output, _data, most_hertz=80e6)
