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
"""Kinds of advice that are about calibration data."""
ASKED_KINDS = ("stretched_range", "no_chain")
"""Kinds of advice that are about options which a network leaves little or nothing to do."""


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
    option : str, default ""
        The option of the command that would help, such as ``"--per-channel"``; empty where none does.
    value : float, optional
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
        """Give the fields as plain JSON values by name."""
        return dataclasses.asdict(self)


def to_json(advice: Iterable[Advice]) -> list[dict[str, Any]]:
    """Give pieces of advice as plain JSON values; an empty list says that nothing was found."""
    return [item.to_json() for item in advice]


def of_options(options: Mapping[str, object]) -> tuple[Advice, ...]:
    """Read what the quantizer had to say about a network.

    Parameters
    ----------
    options : mapping
        ``QGraph.options``.

    Raises
    ------
    Damaged
        The warnings are not as the quantizer writes them.
    """
    warnings = options.get("warnings", [])
    names = {field.name for field in dataclasses.fields(Advice)}
    if not isinstance(warnings, list) or not all(
        isinstance(item, dict)
        and item.keys() == names
        and all(isinstance(item[name], str) for name in names - {"value"})
        and isinstance(item["value"], int | float | None)
        for item in warnings
    ):
        raise Damaged("the network's warnings are not as the quantizer writes them; quantize it again")
    return tuple(Advice(**item) for item in warnings)


def of_data(options: Mapping[str, object]) -> tuple[Advice, ...]:
    """Read what the quantizer had to say about the calibration data, and about options that had no effect.

    That is all that is left to say of weights that were trained or searched.

    Parameters
    ----------
    options : mapping
        ``QGraph.options``.
    """
    return tuple(item for item in of_options(options) if item.kind in (*DATA_KINDS, *ASKED_KINDS))
