"""From a netlist to a bitstream: open place and route and packer, or a script for the vendor's tool."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwquant.boards.families.family import Device

_CLOCKS = "usb_clk|usb_io_clk|eth_[rt]x_clk|rgmii_clocks_rx|net_clk|por_clk|sys_clk|sys_clock"
LINK_CLOCK = rf"\b({_CLOCKS})(\$\d+)?(\$TRELLIS_IO_IN)?$"
"""Names of the nets of a link's own clocks, in whichever module of them a net is named after."""
NETLIST, TIMING = "netlist.json", "timing.json"
"""Name of the file that synthesis writes and place and route reads, and of place and route's report."""


@dataclass(frozen=True)
class Executable:
    """A program that is run.

    Attributes
    ----------
    name : str
        Name of the command.
    package : str
        Python package that brings it.
    native : str, default ""
        Name of the same program as others bring it, in machine code and so several times faster; "" where it is the
        same file.
    """

    name: str
    package: str
    native: str = ""


@dataclass(frozen=True)
class RoutingJob:
    """What place and route is to do.

    Attributes
    ----------
    device : Device
        The FPGA.
    package : str
        Package of the FPGA.
    speed : str
        Speed grade of the FPGA.
    constraints : str
        Name of the constraints file.
    hertz : float
        Clock that is asked for, in Hz.
    seed : int
        Seed of the placement.
    """

    device: Device
    package: str
    speed: str
    constraints: str
    hertz: float
    seed: int


@dataclass(frozen=True)
class Routed:
    """What place and route reports.

    Attributes
    ----------
    megahertz : float
        Clock that it reached, in MHz.
    used : dict of str to int
        Number of sites in use, by kind.
    """

    megahertz: float
    used: dict[str, int]


def nextpnr_arguments(job: RoutingJob) -> list[str]:
    """Arguments that nextpnr has for every family."""
    return [
        *job.device.arguments,
        *("--json", NETLIST),
        *("--freq", f"{job.hertz / 1e6:.3f}"),
        *("--report", TIMING),
        *("--seed", str(job.seed)),
    ]


def nextpnr_report(text: str) -> Routed:
    """Read the report that nextpnr writes for every family.

    Where a clock of the link's own, which must be what it is, is missed, the core's counts as missed by as much: so the
    search goes on, with another placement.
    """
    report = json.loads(text)
    fixed, core = list[dict[str, float]](), list[dict[str, float]]()
    for name, item in report["fmax"].items():
        (fixed if re.search(LINK_CLOCK, name) else core).append(item)
    reached = min(item["achieved"] for item in core)
    share = min((item["achieved"] / item["constraint"] for item in fixed), default=1.0)
    if share < 1:
        reached = min(reached, share * min(item["constraint"] for item in core))
    used = {name: item["used"] for name, item in report["utilization"].items() if item["used"]}
    return Routed(reached, used)


@dataclass(frozen=True)
class OpenFlow:
    """Open tools that make a bitstream of a netlist: place and route, and a packer.

    Attributes
    ----------
    router : Executable
        Program that places and routes ``netlist.json``, and writes a report into ``timing.json``.
    routing : callable
        Arguments of the router for a job; with them, a clock that is missed must not be an error.
    report : callable
        What reads the text of the router's report.
    packer : Executable
        Program that makes the bitstream.
    packing : callable
        Arguments of the packer for a device.
    bitstream : str
        Name of the bitstream.
    cell : str
        The router's name of a LUT's place.
    routed : tuple of str, optional
        Arguments of the router that name the file which the packer reads, where there are any.
    """

    router: Executable
    routing: Callable[[RoutingJob], list[str]]
    packer: Executable
    packing: Callable[[Device], list[str]]
    bitstream: str
    cell: str
    routed: tuple[str, ...] = ()
    report: Callable[[str], Routed] = nextpnr_report


@dataclass(frozen=True)
class VendorFlow:
    """A script for the vendor's tool, which the user runs on Verilog.

    Attributes
    ----------
    tool : str
        Name of the tool.
    script : str
        Name of the script.
    command : str
        Command that the user types to run the script.
    bitstream : str
        Name of the bitstream that the tool writes.
    text : callable
        Text of the script, from the board's title, its part and the name of its constraints file.
    """

    tool: str
    script: str
    command: str
    bitstream: str
    text: Callable[[str, str, str], str]
