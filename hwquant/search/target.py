"""The board that candidates are judged for: what its device has, and the clock that it aims at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hwquant.errors import Unsupported

if TYPE_CHECKING:
    from hwquant.boards.families.family import Device
    from hwquant.boards.resources import Resources
    from hwquant.program.program import Program


@dataclass(frozen=True)
class Target:
    """A board as plain values: they go to workers, and belong to what a journal is of.

    Attributes
    ----------
    board : str
        Name of the board.
    device : str
        Name of its device.
    megahertz : float
        The clock that the board aims at, in MHz.
    """

    board: str
    device: str
    megahertz: float

    @classmethod
    def of(cls, board: str) -> Target:
        """Look up a board by its name, or read a file of the user's own.

        Raises
        ------
        HwquantError
            There is no such board, or its file is not valid.
        Unsupported
            The board has no device.
        """
        from hwquant.boards.board import load_board

        found = load_board(board)
        if found.device is None:
            raise Unsupported(
                f"the board {found.name!r} has no device whose resources could be counted; choose another",
                where=found.name,
            )
        return cls(found.name, found.device_name, found.target_mhz)

    @property
    def operand_bits(self) -> int:
        """Width of the widest weight that a multiplier of the device takes."""
        return self._device.operand_bits

    def resources(self, program: Program) -> Resources:
        """Estimate what a program's accelerator takes of the device, with the board's host link."""
        from hwquant.boards.contents import Contents
        from hwquant.boards.resources import estimate_resources

        contents = Contents.of_program(program)
        return estimate_resources(program.config, self._device, link=True, contents=contents)

    def fill(self, program: Program) -> float:
        """Find the share of what may be used of the scarcest resource: above 1 the program does not fit."""
        from hwquant.boards.contents import Contents
        from hwquant.boards.needs import needs

        items = needs(program.config, self._device, Contents.of_program(program))
        return max(need.excess for need in items)

    def milliseconds(self, program: Program, cycles: int) -> float:
        """Turn a program's clock cycles into milliseconds at the clock that is estimated for its accelerator."""
        from hwquant.boards.clock_estimate import estimate_clock

        clock = estimate_clock(self._device, asdict(self.resources(program)), self.megahertz)
        return cycles / (clock.megahertz * 1e3)

    @property
    def _device(self) -> Device:
        from hwquant.boards.device import find_device

        return find_device(self.device)
