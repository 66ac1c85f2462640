"""The top of a board's bitstream: the clock, and the accelerator behind its UART."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib.wiring import Component, In, Out

from hwquant.boards.board import Board
from hwquant.boards.clocking import ClockGenerator
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.uart import baud_divisor


class BoardTop(Component):
    """What is synthesized for a board; its only clock comes from the port ``clock``.

    Parameters
    ----------
    board : Board
        The board whose pins the ports are at.
    accelerator : Accelerator
        The accelerator.
    wanted_hz : float
        Clock that is asked for, in Hz.

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
    """

    def __init__(self, board: Board, accelerator: Accelerator, wanted_hz: float):
        super().__init__({"clock": In(1), "rx": In(1, init=1), "tx": Out(1, init=1), "led": Out(1)})
        self.board = board
        self.clocks = ClockGenerator(board.device, self.clock, board.clock_hz or int(wanted_hz), wanted_hz)
        self.hertz = self.clocks.hertz
        self.serial = SerialAccelerator(accelerator, baud_divisor(self.hertz, board.baud))

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
