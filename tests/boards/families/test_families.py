"""A family is one object: one that is made up here is estimated, clocked, constrained and built like any other."""

import ast
import json
from pathlib import Path

import pytest
from amaranth.hdl import Const, Instance
from hwquant_testing.small_networks import Net

from hwquant.boards import clock_estimate, resources, tools
from hwquant.boards.board import Board
from hwquant.boards.clock_estimate import ClockEstimate
from hwquant.boards.clocking import clocks, pll_settings
from hwquant.boards.constraints import constraints
from hwquant.boards.device import DEVICES, NO_DEVICE
from hwquant.boards.families import FAMILIES
from hwquant.boards.families.constraints import Constraints, Pin
from hwquant.boards.families.family import Device, Family
from hwquant.boards.families.flow import Executable, OpenFlow, Routed
from hwquant.boards.families.pll import Pll
from hwquant.boards.families.ram import LogicCost, Ram
from hwquant.boards.fit import choose_array
from hwquant.boards.implement import implement
from hwquant.boards.resources import estimate_resources
from hwquant.build import write_build
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.dsp import DspBlocks

ROOT = Path(__file__).parents[3]
STANDS_ALONE = Executable("router", "router"), Executable("packer", "packer")


def _pll(settings, device, pins):
    clock, output, locked = pins
    return Instance(
        "MADE_UP_PLL",
        p_TIMES=settings.multiply,
        p_SERIES=device.series,
        i_IN=clock,
        i_RESET=Const(0),
        o_OUT=output,
        o_LOCK=locked,
    )


MADE_UP = Family(
    name="made_up",
    dsp=DspBlocks(12, 12, part=12, operand_bits=12),
    rams=(Ram(9, (8, 16), 8, 64, blocks=1),),
    logic_cost=LogicCost(register=1.0, table=1 / 16),
    pll=Pll(
        (100, 200), (5, 50), (5, 200), divide=4, multiply=16, posts=(1, 2, 4), internal=True, instance=_pll
    ),
    constraints=Constraints(
        "pins.txt",
        lambda pins, hertz: "".join(f"{port}@{pin.location}\n" for port, pin in pins.items()) + f"{hertz}\n",
        {"PULL": "UP"},
    ),
    synthesis=lambda device, top: f"synth_made_up -series {device.series} -top {top}",
    cells={"lut": {"LUT": 1}, "ff": {"FF*": 1}, "dsp": {"MUL": 1}, "ram": {"RAM": 1}},
    flow=OpenFlow(
        router=STANDS_ALONE[0],
        routing=lambda job: [job.device.name, job.constraints, f"{job.hertz:.0f}"],
        report=lambda text: Routed(float(text), {}),
        packer=STANDS_ALONE[1],
        packing=lambda device: [device.series],
        bitstream="made.up",
        cell="PLACE",
    ),
    notes=("nobody has one",),
)
DEVICE = Device("mu1", MADE_UP, *(9000, 9000, 20, 40, 8192), series="S")
PINS = {name: Pin(place) for name, place in (("tx", "C1"), ("clock", "A1"), ("rx", "B1"))}
BOARD = Board("mine", "Mine", DEVICE, clock_hz=20_000_000, pins=PINS, target_mhz=40.0)


@pytest.fixture
def fitted(monkeypatch):
    """Coefficients, here those of another family."""
    known = json.loads((ROOT / "boards" / "resources.json").read_text())
    model = {kind: {**values, MADE_UP.name: values["ice40"]} for kind, values in known.items()}
    clocks = {"size": 0.1, "crowding": 1.0, "families": {}}
    monkeypatch.setattr(clock_estimate, "clock_model", lambda: clocks)
    monkeypatch.setattr(resources, "resource_model", lambda: model)


@pytest.fixture
def qgraph():
    net = Net(x=(2, 3, 3))
    net.conv("x", 3, (2, 2))
    return net.build()


