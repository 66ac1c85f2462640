"""The resource model's data, coefficients and errors: a hundred accelerators through Yosys.

    python benchmarks/resource_model.py synthesize [--count 27] [--family ecp5 ...]
    python benchmarks/resource_model.py fit

``synthesize`` draws configurations (seeded): free ones with random memory contents, and programs compiled from
random networks, the demo, mnist-conv and MLPerf Tiny's ResNet8 and DS-CNN; some behind their UART. Each is
synthesized for its family as boards do. What was synthesized before is taken from the cache folder, by the
checksum of its RTLIL; so the command may be stopped and started again. It writes
``benchmarks/results/resource_model_data.json``. Which of the configurations are held out is fixed beforehand.

``fit`` fits :mod:`hwquant.boards.resources` to those that are not (scipy), writes its coefficients to
``boards/resources.json``, and the errors on those that are to ``benchmarks/results/resource_model.json``.

Above 400 lines, since data and fit share what a configuration is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant.boards.contents import Contents
from hwquant.boards.device import DEVICES
from hwquant.boards.families.family import Device
from hwquant.boards.features import features, part_named
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.boards.resources import _model, estimate_resources
from hwquant.boards.synthesis import synthesized
from hwquant.errors import DoesNotFit, ToolStopped, Unsupported
from hwquant.files import cache_folder
from hwquant.program.compiler import compile_network
from hwquant.program.config import TAP_COLUMNS, ArrayConfig
from hwquant.program.isa import Opcode, disassemble, program_bits
from hwquant.program.program import Program
from hwquant.qgraph import QGraph
from hwquant.quantize import quantize
from hwquant.rtl_templates.board import Board
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.dsp import array_multipliers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from hwquant_testing.random_networks import Features, random_qgraph

SEED = 20261
DATA = "resource_model_data"
MODEL = Path(__file__).resolve().parent.parent / "boards" / "resources.json"
POOLED = ("ecp5", "ice40", "gowin")
STIFFNESS = {"lut": 0.1, "ff": 0.3}
UNCOUNTED = {"one", "loadable", "load", "word"}
"""Features of registers that stand for some, not for as many as their value."""
PART = 1.0
"""Weight of a part, where the sum of its group has the weight 1."""
GROUPS = (
    (("array.pe",), ("array", "weights"), ("feed",)),
    (("collector.accumulator",), ("collector.requantize",), ("collector", "parameter_reader")),
    (
        *(("streamer",), ("sequencer",), ("dispatcher",), ("memory",), ("registers",), ("link",)),
        ("host", "writer", "top"),
    ),
)
"""Parts that are fitted together, and those among them that cannot be told apart by the names of their cells."""
TARGETS = {
    "ecp5": ("ecp5-85k", "ecp5-25k"),
    "ice40": ("ice40-up5k",),
    "gowin": ("gw1n-9", "gw2a-18"),
    "xilinx7": ("xc7a35t", "xc7a100t"),
}
SHAPES = (
    *((2, 2), (2, 2), (2, 3), (3, 2), (2, 4), (4, 2), (3, 3), (4, 4), (4, 4), (5, 4), (4, 6), (6, 6), (8, 8)),
)
LARGE = {"ecp5": {15: (16, 8)}, "xilinx7": {15: (16, 8)}, "gowin": {15: (8, 8)}, "ice40": {15: (8, 8)}}
"""Shapes of some configurations."""
FITTED = 12
"""Of each family, the first so many configurations: the model is fitted to these, and measured on those after them."""
DIVISOR = 100
"""Of the UART's clock."""


@dataclass(frozen=True)
class Case:
    """A configuration and what to synthesize for it."""

    name: str
    device: str
    link: bool
    held_out: bool
    config: ArrayConfig
    make: Callable[[], Accelerator]


def case_of(family: str, index: int) -> Case:
    """The ``index``-th configuration of a family."""
    rng = np.random.default_rng([SEED, sorted(TARGETS).index(family), index])
    device = str(rng.choice(TARGETS[family]))
    link = index % 4 == 1
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    shape = LARGE[family].get(index, shape)
    kind = index % 5
    while True:
        try:
            if kind in (0, 2):
                name, (config, make) = "free", free(rng, shape, DEVICES[device])
            else:
                name, program = compiled(rng, shape, real=kind == 4)
                config = program.config
                make = partial(accelerator, program, loadable=weights_in_large_ram(config, DEVICES[device]))
        except (DoesNotFit, Unsupported):  # this network is not for this array: draw another one
            continue
        return Case(f"{family}/{index}: {name}", device, link, index >= FITTED, config, make)


