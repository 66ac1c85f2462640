"""The clock that a design will bear, before anything is placed.

::

    1 / clock = s * (1 + size * sqrt(cells / 1000) + crowding * max(0, fill - FREE)
                     + memory * max(0, ram fill - FREE) * sqrt(device's cells / 1000))

Signals cross a placed design, whose side grows with the root of its ``cells``; on a full device they go around others
(``fill`` is the share of the device's cells that are taken). Block RAMs stand in a few lines across the whole device:
what takes most of them is as wide as the device, however few its cells, and crowds around them. ``s`` is the time of a
family's logic and memories; ``size``, ``crowding`` and ``memory`` are alike for all. ``benchmarks/clock_model.py`` fits
them to routed designs, and measures the errors on each from the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hwquant.boards.families.family import Device

FREE = 0.5
"""Share of a device's cells, or block RAMs, below which designs do not get in their own way."""


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


def estimate_clock(device: Device, used: Mapping[str, float], target_mhz: float) -> ClockEstimate:
    """Estimate the highest clock that routing will find.

    Parameters
    ----------
    device : Device
        The FPGA.
    used : mapping of str to float
        What the design takes, by the names of resources in reports: the cells that place and route packs it in
        ("cell"), and block RAMs ("ram"); none of what is not there.
    target_mhz : float
        The clock in MHz that the board aims at, which stands where no design of the family has been routed.
    """
    model = clock_model()
    family = model["families"].get(device.family.name)
    if family is None:
        return ClockEstimate(target_mhz, 0)
    return ClockEstimate(1e3 / (family["nanoseconds"] * burden(device, used, model)), family["designs"])


def burden(device: Device, used: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """How many times longer signals take than in a design of no size on an empty device.

    Parameters
    ----------
    device : Device
        The FPGA.
    used : mapping of str to float
        What the design takes, as of :func:`estimate_clock`.
    weights : mapping of str to float
        "size", "crowding" and "memory".
    """
    cells, rams = used.get("cell", 0), used.get("ram", 0)
    size = float(weights["size"] * (cells / 1000) ** 0.5)
    crowding = weights["crowding"] * max(0.0, cells / device.luts - FREE)
    memory = weights["memory"] * max(0.0, rams / device.rams - FREE) * (device.luts / 1000) ** 0.5
    return 1 + size + crowding + float(memory)


@cache
def clock_model() -> dict[str, Any]:
    """The fitted coefficients and ``families``, and their ``errors``, from ``boards/clock.json``."""
    text = resources.files("hwquant.boards").joinpath("clock.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
