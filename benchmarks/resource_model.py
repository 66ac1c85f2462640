"""The resource model's data, coefficients and errors: a hundred accelerators through Yosys.

    python benchmarks/resource_model.py synthesize [--count 27] [--family ecp5 ...]
    python benchmarks/resource_model.py fit

``synthesize`` makes the accelerators of ``resource_cases.py``, each for its family as boards do. What was synthesized
before is taken from the cache folder, by the checksum of its RTLIL; so the command may be stopped and started again.
It writes ``benchmarks/results/resource_model_data.json``.

``fit`` fits :mod:`hwquant.boards.resources` to those that are not held out (scipy), writes its coefficients to
``boards/resources.json``, and the errors on those that are to ``benchmarks/results/resource_model.json``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from resource_cases import LARGE_ARRAYS, TARGETS, Case, case_of, large_case
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant.boards.budget import dsp_budget
from hwquant.boards.contents import Contents
from hwquant.boards.device import DEVICES
from hwquant.boards.features import Features, facts_for, features_of, part_named
from hwquant.boards.resources import cell_features, estimate_resources, resource_model
from hwquant.boards.synthesis import synthesized
from hwquant.errors import ToolStopped
from hwquant.files import cache_folder
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.facts import KNOWN

DATA = "resource_model_data"
MODEL = Path(__file__).resolve().parent.parent / "boards" / "resources.json"
POOLED = ("ecp5", "ice40", "gowin")
STIFFNESS = {"lut": 0.1, "ff": 1.0}
"""How strongly coefficients are held at what they are expected to be: those of registers at 1, as these are counted."""
OTHER_STIFFNESS = {"lut": 0.1, "ff": 0.45}
"""Of families that are not among POOLED."""
PART = {"lut": 1.0, "ff": 0.1}
"""Weight of a part, where the sum of its group has the weight 1: a register bears any of its names along the way."""
GROUPS = (
    (("array.pe",), ("array", "weights"), ("feed",)),
    (("collector.accumulator",), ("collector.requantize",), ("collector", "parameter_reader")),
    (
        *(("streamer",), ("sequencer",), ("dispatcher",), ("memory",), ("registers",), ("link",)),
        *(("host.packer",), ("banks",)),
        ("host", "writer", "top"),
    ),
)
"""Parts that are fitted together, and those among them that cannot be told apart by the names of their cells."""


def measure(case: Case, cache: Path) -> dict[str, Any]:
    """A row of the data."""
    made = case.make()
    contents = asdict(Contents.of_images(case.config, made.images))
    device = DEVICES[case.device]
    found = synthesized(case.top(made), device, dsp_budget(case.config, device), cache)
    return {
        "name": case.name,
        "device": case.device,
        "link": case.link,
        "held_out": case.held_out,
        "config": case.config.to_json(),
        "contents": contents,
        "used": found.used(device.family),
        "parts": {
            part: {kind: number for kind, number in device.family.count(cells).items() if number}
            for part, cells in sorted(found.parts.items())
        },
    }


@click.group()
def main() -> None:
    """Data and coefficients of the resource model."""


@main.command()
@click.option("--count", "number", default=27, show_default=True, help="Configurations a family.")
@click.option("--family", "families", multiple=True, default=tuple(TARGETS), show_default=True)
def synthesize(number: int, families: tuple[str, ...]) -> None:
    """Synthesize, in an order in which stopping early leaves an even choice; the large arrays last."""
    rows: list[dict[str, Any]] = []
    cases = (partial(case_of, family, index) for index in range(number) for family in families)
    for case in chain(cases, (partial(large_case, index) for index in range(len(LARGE_ARRAYS)))):
        try:
            row = measure(case(), cache_folder())
        except ToolStopped as error:  # Yosys' abc9 stops on some designs with a sum column
            print(f"{case} is left out: {error}", flush=True)
            continue
        rows.append(row)
        print(row["name"], row["used"], flush=True)
        write_results(DATA, rows)


@main.command()
def fit() -> None:
    """Fit to the rows that are not held out; write coefficients, and the errors on those that are."""
    rows = json.loads((FOLDER / f"{DATA}.json").read_text())["results"]
    model: dict[str, Any] = {"errors": {}, "coefficients": coefficients(rows), "cells": cells(rows)}
    MODEL.write_text(json.dumps(model, indent=1) + "\n")
    resource_model.cache_clear()
    model["errors"] = errors(rows)
    MODEL.write_text(json.dumps(model, indent=1) + "\n")
    table = Table("family", "resource", "held out", "median", "worst", "of", "median of the fitted", "worst")
    own_errors = errors(rows, held_out=False)
    write_results("resource_model", {"held out": model["errors"], "fitted": own_errors})
    for family, kinds in model["errors"].items():
        for kind, found in kinds.items():
            own = own_errors[family][kind]
            figures = [f"{value:.1%}" for value in (found["median"], found["worst"])]
            figures += [found["of"], *(f"{value:.1%}" for value in (own["median"], own["worst"]))]
            table.add_row(family, kind, str(found["configurations"]), *figures)
    Console().print(table)


def coefficients(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """By family, resource, part of the hierarchy and feature.

    Non-negative least squares, part by part: the netlist's names say how much of it is whose. Errors are relative to
    the whole design. First for all families of four-input LUTs together, then for each family, drawn towards those:
    a family's few dozens of configurations do not tell all features apart.
    """
    result: dict[str, dict[str, dict[str, dict[str, float]]]] = {family: {} for family in TARGETS}
    for kind in ("lut", "ff"):
        for group in GROUPS:
            tables = {family: observations(rows, family, kind, group) for family in TARGETS}
            keys = sorted({key for table in tables.values() for item, _ in table for key in item})
            data = {family: matrices(keys, table) for family, table in tables.items()}
            x, y = (np.concatenate(parts) for parts in zip(*(data[family] for family in POOLED)))
            initial = np.full(len(keys), 1.0 if kind == "ff" else 0.0)
            prior = solve(x, y, initial, STIFFNESS[kind])
            for family, (x, y) in data.items():
                stiffness = STIFFNESS if family in POOLED else OTHER_STIFFNESS
                found = fitted(x, y, prior, stiffness[kind])
                parts = result[family].setdefault(kind, {})
                for (part, name), value in zip(keys, found):
                    parts.setdefault(part, {})[name] = round(float(value), 4)
    return result


def cells(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By family and feature: cells beside LUTs, of the rows that are fitted to and that place and route has packed.

    Non-negative least squares of relative errors, from the LUTs and flip-flops that synthesis counted.
    """
    from scipy.optimize import nnls

    result: dict[str, dict[str, float]] = {}
    for family in TARGETS:
        own = [
            row for row in rows if family_of(row) == family and not row["held_out"] and "cell" in row["used"]
        ]
        if not own:
            continue
        features = [cell_features(parts_of(row), row["used"]["ff"]) for row in own]
        total = np.array([row["used"]["cell"] for row in own], float)
        added = total - [row["used"]["lut"] for row in own]
        x = np.array([list(item.values()) for item in features]) / total[:, None]
        found, _ = nnls(x, added / total)
        result[family] = {name: round(float(value), 4) for name, value in zip(features[0], found)}
    return result


