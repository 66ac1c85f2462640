"""What an accelerator needs of a device, and what is missing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from hwquant.boards.contents import Contents
from hwquant.boards.families.family import Device
from hwquant.boards.pins import LinkKind
from hwquant.boards.resources import estimate_resources
from hwquant.program.config import ArrayConfig


@dataclass(frozen=True)
class Need:
    """What is needed of one resource of a device.

    Attributes
    ----------
    resource : str
        Name of the resource, as in :attr:`hwquant.boards.families.family.Device.resources`.
    needed : int
        How many the accelerator takes.
    available : int
        How many the device has.
    allowed : int
        How many of those may be used, so that routing succeeds.
    """

    resource: str
    needed: int
    available: int
    allowed: int

    @property
    def share(self) -> float:
        """Share of what the device has, 0 to 1, or more."""
        return self.needed / self.available if self.available else float(self.needed > 0) * 2

    @property
    def excess(self) -> float:
        """Share of what may be used; above 1 it does not fit."""
        return self.needed / self.allowed if self.allowed else float(self.needed > 0) * 2


def needs(
    config: ArrayConfig, device: Device, contents: Contents | None = None, *, kind: LinkKind = "uart"
) -> tuple[Need, ...]:
    """What an accelerator with a host link of a kind takes of a device, one need for each resource."""
    used = dataclasses.asdict(estimate_resources(config, device, link=True, contents=contents, kind=kind))
    routable = device.family.routable
    return tuple(
        Need(name, used[name], count, math.floor(count * routable.get(name, 1.0)))
        for name, count in device.resources.items()
    )


def worst(items: Sequence[Need]) -> Need:
    """The scarcest resource of several."""
    return max(items, key=lambda need: need.excess)


def shortage(items: Sequence[Need]) -> str:
    """Resources of which there is too little, such as "84 RAM of 56"; empty where all suffice."""
    return " and ".join(
        f"{need.needed:,} {need.resource.upper().replace('_', ' ')} of {need.available:,}"
        + (f", of which {need.allowed:,} can be routed" if need.needed <= need.available else "")
        for need in items
        if need.excess > 1
    )
