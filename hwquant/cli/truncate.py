"""``hwquant truncate``: a float network to float16, 8-bit or 1-bit fixed point, with a parity report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hwquant.cli.common import NETWORK_SUFFIX, check_output_file, emit, json_option, progress
from hwquant.errors import HwquantError

SUFFIXES = {"float16": ".onnx", "int8": NETWORK_SUFFIX, "binary": NETWORK_SUFFIX}
_path = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=_path, metavar="MODEL.onnx|MODEL.pt2")
@click.option(
    "--to",
    default="int8",
    show_default=True,
    type=click.Choice(list(SUFFIXES)),
    help="float16 parameters; 8-bit weights; 1-bit weights, by output channel.",
)
@click.option(
    "-c",
    "--calibration-data",
    required=True,
    type=_path,
    metavar="CALIB.npz",
    help="Typical inputs x, such as a few hundred training samples.",
)
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
@click.option("--epochs", type=click.FloatRange(min=0), help="Of fine-tuning; 5 if not given.")
@click.option("--lr", type=float, help="Learning rate; 0.005 for binary weights, else 0.001.")
@click.option("--batch-size", type=click.IntRange(min=1), help="64 if not given.")
@click.option("--optimizer", type=click.Choice(["adam", "sgd", "rmsprop"]), help="adam if not given.")
@click.option("--loss", help="cross_entropy if not given; or a sum such as cross_entropy+0.1*mse.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the order of the samples; 0 if not given.")
@click.option("--resume", is_flag=True, help="Go on with the fine-tuning that was interrupted.")
@click.option("--report", type=_path, metavar="REPORT.json", help="Write the parity report.")
@click.option("--plot", type=_path, metavar="PARITY.png", help="Plot it.")
@json_option
def truncate(
    model: Path,
    to: str,
    calibration_data: Path,
    data: Path | None,
    output: Path,
    int8_ends: bool,
    train: Path | None,
    resume: bool,
    report: Path | None,
    plot: Path | None,
    as_json: bool,
    **training: Any,
) -> None:
    """Truncate MODEL's parameters, and report what it costs: operator by operator, and layer after layer.

    Fine-tuning (--train) keeps OUT.checkpoint after every epoch: after an interruption, --resume goes on from
    there. It is removed when OUT is written.
    """
    from hwquant import hwq
    from hwquant.container import write_bytes
    from hwquant.data import load_samples
    from hwquant.export import save_float16
    from hwquant.frontends import load_model
    from hwquant.truncation import truncate as truncate_network
    from hwquant.truncation.report import layers_table, operators_table, parity_plot, plotting

    if output.suffix != SUFFIXES[to]:
        raise HwquantError(f"{to} networks are {SUFFIXES[to]} files; name the output so, not {output.name}")
    given = {name: value for name, value in training.items() if value is not None}
    if train is None and (given or resume):
        name = next(iter(given), "resume").replace("_", "-")
        raise HwquantError(f"--{name} is for fine-tuning: give --train as well, or leave it out")
    for path in (output, report, plot):
        if path is not None:
            check_output_file(path)
    if plot is not None:
        plotting()
    graph = load_model(model)
    calibration = load_samples(calibration_data, graph.inputs)
    test = calibration if data is None else load_samples(data, graph.inputs)
    arguments: dict[str, Any] = {}
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    if train is not None:
        arguments = _training(load_samples(train, graph.inputs), train, to, given)
        arguments |= {"checkpoint": checkpoint, "resume": resume}
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
        if train is not None and checkpoint.exists():
            click.echo(f"what was trained is in {checkpoint}: go on with --resume", err=True)
        raise
    parity = result.parity
    content = {"network": str(output), **parity.to_json()}
    if result.qgraph is None:
        save_float16(result.graph, output)
    else:
        hwq.save(result.qgraph, output)
    if train is not None:
        checkpoint.unlink(missing_ok=True)
    if report is not None:
        write_bytes(report, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    if plot is not None:
        write_bytes(plot, parity_plot(parity))
    written = [path for path in (output, report, plot) if path is not None]
    lines = [f"wrote {path}" for path in written]
    emit(as_json, content, operators_table(parity), layers_table(parity), *lines)


def _training(samples: Any, path: Path, to: str, given: dict[str, Any]) -> dict[str, Any]:
    """Arguments for fine-tuning."""
    from hwquant.training import TrainOptions
    from hwquant.truncation.truncate import BINARY_RATE

    if samples.y is None:
        raise HwquantError(f"{path} has no labels y to train on")
    if to == "binary":
        given.setdefault("lr", BINARY_RATE)
    return {"train": (samples.x, samples.y), "training": TrainOptions(**given)}
