"""``hwquant estimate``: exact cycles, utilization and memories of a build."""

from __future__ import annotations

from pathlib import Path

import click

from hwquant.cli.common import emit, json_option


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@json_option
def estimate(build: Path, as_json: bool) -> None:
    """Cycles, utilization and memories of a build, layer by layer: exact, without simulating it."""
    from hwquant.build import load_build
    from hwquant.report import hardware_table, layer_table

    report = load_build(build).report
    emit(as_json, report.to_json(), layer_table(report), hardware_table(report))
