"""A whole board, simulated behind a pseudo-terminal: the driver cannot tell it from one that is plugged in.

What is simulated is the board's top, :class:`~hwquant.rtl_templates.board.Board`, bit by bit at its serial line:
UART, protocol and accelerator. Time stands still while nobody speaks.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
from contextlib import suppress
from functools import lru_cache

import numpy as np

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import program_bits
from hwquant.program.program import Program
from hwquant.rtl_templates.board import Board
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.uart import MIN_DIVISOR
from hwquant.rtl_templates.verilog import to_rtlil
from hwquant.sim.cxxrtl_backend import DRIVER, compile_design, memory_chunks, pointer

BOARD_DRIVER = DRIVER.with_name("board_driver.cpp")
SLICE = 1000
"""Most clock cycles between two looks at the terminal: what the host says meanwhile has to wait."""
LINGER = 200_000
"""Clock cycles that the board runs on after the last byte, until it is halted."""
BUFFER = 4096


@lru_cache(maxsize=16)
def library(config: ArrayConfig, checksum: int, divisor: int, loads: int = 0) -> ctypes.CDLL:
    """The compiled board, its memories still empty; the host loads so many words of weights."""
    accelerator = Accelerator(config, weights=[0] * loads, checksum=checksum, loadable=bool(loads))
    board = Board(accelerator, divisor)
    loaded = ctypes.CDLL(str(compile_design(to_rtlil(board), BOARD_DRIVER.read_text())))
    pointer_type, size = ctypes.c_void_p, ctypes.c_size_t
    loaded.hwquant_create.restype = pointer_type
    loaded.hwquant_create.argtypes = [ctypes.c_uint32]
    loaded.hwquant_destroy.argtypes = [pointer_type]
    loaded.hwquant_poke.argtypes = [pointer_type, ctypes.c_char_p, pointer_type, size, size]
    loaded.hwquant_reset.argtypes = [pointer_type, ctypes.c_uint32]
    loaded.hwquant_run.restype = size
    loaded.hwquant_run.argtypes = [
        pointer_type,
        ctypes.c_char_p,
        size,
        pointer_type,
        size,
        ctypes.c_uint64,
        pointer_type,
    ]
    return loaded


class SimulatedBoard:
    """A board that holds a program, on a pseudo-terminal of its own; use it in a ``with`` block, or close it.

    Parameters
    ----------
    program : in the accelerator's memories
    divisor : clock cycles a bit of the serial line; few make the simulation fast
    loadable : the weights are not there, the host loads them

    Attributes
    ----------
    port : path of the terminal, for :class:`~hwquant.link.transport.SerialLink`

    Raises
    ------
    HwquantError : there is no g++, or there are no pseudo-terminals
    """

    def __init__(self, program: Program, divisor: int = MIN_DIVISOR, *, loadable: bool = False) -> None:
        try:
            import tty
        except ImportError as error:
            raise HwquantError(
                "the simulated board needs pseudo-terminals, which this system does not have; use Linux"
            ) from error
        config = program.config
        weights = program.weight_image
        self._library = library(config, program.checksum, divisor, len(weights) if loadable else 0)
        self._bench = self._library.hwquant_create(divisor)
        images = {
            "sequencer": (list(program.words), program_bits(config)),
            "parameter_reader": (program.parameter_image, config.parameter_bits),
        }
        if not loadable:
            images["weights"] = weights, config.columns * config.slot_bits
        for name, (image, bits) in images.items():
            words = memory_chunks(image, bits)
            place = f"accelerator {name} memory"
            if not self._library.hwquant_poke(self._bench, place.encode(), pointer(words), bits, len(image)):
                raise HwquantError(
                    f"the simulated board has no memory {place!r} of {len(image)} x {bits} bits"
                )
        self._library.hwquant_reset(self._bench, 2)
        # The other end stays open here, so that hosts may come and go.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._wake, self._waker = os.pipe()
        self._thread: threading.Thread | None = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> SimulatedBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Switch the board off."""
        if self._thread is not None:
            os.write(self._waker, b"\0")
            self._thread.join()
            self._thread = None
            for descriptor in (self._master, self._slave, self._wake, self._waker):
                os.close(descriptor)
            self._library.hwquant_destroy(self._bench)

    def _run(self) -> None:
        """Carries bytes between the terminal and the board's line, and lets time pass."""
        said = np.zeros(BUFFER, np.uint8)
        taken = ctypes.c_size_t()
        heard, quiet = b"", LINGER
        while True:
            waiting = [self._wake] if heard else [self._wake, self._master]
            ready, _, _ = select.select(waiting, [], [], None if quiet >= LINGER and not heard else 0)
            if self._wake in ready:
                return
            if self._master in ready:
                heard = os.read(self._master, BUFFER)
            taken.value = 0
            count = self._library.hwquant_run(
                self._bench, heard, len(heard), pointer(said), BUFFER, SLICE, ctypes.byref(taken)
            )
            quiet = 0 if count or taken.value else quiet + SLICE
            heard = heard[taken.value :]
            with suppress(BlockingIOError):  # nobody listens: a line does not wait
                os.write(self._master, said[:count].tobytes())
