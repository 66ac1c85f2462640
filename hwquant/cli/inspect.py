"""``hwquant inspect``: what is in a model, an integer network or a build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType

from hwquant.cli.common import emit, json_option, load_network
from hwquant.cli.compile import external_memory, external_option, limit_options, offset_option
from hwquant.cli.passes import board_passes, build_passes, inspect_pass, network_passes
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.tables import (
    external_tables,
    hardware_table,
    history_lines,
    host_lines,
    layer_table,
    network_table,
)
from hwquant.describe import describe
from hwquant.errors import HwquantError
from hwquant.program.listing import PASSES

if TYPE_CHECKING:
    from hwquant.boards.outside import ExternalChoice
    from hwquant.program.listing import PassName
    from hwquant.program.sizing import OffsetChoice


@click.command()
@click.argument("what", type=click.Path(path_type=Path), metavar="FILE_OR_BUILD")
@click.option("--program", "instructions", is_flag=True, help="Of a build: print its instructions.")
@click.option(
    "--pass",
    "name",
    type=click.Choice(PASSES),
    help="Of a build, or of an integer network with --array or --board: print what a pass of the compiler makes of it: "
    "lowered layers, in which bands they are computed where tensors are outside, how each is mapped, where tensors are "
    "placed, the schedule and its tiles, the array's shape, instructions, parameters, or sizes.",
)
@click.option("--array", metavar="[Kx]RxC", help="With --pass, of a network: the array.")
@click.option(
    "--board",
    metavar="BOARD",
    help="With --pass, of a network: what is compiled for this board, for the fastest array that fits it if none is "
    "given.",
)
@click.option("--layer", metavar="NAME", help="With --pass: what belongs to this layer alone.")
@offset_option
@limit_options
@external_option
@reading_options
@json_option
def inspect(
    what: Path,
    instructions: bool,
    name: PassName | None,
    array: str | None,
    board: str | None,
    layer: str | None,
    offset: OffsetChoice,
    external: ExternalChoice,
    reading: Reading,
    as_json: bool,
    **limits: int | None,
) -> None:
    """What is in a model, an integer network or a build.

    Layer by layer, of a .onnx, .pt2 or .hwq file or of a folder that `hwquant compile` wrote; or, with --pass, what the
    compiler makes of a .hwq file, or made for a build, on the way to a program.
    """
    given = {key: value for key, value in limits.items() if value is not None}
    hardware = array is not None or board is not None or offset != "auto" or bool(given)
    hardware = hardware or external not in ("auto", "none")
    if name is None and (hardware or layer is not None):
        raise HwquantError(
            "--array, --board, --layer, --offset, --external and the limits of memories are for a pass of the "
            f"compiler: add --pass {'|'.join(PASSES)}"
        )
    if name is not None:
        reading.check_unused(str(what))
        if instructions:
            raise HwquantError("--pass goes without --program; --pass emitted prints the instructions")
        if what.is_dir() and hardware:
            raise HwquantError(
                f"{what} has its array, of the size that it was compiled for; leave those options out"
            )
        if what.is_dir():
            passes = build_passes(what)
        elif board is not None:
            passes = board_passes(what, board, array, offset, given, external)
        elif array is not None:
            passes = network_passes(what, array, offset, given, external_memory(external))
        else:
            raise HwquantError("--pass takes a build, or a .hwq file and --array RxC or --board BOARD")
        result, table = inspect_pass(passes, name, layer)
        output: list[RenderableType] = [table]
    elif what.is_dir():
        reading.check_unused(f"build {what}")
        result, output = _inspect_build(what, instructions)
    elif instructions:
        raise HwquantError(f"{what} has no program; --program is for the folder that `hwquant compile` wrote")
    else:
        network = load_network(what, reading)
        result = describe(network)
        output = [network_table(network), *host_lines(network), *history_lines(result["history"])]
    emit(as_json, result, *output)


def _inspect_build(folder: Path, instructions: bool) -> tuple[dict[str, Any], list[RenderableType]]:
    from hwquant.build import load_build

    build = load_build(folder)
    report = build.report
    config = build.program.config.to_json()
    result = {**report.to_json(), "network": describe(build.qgraph), "config": config}
    output: list[RenderableType] = [
        network_table(build.qgraph),
        *host_lines(build.qgraph),
        *history_lines(result["network"]["history"]),
        layer_table(report),
        *external_tables(report),
        hardware_table(report),
    ]
    if instructions:
        lines = [str(instruction) for instruction in build.program.instructions]
        result["program"] = lines
        output += [f"{address:5}  {line}" for address, line in enumerate(lines)]
    return result, output
