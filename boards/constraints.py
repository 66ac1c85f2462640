"""What a family's tools have to know of a board: where the top's ports are, and its clock."""

from __future__ import annotations

from hwquant.boards.board import Board
from hwquant.boards.families.family import Family
from hwquant.boards.sdram import BoardMemory


def constraints(board: Board, family: Family, memory: BoardMemory | None = None) -> tuple[str, str]:
    """Name and text of a board's constraints file, as the tools of the family read it, with a memory that is used."""
    pins = {port: board.pins[port] for port in board.ports if port in board.pins}
    pins |= memory.pins if memory else {}
    return family.constraints.file, family.constraints.text(pins, board.clock_hz)
