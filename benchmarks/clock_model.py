"""The clock estimate's coefficients and errors: designs that were routed.

    python benchmarks/clock_model.py add ROUTED.json
    python benchmarks/clock_model.py fit

``fit`` fits :mod:`hwquant.boards.clock_estimate` (scipy) to the designs that ``benchmarks/boards.py`` has routed, of
families that nextpnr times, and to those that were added, and writes ``boards/clock.json``. The errors are of each
design from the others; ``benchmarks/results/clock_model.json`` has them one by one.

``add`` takes other routed designs into ``benchmarks/results/clock_model_data.json``: objects with ``board``, ``array``,
``network``, ``cells`` (those that place and route packed), ``rams`` and ``mhz``, the clock that nextpnr says is
reached; another one of the same board, array and network replaces the earlier.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant.boards.board import load_board
from hwquant.boards.clock_estimate import burden, clock_model
from hwquant.boards.families.family import Device

DATA = "clock_model_data"
BOARDS = "boards"
MODEL = Path(__file__).resolve().parent.parent / "boards" / "clock.json"
FIELDS = ("board", "array", "network", "cells", "rams", "mhz")
EXPECTED = {"size": 0.07, "crowding": 0.1, "memory": 0.25}
"""What coefficients are held at as long as few designs say otherwise.

So are they between designs of this hardware on an ECP5-85 that were asked for more than they reached: 136 MHz
with 5,000 cells and 117 with 24,000; 100 MHz, more than was asked for, with 62,000 of 83,640; and 69 with 13,000, and
193 of 208 block RAMs.
"""
STIFFNESS = 0.2
"""How strongly, beside relative errors of the clock."""


@click.group()
def main() -> None:
    """Data and coefficients of the clock estimate."""


@main.command()
@click.argument("routed", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
def add(routed: tuple[Path, ...]) -> None:
    """Take in routed designs."""
    known = {_key(row): row for row in _added()}
    for path in routed:
        found = json.loads(path.read_text())
        for row in found if isinstance(found, list) else [found]:
            known[_key(row)] = {name: row[name] for name in FIELDS}
    write_results(DATA, [known[key] for key in sorted(known)])


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["board"], row["array"], row["network"]


@main.command()
def fit() -> None:
    """Fit, and write coefficients and errors."""
    data = rows()
    model: dict[str, Any] = fitted(data)
    results = []
    for index, row in enumerate(data):
        others = data[:index] + data[index + 1 :]
        family = device_of(row).family.name
        known = {device_of(item).family.name for item in others}
        estimate = _clock(fitted(others), row) if family in known else None
        results.append({**row, "from the others": estimate, "estimate": _clock(model, row)})
    errors = [abs(row["from the others"] / row["mhz"] - 1) for row in results if row["from the others"]]
    model["errors"] = {"designs": len(errors)}
    if errors:
        model["errors"] |= {"median": round(float(np.median(errors)), 4), "worst": round(max(errors), 4)}
    MODEL.write_text(json.dumps(model, indent=1) + "\n")
    clock_model.cache_clear()
    write_results("clock_model", {**model, "designs": results})
    table = Table("board", "network", "array", "cells", "RAMs", "MHz", "from the others", "fitted")
    for row in results:
        table.add_row(
            *(str(row[name]) for name in ("board", "network", "array", "cells", "rams", "mhz")),
            str(row["from the others"]),
            str(row["estimate"]),
        )
    console = Console()
    console.print(table)
    console.print(model)


def rows() -> list[dict[str, Any]]:
    """The routed designs: those of boards, and those that were added."""
    boards = json.loads((FOLDER / f"{BOARDS}.json").read_text())["results"].values()
    known = {
        _key(row): {**row, "cells": row["used"]["cell"], "rams": row["used"]["ram"], "mhz": row["fmax MHz"]}
        for row in boards
        if "cell" in row["used"]
    }
    known |= {_key(row): row for row in _added()}
    found = [{name: known[key][name] for name in FIELDS} for key in sorted(known)]
    return [row for row in found if device_of(row).family.timed]


def _added() -> list[dict[str, Any]]:
    """The designs that were added."""
    path = FOLDER / f"{DATA}.json"
    return list(json.loads(path.read_text())["results"]) if path.exists() else []


def device_of(row: dict[str, Any]) -> Device:
    """The FPGA of a routed design."""
    device = load_board(row["board"]).device
    assert device is not None
    return device


def fitted(data: list[dict[str, Any]]) -> dict[str, Any]:
    """The coefficients: least squares of relative errors, each coefficient drawn towards what is expected."""
    from scipy.optimize import least_squares

    devices = [device_of(row) for row in data]
    families = sorted({device.family.name for device in devices})
    place = np.array([families.index(device.family.name) for device in devices])
    clocks = np.array([row["mhz"] for row in data], float)
    expected = np.array(list(EXPECTED.values()))

    def misses(x: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = dict(zip(EXPECTED, x))
        loads = np.array([burden(device, _used(row), weights) for device, row in zip(devices, data)])
        times = x[len(EXPECTED) :][place]
        return np.concatenate(
            [np.log(times * loads * clocks / 1e3), STIFFNESS * (x[: len(EXPECTED)] / expected - 1)]
        )

    start = np.concatenate([expected, np.full(len(families), 5.0)])
    # Some designs have a slow path of their own, others were asked for less than they bear: neither may rule.
    found = least_squares(misses, start, bounds=(0, np.inf), loss="soft_l1", f_scale=0.05).x
    return {
        **{name: round(float(value), 4) for name, value in zip(EXPECTED, found)},
        "families": {
            name: {"nanoseconds": round(float(value), 4), "designs": int((place == index).sum())}
            for index, (name, value) in enumerate(zip(families, found[len(EXPECTED) :]))
        },
    }


def _clock(model: dict[str, Any], row: dict[str, Any]) -> float:
    """The clock in MHz that a model says."""
    device = device_of(row)
    load = burden(device, _used(row), model)
    return round(1e3 / (model["families"][device.family.name]["nanoseconds"] * load), 1)


def _used(row: dict[str, Any]) -> dict[str, float]:
    """What a design takes, by the names that the estimate has."""
    return {"cell": row["cells"], "ram": row["rams"]}


if __name__ == "__main__":
    main()
