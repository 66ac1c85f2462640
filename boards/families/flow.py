"""From a netlist to a bitstream: open place and route and packer, or else a script for the vendor's tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwquant.boards.families.family import Device

NETLIST, TIMING = "netlist.json", "timing.json"
"""What synthesis writes and place and route reads; what place and route reports."""


@dataclass(frozen=True)
class Executable:
    """A program that is run.

    Attributes
    ----------
    name : str
        As it is called.
    package : str
        The Python package that brings it.
    """

    name: str
    package: str


@dataclass(frozen=True)
class RoutingJob:
    """What place and route is to do.

    Attributes
    ----------
    device : Device
        The FPGA.
    package : str
        What it comes in.
    speed : str
        Its speed grade.
    constraints : str
        Name of the constraints file.
    hertz : float
        The clock that is asked for.
    seed : int
        Of the placement.
    """

    device: Device
    package: str
    speed: str
    constraints: str
    hertz: float
    seed: int


@dataclass(frozen=True)
class Routed:
    """What place and route says.

    Attributes
    ----------
    megahertz : float
        The clock that it reached.
    used : dict[str, int]
        Sites in use, by kind.
    """

    megahertz: float
    used: dict[str, int]


def nextpnr_arguments(job: RoutingJob) -> list[str]:
    """The options that every nextpnr has."""
    return [
        *job.device.arguments,
        *("--json", NETLIST),
        *("--freq", f"{job.hertz / 1e6:.3f}"),
        *("--report", TIMING),
        *("--seed", str(job.seed)),
    ]


def nextpnr_report(text: str) -> Routed:
    """The report of any nextpnr."""
    report = json.loads(text)
    clocks = [item["achieved"] for item in report["fmax"].values()]
    used = {name: item["used"] for name, item in report["utilization"].items() if item["used"]}
    return Routed(min(clocks), used)


@dataclass(frozen=True)
class OpenFlow:
    """Place and route, and the packer.

    Attributes
    ----------
    router : Executable
        Places and routes ``netlist.json``, and writes a report into ``timing.json``.
    routing : Callable
        Its arguments. A clock that is missed must not be an error.
    report : Callable
        Reads its report.
    packer : Executable
        Makes the bitstream.
    packing : Callable
        Its arguments for a device.
    bitstream : str
        Name of the bitstream.
    """

    router: Executable
    routing: Callable[[RoutingJob], list[str]]
    packer: Executable
    packing: Callable[[Device], list[str]]
    bitstream: str
    report: Callable[[str], Routed] = nextpnr_report


@dataclass(frozen=True)
class VendorFlow:
    """A script for the vendor's tool, which the user runs on Verilog.

    Attributes
    ----------
    tool : str
        What it is called.
    script : str
        Name of the script.
    command : str
        What the user types.
    bitstream : str
        Name of what the tool writes.
    text : Callable
        The script, from the board's title, its part and the name of its constraints file.
    """

    tool: str
    script: str
    command: str
    bitstream: str
    text: Callable[[str, str, str], str]
