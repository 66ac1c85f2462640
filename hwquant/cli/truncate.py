"""``hwquant truncate``: a float network to float16, 8-bit or 1-bit fixed point, with a parity report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hwquant.cli.common import emit, json_option, progress
from hwquant.cli.modules import MODEL, load_float
from hwquant.cli.options import calibration_option, checkpoint_options, training_options
from hwquant.cli.outcome import note
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
from hwquant.errors import HwquantError

SUFFIXES = {"float16": ONNX, "int8": NETWORK, "binary": NETWORK}
_path = click.Path(path_type=Path)


@click.command()
@click.argument("model", metavar=MODEL)
@click.option(
    "--to",
    default="int8",
    show_default=True,
    type=click.Choice(list(SUFFIXES)),
    help="float16 parameters; 8-bit weights; 1-bit weights, by output channel.",
)
@calibration_option
@click.option(
    "-d",
    "--data",
    type=_path,
    metavar="TEST.npz",
    help="x and perhaps labels y that parity is measured on; the calibration data if not given.",
)
@click.option(
    "-o", "--output", required=True, type=_path, metavar="OUT", help="OUT.hwq; OUT.onnx for float16."
)
@click.option("--int8-ends", is_flag=True, help="With binary: the first and the last layer keep 8 bits.")
@click.option("--train", type=_path, metavar="TRAIN.npz", help="x and labels y to fine-tune on.")
@training_options
@checkpoint_options
@click.option("--report", type=_path, metavar="REPORT.json", help="Write the parity report.")
@click.option("--plot", type=_path, metavar="PARITY.png", help="Plot it.")
@json_option
@click.pass_context
def truncate(
    context: click.Context,
    model: str,
    to: str,
    calibration_data: Path,
    data: Path | None,
    output: Path,
    int8_ends: bool,
    train: Path | None,
    checkpoint: Path | None,
    resume: bool,
    report: Path | None,
    plot: Path | None,
    as_json: bool,
    **training: Any,
) -> None:
    """Truncate MODEL's parameters, and report what it costs.

    Operator by operator, and layer after layer.

    With --train the truncated network is fine-tuned; the learning rate is then 0.005 for binary weights unless
    another one is given. MODULE:FACTORY is a Python function, importable from the working folder, that returns
    a torch.nn.Module.
    """
    from hwquant import hwq
    from hwquant.advice import of_data
    from hwquant.data import load_samples
    from hwquant.export import save_float16
    from hwquant.files import remove, write_bytes
    from hwquant.training.options import TrainOptions
    from hwquant.truncation import truncate as truncate_network
    from hwquant.truncation.report import judge_parity, layers_table, operators_table, parity_plot, plotting
    from hwquant.truncation.truncate import BINARY_RATE

    outputs: Outputs = {
        "--output": (output, SUFFIXES[to]),
        "--report": (report, JSON),
        "--plot": (plot, PLOT),
        "--checkpoint": (checkpoint, ANY),
    }
    check_outputs(outputs, [model, calibration_data, data, train])
    if train is None:
        check_ignored(
            context,
            *training,
            "checkpoint",
            "resume",
            reason="is for fine-tuning: give --train as well, or leave it out",
        )
    if to != "binary":
        check_ignored(context, "int8_ends", reason="is for binary weights: give --to binary, or leave it out")
    if plot is not None:
        plotting()
    graph = load_float(model, calibration_data)
    calibration = load_samples(calibration_data, graph.inputs)
    test = calibration if data is None else load_samples(data, graph.inputs)
    arguments: dict[str, Any] = {}
    kept = checkpoint or output.with_name(f"{output.name}.checkpoint")
    if train is not None:
        samples = load_samples(train, graph.inputs)
        if samples.y is None:
            raise HwquantError(f"{train} has no labels y; training needs them")
        if to == "binary" and not was_given(context, "lr"):
            training["lr"] = BINARY_RATE
        options = TrainOptions(**training)
        arguments = {
            "train": (samples.x, samples.y),
            "training": options,
            "checkpoint": kept,
            "resume": resume,
        }
    try:
        with progress() as track:
            result = truncate_network(
                graph,
                calibration.x,
                to,
                test=test,
                int8_ends=int8_ends,
                progress=track,
                report=track,
                **arguments,
            )
    except KeyboardInterrupt:
        if train is not None and kept.exists():
            note(f"{kept} has what was trained; the same command with --resume goes on")
        raise
    parity = result.parity
    content = {"network": str(output), **parity.to_json()}
    if result.qgraph is None:
        save_float16(result.graph, output)
    else:
        hwq.save(result.qgraph, output)
    if train is not None and checkpoint is None:
        remove(kept)
    if report is not None:
        write_bytes(report, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    if plot is not None:
        write_bytes(plot, parity_plot(parity))
    written = [path for path in (output, report, plot) if path is not None]
    lines = [f"wrote {path}" for path in written]
    of_calibration = () if result.qgraph is None else of_data(result.qgraph.options)
    advice = (*judge_parity(parity, graph.name, trained=train is not None), *of_calibration)
    emit(as_json, content, operators_table(parity), layers_table(parity), *lines, advice=advice)
