"""The layouts of network inputs: which the first reader decides, unless a window wants another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from hwquant.frontends.values import Index
from hwquant.graph import Shape

Layout = tuple[Shape, Index | None]
"""(C, H, W) of an input's tensor, and where its elements are in the user's array (None: as they are)."""


class LayoutWanted(Exception):
    """A window reads an input in another order than an earlier reader, to which the order does not matter.

    Parameters
    ----------
    name : str
        The input.
    wanted : Layout
        The layout in which the window reads it.
    """

    def __init__(self, name: str, wanted: Layout) -> None:
        super().__init__(name)
        self.name, self.wanted = name, wanted


Made = TypeVar("Made")


def with_layouts(translate: Callable[[Mapping[str, Layout]], Made]) -> Made:
    """Make a graph, or what is like it, with an importer, once the layouts in which windows want the inputs are known.

    Parameters
    ----------
    translate : callable
        A function from layouts to what is made with them by a `Builder`.

    Returns
    -------
    Graph
        What the function returned.
    """
    layouts: dict[str, Layout] = {}
    while True:  # at most once an input more
        try:
            return translate(dict(layouts))
        except LayoutWanted as found:
            layouts[found.name] = found.wanted
