"""What a family must have so that a USB cable can be at its pins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Instance, IOPort, Signal

USB_HZ, USB_IO_HZ = 12_000_000, 48_000_000
"""Clocks of the device: of a bit of full speed, and of its samples."""


@dataclass(frozen=True)
class UsbClocks:
    """Signals of the PLL that makes the clocks of a USB device.

    Attributes
    ----------
    source : Signal
        The oscillator.
    usb, usb_io : Signal
        The clocks, in phase.
    locked : Signal
        Whether they are there.
    """

    source: Signal
    usb: Signal
    usb_io: Signal
    locked: Signal


@dataclass(frozen=True)
class UsbWire:
    """Signals of a wire of the cable.

    Attributes
    ----------
    port : IOPort
        The pin.
    i, o, oe : Signal
        What the wire has, what it is to have, and whether it is driven.
    """

    port: IOPort
    i: Signal
    o: Signal
    oe: Signal


@dataclass(frozen=True)
class UsbCells:
    """A family's cells for a USB cable.

    Attributes
    ----------
    possible : callable
        Whether the clocks can be made of an oscillator's, in Hz.
    clocks : callable
        The PLL, from the oscillator's frequency in Hz, of which they can be made, and its signals.
    buffer : callable
        The buffer of a wire, from its signals.
    """

    possible: Callable[[int], bool]
    clocks: Callable[[int, UsbClocks], Instance]
    buffer: Callable[[UsbWire], Instance]
