"""The top of a board's bitstream: the clock, and the accelerator behind its UART."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib.wiring import Component, In, Out

from hwquant.boards.board import Board
from hwquant.boards.clocking import ClockGenerator
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.uart import baud_divisor


class BoardTop(Component):
    """What is synthesized for a board. Its only clock comes from the pin ``clock``.

    Attributes
    ----------
    hertz : the clock of the accelerator

    Members
    -------
    clock : In, the oscillator; rx : In, tx : Out, the UART; led : Out, on while a request is being executed
    """

    def __init__(self, board: Board, accelerator: Accelerator, wanted_hz: float):
        super().__init__({"clock": In(1), "rx": In(1, init=1), "tx": Out(1, init=1), "led": Out(1)})
        self.board = board
        self.clocks = ClockGenerator(board.device, self.clock, board.clock_hz or int(wanted_hz), wanted_hz)
        self.hertz = self.clocks.hertz
        self.serial = SerialAccelerator(accelerator, baud_divisor(self.hertz, board.baud))

    def elaborate(self, platform: object) -> Module:
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
