"""How close the array comes to its limit on one convolution, dense and with pruned tiles.

A 3x3 convolution of 32 to 32 channels over 16x16 pixels, on an 8x8 array. Cycles are those of the simulated
RTL (CXXRTL), checked against the golden model and against the cycle model. Ideal is one pixel of one tile a
cycle: tiles left x 256 pixels. Writes ``benchmarks/results/array_utilization.json``.

    python benchmarks/array_utilization.py
"""

from __future__ import annotations

import numpy as np
from results import write_results

from hwquant import golden
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.qgraph import Layer, QGraph, Tensor, Term
from hwquant.sim import simulate
from hwquant.window import Window

SIDE, CHANNELS, SIZE, SEED = 8, 32, 16, 2026


def network(pruned: float) -> tuple[QGraph, int]:
    """The convolution with a share of its tiles zero, and the number of tiles left."""
    rng = np.random.default_rng(SEED)
    codes = rng.integers(-128, 128, (CHANNELS, CHANNELS, 3, 3)).astype(np.int8)
    # A tile is SIDE output channels x SIDE input channels at one kernel position; code -o is weight zero.
    blocks = CHANNELS // SIDE
    kept = np.ones(blocks * blocks * 9, bool)
    kept[rng.permutation(kept.size)[: round(pruned * kept.size)]] = False
    mask = np.repeat(np.repeat(kept.reshape(blocks, blocks, 3, 3), SIDE, 0), SIDE, 1)
    offset = 11
    codes[~mask] = -offset
    shape = (CHANNELS, SIZE, SIZE)
    term = Term(
        "x",
        codes,
        np.array([offset]),
        np.array([0.01]),
        window=Window(codes.shape[2:], padding=(1, 1, 1, 1)),
        mask=mask,
    )
    layer = Layer("conv", (term,), rng.integers(-999, 999, CHANNELS), np.array([13]), -128, 127)
    tensors = {"x": Tensor("x", shape, 0.1, 3), "conv": Tensor("conv", shape, 0.1, -7)}
    graph = QGraph("conv", (Input("x", shape, shape),), (layer,), (Output("y", "conv", shape),), tensors)
    return graph, int(kept.sum())


def main() -> None:
    rows = []
    for pruned in (0.0, 0.25, 0.5, 0.75, 0.9):
        qgraph, tiles = network(pruned)
        program = compile_network(qgraph, (SIDE, SIDE))
        tensor = qgraph.tensors["x"]
        q = np.random.default_rng(SEED).integers(*tensor.limits, (2, *tensor.shape))
        run = simulate(program, program.frame({"x": q}), simulator="cxxrtl")
        expected = golden.run(qgraph, q)["conv"]
        mismatches = int((program.results(run.words)["conv"] != expected).sum())
        (cycles,) = set(run.cycles)
        ideal = tiles * SIZE * SIZE
        rows.append(
            {
                "pruned": pruned,
                "tiles": tiles,
                "cycles": cycles,
                "estimated": timing(program).cycles,
                "ideal": ideal,
                "cycles_over_ideal": round(cycles / ideal, 4),
                "utilization_of_dense_macs": round(program.macs / (SIDE * SIDE * cycles), 4),
                "mismatches": mismatches,
            }
        )
        print(rows[-1])
    write_results("array_utilization", rows)


if __name__ == "__main__":
    main()
