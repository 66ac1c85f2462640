"""``hwquant boards``: the boards that builds can be made for."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwquant.cli.common import emit, json_option


@click.command()
@json_option
def boards(as_json: bool) -> None:
    """The boards: device, resources, clock and host link."""
    from hwquant.boards.board import board_names, load_board

    items = [load_board(name) for name in board_names()]
    table = Table(box=SIMPLE_HEAD)
    for title in ("board", "", "device"):
        table.add_column(title)
    for title in ("LUT", "FF", "DSP", "RAM kbit", "oscillator MHz", "UART baud"):
        table.add_column(title, justify="right")
    result = []
    for item in items:
        device = item.device
        kilobits = (device.rams * device.ram_bits + device.large_rams * device.large_ram_bits) // 1024
        numbers = [device.luts, device.flip_flops, device.multipliers, kilobits]
        if device.family == "generic":
            numbers = []
        cells = [str(number) for number in numbers] or ["", "", "", ""]
        clock = f"{item.clock_hz / 1e6:g}" if item.clock_hz else ""
        table.add_row(item.name, item.title, device.name, *cells, clock, str(item.baud))
        result.append(
            {
                "name": item.name,
                "title": item.title,
                "device": device.name,
                "family": device.family,
                **device.resources,
                "ram_bits": kilobits * 1024,
                "clock_hz": item.clock_hz,
                "baud": item.baud,
            }
        )
    emit(as_json, {"boards": result}, table)
