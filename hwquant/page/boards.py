"""What was built for boards, as the reports in their folders say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwquant.build import BOARDS
from hwquant.errors import HwquantError


@dataclass(frozen=True)
class Use:
    """How much of a resource is used."""

    name: str
    used: int
    available: int

    @property
    def share(self) -> float:
        """0..1, or more where there is too little."""
        return self.used / self.available if self.available else float(self.used > 0)


@dataclass(frozen=True)
class BoardResult:
    """A board's ``report.json``; :class:`hwquant.boards.implement.Implementation` says what is in it."""

    report: dict[str, Any]
    uses: tuple[Use, ...]

    @property
    def hertz(self) -> float:
        """The accelerator's clock; 0 where there is none."""
        return self.report["clock_mhz"] * 1e6


def board_results(folder: Path) -> tuple[BoardResult, ...]:
    """Every board that has been built in a build folder, the fastest first.

    Raises
    ------
    HwquantError : a report cannot be read
    """
    results = []
    for path in sorted((folder / BOARDS).glob("*/report.json")):
        try:
            report = json.loads(path.read_bytes())
            uses = tuple(
                Use(name, used, report["available"].get(name, 0))
                for name, used in report["used"].items()
                if used or report["available"].get(name)
            )
            results.append(BoardResult(report, uses))
            missing = KEYS - set(report)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HwquantError(f"{path} is damaged ({error}); build for this board again") from error
        if missing:
            raise HwquantError(f"{path} has no {min(missing)!r}; build for this board again")
    return tuple(sorted(results, key=lambda item: -item.report["frames_per_second"]))


KEYS = {
    *("board", "device", "clock_mhz", "fmax_mhz", "frames_per_second", "bitstream"),
    *("notes", "attempts", "seconds", "versions"),
}
"""What the page shows besides resources."""
