"""Pins of a board's top, and how a family's tools are told where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pin:
    """Where a port of the top is, with the attributes of its buffer; ``inverted`` where low means on."""

    location: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    inverted: bool = False


@dataclass(frozen=True)
class Constraints:
    """The file with a board's pins and its clock.

    Attributes
    ----------
    file : str
        Its name.
    text : Callable
        What it says, from the pins by port, in the order of the file, and the clock in Hz.
    attributes : Mapping[str, str]
        Of a pin's buffer: those that it can say, each with the pattern of its values.
    """

    file: str
    text: Callable[[Mapping[str, Pin], int], str]
    attributes: Mapping[str, str]


STANDARD, SPEED, SWITCH = "[A-Z][A-Z0-9_]{0,31}", "FAST|SLOW", "ON|OFF"
"""Patterns of values that several families have."""


def lines(*items: str) -> str:
    """A text of these lines."""
    return "\n".join([*items, ""])
