"""The board's top, compiled by one of two simulators, with whole bytes at its serial line."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from hwquant.errors import HwquantError
from hwquant.link.protocol import LARGE, Window
from hwquant.program.config import ArrayConfig
from hwquant.program.program import Program
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.litedram_core import CORE
from hwquant.rtl_templates.verilog import to_rtlil, to_verilog
from hwquant.sim import cxxrtl_backend, verilator_library
from hwquant.sim.board_memory import BoardWithMemory, ClockedSdram
from hwquant.sim.memories import pointer, write_program, write_settings
from hwquant.sim.registry import BOARD_SIMULATORS
from hwquant.sim.verilog_cores import core_rtlil

DRIVER = Path(__file__).with_name("board_driver.cpp")
BUFFER = 4096
"""Most bytes that a board says in one run."""
HANDLE = ctypes.c_void_p


class BoardBench:
    """A board that holds a program, just reset, with whole bytes at its serial line; close it.

    Parameters
    ----------
    program : Program
        What the accelerator's memories hold.
    divisor : int
        Clock cycles a bit of the serial line.
    simulator : str
        One of :data:`~hwquant.sim.registry.BOARD_SIMULATORS`.
    loadable : bool
        The weights are not there: the host loads them.
    window : Window, default LARGE
        How much the host may have on its way.
    sdram : ClockedSdram or None, default None
        The external memory of a program that uses some; None: one that answers with no error, and in good time.
    settings : Sequence of int, default ()
        What :func:`~hwquant.sim.external_memory.settings_of` gives, for a memory that is no SDRAM, in CXXRTL.

    Raises
    ------
    HwquantError
        An unknown simulator, or one that is not installed (how to get it).
    """

    def __init__(
        self,
        program: Program,
        divisor: int,
        simulator: str,
        *,
        loadable: bool,
        window: Window = LARGE,
        sdram: ClockedSdram | None = None,
        settings: Sequence[int] = (),
    ) -> None:
        if simulator not in BOARD_SIMULATORS:
            raise HwquantError(
                f"no board in the simulator {simulator!r}; choose one of {', '.join(BOARD_SIMULATORS)}"
            )
        if settings and (simulator != "cxxrtl" or sdram):
            raise HwquantError("only a memory in CXXRTL that is no SDRAM has settings; leave them out")
        outside = program.config.external_bits > 0
        if simulator == "verilator":
            self._library = _verilator(program, divisor, loadable, window, sdram)
        else:
            loads = len(program.external_image if outside else program.weight_image if loadable else ())
            self._library = _cxxrtl(program.config, program.checksum, divisor, loads, window, sdram)
        self._handle = self._library.hwquant_create(divisor)
        if simulator == "cxxrtl":
            place = "board accelerator " if outside else "accelerator "
            write_program(self._library, self._handle, program, place=place, weights=not loadable)
            if settings:
                write_settings(self._library, self._handle, settings)
        self._library.hwquant_reset(self._handle, 2)
        self._said = np.zeros(BUFFER, np.uint8)

    def run(self, heard: bytes, cycles: int) -> tuple[int, bytes]:
        """Let the board run, at most for so many clock cycles.

        Parameters
        ----------
        heard : bytes
            Bytes for the board to hear.
        cycles : int
            Most clock cycles.

        Returns
        -------
        taken : int
            Number of bytes that the board heard.
        said : bytes
            What the board said, at most BUFFER bytes.
        """
        taken = ctypes.c_size_t()
        count = self._library.hwquant_run(
            self._handle, heard, len(heard), pointer(self._said), BUFFER, cycles, ctypes.byref(taken)
        )
        return taken.value, self._said[:count].tobytes()

    def close(self) -> None:
        """Free the board."""
        self._library.hwquant_destroy(self._handle)


@lru_cache(maxsize=16)
def _cxxrtl(
    config: ArrayConfig,
    checksum: int,
    divisor: int,
    loads: int,
    window: Window,
    sdram: ClockedSdram | None,
) -> ctypes.CDLL:
    """Compile the board, its memories still empty; the host loads so many words of weights, or of all."""
    if config.external_bits:
        empty = Accelerator(config, checksum=checksum, page=0, hosted_beats=loads)
    else:
        empty = Accelerator(config, weights=[0] * loads, checksum=checksum, loadable=bool(loads))
    rtlil = to_rtlil(_board(empty, divisor, window, sdram))
    if sdram:
        rtlil += core_rtlil(CORE, sdram.verilog())
    return _load(cxxrtl_backend.compile_design(rtlil, _driver("cxxrtl")))


@lru_cache(maxsize=16)
def _verilator(
    program: Program, divisor: int, loadable: bool, window: Window, sdram: ClockedSdram | None
) -> ctypes.CDLL:
    """Compile the board with the program in it, but without the weights if the host loads them."""
    core = accelerator(program, loadable=loadable, hosted=True)
    verilog = to_verilog(_board(core, divisor, window, sdram)) + (sdram.verilog() if sdram else "")
    return _load(verilator_library.compile_design(verilog, _driver("verilator")))


def _board(
    core: Accelerator, divisor: int, window: Window, sdram: ClockedSdram | None
) -> SerialAccelerator | BoardWithMemory:
    """The board's top, with its memory where there is some."""
    board = SerialAccelerator(core, divisor, window)
    return BoardWithMemory(board, sdram) if core.config.external_bits else board


def _driver(simulator: str) -> str:
    return DRIVER.with_name(f"board_{simulator}.cpp").read_text() + DRIVER.read_text()


def _load(path: Path) -> ctypes.CDLL:
    """Load the functions of board_driver.cpp, which both simulators have."""
    loaded = ctypes.CDLL(str(path))
    loaded.hwquant_create.restype = HANDLE
    loaded.hwquant_create.argtypes = [ctypes.c_uint32]
    loaded.hwquant_destroy.argtypes = [HANDLE]
    loaded.hwquant_reset.argtypes = [HANDLE, ctypes.c_uint32]
    loaded.hwquant_run.restype = ctypes.c_size_t
    loaded.hwquant_run.argtypes = [
        HANDLE,
        *(ctypes.c_char_p, ctypes.c_size_t),
        *(ctypes.c_void_p, ctypes.c_size_t),
        *(ctypes.c_uint64, ctypes.c_void_p),
    ]
    return loaded
