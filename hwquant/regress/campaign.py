"""The file of a regression: lists, of whose product each element is a configuration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwquant.boards.fields import Field, anything, check, integer, shown, text
from hwquant.errors import HwquantError
from hwquant.files import parse_toml, read_bytes
from hwquant.printable import printable
from hwquant.program.external import ExternalMemory
from hwquant.program.limits import EXTERNAL_BITS
from hwquant.program.sides import array_name, parse_array
from hwquant.qgraph import IntArray, QGraph
from hwquant.random_networks import random_case, random_inputs
from hwquant.random_networks.families import ANYTHING
from hwquant.regress.case import Case
from hwquant.sim.buses import BUSES, NO_BUS
from hwquant.sim.registry import find_simulator
from hwquant.sim.trace import Stalls

OFFSETS = ("auto", "none", "edge", "sum")
STALLS = {"none": (0.0, 0.0), "idle": (0.4, 0.0), "busy": (0.0, 0.4), "both": (0.3, 0.4), "heavy": (0.9, 0.9)}
"""Chances of a pause of the host, before a word of input and of output, by name."""
BITS = (2, 3, 4, 5, 6, 7, 8)
AXES = ("arrays", "bits", "offsets", "buses", "memories", "simulators", "stalls", "pauses", "seeds")
"""Keys of the lists whose product the configurations are, beside the networks."""


def _list(kind: type, must: str, *, required: bool = False) -> Field:
    def fits(value: list[Any]) -> bool:
        return bool(value) and all(type(item) is kind for item in value) and len(set(value)) == len(value)

    return Field((list,), fits, f"a list of {must}, each once", required)


FIELDS = {
    "networks": anything(list, "a list of tables", required=True),
    "arrays": _list(str, 'arrays such as "8x8"', required=True),
    "bits": _list(int, "bits from 2 to 8"),
    "offsets": _list(str, f"offset modes: {', '.join(OFFSETS)}"),
    "buses": _list(str, f"buses: {', '.join(BUSES)}"),
    "memories": _list(str, 'memories: "none", "axi64" and the like, or boards'),
    "simulators": _list(str, "simulators"),
    "stalls": _list(str, f"patterns: {', '.join(STALLS)}"),
    "pauses": _list(int, "cycles of 256, from 0 to 255"),
    "seeds": _list(int, "numbers"),
    "samples": integer(1, 1000),
    "timeout": integer(1, 86400),
    "limits": anything(dict, "a table"),
    "hardware": anything(dict, "a table"),
}
LIMITS = {
    name: integer(1, 1 << 24)
    for name in (
        "activation_depth",
        "weight_depth",
        "parameter_depth",
        "program_depth",
        "accumulator_depth",
        "accumulator_bits",
    )
}
HARDWARE = {**LIMITS, "pack_input": text("auto|none", '"auto" or "none"')}
NETWORK = {
    "file": anything(str, "the path of a .hwq file, or of a float network"),
    "calibration": anything(str, "the path of an .npz file"),
    "random": integer(1, 1_000_000),
    "first": integer(0, 1 << 31),
}


@dataclass(frozen=True, eq=False)
class Campaign:
    """A regression, as its file says it.

    Attributes
    ----------
    path : Path
        The file.
    values : dict
        What it says, checked, with what it leaves open.
    """

    path: Path
    values: dict[str, Any]

    @property
    def timeout(self) -> int:
        """Seconds that a configuration may take."""
        return int(self.values["timeout"])

    def cases(self) -> Iterator[Case]:
        """Make the configurations, always in the same order.

        Raises
        ------
        HwquantError
            A network cannot be read or quantized, or a board has no such memory.
        """
        values = self.values
        memories = {name: _memory(self.path, name) for name in values["memories"]}
        for table in values["networks"]:
            known: dict[Any, QGraph] = {}
            for number in range(table.get("first", 0), table.get("first", 0) + table.get("random", 1)):
                for point in _points(values, table):
                    yield self._case(table, number, point, memories[point["memories"]], known)

    def _case(
        self,
        table: dict[str, Any],
        number: int,
        point: dict[str, Any],
        memory: ExternalMemory | None,
        known: dict[Any, QGraph],
    ) -> Case:
        array, seed = parse_array(point["arrays"]), point["seeds"]
        hardware = dict(self.values["hardware"])
        pack_input = hardware.pop("pack_input", "auto")
        qgraph, inputs = self._network(table, number, point, known)
        idle, busy = STALLS[point["stalls"]]
        name = f"random{number}" if "random" in table else Path(table["file"]).stem
        # Those of an integer network are its own.
        bits = f"{point['bits']}bit" if _floats(table) else "ownbits"
        return Case(
            name=printable(
                f"{name}-{point['arrays']}-{bits}-{point['offsets']}-{point['buses']}"
                f"-{point['memories']}-{point['simulators']}-{point['stalls']}-pause{point['pauses']}-seed{seed}"
            ),
            qgraph=qgraph,
            inputs=inputs,
            array=array,
            offset=point["offsets"],
            bus=point["buses"],
            memory=memory,
            limits={**hardware, **(self.values["limits"] if memory else {})},
            pack_input=pack_input,
            simulator=point["simulators"],
            stalls=Stalls(idle, busy, seed) if idle or busy else None,
            pauses=point["pauses"],
        )

    def _network(
        self, table: dict[str, Any], number: int, point: dict[str, Any], known: dict[Any, QGraph]
    ) -> tuple[QGraph, dict[str, IntArray]]:
        samples, seed, plain = self.values["samples"], point["seeds"], point["offsets"] == "none"
        if "random" in table:
            suits = replace(ANYTHING, offsets=not plain)
            bits = {
                "weight_bits": (1 if not plain else 2, point["bits"]),
                "activation_bits": (2, point["bits"]),
            }
            qgraph, _ = random_case(suits, number, 1, bits)
        else:
            key = (point["bits"], plain)
            if key not in known:
                known[key] = self._read(table, point["bits"], plain)
            qgraph = known[key]
        return qgraph, random_inputs(np.random.default_rng((seed, number)), qgraph, samples)

    def _read(self, table: dict[str, Any], bits: int, plain: bool) -> QGraph:
        from hwquant import hwq
        from hwquant.data import load_samples
        from hwquant.frontends import load_model
        from hwquant.quantize import quantize

        place = self.path.parent / table["file"]
        if not _floats(table):
            return hwq.load(place)
        graph = load_model(place)
        calibration = load_samples(self.path.parent / table["calibration"], graph.given_inputs)
        return quantize(graph, calibration.x, bits=bits, symmetric=plain)


def _points(values: dict[str, Any], table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Choices, by key of :data:`AXES`, that there is hardware for, and that a table's networks have."""
    own = {**values, "bits": values["bits"] if _floats(table) else [8]}
    for choice in itertools.product(*(own[name] for name in AXES)):
        point = dict(zip(AXES, choice))
        outside = point["memories"] != "none"
        several = len(parse_array(point["arrays"])) > 2
        if outside and (several or point["buses"] == "wishbone"):
            continue  # neither has memory outside
        if point["pauses"] and not outside:
            continue  # what is not there cannot pause
        yield point


