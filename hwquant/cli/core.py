"""``hwquant core``: the accelerator for a system of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from hwquant.cli.common import emit, json_option
from hwquant.errors import HwquantError

BUSES = ("axi", "wishbone", "stream")


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--bus",
    default="axi",
    show_default=True,
    type=click.Choice(BUSES),
    help="axi: AXI4-Lite and AXI4-Stream; wishbone: 32 bits, classic; stream: valid and ready.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER/",
    help="Where the files go; it is made where it is missing.",
)
@json_option
def core(build: Path, bus: str, output: Path, as_json: bool) -> None:
    """Write BUILD's accelerator as a core with a bus.

    Verilog, and a FuseSoC .core file beside it.
    """
    from hwquant.build import load_build
    from hwquant.container import write_bytes
    from hwquant.rtl_templates.ip_core import core_files

    program = load_build(build).program
    if output.resolve().is_relative_to(build.resolve()):
        raise HwquantError(f"{output} is in the build, which holds nothing else; choose another folder")
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise HwquantError(f"cannot make the folder {output}: {error.strerror}; choose another") from error
    files = core_files(program, bus)
    paths = [output / name for name in files]
    for path, text in zip(paths, files.values()):
        write_bytes(path, text.encode())
    result = {"bus": bus, "files": [str(path) for path in paths], "checksum": program.checksum}
    emit(as_json, result, *(f"wrote {path}" for path in paths))
