"""The top of a board's bitstream: the clock, and the accelerator behind its UART."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib.wiring import Component, In, Out

from hwquant.boards.board import Board
from hwquant.boards.clocking import ClockGenerator, usable_clocks
from hwquant.boards.parameters import DIVISOR
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.uart import baud_divisor


class BoardTop(Component):
    """What is synthesized for a board; its only clock comes from the port ``clock``.

    Where ``tunable``, the cycles of a bit on the link come from a port: constants that
    :class:`~hwquant.boards.parameters.Netlist` puts in its place, so that the netlist serves every clock of the PLL.

    Parameters
    ----------
    board : Board
        The board whose pins the ports are at.
    accelerator : Accelerator
        The accelerator.
    wanted_hz : float
        Clock that is asked for, in Hz.
    tunable : bool, default False
        Whether the clock is chosen after synthesis.

    Attributes
    ----------
    hertz : float
        Clock of the accelerator in Hz: the nearest that can be made, and not above the one asked for.

    Members
    -------
    clock : In(1)
        The oscillator.
    rx : In(1)
        Input of the UART, from the host.
    tx : Out(1)
        Output of the UART, to the host.
    led : Out(1)
        Level that switches the board's LED on while a request is being executed.
    divisor : In(...)
        Where tunable: :func:`~hwquant.rtl_templates.uart.divisor_constant` of the link, with as many bits as any clock
        needs.
    """

    def __init__(self, board: Board, accelerator: Accelerator, wanted_hz: float, *, tunable: bool = False):
        ports = {"clock": In(1), "rx": In(1, init=1), "tx": Out(1, init=1), "led": Out(1)}
        if tunable:
            ports[DIVISOR] = In(max(map(board.divisor_constant, usable_clocks(board))).bit_length())
        super().__init__(ports)
        self.board = board
        self.clocks = ClockGenerator(board.device, self.clock, board.clock_hz or int(wanted_hz), wanted_hz)
        self.hertz = self.clocks.hertz
        divisor = self.divisor if tunable else baud_divisor(self.hertz, board.rate(self.hertz))
        self.serial = SerialAccelerator(accelerator, divisor, board.window)

    def elaborate(self, platform: object) -> Module:
        """Connect the clock generator and the accelerator's UART to the ports."""
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.submodules.clocks = self.clocks
        m.submodules.board = serial = self.serial
        pin = self.board.pins.get("led")
        m.d.comb += [
            serial.rx.eq(self.rx),
            self.tx.eq(serial.tx),
            self.led.eq(~serial.active if pin and pin.inverted else serial.active),
        ]
        return m
