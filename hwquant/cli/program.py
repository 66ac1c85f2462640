"""``hwquant program``: a bitstream onto a board."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import click

from hwquant.cli.common import emit, json_option
from hwquant.errors import HwquantError


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
    from hwquant.build import BOARDS, REPORT

    chosen = load_board(board)
    place = folder / BOARDS / chosen.name
    again = f"build it with: hwquant build {folder} --board {board}"
    try:
        name = json.loads((place / REPORT).read_text(encoding="utf-8"))["bitstream"]
    except (OSError, ValueError, KeyError) as error:
        raise HwquantError(f"there is no bitstream for {chosen.name} in {folder}; {again}") from error
    if not name or not (place / name).is_file():
        raise HwquantError(f"there is no bitstream in {place}; {again}")
    loader = shutil.which("openFPGALoader")
    if loader is None:
        raise HwquantError(
            "openFPGALoader is not installed; get it with: apt install openfpgaloader, or from its project's page"
        )
    command = [
        loader,
        *(["--board", chosen.programmer] if chosen.programmer else []),
        *(["--write-flash"] if flash else []),
    ]
    done = subprocess.run([*command, str(place / name)], check=False)
    if done.returncode:
        raise HwquantError(f"openFPGALoader failed with status {done.returncode}; is the board connected?")
    emit(as_json, {"board": chosen.name, "bitstream": str(place / name)}, f"loaded {place / name}")
