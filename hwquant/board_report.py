"""What ``hwquant build`` leaves in ``boards/<board>/``: files, and a report with the SHA-256 of each and of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwquant.errors import Damaged, HwquantError
from hwquant.files import digest, read_bytes, sealed, unsealed, write_bytes
from hwquant.names import path_name

REPORT = "report.json"
AGAIN = "delete its folder, and build for this board again"
_DIGESTS = "sha256"


def write_board_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the report of a board's folder, after everything else that is in it."""
    digests = {name: digest(folder / name) for name in _names(folder)}
    write_bytes(folder / REPORT, sealed({**report, _DIGESTS: digests}))


def read_board_report(folder: Path) -> dict[str, Any]:
    """Read the report of a board's folder; of the other files it has only the digests.

    Raises
    ------
    Damaged
        A byte of the report has changed.
    HwquantError
        The report cannot be read.
    """
    path = folder / REPORT
    try:
        report = unsealed(read_bytes(path))
        digests = report[_DIGESTS]
        if not all(isinstance(item, str) for pair in digests.items() for item in pair):
            raise ValueError("its checksums are none")
    except KeyError as error:
        raise Damaged(f"{path} has no {error}; {AGAIN}", path=str(path)) from error
    except (ValueError, AttributeError) as error:
        raise Damaged(f"{path} is damaged ({error}); {AGAIN}", path=str(path)) from error
    return report


def built_file(folder: Path, name: str) -> Path:
    """Find a file of a board's folder, of which no byte has changed since it was built.

    Parameters
    ----------
    folder : Path
        The board's folder.
    name : str
        Name of the file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    Damaged
        The file has changed, or is none that was built.
    """
    path = folder / path_name(name, f"a file in {folder}")
    if path.is_symlink() or read_board_report(folder)[_DIGESTS].get(name) != digest(path):
        raise Damaged(f"{path} is not what was built (its checksum is wrong); {AGAIN}", path=str(path))
    return path


def check_replaceable(folder: Path) -> None:
    """Raise unless a folder is absent, or holds nothing but what :func:`write_board_report` saw.

    Raises
    ------
    HwquantError
        The message names what the folder holds besides, such as the work of another program.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise HwquantError(f"{folder} is no folder that hwquant made; move it away")
    if not folder.exists():
        return
    names = _names(folder)
    others = names - {REPORT}
    if REPORT in names:
        others -= read_board_report(folder)[_DIGESTS].keys()
    if others:
        raise HwquantError(f"{folder} holds {min(others)!r}, which hwquant did not write; move it away")


def _names(folder: Path) -> set[str]:
    """Everything in a folder, and in folders in it, that is no folder; links are not followed."""
    return {
        os.path.relpath(os.path.join(place, name), folder)
        for place, folders, files in os.walk(folder)
        for name in [*files, *(item for item in folders if os.path.islink(os.path.join(place, item)))]
    }
