"""ECP5: the array's multipliers lie as the array does, where it takes most of the device's.

Place and route puts each multiplier where one is free. Of an array that takes most of them, many are then at the other
end of the device from what adds their products, and routing takes hours or does not end. Here four multipliers that are
neighbours in the array share a DSP block, and blocks follow each other across the device as their elements do in the
array: column after column, one array after the other.

A block has four clock enables, and its multipliers need one for each moment at which weights become active, which is
that of an anti-diagonal of the array: a square of four elements needs three, four of a row or column need too many.

Source of the positions: Project Trellis' database, tiles MIB_DSP0; of the names and the limit of enables: nextpnr.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MULTIPLIER = "MULT18X18D"
ELEMENT = re.compile(r"(?P<array>.*)\bpe_(?P<row>\d+)_(?P<column>\d+)\.")
"""Name of a cell of a processing element."""
ENABLES = 4
"""Clock enables of a block."""
PLACES = ((0, 0), (1, 1), (4, 4), (5, 5))
"""The multipliers of a block: columns to the right of its first, and number in the name."""
MOST = 0.5
"""Share of the device's multipliers from which on an array's are placed: fewer find places on their own."""

Cell = dict[str, Any]


@dataclass(frozen=True)
class Blocks:
    """Where a device's DSP blocks are.

    Attributes
    ----------
    columns : tuple of int
        Their first columns.
    rows : tuple of int
        Their rows.
    """

    columns: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Column and row of each, from left to right and in a column from top to bottom."""
        return [(column, row) for column in self.columns for row in self.rows]


SMALL = Blocks((4, 13, 22, 33, 42, 51, 60), (13,))
DEVICES: Mapping[str, Blocks] = {
    "lfe5u-12f": SMALL,
    "lfe5u-25f": SMALL,
    "lfe5u-45f": Blocks((4, 13, 22, 31, 42, 51, 60, 69, 78), (22, 46)),
    "lfe5u-85f": Blocks((4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114), (10, 34, 58)),
}
"""Blocks by the name of the device."""


@dataclass(frozen=True, order=True)
class _Element:
    """A processing element with a multiplier.

    Attributes
    ----------
    array : str
        What is before its own name: that of its array.
    row, column : int
        Its place there.
    """

    array: str
    row: int
    column: int

    def distance(self, other: "_Element") -> tuple[bool, int, int]:
        """How far away another one is: those in a square come first, those of another array last."""
        down, across = abs(self.row - other.row), abs(self.column - other.column)
        return self.array != other.array, max(down, across), down + across


def place(module: Cell, device: str) -> None:
    """Give the multipliers of arrays their places, by the attribute ``BEL`` that nextpnr reads.

    Nothing is changed where arrays have few of the device's multipliers, or would take more blocks than there are.

    Parameters
    ----------
    module : dict
        The flat top module in Yosys' JSON.
    device : str
        Name of the device.
    """
    cells = {name: cell for name, cell in module["cells"].items() if cell["type"] == MULTIPLIER}
    elements = {}
    for name in cells:
        if found := ELEMENT.match(name):
            elements[_Element(found["array"], int(found["row"]), int(found["column"]))] = name
    blocks = DEVICES[device]
    if len(elements) <= MOST * len(PLACES) * len(blocks.places):
        return
    enables = {element: _enables(cells[name]) for element, name in elements.items()}
    groups = _squares(enables)
    others = -(-(len(cells) - len(elements)) // len(PLACES))
    if len(groups) + others > len(blocks.places):
        return
    for group, (column, row) in zip(groups, blocks.places):
        for element, (across, number) in zip(group, PLACES):
            bel = f"X{column + across}/Y{row}/MULT18_{number}"
            cells[elements[element]].setdefault("attributes", {})["BEL"] = bel


def _enables(cell: Cell) -> frozenset[object]:
    """The clock enables of a multiplier: nets, and the constant."""
    connections = cell["connections"]
    return frozenset(bit for n in range(ENABLES) for bit in connections.get(f"CE{n}", ()) if bit != "x")


def _squares(enables: Mapping[_Element, frozenset[object]]) -> list[list[_Element]]:
    """Groups in squares of four, column after column of these, and others where these leave elements over."""
    groups = _nearest(
        sorted(
            enables, key=lambda item: (item.array, item.column // 2, item.row // 2, item.column, item.row)
        ),
        enables,
    )
    over = [element for group in groups if len(group) < len(PLACES) for element in group]
    full = [group for group in groups if len(group) == len(PLACES)]
    if over:
        full.sort(key=lambda group: group[0].distance(over[-1]), reverse=True)
    while len(mended := _diagonals(over, enables)) > -(-len(over) // len(PLACES)) and full:
        over += full.pop()
    return sorted(full + mended, key=lambda group: (group[0].array, group[0].column // 2, group[0].row // 2))


def _nearest(
    order: Sequence[_Element], enables: Mapping[_Element, frozenset[object]]
) -> list[list[_Element]]:
    """Groups that share a block: each the first element that is left and the nearest with which it may."""
    left, groups = list(order), []
    while left:
        group = [left.pop(0)]
        for element in sorted(left, key=group[0].distance):
            if _share([*group, element], enables):
                group.append(element)
                left.remove(element)
        groups.append(group)
    return groups


def _diagonals(
    elements: Sequence[_Element], enables: Mapping[_Element, frozenset[object]]
) -> list[list[_Element]]:
    """Groups that share a block: one anti-diagonal after the other, where neighbours need few enables."""
    groups: list[list[_Element]] = []
    for element in sorted(elements, key=lambda item: (item.row + item.column, item.array, item.row)):
        if groups and _share([*groups[-1], element], enables):
            groups[-1].append(element)
        else:
            groups.append([element])
    return groups


def _share(group: Sequence[_Element], enables: Mapping[_Element, frozenset[object]]) -> bool:
    """Whether elements may share a block."""
    return len(group) <= len(PLACES) and len(frozenset().union(*map(enables.__getitem__, group))) <= ENABLES