def _floats(table: dict[str, Any]) -> bool:
    return not table.get("file", "").endswith(".hwq")


def load_campaign(path: Path) -> Campaign:
    """Read the file of a regression.

    Parameters
    ----------
    path : Path
        The file; paths in it are relative to its folder.

    Raises
    ------
    HwquantError
        It cannot be read, or a value in it is wrong; names the key and what it must be.
    """
    try:
        found = parse_toml(read_bytes(path).decode())
    except ValueError as error:
        raise HwquantError(f"{path} is no TOML file: {error}") from error
    given = check(found, FIELDS, str(path))
    defaults = {
        "bits": [8],
        "offsets": ["auto"],
        "buses": [NO_BUS],
        "memories": ["none"],
        "simulators": ["amaranth"],
        "stalls": ["none"],
        "pauses": [0],
        "seeds": [0],
        "samples": 2,
        "timeout": 600,
        "limits": {},
        "hardware": {},
    }
    values = {**defaults, **given}
    check(values["limits"], LIMITS, f"{path}: limits")
    check(values["hardware"], HARDWARE, f"{path}: hardware")
    for key, choices in (
        ("offsets", OFFSETS),
        ("buses", BUSES),
        ("stalls", tuple(STALLS)),
        ("bits", BITS),
    ):
        for item in values[key]:
            if item not in choices:
                raise HwquantError(
                    f"{path}: {key}: unknown {shown(item)}; there are {', '.join(map(str, choices))}"
                )
    for key, most in (("pauses", 255), ("seeds", 1 << 31)):
        wrong = [item for item in values[key] if not 0 <= item <= most]
        if wrong:
            raise HwquantError(f"{path}: {key} must be from 0 to {most}, not {wrong[0]}")
    for name in values["simulators"]:
        find_simulator(name)
    arrays = [array_name(parse_array(name)) for name in values["arrays"]]
    for index, name in enumerate(arrays):
        if name in arrays[:index]:
            raise HwquantError(
                f"{path}: arrays: {shown(values['arrays'][index])} is {name} again; leave it out"
            )
    values["arrays"] = arrays
    if not values["networks"]:
        raise HwquantError(f"{path}: networks must have a table at least")
    for index, table in enumerate(values["networks"], 1):
        _check_network(f"{path}: networks {index}", table)
    _check_all_used(path, values)
    return Campaign(path, values)


def _check_all_used(path: Path, values: dict[str, Any]) -> None:
    """Refuse what is listed and would be in no configuration."""
    points = [point for table in values["networks"] for point in _points(values, table)]
    for key in AXES:
        used = {point[key] for point in points}
        for item in values[key]:
            if item not in used:
                raise HwquantError(
                    f"{path}: {key}: {shown(item)} is in no configuration: several arrays and wishbone have no "
                    "memory outside, nothing else pauses, and a .hwq file has its own bits; list what goes with it, "
                    "or leave it out"
                )
    if values["limits"] and all(name == "none" for name in values["memories"]):
        raise HwquantError(f"{path}: limits are for memories outside, and memories lists none; see hardware")


def _check_network(where: str, table: object) -> None:
    found = check(table, NETWORK, where)
    if ("file" in found) == ("random" in found):
        raise HwquantError(f"{where} must have either file or random")
    for key in ("file", "calibration"):
        if "\0" in str(found.get(key, "")):
            raise HwquantError(f"{where}: {key} holds a zero byte, which no path has")
    if "file" in found and _floats(found) != ("calibration" in found):
        raise HwquantError(f"{where}: calibration is for a float network, which needs it, and no other")
    if "first" in found and "random" not in found:
        raise HwquantError(f"{where}: first is for random networks")


def _memory(path: Path, name: str) -> ExternalMemory | None:
    """The memory that is called so: none, a port of so many bits, or that of a board."""
    if name == "none":
        return None
    if name in (f"axi{bits}" for bits in EXTERNAL_BITS):
        return ExternalMemory(int(name.removeprefix("axi")))
    from hwquant.boards.board import load_board
    from hwquant.boards.outside import board_memory

    board = load_board(str(path.parent / name) if name.endswith(".toml") else name)
    memory = board_memory(board, "axi")
    if memory is None:
        raise HwquantError(f"{path}: memories: {name} has no memory")
    return memory
