"""The USB cable at a board's pins: the clocks of the device, and the buffers of its wires."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, Elaboratable, IOPort, Module, Signal
from amaranth.lib.cdc import ResetSynchronizer

from hwquant.boards.families.usb import UsbCells, UsbClocks, UsbWire
from hwquant.rtl_templates.board import UsbAccelerator


class UsbCable(Elaboratable):
    """The driver of the domains ``usb`` and ``usb_io``, which its parent has, and of the wires of a device.

    Parameters
    ----------
    cells : UsbCells
        The family's.
    clock : Signal
        The signal of the pin ``clock``.
    input_hz : int
        Frequency of the oscillator in Hz.
    device : UsbAccelerator
        The board whose wires these are.

    Attributes
    ----------
    usb, usb_io : ClockDomain
        The domains, for the parent.
    """

    def __init__(self, cells: UsbCells, clock: Signal, input_hz: int, device: UsbAccelerator):
        self.cells, self.clock, self.input_hz, self.device = cells, clock, input_hz, device
        self.usb, self.usb_io = ClockDomain("usb"), ClockDomain("usb_io")

    def elaborate(self, platform: object) -> Module:
        """Make the PLL, the resets until it is locked, and a buffer for each wire."""
        m = Module()
        locked = Signal()
        for name in ("usb", "usb_io"):
            m.submodules[f"{name}_reset"] = ResetSynchronizer(~locked, domain=name, stages=4)
        clocks = UsbClocks(self.clock, self.usb.clk, self.usb_io.clk, locked)
        m.submodules.pll = self.cells.clocks(self.input_hz, clocks)
        for name, wire in (("usb_p", self.device.d_p), ("usb_n", self.device.d_n)):
            m.submodules[name] = self.cells.buffer(UsbWire(IOPort(1, name=name), wire.i, wire.o, wire.oe))
        return m