def test_a_new_family_is_estimated(fitted):
    config = ArrayConfig(4, 4, activation_depth=1024)
    found = estimate_resources(config, DEVICE, link=True)
    other = estimate_resources(config, DEVICES["ice40up5k"], link=True)
    assert (found.dsp, other.dsp) == (16, 8), "its own blocks, of which there are more"
    assert found.ram != other.ram, "its own RAMs"
    assert found.lut < other.lut, "fewer products are made of LUTs"


def test_a_new_family_is_fitted_to_networks(fitted, qgraph):
    found = choose_array(qgraph, BOARD)
    assert found.fits
    assert found.device == "mu1"
    assert found.chosen.clock == ClockEstimate(BOARD.target_mhz, 0), "none was routed"


def test_a_new_family_has_clocks_and_constraints():
    assert pll_settings(MADE_UP, 20_000_000, 41e6).hertz == 40e6
    assert max(clocks(MADE_UP, 20_000_000)) == 200e6
    assert constraints(BOARD, MADE_UP) == ("pins.txt", "clock@A1\nrx@B1\ntx@C1\n20000000\n")


def test_a_new_family_is_built(qgraph, tmp_path, monkeypatch):
    build = write_build(qgraph, compile_network(qgraph, (2, 2)), tmp_path / "build")
    commands = []

    def run(arguments, folder, log, what):
        """What Yosys, the router and the packer leave."""
        if log == "synthesis.log":
            commands.append((folder / "synthesis.ys").read_text().splitlines()[1])
            assert "MADE_UP_PLL" in (folder / "top.il").read_text()
            counts = {"LUT": 800, "FF1": 300, "FF2": 200, "MUL": 4, "MADE_UP_PLL": 1}
            cells = {
                f"{kind}{number}": {"type": kind, "parameters": {}, "connections": {}}
                for kind, count in counts.items()
                for number in range(count)
            }
            top = {"ports": {"divisor": {"bits": [2, 3]}}, "cells": cells}
            (folder / "netlist.json").write_text(json.dumps({"modules": {"top": top}}))
        else:
            commands.append(arguments)
        if log == "routing.log":
            (folder / "timing.json").write_text("44.5")
        (folder / log).write_text("Info: \t   OTHER:  70/   80  87%\nInfo: \t   PLACE:  900/ 9000  10%\n")
        (folder / "made.up").touch()

    monkeypatch.setattr(tools, "run", run)
    monkeypatch.setattr(tools, "tool", lambda program: program.name)
    result = implement(build, BOARD, effort="quick")
    assert commands == [
        "synth_made_up -series S -top top",
        ["router", "mu1", "pins.txt", "40000000", "--pack-only"],
        ["router", "mu1", "pins.txt", "40000000"],
        ["packer", "S"],
    ]
    assert result.used == {"lut": 800, "ff": 500, "dsp": 4, "ram": 0, "cell": 900}
    assert (result.clock_mhz, result.fmax_mhz, result.bitstream) == (40.0, 44.5, "made.up")
    assert result.notes == MADE_UP.notes


def test_every_family_was_fitted():
    model = json.loads((ROOT / "boards" / "resources.json").read_text())
    assert set(model["coefficients"]) == set(model["errors"]) == set(FAMILIES)


def test_devices_are_of_the_families_that_there_are():
    assert {device.family for device in DEVICES.values()} == set(FAMILIES.values())
    for name, device in DEVICES.items():
        assert name in (device.name, *device.aliases)
        packed = {"cell"} if isinstance(device.family.flow, OpenFlow) else set()
        assert device.resources.keys() == device.family.count({}).keys() | packed, (
            "what is counted is what there is"
        )


def names_in(path):
    """Texts in a file that are the name of a family."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in {*FAMILIES, NO_DEVICE}:
            yield node.value


def test_no_other_file_asks_for_a_family_by_its_name():
    wrong = []
    for folder in ("hwquant", "rtl_templates", "sim", "boards"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.parent != ROOT / "boards" / "families":
                wrong += [(path.relative_to(ROOT).as_posix(), name) for name in names_in(path)]
    assert wrong == [("boards/device.py", NO_DEVICE)]
