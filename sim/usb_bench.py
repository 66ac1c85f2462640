"""A board behind a USB cable, compiled by CXXRTL, with the levels of the cable at 48 MHz."""

import ctypes
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwquant.link.protocol import LARGE, Window
from hwquant.program.config import ArrayConfig
from hwquant.program.program import Program
from hwquant.rtl_templates.board import UsbAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.sim.clocked import Clocked, compile_clocked
from hwquant.sim.memories import pointer, write_program

SAMPLE_HZ = 48e6
"""Samples of the cable in a second, four to a bit."""
SE0, J, K, IDLE = range(4)
"""Levels of the cable: both wires low, D+ high, D- high; and what a host does that drives none of them."""
DEVICE = 4
"""Bit of a sample in which the device drives the cable."""
DOMAINS = {"sync": "", "usb": "usb_", "usb_io": "usb_io_"}
"""Clock domains, and how the names of their ports begin."""

Samples = NDArray[np.uint8]


class UsbBench:
    """A board that holds a program, just reset, at a USB cable; close it.

    Parameters
    ----------
    program : Program
        What the accelerator's memories hold.
    hertz : float
        Clock of the accelerator.
    window : Window, default LARGE
        How much the host may have on its way.

    Raises
    ------
    HwquantError
        LUNA or the simulator is not installed (how to get it).
    """

    def __init__(self, program: Program, hertz: float, window: Window = LARGE) -> None:
        self._library = _compiled(program.config, program.checksum, window)
        self._handle = self._library.hwquant_create(hertz / SAMPLE_HZ)
        write_program(self._library, self._handle, program, place="board accelerator ", weights=True)
        self._library.hwquant_reset(self._handle)

    def run(self, host: Samples) -> Samples:
        """Let the board run.

        Parameters
        ----------
        host : ndarray
            What the host drives in each sample, of :data:`IDLE` and the levels.

        Returns
        -------
        ndarray
            Levels of the cable, and :data:`DEVICE`; fewer samples where the device has stopped driving it.
        """
        host = np.ascontiguousarray(host, np.uint8)
        seen = np.empty_like(host)
        count = self._library.hwquant_run(self._handle, pointer(host), pointer(seen), len(host))
        return seen[:count]

    def close(self) -> None:
        """Free the board."""
        self._library.hwquant_destroy(self._handle)


@lru_cache(maxsize=4)
def _compiled(config: ArrayConfig, checksum: int, window: Window) -> ctypes.CDLL:
    """Compile the board, its memories still empty."""
    board = Clocked(UsbAccelerator(Accelerator(config, checksum=checksum), window), DOMAINS)
    loaded = compile_clocked(board, "usb_driver.cpp")
    loaded.hwquant_run.restype = ctypes.c_size_t
    return loaded
