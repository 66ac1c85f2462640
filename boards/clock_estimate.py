"""The clock that a design will bear, before anything is placed.

::

    1 / clock = s * (1 + size * sqrt(cells / 1000) + crowding * max(0, fill - FREE))

Signals cross a placed design, whose side grows with the root of its ``cells``; on a full device they go around others
(``fill`` is the share of the device's cells that are taken). ``s`` is the time of a family's logic and memories;
``size`` and ``crowding`` are alike for all. ``benchmarks/clock_model.py`` fits them to routed designs, and measures the
errors on each from the others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hwquant.boards.families.family import Device

FREE = 0.5
"""Fill of a device below which designs do not get in their own way."""


@dataclass(frozen=True)
class ClockEstimate:
    """A clock, and how well it is known.

    Attributes
    ----------
    megahertz : float
        The clock in MHz.
    designs : int
        Number of routed designs of the family that it rests on; 0 where it is the clock that a board aims at.
    """

    megahertz: float
    designs: int


def estimate_clock(device: Device, cells: int, target_mhz: float) -> ClockEstimate:
    """Estimate the highest clock that routing will find.

    Parameters
    ----------
    device : Device
        The FPGA.
    cells : int
        Cells that place and route packs the design in.
    target_mhz : float
        The clock in MHz that the board aims at, which stands where no design of the family has been routed.
    """
    model = clock_model()
    family = model["families"].get(device.family.name)
    if family is None:
        return ClockEstimate(target_mhz, 0)
    load = burden(cells, cells / device.luts, model["size"], model["crowding"])
    return ClockEstimate(1e3 / (family["nanoseconds"] * load), family["designs"])


def burden(cells: float, fill: float, size: float, crowding: float) -> float:
    """How many times longer signals take than in a design of no size on an empty device."""
    return float(1 + size * (cells / 1000) ** 0.5 + crowding * max(0.0, fill - FREE))


@cache
def clock_model() -> dict[str, Any]:
    """The fitted ``size``, ``crowding`` and ``families``, and their ``errors``, from ``boards/clock.json``."""
    text = resources.files("hwquant.boards").joinpath("clock.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