def family_of(row: dict[str, Any]) -> str:
    """The family of a row's device."""
    return DEVICES[row["device"]].family.name


def parts_of(row: dict[str, Any]) -> dict[str, Features]:
    """The features of a row."""
    device, config = DEVICES[row["device"]], ArrayConfig.from_json(row["config"])
    return features_of(
        facts_for(config, device, link=row["link"]), config, device.family, Contents(**row["contents"])
    )


Matrices = tuple[NDArray[np.float64], NDArray[np.float64]]


def observations(
    rows: list[dict[str, Any]], family: str, kind: str, group: tuple[tuple[str, ...], ...]
) -> list[tuple[dict[tuple[str, str], float], float]]:
    """Of each fitted row: features of a group of parts and what they are to explain, relative to the whole design.

    The sum of the group counts fully, its parts count less: a gate between two of them bears the name of either.
    """
    found = []
    for row in rows:
        if family_of(row) != family or row["held_out"]:
            continue
        parts = parts_of(row)
        whole = row["used"][kind]
        everything: dict[tuple[str, str], float] = {}
        total = 0.0
        for names in group:
            used = sum(
                counts.get(kind, 0) for path, counts in row["parts"].items() if part_named(path) in names
            )
            own: dict[tuple[str, str], float] = {}
            for part in names:
                values = dict(getattr(parts[part], kind)) if part in parts else {}
                used -= values.pop(KNOWN, 0)
                own |= {(part, name): value / whole for name, value in values.items()}
            if own:
                found.append(
                    ({key: PART[kind] * value for key, value in own.items()}, PART[kind] * used / whole)
                )
            everything |= own
            total += used / whole
        found.append((everything, total))
    return found


def matrices(
    keys: list[tuple[str, str]], found: list[tuple[dict[tuple[str, str], float], float]]
) -> Matrices:
    """(equations, keys), and (equations)."""
    x = np.array([[item.get(key, 0) for key in keys] for item, _ in found], float).reshape(-1, len(keys))
    return x, np.array([wanted for _, wanted in found], float)


def fitted(
    x: NDArray[np.float64], y: NDArray[np.float64], prior: NDArray[np.float64], stiffness: float
) -> NDArray[np.float64]:
    """A family's coefficients: drawn towards the common ones, times what best fits the family as a whole."""
    known = x @ prior
    share = float(known @ y / (known @ known)) if known.any() else 1.0
    return solve(x, y, max(0.0, share) * prior, stiffness)


def solve(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    prior: NDArray[np.float64],
    stiffness: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Least squares of ``x @ c - y`` with c >= 0, each coefficient held at its prior by a spring.

    A spring's strength is in relation to what the feature explains.
    """
    from scipy.optimize import nnls

    weight = stiffness * np.sqrt((x**2).sum(axis=0)) + 1e-6
    found, _ = nnls(np.vstack([x, np.diag(weight)]), np.concatenate([y, weight * prior]))
    return np.asarray(found)


def errors(rows: list[dict[str, Any]], held_out: bool = True) -> dict[str, dict[str, dict[str, Any]]]:
    """By family and resource: how many, median and worst relative error, and of which configuration."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for family in TARGETS:
        for kind in ("lut", "ff", "dsp", "ram", "cell"):
            found = sorted(
                (abs(estimated(row)[kind] - row["used"][kind]) / max(1, row["used"][kind]), row["name"])
                for row in rows
                if family_of(row) == family and row["held_out"] == held_out and kind in row["used"]
            )
            if found:
                result.setdefault(family, {})[kind] = {
                    "configurations": len(found),
                    "median": round(float(np.median([error for error, _ in found])), 4),
                    "worst": round(found[-1][0], 4),
                    "of": found[-1][1],
                }
    return result


def estimated(row: dict[str, Any]) -> dict[str, int]:
    """The model's counts for a row."""
    config, contents = ArrayConfig.from_json(row["config"]), Contents(**row["contents"])
    return asdict(estimate_resources(config, DEVICES[row["device"]], link=row["link"], contents=contents))


if __name__ == "__main__":
    main()
