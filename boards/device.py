"""Devices by their names, and how a board is called that carries none."""

from __future__ import annotations

from collections.abc import Mapping

from hwquant.boards import families
from hwquant.boards.families.family import Device
from hwquant.errors import Unsupported

NO_DEVICE = "generic"
"""In board files and in reports, where a board has no device."""

DEVICES: Mapping[str, Device] = {
    name: device for device in families.DEVICES for name in (device.name, *device.aliases)
}
"""By name and by alias."""


def find_device(name: str) -> Device:
    """A device by one of its names.

    Raises
    ------
    Unsupported
        There is no such device; says which there are.
    """
    if name not in DEVICES:
        raise Unsupported(f"there is no device {name!r}; there are {', '.join(sorted(DEVICES))}")
    return DEVICES[name]
