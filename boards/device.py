"""Devices by their names, and how a board is called that carries none."""

from __future__ import annotations

from collections.abc import Mapping

from hwquant.boards import families
from hwquant.boards.families.family import Device
from hwquant.errors import Unsupported

NO_DEVICE = "generic"
"""The device of a board that has none, in board files and in reports."""

DEVICES: Mapping[str, Device] = {
    name: device for device in families.DEVICES for name in (device.name, *device.aliases)
}
"""All devices, by name and by alias."""


def find_device(name: str) -> Device:
    """Find a device by its name or an alias.

    Raises
    ------
    Unsupported
        There is no such device; the message lists those that there are.
    """
    if name not in DEVICES:
        raise Unsupported(f"there is no device {name!r}; there are {', '.join(sorted(DEVICES))}")
    return DEVICES[name]
