"""``hwquant truncate``: a float network to float16, 8-bit or 1-bit fixed point, with a parity report."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.common import emit, json_option
from hwquant.cli.modules import MODEL, load_float
from hwquant.cli.options import calibration_option, checkpoint_options, options_of, path_option
from hwquant.cli.outputs import (
    ANY,
    JSON,
    NETWORK,
    ONNX,
    PLOT,
    Outputs,
    check_ignored,
    check_outputs,
    was_given,
)
from hwquant.cli.progress import leaving, progress
from hwquant.cli.results import layers_table, operators_table
from hwquant.errors import HwquantError
from hwquant.training.options import TrainOptions
from hwquant.truncation.truncate import BINARY_RATE, TARGETS, Target

if TYPE_CHECKING:
    from hwquant.graph import Graph
    from hwquant.training import Training
    from hwquant.truncation import Truncation


@click.command()
@click.argument("model", metavar=MODEL)
@click.option(
    "--to",
    default="int8",
    show_default=True,
    type=click.Choice(TARGETS),
    help="float16 parameters; 8-bit weights; 1-bit weights, by output channel.",
)
@calibration_option
@path_option(
    "-d",
    "--data",
    metavar="TEST.npz",
    help="x and perhaps labels y that parity is measured on; the calibration data if not given.",
)
@path_option("-o", "--output", required=True, metavar="OUT", help="OUT.hwq; OUT.onnx for float16.")
@click.option("--int8-ends", is_flag=True, help="With binary: the first and the last layer keep 8 bits.")
@path_option("--train", metavar="TRAIN.npz", help="x and labels y to fine-tune on.")
@options_of(TrainOptions, "options")
@checkpoint_options
@path_option("--report", metavar="REPORT.json", help="Write the parity report.")
@path_option("--plot", metavar="PARITY.png", help="Plot it.")
@json_option
@click.pass_context
def truncate(
    context: click.Context,
    model: str,
    to: Target,
    calibration_data: Path,
    data: Path | None,
    output: Path,
    int8_ends: bool,
    train: Path | None,
    options: TrainOptions,
    checkpoint: Path | None,
    resume: bool,
    report: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Truncate MODEL's parameters, and report what it costs.

    Operator by operator, and layer after layer.

    With --train the truncated network is fine-tuned; the learning rate is then 0.005 for binary weights unless
    another one is given. MODULE:FACTORY is a Python function, importable from the working folder, that returns
    a torch.nn.Module.
    """
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.truncation import truncate as truncate_network
    from hwquant.truncation.report import plotting

    outputs: Outputs = {
        "--output": (output, ONNX if to == "float16" else NETWORK),
        "--report": (report, JSON),
        "--plot": (plot, PLOT),
        "--checkpoint": (checkpoint, ANY),
    }
    check_outputs(outputs, [model, calibration_data, data, train])
    _check_ignored(context, to, train)
    if plot is not None:
        plotting()
    graph = load_float(model, calibration_data)
    calibration = load_samples(calibration_data, graph.inputs)
    test = calibration if data is None else load_samples(data, graph.inputs)
    kept = checkpoint or output.with_name(f"{output.name}.checkpoint")
    training = None
    if train is not None:
        if to == "binary" and not was_given(context, "lr"):
            options = replace(options, lr=BINARY_RATE)
        training = _training(train, graph, options, kept, resume)
    hint = nullcontext() if training is None else leaving(kept, "has what was trained")
    with progress() as track, hint:
        if training is not None:
            training = replace(training, progress=track)
        result = truncate_network(
            graph, calibration.x, to, test=test, int8_ends=int8_ends, training=training, progress=track
        )
    _write(result, output, report, plot)
    if train is not None and checkpoint is None:
        remove(kept)
    written = [path for path in (output, report, plot) if path is not None]
    _report(result, graph.name, written, train is not None, as_json)


def _check_ignored(context: click.Context, to: Target, train: Path | None) -> None:
    """Raise where an option was given that would do nothing."""
    if train is None:
        check_ignored(
            context,
            *(field.name for field in fields(TrainOptions)),
            "checkpoint",
            "resume",
            reason="is for fine-tuning: give --train as well, or leave it out",
        )
    if to != "binary":
        check_ignored(context, "int8_ends", reason="is for binary weights: give --to binary, or leave it out")


def _training(data: Path, graph: Graph, options: TrainOptions, checkpoint: Path, resume: bool) -> Training:
    """How to fine-tune, on the labelled samples of a file."""
    from hwquant.data import load_samples
    from hwquant.training import Training

    samples = load_samples(data, graph.inputs)
    if samples.y is None:
        raise HwquantError(f"{data} has no labels y; training needs them")
    x: Any = samples.x  # networks with several inputs are refused by what trains
    return Training((x, samples.y), options, checkpoint=checkpoint, resume=resume)


def _content(result: Truncation, output: Path) -> dict[str, object]:
    return {"network": str(output), **result.parity.to_json()}


def _write(result: Truncation, output: Path, report: Path | None, plot: Path | None) -> None:
    """Write the network, and what else was asked for."""
    from hwquant import hwq
    from hwquant.export import save_float
    from hwquant.files import write_bytes
    from hwquant.truncation.report import parity_plot

    if result.qgraph is None:
        save_float(result.graph, output, "float16")
    else:
        hwq.save(result.qgraph, output)
    if report is not None:
        text = json.dumps(_content(result, output), indent=1, allow_nan=False) + "\n"
        write_bytes(report, text.encode())
    if plot is not None:
        write_bytes(plot, parity_plot(result.parity))


def _report(result: Truncation, name: str, written: list[Path], trained: bool, as_json: bool) -> None:
    """Print what was found, and which files were written, the network first."""
    from hwquant.advice import of_data
    from hwquant.truncation.report import judge_parity

    parity, qgraph = result.parity, result.qgraph
    of_calibration = () if qgraph is None else of_data(qgraph.options)
    emit(
        as_json,
        _content(result, written[0]),
        operators_table(parity),
        layers_table(parity),
        *(f"wrote {path}" for path in written),
        advice=(*judge_parity(parity, name, trained=trained), *of_calibration),
    )
