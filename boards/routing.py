"""A synthesized design placed and routed, at clock after clock; the files of the best routing are those that stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from amaranth.hdl import Instance, Signal

from hwquant.boards import tools
from hwquant.boards.board import Board
from hwquant.boards.clock_search import Limits, Routing, highest, search
from hwquant.boards.clocking import clock_option, pll_settings, usable_clocks
from hwquant.boards.families.family import Device
from hwquant.boards.families.flow import NETLIST, OpenFlow, RoutingJob
from hwquant.boards.parameters import Netlist
from hwquant.boards.top import BoardTop
from hwquant.errors import DoesNotFit
from hwquant.files import read_bytes, working_folder, write_bytes
from hwquant.progress import Progress


class Router:
    """Place and route for one netlist.

    Parameters
    ----------
    board : Board
        The board.
    device : Device
        Its FPGA.
    flow : OpenFlow
        The tools.
    folder : Path
        Folder with ``netlist.json`` and the constraints; the files of the best routing appear in it.
    constraints : str
        Name of the constraints' file.
    report : Progress
        Told of every routing.

    Attributes
    ----------
    count : int
        Routings so far.
    """

    def __init__(
        self, board: Board, device: Device, flow: OpenFlow, folder: Path, constraints: str, report: Progress
    ) -> None:
        self._board, self._device, self._flow, self._folder = board, device, flow, folder
        self._constraints, self._report = constraints, report
        self._netlist = Netlist(folder / NETLIST, device)
        self.count = 0

    def search(self, top: BoardTop, seed: int, limits: Limits) -> Routing:
        """Find the highest clock, and leave the files of its routing.

        Where not all cells are timed, it is not above the one that is asked for.

        Parameters
        ----------
        top : BoardTop
            What was synthesized; the search begins at its clock.
        seed : int
            The first seed.
        limits : Limits
            How long to search.

        Returns
        -------
        Routing
            The best routing.

        Raises
        ------
        DoesNotFit
            No clock was reached.
        """
        with_pll = top.clocks.settings is not None
        possible = [
            clock
            for clock in usable_clocks(self._board)
            if with_pll == (clock != self._board.clock_hz) and top.bears(clock)
        ]
        if not self._device.family.timed:
            possible = [clock for clock in possible if clock <= top.hertz]

        def route(hertz: float, number: int) -> float:
            self._report("place and route", self.count, limits.routings, f"{hertz / 1e6:.1f} MHz")
            self.count += 1
            job = self._job(hertz, number)
            with working_folder() as place:
                self._prepare(place, top, hertz)
                fmax = tools.place_and_route(self._flow, job, place).megahertz * 1e6
                if fmax >= hertz:  # once a clock is reached, only higher ones are tried
                    for path in filter(Path.is_file, place.iterdir()):
                        write_bytes(self._folder / path.name, read_bytes(path))
            return fmax

        routings = search(route, possible, top.hertz, seed, limits)
        return highest(routings) or self._none(routings)

    def packed(self, top: BoardTop) -> int:
        """Count the cells that are to be placed."""
        with working_folder() as place:
            self._prepare(place, top, top.hertz)
            return tools.packed_cells(self._flow, self._flow.routing(self._job(top.hertz, 1)), place)

    def _job(self, hertz: float, seed: int) -> RoutingJob:
        board = self._board
        return RoutingJob(self._device, board.package, board.speed, self._constraints, hertz, seed)

    def _prepare(self, place: Path, top: BoardTop, hertz: float) -> None:
        """Write what the router reads for a clock into a folder."""
        write_bytes(place / self._constraints, read_bytes(self._folder / self._constraints))
        board = self._board
        divisor = board.divisor_constant(hertz) if board.link == "uart" else None
        self._netlist.write(place, divisor, self._pll(top, hertz))

    def _pll(self, top: BoardTop, hertz: float) -> Instance | None:
        if top.clocks.settings is None:
            return None
        family = self._device.family
        settings = pll_settings(family, self._board.clock_hz, hertz)
        return family.pll.instance(settings, self._device, (Signal(), Signal(), Signal()))

    def _none(self, routings: Sequence[Routing]) -> Routing:
        name, reached = self._board.name, max(item.fmax_hz for item in routings)
        lower = [clock for clock in usable_clocks(self._board) if clock <= 0.9 * reached]
        if not lower:
            raise DoesNotFit(
                f"{name}: routing bears no clock above {reached / 1e6:.1f} MHz, and none so low can be made of the "
                "board's oscillator for its link; compile for a smaller array",
                resource="clock",
                available=reached,
                remedy="a smaller array",
            )
        option = clock_option(lower[-1])
        raise DoesNotFit(
            f"{name}: after {len(routings)} routings {reached / 1e6:.1f} MHz are reached, below the "
            f"{routings[-1].hertz / 1e6:.1f} MHz that were asked for; ask for a lower clock, such as --clock {option}",
            resource="clock",
            needed=routings[-1].hertz,
            available=reached,
            remedy=f"a lower clock, such as --clock {option}",
        )
