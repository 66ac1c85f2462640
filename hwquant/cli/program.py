"""``hwquant program``: a bitstream onto a board."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from hwquant.cli.common import emit, json_option
from hwquant.errors import HwquantError, MissingPackage

if TYPE_CHECKING:
    from hwquant.boards.board import Board


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--board", required=True, metavar="BOARD", help="A name (hwquant boards), or a TOML file of your own."
)
@click.option("--flash", is_flag=True, help="Into the flash, so that it survives power off.")
@json_option
def program(folder: Path, board: str, flash: bool, as_json: bool) -> None:
    """Load the bitstream of `hwquant build` into a board.

    With openFPGALoader.
    """
    from hwquant.boards.board import load_board
    from hwquant.boards.families.languages import word
    from hwquant.build import tidy

    chosen = load_board(board)
    tidy(folder)
    bitstream = _bitstream(folder, chosen, f"build it with: hwquant build {folder} --board {board}")
    loader = shutil.which("openFPGALoader")
    if loader is None:
        raise MissingPackage(
            "openFPGALoader is not installed; get it with: apt install openfpgaloader, or from its project's page",
            package="openFPGALoader",
        )
    command = [
        loader,
        *(["--board", word(chosen.programmer, "a command line")] if chosen.programmer else []),
        *(["--write-flash"] if flash else []),
    ]
    # Absolute, as a path that begins with a hyphen would be an option. What it says is no part of the JSON.
    done = subprocess.run([*command, str(bitstream.absolute())], stdout=2 if as_json else None, check=False)
    if done.returncode:
        raise HwquantError(f"openFPGALoader failed with status {done.returncode}; is the board connected?")
    emit(as_json, {"board": chosen.name, "bitstream": str(bitstream)}, f"loaded {bitstream}")


def _bitstream(folder: Path, board: Board, again: str) -> Path:
    """Find the bitstream that was built for a board, or that Vivado made of what was built.

    Raises
    ------
    HwquantError
        There is none; the message says how to make one.
    Damaged
        The bitstream is not the one that was built.
    """
    from hwquant.board_report import REPORT, built_file, read_board_report
    from hwquant.build import BOARDS

    place = folder / BOARDS / board.name
    if not (place / REPORT).is_file():
        raise HwquantError(f"there is no bitstream for {board.name} in {folder}; {again}")
    report = read_board_report(place)
    if report.get("device") != board.device_name:
        raise HwquantError(f"{place} was built for another device than {board.device_name}; {again}")
    name = report.get("bitstream")
    vendor = board.vendor
    if vendor is not None and name == "":
        found = place / vendor.bitstream
        if found.is_symlink() or not found.is_file():
            run = f"cd {quote(str(place))} && {vendor.command}"
            raise HwquantError(f"there is no bitstream in {place} yet; {vendor.tool} makes it: {run}")
        return found
    if not isinstance(name, str) or not name or not (place / name).is_file():
        raise HwquantError(f"there is no bitstream in {place}; {again}")
    return built_file(place, name)
