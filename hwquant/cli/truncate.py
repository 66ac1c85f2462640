"""``hwquant truncate``: a float network to float16, 8-bit or 1-bit fixed point, with a parity report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
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
)
from hwquant.cli.progress import leaving, progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.results import layers_table, operators_table
from hwquant.cli.samples import labelled
from hwquant.errors import HwquantError
from hwquant.training.options import TrainOptions, TuneOptions
from hwquant.truncation.limits import ParityLimits
from hwquant.truncation.truncate import BINARY, TARGETS, Binary, Target

if TYPE_CHECKING:
    from hwquant.graph import Graph
    from hwquant.training import Training
    from hwquant.truncation import Miss, Truncation

MISSED = 1


@click.command()
@click.argument("model", metavar=MODEL)
@click.option(
    "--to",
    default="int8",
    show_default=True,
    type=click.Choice(TARGETS),
    help="float16 parameters; 8-bit weights; 1-bit weights, with a scale S for each output channel.",
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
@click.option(
    "--binary",
    default="bipolar",
    show_default=True,
    type=click.Choice(BINARY),
    help="What 1-bit weights are: +S or -S; or 0 or S (0 or -S in channels where that is closer).",
)
@path_option("--train", metavar="TRAIN.npz", help="x and labels y to fine-tune on.")
@path_option(
    "--validation",
    metavar="VAL.npz",
    help="x and labels y that decide what is best, and are not trained on; a tenth of TRAIN.npz if not given.",
)
@options_of(TuneOptions, "tuning")
@options_of(TrainOptions, "options")
@checkpoint_options
@options_of(ParityLimits, "limits")
@path_option("--report", metavar="REPORT.json", help="Write the parity report.")
@path_option("--plot", metavar="PARITY.png", help="Plot it.")
@reading_options
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
    binary: Binary,
    train: Path | None,
    validation: Path | None,
    tuning: TuneOptions,
    options: TrainOptions,
    checkpoint: Path | None,
    resume: bool,
    limits: ParityLimits,
    report: Path | None,
    plot: Path | None,
    reading: Reading,
    as_json: bool,
) -> None:
    """Truncate MODEL's parameters, and report what it costs.

    Operator by operator, and layer after layer. With --max-drop or --min-sqnr parity is a test: exit 1 if a limit is
    missed; the network and the report are written all the same.

    With --train the truncated network is fine-tuned; what is written is the best on VAL.npz of the trained network and
    of those without training. MODULE:FACTORY is a Python function, importable from the working folder, that returns
    a torch.nn.Module.
    """
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.truncation import check_parity
    from hwquant.truncation import truncate as truncate_network
    from hwquant.truncation.report import plotting

    outputs: Outputs = {
        "--output": (output, ONNX if to == "float16" else NETWORK),
        "--report": (report, JSON),
        "--plot": (plot, PLOT),
        "--checkpoint": (checkpoint, ANY),
    }
    check_outputs(outputs, [model, calibration_data, data, train, validation])
    _check_ignored(context, to, train)
    if plot is not None:
        plotting()
    graph = load_float(model, calibration_data, reading)
    calibration = load_samples(calibration_data, graph.given_inputs)
    test = calibration if data is None else load_samples(data, graph.given_inputs)
    if limits.max_drop is not None and test.y is None:
        raise HwquantError(
            f"--max-drop needs labels y, which {data or calibration_data} has not; give --data with them"
        )
    kept = checkpoint or output.with_name(f"{output.name}.checkpoint")
    training = None
    if train is not None:
        samples = _training(train, validation, graph)
        training = replace(samples, options=options, tuning=tuning, checkpoint=kept, resume=resume)
    hint = nullcontext() if training is None else leaving(kept, "has what was trained")
    with progress() as track, hint:
        if training is not None:
            training = replace(training, progress=track)
        result = truncate_network(
            graph,
            calibration.x,
            to,
            test=test,
            int8_ends=int8_ends,
            binary=binary,
            training=training,
            progress=track,
        )
    missed = check_parity(result.parity, limits)
    content: dict[str, Any] = {
        "network": str(output),
        **result.parity.to_json(),
        "limits": limits.as_json(),
        "missed": [asdict(item) for item in missed],
    }
    if train is not None and result.qgraph is not None:
        finetuned: Any = result.qgraph.options["finetuned"]
        content["guard"] = finetuned["guard"]
    _write(result, content, output, report, plot)
    if train is not None and checkpoint is None:
        remove(kept)
    written = [path for path in (output, report, plot) if path is not None]
    lines = [*(f"wrote {path}" for path in written), *_verdict(limits, missed)]
    _report(result, graph.name, content, lines, train is not None, as_json)
    if missed:
        context.exit(MISSED)


def _check_ignored(context: click.Context, to: Target, train: Path | None) -> None:
    """Raise where an option was given that would do nothing."""
    if train is None:
        check_ignored(
            context,
            *(field.name for cls in (TrainOptions, TuneOptions) for field in fields(cls)),
            "checkpoint",
            "resume",
            "validation",
            reason="is for fine-tuning: give --train as well, or leave it out",
        )
    if to != "binary":
        check_ignored(
            context, "int8_ends", "binary", reason="is for binary weights: give --to binary, or leave it out"
        )


def _training(data: Path, validation: Path | None, graph: Graph) -> Training:
    """The labelled samples to fine-tune on, and those that decide."""
    from hwquant.training import Training

    deciding = None if validation is None else labelled(validation, graph).pair()
    return Training(labelled(data, graph).pair(), validation=deciding)


def _verdict(limits: ParityLimits, missed: Sequence[Miss]) -> list[str]:
    """What the test says, where there is one."""
    if limits == ParityLimits():
        return []
    return [f"parity missed: {item}" for item in missed] or ["parity kept"]


def _write(
    result: Truncation, content: Mapping[str, object], output: Path, report: Path | None, plot: Path | None
) -> None:
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
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_bytes(report, text.encode())
    if plot is not None:
        write_bytes(plot, parity_plot(result.parity))


def _report(
    result: Truncation,
    name: str,
    content: Mapping[str, object],
    lines: Sequence[str],
    trained: bool,
    as_json: bool,
) -> None:
    """Print what was found, which files were written, and what the test says."""
    from hwquant.advice import of_data
    from hwquant.truncation.report import judge_parity

    parity, qgraph = result.parity, result.qgraph
    found = () if qgraph is None else of_data(qgraph.options)
    if trained:
        from hwquant.training import Verdict

        guard: Any = content["guard"]
        verdict = Verdict.from_json(guard)
        lines, found = [str(verdict), *lines], (*verdict.advice(name), *found)
    emit(
        as_json,
        content,
        operators_table(parity),
        layers_table(parity),
        *lines,
        advice=(*judge_parity(parity, name, trained=trained), *found),
    )
