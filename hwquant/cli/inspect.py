"""``hwquant inspect``: what is in a model, an integer network or a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from hwquant.cli.common import emit, json_option, load_network
from hwquant.cli.tables import hardware_table, layer_table, network_table
from hwquant.describe import describe
from hwquant.errors import HwquantError


@click.command()
@click.argument("what", type=click.Path(path_type=Path), metavar="FILE_OR_BUILD")
@click.option("--program", "listing", is_flag=True, help="Of a build: print its instructions.")
@json_option
def inspect(what: Path, listing: bool, as_json: bool) -> None:
    """What is in a model, an integer network or a build.

    Layer by layer, of a .onnx, .pt2 or .hwq file or of a folder that `hwquant compile` wrote.
    """
    if what.is_dir():
        result, output = _inspect_build(what, listing)
    elif listing:
        raise HwquantError(f"{what} has no program; --program is for the folder that `hwquant compile` wrote")
    else:
        network = load_network(what)
        result, output = describe(network), [network_table(network)]
    emit(as_json, result, *output)


def _inspect_build(folder: Path, listing: bool) -> tuple[dict[str, Any], list[RenderableType]]:
    from hwquant.build import load_build

    build = load_build(folder)
    report = build.report
    config = build.program.config.to_json()
    result = {**report.to_json(), "network": describe(build.qgraph), "config": config}
    output: list[RenderableType] = [network_table(build.qgraph), layer_table(report), hardware_table(report)]
    if listing:
        lines = [str(instruction) for instruction in build.program.instructions]
        result["program"] = lines
        output += [f"{address:5}  {line}" for address, line in enumerate(lines)]
    return result, output
