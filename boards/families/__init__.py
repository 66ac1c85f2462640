"""FPGA families, one file each: what their cells are, and how their tools are told what to do.

Nothing here knows boards, networks or builds. To add a family, write its file, name it in ``_FILES`` below, and fit
what its logic costs: ``benchmarks/resource_model.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from hwquant.boards.families import ecp5, gowin, ice40, xilinx7
from hwquant.boards.families.family import Device, Family

_FILES = (ecp5, ice40, gowin, xilinx7)

FAMILIES: Mapping[str, Family] = {file.FAMILY.name: file.FAMILY for file in _FILES}
"""All families, by name."""

DEVICES: tuple[Device, ...] = tuple(device for file in _FILES for device in file.DEVICES)
"""Devices of all families; :mod:`hwquant.boards.device` has them by name."""
