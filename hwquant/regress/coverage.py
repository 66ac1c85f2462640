"""Functional coverage: what of the hardware a simulation has exercised, as named bins with counts.

Instructions are counted in the program, which is what the sequencer executes; clamps and padding in the golden model's
integers, which the hardware's equal; pauses in what the testbench has seen. So counts are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import assert_never

import numpy as np

from hwquant.golden import reference
from hwquant.program.cycles import jobs, timing
from hwquant.program.isa import FLAGS, LEVELS, MoveKind, Opcode
from hwquant.program.program import Program
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, Product, QGraph, Rearrange
from hwquant.sim.buses import BUSES, NO_BUS
from hwquant.sim.trace import Log
from hwquant.window import Window

SIDES = ("top", "left", "bottom", "right")
PACKED = (1, 2, 4, 8)
KINDS = ("Layer", "MaxPool", "Concat", "Rearrange", "Product")
STALLS = ("host idle", "host busy", "hardware not ready", "memory waited for", "memory pauses")

BINS = (
    *(f"opcode {opcode.name}" for opcode in Opcode),
    *(f"move {kind.name}" for kind in MoveKind),
    *(f"tile {flag}" for flag in FLAGS),
    *(f"tile order: level {level} {steps}" for level in range(LEVELS) for steps in ("once", "several times")),
    *(f"clamp {where}" for where in ("low", "high", "none")),
    *(f"padding {side}" for side in SIDES),
    *(f"pool padding {side}" for side in SIDES),
    *(f"weights of {bits} bits" for bits in range(1, 9)),
    *(f"activations of {bits} bits" for bits in range(2, 9)),
    *(f"{rows} rows a word of weights" for rows in PACKED),
    *(f"{rows} segments" for rows in PACKED),
    *(f"offset {choice}" for choice in ("none", "edge", "sum")),
    *("odd weights", "ternary weights", "offsets by channel", "multiplier", "table", "two terms"),
    *(f"node {kind}" for kind in KINDS),
    *(f"{count} arrays" for count in range(1, 9)),
    *(f"bus {bus}" for bus in BUSES),
    *(f"stall: {name}" for name in STALLS),
)
"""All bins, those that are never hit included."""
MOST = 1 << 53
"""What a count stays below: sums of them are integers in any reader of JSON."""


def is_coverage(found: Mapping[str, object]) -> bool:
    """Whether something that was read is hits by bin."""
    return found.keys() <= set(BINS) and all(
        type(item) is int and 0 <= item < MOST for item in found.values()
    )


def covered(
    program: Program,
    qgraph: QGraph,
    inputs: Mapping[str, IntArray],
    log: Log,
    pauses: int = 0,
    bus: str = NO_BUS,
) -> dict[str, int]:
    """Count the hits of bins by a simulation.

    Parameters
    ----------
    program : Program
        What was simulated.
    qgraph : QGraph
        The network that it was compiled from.
    inputs : mapping of ndarray of int64, shape (N, C, H, W)
        Integers of its inputs, by name.
    log : Log
        What the testbench has seen.
    pauses : int, default 0
        In how many of 256 cycles external memory paused.
    bus : str, default "stream"
        What surrounded the accelerator.

    Returns
    -------
    dict of int
        Hits by bin, in the order of :data:`BINS`, without those that were not hit.
    """
    hits: Counter[str] = Counter()
    samples = len(next(iter(inputs.values())))
    hits += Counter({name: count * samples for name, count in _instructions(program).items()})
    hits += _network(program, qgraph)
    hits += _integers(qgraph, inputs)
    hits[f"bus {bus}"] += 1
    hits += _stalls(program, log, samples, pauses)
    return {name: hits[name] for name in BINS if hits[name]}


def _instructions(program: Program) -> Counter[str]:
    """Of one inference."""
    hits: Counter[str] = Counter()
    levels: dict[int, int] = {}
    for item in program.instructions:
        if item.opcode is not Opcode.TILE:
            hits[f"opcode {item.opcode.name}"] += 1
        if item.opcode is Opcode.MOVE:
            hits[f"move {MoveKind(item.values['kind']).name}"] += 1
    for item in jobs(program.instructions):
        if item.opcode is Opcode.LEVEL:
            levels[item.values["level"]] = item.values["limit"]
        elif item.opcode is Opcode.TILE:
            hits["opcode TILE"] += 1
            hits.update(f"tile {flag}" for flag in FLAGS if item.values.get(flag))
            for level, last in levels.items():
                hits[f"tile order: level {level} {'several times' if last else 'once'}"] += 1
    return hits


def _network(program: Program, qgraph: QGraph) -> Counter[str]:
    """What network and hardware are: a hit a part."""
    config = program.config
    hits = Counter([f"offset {config.offset}", f"{config.arrays} arrays"])
    hits["odd weights"] += config.odd_weights != "none"
    hits["ternary weights"] += config.ternary
    hits["offsets by channel"] += config.channel_offsets
    for layer in program.layers:
        hits[f"{layer.rows_per_word} rows a word of weights"] += 1
        hits[f"{layer.rows_per_cycle} segments"] += 1
    for tensor in qgraph.tensors.values():
        hits[f"activations of {tensor.bits} bits"] += 1
    for node in qgraph.nodes:
        hits[f"node {type(node).__name__}"] += 1
        if isinstance(node, Layer):
            hits["two terms"] += len(node.terms) > 1
            hits["multiplier"] += node.multiplier is not None
            hits["table"] += node.table is not None
            hits.update(f"weights of {term.bits} bits" for term in node.terms)
    return hits


def _integers(qgraph: QGraph, inputs: Mapping[str, IntArray]) -> Counter[str]:
    """Values that a clamp changes, on either side, and positions of windows that reach beyond a side."""
    hits: Counter[str] = Counter()
    values = reference.run(qgraph, inputs)
    for node in qgraph.nodes:
        match node:
            case Layer():
                hits += _clamps(_unclamped(node, qgraph, values), node.low, node.high)
                for term in node.terms:
                    hits += _padding("padding", term.window, qgraph.tensors[term.input].shape[1:])
            case Product():
                a, b = (values[name] - qgraph.tensors[name].zero_point for name in node.inputs)
                scaled = a * b * (1 if node.multiplier is None else node.multiplier)
                shifted = (scaled + ((1 << node.shift) >> 1)) >> node.shift
                hits += _clamps(shifted + qgraph.tensors[node.name].zero_point, node.low, node.high)
            case MaxPool():
                hits += _padding("pool padding", node.window, qgraph.tensors[node.inputs[0]].shape[1:])
            case Concat() | Rearrange():
                pass
            case _:
                assert_never(node)
    return hits


def _unclamped(layer: Layer, qgraph: QGraph, values: Mapping[str, IntArray]) -> IntArray:
    """A layer's integers as they come to its clamp."""
    acc = reference.accumulate(layer, values, qgraph.tensors)
    shift = layer.shift.reshape(1, -1, 1, 1)
    scaled = acc if layer.multiplier is None else acc * layer.multiplier.reshape(1, -1, 1, 1)
    zero_point = layer.table.zero_point if layer.table else qgraph.tensors[layer.name].zero_point
    return ((scaled + ((1 << shift) >> 1)) >> shift) + zero_point


