"""What a family's tools have to know of a board: where the top's ports are, and its clock."""

from __future__ import annotations

from hwquant.boards.board import Board
from hwquant.boards.families.family import Family


def constraints(board: Board, family: Family) -> tuple[str, str]:
    """Name and text of a board's constraints file, as the tools of the family read it."""
    pins = {port: board.pins[port] for port in board.ports if port in board.pins}
    return family.constraints.file, family.constraints.text(pins, board.clock_hz)
