"""``hwquant inspect``: what is in a model, an integer network or a build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType

from hwquant.cli.common import emit, json_option, load_network
from hwquant.cli.compile import limit_options, offset_option
from hwquant.cli.passes import inspect_pass
from hwquant.cli.tables import hardware_table, layer_table, network_table
from hwquant.describe import describe
from hwquant.errors import HwquantError
from hwquant.program.listing import PASSES

if TYPE_CHECKING:
    from hwquant.program.listing import PassName
    from hwquant.program.sizing import OffsetChoice


@click.command()
@click.argument("what", type=click.Path(path_type=Path), metavar="FILE_OR_BUILD")
@click.option("--program", "instructions", is_flag=True, help="Of a build: print its instructions.")
@click.option(
    "--pass",
    "name",
    type=click.Choice(PASSES),
    help="Of an integer network, with --array: print what a pass of the compiler makes of it: lowered layers, how each "
    "is mapped, where tensors are placed, the schedule and its tiles, the array's shape, instructions, parameters, "
    "or sizes.",
)
@click.option("--array", metavar="RxC", help="With --pass: rows and columns of the array.")
@click.option("--layer", metavar="NAME", help="With --pass: what belongs to this layer alone.")
@offset_option
@limit_options
@json_option
def inspect(
    what: Path,
    instructions: bool,
    name: PassName | None,
    array: str | None,
    layer: str | None,
    offset: OffsetChoice,
    as_json: bool,
    **limits: int | None,
) -> None:
    """What is in a model, an integer network or a build.

    Layer by layer, of a .onnx, .pt2 or .hwq file or of a folder that `hwquant compile` wrote; or, with --pass, what the
    compiler makes of a .hwq file on the way to a program.
    """
    if name is None and (array is not None or layer is not None):
        raise HwquantError(
            f"--array and --layer are for a pass of the compiler: add --pass {'|'.join(PASSES)}"
        )
    if name is not None:
        if array is None or instructions:
            raise HwquantError("--pass takes a .hwq file and --array RxC, and goes without --program")
        given = {key: value for key, value in limits.items() if value is not None}
        result, table = inspect_pass(what, array, name, layer, offset, given)
        output: list[RenderableType] = [table]
    elif what.is_dir():
        result, output = _inspect_build(what, instructions)
    elif instructions:
        raise HwquantError(f"{what} has no program; --program is for the folder that `hwquant compile` wrote")
    else:
        network = load_network(what)
        result, output = describe(network), [network_table(network)]
    emit(as_json, result, *output)


def _inspect_build(folder: Path, instructions: bool) -> tuple[dict[str, Any], list[RenderableType]]:
    from hwquant.build import load_build

    build = load_build(folder)
    report = build.report
    config = build.program.config.to_json()
    result = {**report.to_json(), "network": describe(build.qgraph), "config": config}
    output: list[RenderableType] = [network_table(build.qgraph), layer_table(report), hardware_table(report)]
    if instructions:
        lines = [str(instruction) for instruction in build.program.instructions]
        result["program"] = lines
        output += [f"{address:5}  {line}" for address, line in enumerate(lines)]
    return result, output
