"""A whole board, simulated behind a pseudo-terminal: the driver cannot tell it from one that is plugged in.

What is simulated is the board's top, :class:`~hwquant.rtl_templates.board.SerialAccelerator`, bit by bit at its serial
line: UART, protocol and accelerator, in CXXRTL or in Verilator. Time stands still while nobody speaks.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Sequence
from contextlib import suppress

from hwquant.errors import HwquantError
from hwquant.link.protocol import LARGE, PATIENCE, Window
from hwquant.program.program import Program
from hwquant.rtl_templates.uart import MIN_DIVISOR
from hwquant.sim.board_bench import BUFFER, BoardBench
from hwquant.sim.board_memory import ClockedSdram

SLICE = 1000
"""Most clock cycles between two looks at the terminal; what the host says in between has to wait."""
LINGER = 2 * PATIENCE
"""Clock cycles that the board runs on after the last byte, until it is halted: it has answered by then."""


TIMEOUT = 60.0
"""Seconds after which a host may think that something was lost: simulated time is slow, and nothing is lost."""


class SimulatedBoard:
    """A simulated board that holds a program, on a pseudo-terminal of its own.

    Use it in a ``with`` block, or close it.

    Parameters
    ----------
    program : Program
        What the accelerator's memories hold.
    divisor : int, default MIN_DIVISOR
        Clock cycles a bit of the serial line; few make the simulation fast.
    simulator : str, default 'cxxrtl'
        One of :data:`~hwquant.sim.registry.BOARD_SIMULATORS`; CXXRTL builds fastest, with g++ alone.
    loadable : bool, default False
        The weights are not there: the host loads them.
    window : Window, default LARGE
        How much the host may have on its way.
    sdram : ClockedSdram or None, default None
        The external memory of a program that uses some; None: one that answers with no error, and in good time.
    settings : Sequence of int, default ()
        What :func:`~hwquant.sim.external_memory.settings_of` gives, for a memory that is no SDRAM, in CXXRTL.

    Attributes
    ----------
    port : str
        Path of the terminal, for :class:`~hwquant.link.transport.SerialLink`.

    Raises
    ------
    HwquantError
        The simulator is unknown or something that it needs is missing (how to get it), or there are no
        pseudo-terminals.
    """

    def __init__(
        self,
        program: Program,
        divisor: int = MIN_DIVISOR,
        *,
        simulator: str = "cxxrtl",
        loadable: bool = False,
        window: Window = LARGE,
        sdram: ClockedSdram | None = None,
        settings: Sequence[int] = (),
    ) -> None:
        try:
            import tty
        except ImportError as error:
            raise HwquantError(
                "the simulated board needs pseudo-terminals, which this system does not have; use Linux"
            ) from error
        self._bench = BoardBench(
            program, divisor, simulator, loadable=loadable, window=window, sdram=sdram, settings=settings
        )
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
        """Switch the board off, and close the terminal."""
        if self._thread is not None:
            os.write(self._waker, b"\0")
            self._thread.join()
            self._thread = None
            for descriptor in (self._master, self._slave, self._wake, self._waker):
                os.close(descriptor)
            self._bench.close()

    def _run(self) -> None:
        """Carry bytes between the terminal and the board's line, and let time pass."""
        heard, quiet = b"", LINGER
        while True:
            waiting = [self._wake] if heard else [self._wake, self._master]
            ready, _, _ = select.select(waiting, [], [], None if quiet >= LINGER and not heard else 0)
            if self._wake in ready:
                return
            if self._master in ready:
                heard = os.read(self._master, BUFFER)
            taken, said = self._bench.run(heard, SLICE)
            quiet = 0 if said or taken else quiet + SLICE
            heard = heard[taken:]
            with suppress(BlockingIOError):  # nobody listens: a line does not wait
                os.write(self._master, said)
