"""What was built for boards, as the reports in their folders say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hwquant.board_report import AGAIN, read_board_report
from hwquant.build import board_reports
from hwquant.errors import Damaged
from hwquant.names import PATTERN


@dataclass(frozen=True)
class Use:
    """How much of a device's resource is used.

    Attributes
    ----------
    name : str
        Name of the resource, as the board's report has it.
    used : int
        Cells that are used.
    available : int
        Cells that the device has; 0 where the report does not say.
    """

    name: str
    used: int
    available: int

    @property
    def share(self) -> float:
        """Share that is used, 0..1, or more where there is too little."""
        return self.used / self.available if self.available else float(self.used > 0)


@dataclass(frozen=True)
class BoardResult:
    """What was built for a board.

    Attributes
    ----------
    report : dict
        The board's ``report.json``; :class:`hwquant.boards.implement.Implementation` says what is in it.
    uses : tuple of Use
        The resources that are used, or that the device has.
    """

    report: dict[str, Any]
    uses: tuple[Use, ...]

    @property
    def hertz(self) -> float:
        """Frequency of the accelerator's clock in Hz; 0 where there is none."""
        return self.report["clock_mhz"] * 1e6


def board_results(folder: Path, replaced: str = "") -> tuple[BoardResult, ...]:
    """Read what has been built for boards in a build folder, the fastest board first.

    Parameters
    ----------
    folder : Path
        The build folder.
    replaced : str, default ""
        A board whose report is not read, since it is about to be written.

    Raises
    ------
    Damaged
        A report has changed, or holds what no board reports.
    """
    results = [_load(path) for path in board_reports(folder) if path.parent.name != replaced]
    return tuple(sorted(results, key=lambda item: -item.report["core_frames_per_second"]))


def _load(path: Path) -> BoardResult:
    report = read_board_report(path.parent)
    for key, fits in KEYS.items():
        if key not in report:
            raise Damaged(f"{path} has no {key!r}; {AGAIN}", path=str(path))
        if not fits(report[key]):
            raise Damaged(
                f"{path} is damaged ({key!r} cannot be {report[key]!r:.40}); {AGAIN}", path=str(path)
            )
    available = report["available"]
    uses = tuple(
        Use(name, used, available.get(name, 0))
        for name, used in report["used"].items()
        if used or available.get(name)
    )
    return BoardResult(report, uses)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _file_name(value: object) -> bool:
    return isinstance(value, str) and (not value or PATTERN.fullmatch(value) is not None)


def _number(value: object) -> bool:
    # No page shows more than this; it also refuses NaN, infinity, and integers that no float holds.
    return type(value) in (int, float) and 0 <= cast(float, value) <= LARGEST


def _counts(value: object) -> bool:
    return isinstance(value, dict) and all(type(item) is int and _number(item) for item in value.values())


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _named_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


LARGEST = 1e15
KEYS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("board", "device"), _text),
    "bitstream": _file_name,
    **dict.fromkeys(
        (
            "clock_mhz",
            "fmax_mhz",
            "frames_per_second",
            "core_frames_per_second",
            "link_share",
            "attempts",
            "seconds",
        ),
        _number,
    ),
    **dict.fromkeys(("used", "available"), _counts),
    "notes": _texts,
    "versions": _named_texts,
}
"""What the page shows of a report, by key, and the function that says whether a value is of its kind."""
