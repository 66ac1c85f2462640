"""``hwquant search``: bits for each layer, by test accuracy and by what the hardware costs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.common import emit, json_option
from hwquant.cli.options import calibration_option, options_of, output_option, path_option, quantizer_options
from hwquant.cli.outcome import note
from hwquant.cli.outputs import JSON, NETWORK, PLOT, Outputs, check_ignored, check_outputs, was_given
from hwquant.cli.progress import progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.results import front_table
from hwquant.errors import DoesNotFit
from hwquant.quantize.options import QuantizeOptions
from hwquant.search.objectives import FILL
from hwquant.search.options import Constraints, SearchOptions
from hwquant.training.options import TrainOptions

if TYPE_CHECKING:
    from hwquant.search import Candidate, SearchResult

FITS = "fits"
"""The limit that is met by what fits the board."""


def limits_of(context: click.Context, parameter: click.Parameter, text: str | None) -> dict[str, float]:
    """Read limits such as ``lut=5000,fits``: a number for each objective, or a word."""
    found: dict[str, float] = {}
    for part in text.split(",") if text else []:
        name, equals, value = (item.strip() for item in part.partition("="))
        try:
            number = 1.0 if (name, equals) == (FITS, "") else float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number < math.inf:
            raise click.BadParameter(
                f"{part.strip()!r} is no limit such as cycles=50000, or {FITS}", context, parameter
            )
        found[FILL if name == FITS else name] = number
    return found


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2")
@calibration_option
@path_option(
    "-d",
    "--data",
    required=True,
    metavar="TEST.npz",
    help="x and labels y that candidates are judged by; keep others for the accuracy that you report.",
)
@output_option
@options_of(SearchOptions, "options")
@options_of(Constraints, "constraints")
@click.option(
    "--limit",
    "limits",
    callback=limits_of,
    metavar="NAME=N,...",
    help=f"The most that the pick may have of what --objective names, such as weight_bytes=4096,lut=5000; {FITS}: it "
    "fits the board.",
)
@quantizer_options("quantizer", without=("bits", "bias_bits", "equalization"))
@path_option(
    "-t",
    "--train",
    metavar="TRAIN.npz",
    help="x and labels y: the most promising candidates are fine-tuned on them.",
)
@options_of(TrainOptions, "training", only=("epochs", "lr", "batch_size"))
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; one a core if not given.")
@click.option("--scheduler", metavar="ADDRESS", help="Evaluate on a Dask cluster, such as tcp://host:8786.")
@path_option("--front", metavar="FRONT.json", help="Write all candidates.")
@path_option("--plot", metavar="FRONT.png", help="Plot the front.")
@click.option("--resume", is_flag=True, help="Go on with the journal that an interrupted search left.")
@reading_options
@json_option
@click.pass_context
def search(
    context: click.Context,
    model: Path,
    calibration_data: Path,
    data: Path,
    output: Path,
    options: SearchOptions,
    constraints: Constraints,
    limits: dict[str, float],
    quantizer: QuantizeOptions,
    train: Path | None,
    training: TrainOptions,
    front: Path | None,
    plot: Path | None,
    reading: Reading,
    as_json: bool,
    **how: Any,  # jobs, scheduler and resume, as the search takes them
) -> None:
    """Search the bits of each layer of MODEL: accuracy and costs.

    The pick is written to NET.hwq.

    Every candidate is quantized, run on TEST.npz and compiled. Those evaluated so far are in NET.hwq.journal:
    after an interruption, --resume goes on from there. The journal is removed when the pick is written. What was
    fine-tuned replaces what it was made of only where it is better.
    """
    from hwquant.search.report import plotting

    drop = constraints.max_drop if was_given(context, "max_drop") or not limits else None
    constraints = replace(constraints, max_drop=drop, limits=limits)
    chosen = replace(options, constraints=constraints, quantizer=quantizer, training=training)
    outputs: Outputs = {"--output": (output, NETWORK), "--front": (front, JSON), "--plot": (plot, PLOT)}
    check_outputs(outputs, [model, calibration_data, data, train])
    _check_ignored(context, chosen, how["scheduler"], train)
    if plot is not None:
        plotting()
    journal = output.with_name(f"{output.name}.journal")
    result = _searched(model, reading, calibration_data, data, train, chosen, journal, how)
    try:
        picked = result.pick()
    except DoesNotFit:
        written = _write(result, None, front, plot)
        if not as_json:
            emit(False, {}, front_table(result), *(f"wrote {path}" for path in written))
        raise
    _report(result, picked, [*_write(result, picked, front, plot), output], journal, as_json)


def _check_ignored(
    context: click.Context, options: SearchOptions, scheduler: str | None, train: Path | None
) -> None:
    """Raise where an option was given that would do nothing."""
    if options.exhaustive:
        check_ignored(
            context, "trials", "generation", "seed", reason="means nothing with --exhaustive; leave it out"
        )
    if scheduler is not None:
        check_ignored(
            context, "jobs", reason="means nothing with --scheduler, whose workers evaluate; leave it out"
        )
    if train is None:
        check_ignored(
            context,
            *("finetuned", "method", "epochs", "lr", "batch_size"),
            reason="means nothing without --train; give that as well",
        )
    if options.constraints.max_drop is None:
        check_ignored(context, "drop_from", reason="means nothing without --max-drop; give that as well")


def _searched(
    model: Path,
    reading: Reading,
    calibration: Path,
    data: Path,
    train: Path | None,
    options: SearchOptions,
    journal: Path,
    how: dict[str, Any],
) -> SearchResult:
    """Search; after Ctrl-C a line says where the candidates are that were evaluated."""
    from hwquant.data import load_samples
    from hwquant.search import search as search_bits

    graph = reading.load(model)
    x, test = load_samples(calibration, graph.given_inputs).x, load_samples(data, graph.given_inputs)
    samples = None if train is None else load_samples(train, graph.given_inputs)
    try:
        with progress() as track:
            return search_bits(graph, x, test, options, train=samples, journal=journal, progress=track, **how)
    except KeyboardInterrupt:
        if journal.exists():
            note(f"what was evaluated is in {journal}: go on with --resume")
        raise


def _report(
    result: SearchResult, picked: Candidate, written: list[Path], journal: Path, as_json: bool
) -> None:
    """Write the pick to the last of the files, and say what was found."""
    from hwquant import hwq
    from hwquant.advice import of_data
    from hwquant.files import remove
    from hwquant.search.report import judge_pick
    from hwquant.search.result import describe_measures

    qgraph = result.network(picked)
    hwq.save(qgraph, written[-1])
    remove(journal)
    emit(
        as_json,
        {**_content(result, picked), "network": str(written[-1])},
        front_table(result, picked),
        f"{len(result.candidates)} candidates of {result.task.space.size:,}; picked: "
        f"{describe_measures(picked.measures)} (float {result.float_accuracy:.2%})",
        *(f"wrote {path}" for path in written),
        advice=(*judge_pick(result, picked), *of_data(qgraph.options)),
    )


def _content(result: SearchResult, picked: Candidate | None) -> dict[str, Any]:
    told = [] if picked is None else [step.to_json() for step in result.history(picked)]
    return {**result.to_json(), "picked": None if picked is None else picked.to_json(), "history": told}


def _write(
    result: SearchResult, picked: Candidate | None, front: Path | None, plot: Path | None
) -> list[Path]:
    """Write the files that were asked for besides the network; their paths."""
    from hwquant.files import write_bytes
    from hwquant.search.report import front_plot

    if front is not None:
        text = json.dumps(_content(result, picked), indent=1, allow_nan=False) + "\n"
        write_bytes(front, text.encode())
    if plot is not None:
        write_bytes(plot, front_plot(result, picked))
    return [path for path in (front, plot) if path is not None]
