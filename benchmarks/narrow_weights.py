"""What an array costs by the weights that it multiplies with, on ECP5: no DSP blocks, products of look-up tables.

Yosys' ``synth_ecp5`` on the emitted Verilog of the bare array, all signals at its ports. ``LUT total`` is LUT4 +
2 x CCU2C, as in ``benchmarks/core_resources.py``. Writes ``benchmarks/results/narrow_weights.json``.

    python benchmarks/narrow_weights.py [--array 8x8]
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
from core_resources import CELLS, synthesize
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant.boards.families import FAMILIES
from hwquant.program.config import ArrayConfig
from hwquant.program.sides import parse_array
from hwquant.rtl_templates.array import SystolicArray
from hwquant.rtl_templates.dsp import DspBudget

ARRAYS: dict[str, dict[str, Any]] = {
    "-1, 1": {"weight_bits": 1, "adjusted_bits": 2, "odd_weights": "all", "ternary": True},
    "-1, 0, 1": {"weight_bits": 2, "adjusted_bits": 2, "ternary": True},
    "-3, -1, 1, 3": {"weight_bits": 2, "adjusted_bits": 3, "odd_weights": "all"},
    "2 bits": {"weight_bits": 2, "adjusted_bits": 2},
    "4 bits": {"weight_bits": 4, "adjusted_bits": 4},
    "8 bits": {"weight_bits": 8, "adjusted_bits": 8},
}


@click.command()
@click.option("--array", default="8x8", show_default=True)
def main(array: str) -> None:
    """Measure, print, write."""
    rows, columns = parse_array(array)
    budget = DspBudget(FAMILIES["ecp5"].dsp, multipliers=0)
    results: list[dict[str, Any]] = []
    table = Table("weights", *CELLS, "LUT total", "LUT/PE")
    for name, fields in ARRAYS.items():
        config = ArrayConfig(rows, columns, offset="none", **fields)
        with tempfile.TemporaryDirectory() as work:
            cells = synthesize(SystolicArray(config), budget, Path(work))
        luts = cells["LUT4"] + 2 * cells["CCU2C"]
        results.append(
            {"array": array, "weights": name, **cells, "LUT total": luts, "LUT/PE": luts / (rows * columns)}
        )
        print(results[-1], flush=True)
        write_results("narrow_weights", results)
        table.add_row(
            name, *(str(cells[cell]) for cell in CELLS), str(luts), f"{luts / (rows * columns):.1f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
