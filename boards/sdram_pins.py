"""The SDRAM at a board's pins: the cells of its wires."""

from __future__ import annotations

from amaranth.hdl import Const, Elaboratable, IOPort, Module

from hwquant.boards.families.sdram import DataWire, SdramCells
from hwquant.boards.sdram import PREFIX, BoardMemory
from hwquant.rtl_templates.sdram import SdramController


class SdramPins(Elaboratable):
    """The pins of an SDRAM, which are ports by the names of their functions.

    Parameters
    ----------
    cells : SdramCells
        The family's.
    memory : BoardMemory
        The board's SDRAM.
    controller : SdramController
        The controller, which is elsewhere.
    """

    def __init__(self, cells: SdramCells, memory: BoardMemory, controller: SdramController):
        self.cells, self.memory, self.controller = cells, memory, controller

    def elaborate(self, platform: object) -> Module:
        """Make the cells of every pin."""
        m = Module()
        cells, pins = self.cells, self.controller.pins
        for function in self.memory.pins:
            name, _, bit = function.removeprefix(PREFIX).rpartition("_")
            if not bit.isdigit():
                name, bit = function.removeprefix(PREFIX), "0"
            port, number = IOPort(1, name=function), int(bit)
            match name:
                case "clock":
                    part = cells.clock(port)
                case "clock_enable":
                    part = cells.output(port, Const(1), 1)
                case "data":
                    wire = DataWire(port, pins.read_data[number], pins.write_data[number], pins.write_enable)
                    part = cells.data(wire)
                case "bank" | "address":
                    part = cells.output(port, getattr(pins, name)[number], 0)
                case _:  # the command and the masks, which are high while nothing happens
                    part = cells.output(port, getattr(pins, name), 1)
            m.submodules[function] = part
        return m
