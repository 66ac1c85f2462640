"""Pins of a board's top, and how a family's tools are told where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pin:
    """Where a port of a board's top is.

    Attributes
    ----------
    location : str
        Name of the FPGA's pin in the tools.
    attributes : mapping of str to str
        Attributes of the pin's buffer.
    inverted : bool
        Whether low means on.
    """

    location: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    inverted: bool = False


@dataclass(frozen=True)
class Constraints:
    """The file with a board's pins and its clock.

    Attributes
    ----------
    file : str
        Name of the file.
    text : callable
        Text of the file, from the pins by port, in the order of the file, and the clock in Hz.
    attributes : mapping of str to str
        Attributes of a pin's buffer that the file can say, each with the pattern of its values.
    """

    file: str
    text: Callable[[Mapping[str, Pin], int], str]
    attributes: Mapping[str, str]


STANDARD, SPEED, SWITCH = "[A-Z][A-Z0-9_]{0,31}", "FAST|SLOW", "ON|OFF"
"""Patterns of values that several families have."""


def lines(*items: str) -> str:
    """Join lines to a text."""
    return "\n".join([*items, ""])
