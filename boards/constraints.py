"""What a family's tools have to know of a board: where the top's ports are, and its clock."""

from __future__ import annotations

from hwquant.boards.board import PINS, Board
from hwquant.boards.families.family import Family


def constraints(board: Board, family: Family) -> tuple[str, str]:
    """File name and text of the constraints of a board, as the tools of its device's family read them."""
    pins = {port: board.pins[port] for port in PINS if port in board.pins}
    return family.constraints.file, family.constraints.text(pins, board.clock_hz)