def free(
    rng: np.random.Generator, shape: tuple[int, int], device: Device
) -> tuple[ArrayConfig, Callable[[], Accelerator]]:
    """Any configuration, with random words in its memories."""

    def chance(share: float) -> bool:
        return bool(rng.random() < share)

    def between(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    def choice(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    rows, columns = shape
    weight_bits = choice(2, 3, 4, 4, 5, 6, 7, 8, 8, 8)
    activation_bits = choice(2, 3, 4, 4, 5, 6, 7, 8, 8, 8)
    offset = choice("edge", "edge", "edge", "sum", "none")
    offset_bits = between(2, weight_bits + 1)
    packing = choice(1, 1, 1, 2, 4) if weight_bits >= 4 else 1
    channel_offsets = offset != "none" and chance(0.3)
    load_rows = choice(*(n for n in (1, 2, 4) if n <= min(packing, rows)))
    taps = offset != "sum" and columns <= rows and chance(0.3)
    multiplier = chance(0.3)
    config = ArrayConfig(
        rows=rows,
        columns=columns,
        activation_bits=activation_bits,
        weight_bits=weight_bits,
        weight_packing=packing,
        load_rows=1 if offset == "sum" and channel_offsets else load_rows,
        adjusted_bits=weight_bits + 1,
        offset=offset,
        offset_bits=offset_bits,
        channel_offsets=channel_offsets,
        accumulator_bits=between(activation_bits + weight_bits + 4, 32),
        accumulator_depth=choice(16, 32, 64, 128, 256, 512, 512, 1024),
        multiplier_bits=between(8, 16) if multiplier else 0,
        shift_bits=between(4, 6) if multiplier else between(3, 5),
        coordinate_bits=between(4, 9),
        block_steps=choice(64, 256, 512, 1024, 4096),
        window_sums=chance(0.3),
        tap_lines=min(rows // TAP_COLUMNS, choice(1, 3)) if taps else 0,
        tap_depth=choice(8, 16, 32, 64),
        activation_depth=choice(64, 256, 512, 1024, 2048, 4096, 6000),
        weight_depth=choice(64, 256, 512, 1024, 2048, 3000, 4096),
        parameter_depth=choice(32, 64, 128, 256, 512),
        program_depth=choice(64, 128, 256, 512, 1024),
    )
    seed = int(rng.integers(1 << 32))

    def make() -> Accelerator:
        words = np.random.default_rng(seed)

        def image(depth: int, bits: int) -> list[int]:
            return [int.from_bytes(words.bytes(-(-bits // 8)), "little") % (1 << bits) for _ in range(depth)]

        return Accelerator(
            config,
            program=image(config.program_depth, program_bits(config)),
            weights=image(config.weight_depth, config.columns * config.slot_bits),
            parameters=image(config.parameter_depth, config.parameter_bits),
            checksum=int(words.integers(1 << 32)),
            loadable=weights_in_large_ram(config, device),
        )

    return config, make


def compiled(rng: np.random.Generator, shape: tuple[int, int], real: bool) -> tuple[str, Program]:
    """A program, and the name of its network."""
    offset = "sum" if rng.random() < 0.2 else "auto"
    if real:
        name = str(rng.choice(["demo", "mnist-conv", "resnet8", "ds-cnn"]))
        bits = int(rng.choice([2, 3, 4, 6, 8, 8]))
        qgraph = network(
            name, bits, int(rng.choice([bits, 8])), bool(rng.random() < 0.3), bool(rng.random() < 0.3)
        )
        return f"{name}, {bits} bits", compile_network(qgraph, shape, offset=offset)
    most = int(rng.choice([4, 8, 8]))
    features = Features(
        activation_bits=(most - 2, most),
        weight_bits=(2, int(rng.choice([4, 8]))),
        channels=(1, 24),
        size=(4, 20),
        multiplier=bool(rng.random() < 0.3),
        per_channel=bool(rng.random() < 0.3),
        depthwise=bool(rng.random() < 0.5),
        concat=bool(rng.random() < 0.5),
    )
    while True:
        program = compile_network(random_qgraph(rng, features), shape, offset=offset)
        if complete(program):
            return "random network", program


def complete(program: Program) -> bool:
    """Whether sums of several tiles are added up, and multipliers differ, if there are any.

    In hardware for a network in which they do not, synthesis finds no need of accumulators or multipliers.
    """
    tiles = [
        item.values["first"]
        for item in disassemble(list(program.words), program.config)
        if item.opcode is Opcode.TILE
    ]
    multipliers = set(program.multiplier.tolist())
    return 0 in tiles and (len(multipliers) > 1 or not program.config.multiplier_bits)


@lru_cache
def network(name: str, bits: int, activation_bits: int, per_channel: bool, multiplier: bool) -> QGraph:
    """A real network, quantized. Few images, as their values hardly matter to the hardware."""
    from datasets import data_folder, mnist
    from mlperf_networks import data, model

    from hwquant import demo
    from hwquant.data import load_samples
    from hwquant.frontends import from_onnx, load_model

    if name == "demo":
        graph = load_model(demo.MODEL)
        x = load_samples(demo.CALIBRATION, graph.inputs).x
    elif name == "mnist-conv":
        graph = load_model(data_folder() / "mnist_conv" / "model.onnx")
        x = mnist("train")[0][:64].astype(np.float32) / 255
    else:
        key = {"resnet8": "ic", "ds-cnn": "kws"}[name]
        graph, x = from_onnx(model(key)), data(key).reference
    return quantize(
        graph,
        x[:64],
        bits=bits,
        activation_bits=activation_bits,
        per_channel=per_channel,
        scales="multiplier" if multiplier else "shift",
    )


def measure(case: Case, cache: Path) -> dict[str, Any]:
    """A row of the data."""
    made = case.make()
    contents = asdict(Contents.of_images(case.config, made.images))
    device = DEVICES[case.device]
    budget = device.budget(case.config)
    found = synthesized(Board(made, DIVISOR) if case.link else made, device, budget, cache)
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
    """Synthesize, in an order in which stopping early leaves an even choice."""
    rows = []
    for index in range(number):
        for family in families:
            try:
                row = measure(case_of(family, index), cache_folder())
            except ToolStopped as error:  # Yosys' abc9 stops on some designs with a sum column
                print(f"{family}/{index} is left out: {error}", flush=True)
                continue
            rows.append(row)
            print(row["name"], row["used"], flush=True)
            write_results(DATA, rows)


@main.command()
def fit() -> None:
    """Fit to the rows that are not held out; write coefficients, and the errors on those that are."""
    rows = json.loads((FOLDER / f"{DATA}.json").read_text())["results"]
    model: dict[str, Any] = {"errors": {}, "coefficients": coefficients(rows)}
    MODEL.write_text(json.dumps(model, indent=1) + "\n")
    _model.cache_clear()
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
            free = np.array([kind == "lut" or name in UNCOUNTED for _, name in keys])
            prior = solve(x, y, initial, np.where(free, STIFFNESS["lut"], STIFFNESS[kind]))
            for family, (x, y) in data.items():
                found = fitted(x, y, prior, STIFFNESS[kind])
                parts = result[family].setdefault(kind, {})
                for (part, name), value in zip(keys, found):
                    if value >= 5e-5:
                        parts.setdefault(part, {})[name] = round(float(value), 4)
    return result


Matrices = tuple[NDArray[np.float64], NDArray[np.float64]]


def observations(
    rows: list[dict[str, Any]], family: str, kind: str, group: tuple[tuple[str, ...], ...]
) -> list[tuple[dict[tuple[str, str], float], float]]:
    """Of each fitted row: features of a group of parts and what they are to explain, relative to the whole design.

    The sum of the group counts fully, its parts count less: a gate between two of them bears the name of either.
    """
    found = []
    for row in rows:
        device = DEVICES[row["device"]]
        if device.family.name != family or row["held_out"]:
            continue
        config = ArrayConfig(**row["config"])
        parts = features(
            config,
            device.family,
            array_multipliers(config, device.family.dsp, device.multipliers),
            link=row["link"],
            contents=Contents(**row["contents"]),
            loadable=weights_in_large_ram(config, device),
        )
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
                used -= values.pop("known", 0)
                own |= {(part, name): value / whole for name, value in values.items()}
            if own:
                found.append(({key: PART * value for key, value in own.items()}, PART * used / whole))
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
        for kind in ("lut", "ff", "dsp", "ram"):
            found = sorted(
                (abs(estimated(row)[kind] - row["used"][kind]) / max(1, row["used"][kind]), row["name"])
                for row in rows
                if DEVICES[row["device"]].family.name == family and row["held_out"] == held_out
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
    config, contents = ArrayConfig(**row["config"]), Contents(**row["contents"])
    return asdict(estimate_resources(config, DEVICES[row["device"]], link=row["link"], contents=contents))


if __name__ == "__main__":
    main()