def _clamps(values: IntArray, low: int, high: int) -> Counter[str]:
    below, above = int((values < low).sum()), int((values > high).sum())
    return Counter({"clamp low": below, "clamp high": above, "clamp none": values.size - below - above})


def _padding(what: str, window: Window, size: tuple[int, ...]) -> Counter[str]:
    """Rows or columns of positions of a window that see padding, by side."""
    hits: Counter[str] = Counter()
    counts = window.output_size((size[0], size[1]))
    for axis, (before, after) in enumerate((("top", "bottom"), ("left", "right"))):
        first = np.arange(counts[axis]) * window.stride[axis] - window.padding[axis]
        hits[f"{what} {before}"] += int((first < 0).sum())
        hits[f"{what} {after}"] += int((first + window.extent[axis] > size[axis]).sum())
    return hits


def _stalls(program: Program, log: Log, samples: int, pauses: int) -> Counter[str]:
    """Cycles of each kind; of pauses of the memory, simulations that have some."""
    waits = timing(program).stalled * samples if program.config.external_bits else 0
    return Counter(
        {
            "stall: host idle": int((log.sent[1:, 0] - log.sent[:-1, 1] - 1).clip(0).sum()),
            "stall: hardware not ready": int((log.sent[:, 1] - log.sent[:, 0]).sum()),
            "stall: host busy": int((log.results.end - log.results.first).sum()),
            "stall: memory waited for": waits,
            "stall: memory pauses": int(pauses > 0),
        }
    )
