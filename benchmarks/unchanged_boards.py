"""Cases of ``unchanged.py`` for boards: what every board's and device's tools would be given, without running them.

Of a board and a program: the estimate of its resources, what ``fit`` chooses, and a build in which the programs are
replaced by one that notes its command line and every file that is there, and answers as nextpnr does: the first clock
is missed, the second is met.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import hwquant

Case = tuple[str, Callable[[], dict[str, str]]]
REACHED = (0.9, 1.5)
"""Of the clock that is asked for, what each attempt at routing reaches."""


def digest(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def networks() -> dict[str, Any]:
    """The demo network, and one whose offsets are wide and whose scales are multipliers."""
    import hwquant.demo
    from hwquant.random_networks import Features, random_qgraph

    folder = Path(hwquant.demo.__file__).parent
    calibration = np.load(folder / "calibration.npz")
    data = {name: calibration[name] for name in calibration.files if name != "y"}
    graph = hwquant.load_model(folder / "digits.onnx")
    if graph.inputs[0].name not in data:
        data = {graph.inputs[0].name: next(iter(data.values()))}
    return {
        "demo": hwquant.quantize_network(graph, data),
        "random": random_qgraph(np.random.default_rng(3), Features(multiplier=True, channels=(3, 12))),
    }


class Tools:
    """In the place of Yosys, nextpnr and the packers."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.routed = 0

    def run(self, arguments: list[str], folder: Path, log: str, what: str) -> None:
        """Note the command and the files, then leave what the program would."""
        command = [item.replace(str(Path(sys.executable).parent), "BIN") for item in arguments]
        files = {
            item.name: digest(item.read_text(encoding="utf-8"))
            for item in sorted(folder.iterdir())
            if item.is_file()
        }
        self.seen.append([command, log, what, files])
        (folder / log).write_text("said\n")
        if log == "synthesis.log":
            cells = {f"lut{number}": {"type": "LUT4", "connections": {}} for number in range(3)}
            module = {"ports": {"divisor": {"bits": []}}, "cells": cells}
            (folder / "netlist.json").write_text(json.dumps({"modules": {"top": module}}))
        elif log == "routing.log":
            asked = float(arguments[arguments.index("--freq") + 1])
            reached = asked * REACHED[self.routed]
            self.routed += 1
            report = {"fmax": {"clock": {"achieved": reached}}, "utilization": {"LUT": {"used": 3}}}
            (folder / "timing.json").write_text(json.dumps(report))
        else:
            name = "top.fs" if "top.fs" in arguments else "top.bit"
            (folder / name).write_text("bits\n")


def build_case(board: str, name: str) -> dict[str, str]:
    """All that a build for a board writes, and every command that it runs."""
    from hwquant.boards import tools
    from hwquant.boards.board import load_board
    from hwquant.boards.implement import implement
    from hwquant.build import write_build

    target, qgraph = load_board(board), networks()[name]
    program = hwquant.compile_network(qgraph, (4, 4))
    noted = Tools()
    with tempfile.TemporaryDirectory() as folder:
        build = write_build(qgraph, program, Path(folder) / "build")
        with patch.object(tools, "run", noted.run):
            result = dataclasses.asdict(
                implement(build, target, clock_mhz=None if target.target_mhz else 50.0)
            )
        place = build.folder / "boards" / board
        files = {
            item.name: digest(item.read_text(encoding="utf-8"))
            for item in sorted(place.iterdir())
            if item.name != "report.json"
        }
        report = json.loads((place / "report.json").read_text())
    result.pop("seconds")
    report_keys = list(report)
    return {
        "board commands": digest(noted.seen),
        "board files": digest(files),
        "board result": digest([list(result), result, report_keys]),
        "board board": digest([board, target.title, target.clock_hz, dict(target.pins), target.baud]),
    }


def fit_case(board: str, name: str) -> dict[str, str]:
    """The array that is chosen for a board, with the reason; or why there is none."""
    from hwquant.boards.board import load_board
    from hwquant.boards.fit import choose_array

    try:
        found = choose_array(networks()[name], load_board(board))
    except hwquant.HwquantError as error:
        return {"fit": digest(str(error))}
    return {"fit": digest([dataclasses.asdict(found), found.reason, found.milliseconds])}


def device_case(device: str) -> dict[str, str]:
    """Estimates, clocks and settings of a device, and its memories of many sizes."""
    from hwquant.boards.clocking import clocks, pll_settings
    from hwquant.boards.contents import Contents
    from hwquant.boards.device import find_device
    from hwquant.boards.memories import Memory, memory_resources
    from hwquant.boards.needs import needs
    from hwquant.boards.resources import estimate_resources, model_errors

    item = find_device(device)
    estimates = []
    for name in networks():
        for array, options in (((2, 2), {}), ((4, 4), {"offset": "sum"}), ((9, 4), {}), ((8, 16), {})):
            for operand_bits in (9, item.operand_bits):
                try:
                    program = hwquant.compile_network(
                        networks()[name], array, operand_bits=operand_bits, **options
                    )
                except hwquant.HwquantError as error:
                    estimates.append(str(error))
                    continue
                contents = Contents.of_program(program)
                estimates += [
                    dataclasses.asdict(estimate_resources(program.config, item, link=link, contents=contents))
                    for link in (False, True)
                ]
                estimates.append([dataclasses.asdict(need) for need in needs(program.config, item, contents)])
                estimates.append(item.products(program.config.activation_bits, program.config.operand_bits))
    memories = [
        dataclasses.asdict(memory_resources(Memory(depth, width, rom=rom, read_first=first), item.family))
        for depth in (4, 16, 33, 64, 500, 1024, 3000, 20_000)
        for width in (1, 4, 9, 24, 40, 100)
        for rom in (False, True)
        for first in (False, True)
    ]
    settings = []
    for source, wanted in ((12, 24), (25, 100), (27, 54), (100, 125), (12, 14), (48, 48)):
        try:
            found = pll_settings(item.family, source * 10**6, wanted * 1e6)
            settings.append([found.divide, found.multiply, found.post, found.hertz])
        except hwquant.HwquantError as error:
            settings.append(str(error))
        settings.append(clocks(item.family, source * 10**6))
    return {
        "device estimates": digest(estimates),
        "device memories": digest(memories),
        "device clocks": digest(settings),
        "device errors": digest(model_errors(item.family)),
        "device resources": digest(dict(item.resources)),
    }


def command_case(arguments: list[str]) -> dict[str, str]:
    """What a command prints."""
    from click.testing import CliRunner

    from hwquant.cli import main

    run = CliRunner().invoke(main, arguments)
    return {"command": digest([run.exit_code, run.output])}


def board_cases(verilog: bool) -> Iterator[Case]:
    """Every board that comes along and every device, on two networks; ``verilog`` makes no difference."""
    from hwquant.boards.board import board_names
    from hwquant.boards.device import DEVICES

    for board in board_names():
        for name in ("demo", "random"):
            yield f"boards build {board} {name}", lambda board=board, name=name: build_case(board, name)
            yield f"boards fit {board} {name}", lambda board=board, name=name: fit_case(board, name)
    for device in sorted(set(DEVICES) - {"generic"}):
        yield f"boards device {device}", lambda device=device: device_case(device)
    for arguments in (["boards"], ["boards", "--json"]):
        yield f"boards command {' '.join(arguments)}", lambda arguments=arguments: command_case(arguments)
