"""A MobileNetV3-like network in integers: HardSwish by tables, squeeze-and-excitation by products, no training.

benchmarks/networks/fashion_mobile.onnx (``fashion_others.py mobile``) at 8 bits with the default options, at other bits
and with a scale for each channel: accuracy on the 10,000 test images of Fashion-MNIST, calibrated on 256 training
images; cycles on 8x8, and ten images in RTL (CXXRTL), every layer's tensor compared. Writes
``benchmarks/results/mobile.json``, and exits 1 if 8 bits lose more than 0.3 points or the RTL differs. Needs the data
sets (HWQUANT_DATA).

    python benchmarks/mobile.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from datasets import fashion_mnist
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant import floating, golden
from hwquant.data import Samples
from hwquant.frontends import load_model
from hwquant.program.compiler import compile_network
from hwquant.qgraph import Layer
from hwquant.quantize import quantize
from hwquant.sim.check import verify

NETWORK = Path(__file__).resolve().parent / "networks" / "fashion_mobile.onnx"
CALIBRATION_IMAGES, SIMULATED_IMAGES = 256, 10
ARRAY = (8, 8)
ALLOWED_DROP = 0.3
VARIANTS: dict[str, dict[str, Any]] = {
    "8 bits": {},
    "8 bits, a scale for each channel": {"per_channel": True},
    "6 bits": {"bits": 6},
    "4 bits": {"bits": 4},
}


def main() -> int:
    """Measure, print, write."""
    graph = load_model(NETWORK)
    test = Samples(*fashion_mnist("test"))
    exact = test.accuracy(floating.predict(graph, test.x)[0])
    rows = {}
    for name, options in VARIANTS.items():
        qgraph = quantize(graph, fashion_mnist("train")[0][:CALIBRATION_IMAGES], **options)
        program = compile_network(qgraph, ARRAY)
        few = golden.quantize_input(qgraph, test.x[:SIMULATED_IMAGES])
        found = verify(program, qgraph, few, simulator="cxxrtl", watch=SIMULATED_IMAGES)
        rows[name] = {
            "accuracy": test.accuracy(golden.predict(qgraph, test.x)[0]),
            "cycles": found.cycles,
            "mismatches": found.mismatches,
            "tables": sum(isinstance(node, Layer) and node.table is not None for node in qgraph.nodes),
        }
    table = Table("variant", "accuracy", "drop", "cycles", "mismatches", title=f"float {exact:.2%}")
    for name, row in rows.items():
        drop = f"{100 * (exact - row['accuracy']):.2f}"
        table.add_row(name, f"{row['accuracy']:.2%}", drop, f"{row['cycles']:,}", str(row["mismatches"]))
    Console().print(table)
    write_results("mobile", {"float": exact, "array": list(ARRAY), "variants": rows})
    drop = 100 * (exact - rows["8 bits"]["accuracy"])
    return int(drop > ALLOWED_DROP or any(row["mismatches"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
