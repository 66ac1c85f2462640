"""Networks larger than a chip: cycles beside what their multiplications and their traffic take at least.

A 16x16 array with the memories that ``hwquant compile --board ulx3s-85f`` gives it (320 KiB of activations, 16 KiB of
weights), behind 16 bits of SDRAM at the array's clock of 100 MHz: an MT48LC16M16A2-75, as slow as it is behind
LiteDRAM's controller at most, with refreshes (1.91 bytes a cycle in long bursts). ULX3S itself reads its chip at 80 MHz
at most. UltraFace, YuNet and SqueezeNet are as published (``HWQUANT_ZOO``); ResNet18 and MobileNetV2 of 224x224 pixels
have random weights, as torchvision initializes them (``imagenet_networks.py``); all are made integers with random
samples. For each network: cycles of the array
alone; cycles of the port alone, for all that the compiler's choice moves, rows and weights that come again among it;
the bound of that choice, which is the larger of both for each group of layers that is computed together; exact cycles
from the last pixel to the first output, their ratio to the bound and milliseconds at 100 MHz; and exact cycles from
frame to frame. Writes ``benchmarks/results/external_memory.json``.

Where ``HWQUANT_NETWORKS`` names a folder, integer networks are kept there, as NAME.hwq.

    HWQUANT_ZOO=/path/to/zoo python benchmarks/external_memory.py
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from imagenet_networks import MobileNetV2, ResNet18
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant import hwq
from hwquant.frontends import from_torch, load_model
from hwquant.program.compilation import best_compilation, lowered_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory
from hwquant.program.isa import MoveKind, Opcode
from hwquant.program.sizing import Requirements
from hwquant.qgraph import QGraph
from hwquant.quantize import quantize
from hwquant.rtl_templates.sdram import sdram_timings
from hwquant.rtl_templates.sdram_chips import SDRAMS

ROOT = Path(__file__).resolve().parents[1]
ZOO = Path(os.environ.get("HWQUANT_ZOO", ROOT.parent / "shared" / "zoo"))
PUBLISHED = {
    "ultraface": "ultraface_RFB320_simplified.onnx",
    "yunet": "yunet_n_320.onnx",
    "squeezenet": "light_squeezenet.onnx",
}
RANDOM = {"resnet18": ResNet18, "mobilenetv2": MobileNetV2}
SIZE = 224
ARRAY = (16, 16)
LIMITS = {"activation_depth": 20480, "weight_depth": 1024, "parameter_depth": 256}
HERTZ = 100e6
CHIP = SDRAMS["MT48LC16M16A2-75"]
QUICKEST, SLOWEST = sdram_timings(CHIP, HERTZ)
MEMORY = ExternalMemory(CHIP.data_bits, CHIP.size, SLOWEST, QUICKEST)
SAMPLES = 4


def network(name: str) -> QGraph:
    """An integer network."""
    kept = Path(folder) / f"{name}.hwq" if (folder := os.environ.get("HWQUANT_NETWORKS")) else None
    if kept and kept.exists():
        return hwq.load(kept)
    if name in RANDOM:
        torch.manual_seed(0)
        graph = from_torch(RANDOM[name](), torch.zeros(1, 3, SIZE, SIZE))
    else:
        graph = load_model(ZOO / PUBLISHED[name])
    rng = np.random.default_rng(0)
    samples = {item.name: rng.normal(size=(SAMPLES, *item.shape)).astype(np.float32) for item in graph.inputs}
    qgraph = quantize(graph, samples)
    if kept:
        hwq.save(qgraph, kept)
    return qgraph


def measure(qgraph: QGraph) -> dict[str, float]:
    """What a network takes."""
    requirements = Requirements(ARRAY, limits=LIMITS, external=MEMORY)
    passes = best_compilation(qgraph, lowered_network(qgraph), requirements)
    program, plan = passes.program, passes.plan
    assert plan, f"{qgraph.name} fits inside"
    words = dict.fromkeys(MoveKind, 0)
    for item in program.instructions:
        if item.opcode is Opcode.MOVE:
            words[MoveKind(item.values["kind"])] += item.values["count"]
    exact = timing(program, MEMORY.timing)
    bound = sum(max(group.computed, group.activations + group.fetched) for group in plan.groups)
    return {
        "compute": round(sum(group.computed for group in plan.groups)),
        "traffic": round(sum(group.activations + group.fetched for group in plan.groups)),
        "bound": round(bound),
        "cycles": exact.cycles,
        "ratio": round(exact.cycles / bound, 4),
        "milliseconds": round(1e3 * exact.cycles / HERTZ, 2),
        "frame_cycles": exact.frame_cycles,
        "words": {kind.name.lower(): count for kind, count in words.items()},
        "instructions": len(program.words),
    }


def main() -> None:
    """Measure, print, write."""
    rows = {name: measure(network(name)) for name in (*PUBLISHED, *RANDOM)}
    table = Table(
        "network", "array alone", "port alone", "bound", "cycles", "ratio", "ms at 100 MHz", "a frame"
    )
    for name, row in rows.items():
        counts = [f"{row[key]:,}" for key in ("compute", "traffic", "bound", "cycles")]
        table.add_row(
            name, *counts, f"{row['ratio']:.3f}", f"{row['milliseconds']:.1f}", f"{row['frame_cycles']:,}"
        )
    Console(width=120).print(table)
    options = {"array": list(ARRAY), "limits": LIMITS, "port_bits": MEMORY.data_bits, "hertz": HERTZ}
    write_results("external_memory", {**options, "networks": rows})


if __name__ == "__main__":
    main()
