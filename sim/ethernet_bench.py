"""A board behind an RGMII PHY, compiled by CXXRTL, with the bytes of the wire at 125 MHz."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwquant.link.protocol import LARGE, Window
from hwquant.program.config import ArrayConfig
from hwquant.program.program import Program
from hwquant.rtl_templates.board import EthernetAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.ethernet import Addresses, core_verilog
from hwquant.rtl_templates.liteeth_core import CORE
from hwquant.sim.clocked import Clocked, compile_clocked
from hwquant.sim.memories import pointer, write_program
from hwquant.sim.verilog_cores import core_rtlil

BYTE_HZ = 125e6
"""Bytes of the wire in a second."""
VALID = 0x100
"""Bit of a byte that belongs to a frame."""
DOMAINS = {"sync": "", "net": "net_"}
"""Clock domains, and how the names of their ports begin."""
CELLS = Path(__file__).with_name("rgmii_cells.v")


class EthernetBench:
    """A board that holds a program, just reset, at an RGMII PHY; close it.

    Parameters
    ----------
    program : Program
        What the accelerator's memories hold.
    hertz : float
        Clock of the accelerator.
    addresses : Addresses
        Who the board is.
    window : Window, default LARGE
        How much the host may have on its way.

    Raises
    ------
    HwquantError
        LiteEth, pyosys or the simulator is not installed (how to get it).
    """

    def __init__(self, program: Program, hertz: float, addresses: Addresses, window: Window = LARGE) -> None:
        self._library = _compiled(program.config, program.checksum, addresses, window)
        self._handle = self._library.hwquant_create(hertz / BYTE_HZ)
        write_program(self._library, self._handle, program, place="board accelerator ", weights=True)
        self._library.hwquant_reset(self._handle)

    def run(self, heard: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Let the board run, as long as these bytes take; gives what it says meanwhile."""
        heard = np.ascontiguousarray(heard, np.uint16)
        said = np.empty_like(heard)
        self._library.hwquant_run(self._handle, pointer(heard), pointer(said), len(heard))
        return said

    def close(self) -> None:
        """Free the board."""
        self._library.hwquant_destroy(self._handle)


@lru_cache(maxsize=4)
def _compiled(config: ArrayConfig, checksum: int, addresses: Addresses, window: Window) -> ctypes.CDLL:
    """Compile the board, its memories still empty."""
    board = Clocked(EthernetAccelerator(Accelerator(config, checksum=checksum), addresses, window), DOMAINS)
    return compile_clocked(board, "ethernet_driver.cpp", core_rtlil(CORE, core_verilog(), CELLS))
