"""``hwquant demo``: the small network that ships with the package, from ONNX to simulated Verilog."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from hwquant import demo as shipped
from hwquant.cli.common import emit, json_option, write_report
from hwquant.cli.evaluate import predict
from hwquant.cli.progress import progress
from hwquant.cli.simulate import MISMATCH, lines, summary, verify_build
from hwquant.cli.tables import hardware_table, layer_table
from hwquant.errors import HwquantError
from hwquant.files import make_folder, recover, write_bytes

ARRAY = (8, 8)
SIMULATED = 24
"""Number of test images that are simulated, each with every layer's tensor."""
NETWORK, BUILD = "net.hwq", "build"


def prepare(folder: Path) -> None:
    """Make the folder, with copies of the network and its data; raises where it holds anything else."""
    files = (shipped.MODEL, shipped.CALIBRATION, shipped.TEST_DATA)
    make_folder(folder)
    recover(folder)
    try:
        names = set(os.listdir(folder))
    except OSError as error:
        raise HwquantError(
            f"cannot read {folder}: {error.strerror}; choose another folder with --output"
        ) from error
    others = names - {NETWORK, BUILD, *(file.name for file in files)}
    if others:
        raise HwquantError(f"{folder} holds {min(others)!r}; choose another folder with --output")
    for file in files:
        write_bytes(folder / file.name, file.read_bytes())


@click.command()
@click.option(
    "-o",
    "--output",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the network, its data and the build.",
)
@json_option
@click.pass_context
def demo(context: click.Context, output: Path, as_json: bool) -> None:
    """Quantize, compile and simulate a small network.

    It ships with hwquant, and recognizes digits of 8x8 pixels.
    """
    from hwquant import hwq
    from hwquant.build import write_build
    from hwquant.data import load_samples
    from hwquant.frontends import load_model
    from hwquant.page import Accuracy
    from hwquant.program.compiler import compile_network
    from hwquant.quantize import quantize
    from hwquant.sim.cocotb_build import check_python
    from hwquant.sim.verilator_backend import environment

    check_python("Verilator")  # before a folder is made
    environment()
    prepare(output)
    graph = load_model(output / shipped.MODEL.name)
    calibration = load_samples(output / shipped.CALIBRATION.name, graph.given_inputs)
    samples = load_samples(output / shipped.TEST_DATA.name, graph.given_inputs)
    with progress() as track:
        qgraph = quantize(graph, calibration.x, progress=track)
        hwq.save(qgraph, output / NETWORK)
        accuracy = {
            kind: samples.accuracy(predict(network, samples, track))
            for kind, network in (("float", graph), ("integer", qgraph))
        }
        track("compile and write Verilog", 0, 0)
        build = write_build(qgraph, compile_network(qgraph, ARRAY), output / BUILD)
        result = verify_build(build, samples[:SIMULATED], "verilator", track, layers=True)
    report, (real, integer) = build.report, accuracy.values()
    measured = None
    if integer is not None:
        measured = Accuracy(shipped.TEST_DATA.name, len(samples), integer, real, shipped.MODEL.name)
    page = write_report(build, "demo", measured)
    content: dict[str, Any] = {
        **report.to_json(),
        "accuracy": accuracy,
        "total": len(samples),
        "simulation": summary(result, "verilator"),
        "verilog": str(build.verilog),
        "page": str(page),
    }
    emit(
        as_json,
        content,
        f"{len(samples)} test images: accuracy {real:.2%} in float, {integer:.2%} in integers",
        *lines(result, "Verilator"),
        layer_table(report),
        hardware_table(report),
        f"Verilog: {build.verilog}",
        f"report: {page}",
        f"go on with: cd {output} && hwquant inspect {BUILD}",
    )
    if result.mismatches:
        context.exit(MISMATCH)
