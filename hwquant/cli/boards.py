"""``hwquant boards``: the boards that builds can be made for."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwquant.cli.common import emit, json_option


@click.command()
@json_option
def boards(as_json: bool) -> None:
    """List the boards that builds can be made for.

    With device, resources, clock, host link, and the largest array that fits with the memories of a small network.
    """
    from hwquant.boards.board import board_names, load_board
    from hwquant.boards.fit import largest_array

    items = [load_board(name) for name in board_names()]
    table = Table(box=SIMPLE_HEAD)
    table.add_column("board", no_wrap=True)
    table.add_column("", overflow="fold", min_width=10)
    table.add_column("device", no_wrap=True)
    for title in ("LUT", "FF", "DSP", "RAM kbit", "clock MHz", "links", "baud", "largest array"):
        table.add_column(title, justify="right")
    result = []
    for item in items:
        device = item.device
        kilobits, cells, array = 0, [""] * 4, None
        if device is not None:
            kilobits = (device.rams * device.ram_bits + device.large_rams * device.large_ram_bits) // 1024
            cells = [str(n) for n in (device.luts, device.flip_flops, device.multipliers, kilobits)]
            array = largest_array(device)
        clock = f"{item.clock_hz / 1e6:g}" if item.clock_hz else ""
        largest = f"{array[0]}x{array[1]}" if array else ""
        table.add_row(
            item.name,
            item.title.partition(" with an ")[0],  # the device has a column
            item.device_name,
            *cells,
            clock,
            ", ".join(item.links),
            str(item.baud),
            largest,
        )
        result.append(
            {
                "name": item.name,
                "title": item.title,
                "device": item.device_name,
                "family": device.family.name if device else item.device_name,
                **(device.resources if device else dict.fromkeys(("lut", "ff", "dsp", "ram"), 0)),
                "ram_bits": kilobits * 1024,
                "clock_hz": item.clock_hz,
                "link": item.link,
                "links": list(item.links),
                "baud": item.baud,
                "largest_array": largest or None,
            }
        )
    emit(as_json, {"boards": result}, table)
