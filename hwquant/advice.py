"""What a user should know about numbers that are bad: one value for each thing, and how it is told.

Whoever computes a number judges it, with a pure function beside it; the command line prints what it says as
``warning:`` lines, and ``--json`` has it as ``warnings``. Nothing is refused for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hwquant.errors import Damaged

SHOWN = 3
"""Warnings of a kind that people are shown before the others are counted."""

DATA_KINDS = ("few_samples", "constant_input", "outliers")


@dataclass(frozen=True)
class Advice:
    """A number that is bad, and what would help.

    Attributes
    ----------
    kind : str
        What is bad, in a word for programs, such as ``"low_sqnr"``.
    where : str
        The layer, input, output or array that has it.
    message : str
        One sentence or two: what is bad and how bad, then what would help.
    option : str
        The option of the command that would help, such as ``"--per-channel"``; empty where none does.
    value : float or None
        The number that was judged: dB, a share 0..1, cycles.
    """

    kind: str
    where: str
    message: str
    option: str = ""
    value: float | None = None

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def to_json(advice: Iterable[Advice]) -> list[dict[str, Any]]:
    """Plain JSON values; an empty list says that nothing was found."""
    return [item.to_json() for item in advice]


def of_options(options: Mapping[str, object]) -> tuple[Advice, ...]:
    """What the quantizer had to say about a network, from ``QGraph.options``.

    Raises
    ------
    Damaged
        They are not as the quantizer writes them.
    """
    found = options.get("warnings", [])
    names = {field.name for field in dataclasses.fields(Advice)}
    if not isinstance(found, list) or not all(
        isinstance(item, dict)
        and item.keys() == names
        and all(isinstance(item[name], str) for name in names - {"value"})
        and isinstance(item["value"], int | float | None)
        for item in found
    ):
        raise Damaged("the network's warnings are not as the quantizer writes them; quantize it again")
    return tuple(Advice(**item) for item in found)


def of_data(options: Mapping[str, object]) -> tuple[Advice, ...]:
    """Of these what is about the calibration data: all that is left to say of weights that were trained or searched."""
    return tuple(item for item in of_options(options) if item.kind in DATA_KINDS)
