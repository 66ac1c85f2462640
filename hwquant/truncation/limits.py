"""Parity as a test: the limits that a truncated network must keep, and what misses them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from hwquant.errors import HwquantError
from hwquant.options import Range, check, option
from hwquant.truncation.parity import Error, ParityReport

NO_LABELS = (
    "max_drop is about accuracy, which needs labels y: test on samples that have them, or leave it out"
)
_ROUNDING = 1e-9
"""Points by which a drop that is exactly what is allowed may be off."""


@dataclass(frozen=True)
class ParityLimits:
    """What truncation may cost.

    Attributes
    ----------
    max_drop : float or None, optional
        Points of accuracy (percent of the labelled samples) that may be lost against the float network; any loss
        where None.
    min_sqnr : float or None, optional
        Least signal to noise ratio in dB of every operator alone and of the network's outputs; any where None.
    """

    max_drop: float | None = option(
        None,
        "Exit 1 if more accuracy is lost; needs labels.",
        range=Range(0, 100, unit="points"),
        metavar="POINTS",
    )
    min_sqnr: float | None = option(
        None,
        "Exit 1 if an operator alone, or the output, has a lower signal to noise ratio.",
        range=Range(0, noun="a number"),
        metavar="DB",
    )

    def __post_init__(self) -> None:
        check(self)

    def as_json(self) -> dict[str, object]:
        """The limits as plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Miss:
    """A limit that is missed.

    Attributes
    ----------
    what : {"operator", "output", "accuracy"}
        What misses it: an operator alone, the network's outputs, or their accuracy.
    name : str
        Name of the operator; empty for outputs and accuracy, which are those of the whole network.
    value : float or None
        What there is, in dB or points lost; None where there is an error and no signal at all.
    limit : float
        What there should be at least (dB), or at most (points).
    """

    what: Literal["operator", "output", "accuracy"]
    name: str
    value: float | None
    limit: float

    def __str__(self) -> str:
        if self.what == "accuracy":
            return f"the network loses {self.value:.2f} points of accuracy, more than {self.limit:g}"
        culprit = f"operator {self.name!r} alone" if self.name else "the output of the network"
        found = (
            "errors and no signal"
            if self.value is None
            else f"a signal to noise ratio of {self.value:.1f} dB"
        )
        return f"{culprit} has {found}, less than {self.limit:g} dB"


def check_parity(report: ParityReport, limits: ParityLimits) -> tuple[Miss, ...]:
    """Test a truncated network's parity.

    Parameters
    ----------
    report : ParityReport
        What was measured.
    limits : ParityLimits
        What is allowed.

    Returns
    -------
    tuple of Miss
        Operators first, in order, then the output, then the accuracy; empty where all limits are kept.

    Raises
    ------
    HwquantError
        Accuracy is limited, and was not measured.
    """
    missed: list[Miss] = []
    if limits.min_sqnr is not None:
        measured = [*((row.name, row.error) for row in report.operators), ("", report.layers[-1].output)]
        for name, error in measured:
            if not _kept(error, limits.min_sqnr):
                missed.append(Miss("operator" if name else "output", name, error.sqnr_db, limits.min_sqnr))
    if limits.max_drop is not None:
        if report.float_accuracy is None or report.accuracy is None:
            raise HwquantError(NO_LABELS)
        drop = 100 * (report.float_accuracy - report.accuracy)
        if drop > limits.max_drop + _ROUNDING:
            missed.append(Miss("accuracy", "", drop, limits.max_drop))
    return tuple(missed)


def _kept(error: Error, least: float) -> bool:
    """Whether an error is small enough: none at all always is."""
    if error.largest == 0:
        return True
    return (-math.inf if error.sqnr_db is None else error.sqnr_db) >= least
