"""``hwquant core``: the accelerator for a system of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from hwquant.cli.common import emit, json_option
from hwquant.cli.types import LateChoice


def buses() -> Iterable[str]:
    """The buses that a core may have."""
    from hwquant.rtl_templates.ip_core import BUSES

    return BUSES


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--bus",
    default="axi",
    show_default=True,
    type=LateChoice(buses),
    help="axi: AXI4-Lite and AXI4-Stream; wishbone: 32 bits, classic; stream: valid and ready.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="Of the module, its files, and what every module inside begins with: give cores that go into one design "
    "different names. By default the module is hwquant_BUS_CHECKSUM, in hwquant_BUS.v.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER/",
    help="Where the files go; it is made where it is missing.",
)
@json_option
def core(build: Path, bus: str, name: str | None, output: Path, as_json: bool) -> None:
    """Write BUILD's accelerator as a core with a bus.

    Verilog, and beside it a testbench that checks itself, the registers (SystemRDL, C, Markdown), a C driver, and
    what FuseSoC, LiteX or Vivado need.
    """
    from hwquant.advice import Advice
    from hwquant.build import check_outside, load_build
    from hwquant.driver.description import core_description
    from hwquant.files import write_together
    from hwquant.rtl_templates.ip_core import core_files, core_names
    from hwquant.rtl_templates.vivado_core import dma_bytes, no_overlay
    from hwquant.sim.core_bench import core_bench

    read = load_build(build)
    check_outside(output)
    files = core_files(read.program, bus, name)
    stem, top = core_names(read.program, bus, name)
    files |= core_bench(read.qgraph, read.program, bus, top, stem)
    advice = []
    if bus == "axi":
        (_, frame_bits), (_, word_bits) = read.program.frame_sizes
        files[f"{stem}_network.json"] = core_description(
            read.qgraph, read.program, dma_bytes(frame_bits), dma_bytes(word_bits)
        )
        if reason := no_overlay(read.program):
            script = f"{stem}_design.tcl"
            advice.append(Advice("no_overlay", script, f"{script} is left out: {reason}"))
    paths = write_together(output, {name: text.encode() for name, text in files.items()})
    result = {
        "bus": bus,
        "name": top,
        "files": [str(path) for path in paths],
        "checksum": read.program.checksum,
    }
    emit(as_json, result, *(f"wrote {path}" for path in paths), advice=advice)
