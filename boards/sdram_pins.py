"""The SDRAM at a board's pins: the cells of its wires."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Elaboratable, IOPort, Module

from hwquant.boards.families.sdram import DataWire, SdramCells
from hwquant.boards.sdram import PREFIX, BoardMemory


class SdramPins(Elaboratable):
    """The ports of an SDRAM, which have the names of its pins.

    Parameters
    ----------
    cells : SdramCells
        The family's.
    memory : BoardMemory
        The board's SDRAM.
    pins : interface of SdramPort
        The controller's side.
    """

    def __init__(self, cells: SdramCells, memory: BoardMemory, pins: Any):
        self.cells, self.memory, self.pins = cells, memory, pins

    def elaborate(self, platform: object) -> Module:
        """Make the cells of every pin."""
        m = Module()
        cells, pins = self.cells, self.pins
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
