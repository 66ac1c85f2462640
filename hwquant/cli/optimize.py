"""``hwquant optimize``: the best network for a board, and its build."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.common import emit, json_option, write_report
from hwquant.cli.modules import MODEL, load_float
from hwquant.cli.options import calibration_option, options_of, output_option, path_option
from hwquant.cli.outcome import note
from hwquant.cli.outputs import JSON, NETWORK, PLOT, check_ignored, check_outputs
from hwquant.cli.progress import progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.results import designs_table
from hwquant.cli.samples import HELD_OUT, divided, labelled
from hwquant.errors import DoesNotFit
from hwquant.optimize.options import OptimizeOptions
from hwquant.quantize.options import QuantizeOptions
from hwquant.training.options import TrainOptions, TuneOptions

if TYPE_CHECKING:
    from hwquant.data import Samples
    from hwquant.graph import Graph
    from hwquant.optimize import Candidate, OptimizeResult
    from hwquant.qgraph import QGraph


@click.command()
@click.argument("model", metavar=MODEL)
@click.option(
    "--board", required=True, metavar="BOARD", help="A name (hwquant boards), or a TOML file of your own."
)
@path_option("--train", required=True, metavar="TRAIN.npz", help="Samples x and labels y to train with.")
@path_option(
    "--validation",
    metavar="VAL.npz",
    help=f"x and labels y that decide; if not given, {HELD_OUT}.",
)
@path_option("--test", metavar="TEST.npz", help="x and labels y: report the pick's accuracy on them too.")
@calibration_option
@output_option
@path_option("--build", metavar="BUILD/", help="Compile the pick for its array: program, Verilog and report.")
@path_option("--front", metavar="FRONT.json", help="Write all candidates.")
@path_option("--plot", metavar="FRONT.png", help="Plot the front.")
@options_of(OptimizeOptions, "options")
@options_of(
    TrainOptions,
    "training",
    only=("epochs", "optimizer", "lr", "schedule", "batch_size", "loss", "weight_decay", "momentum"),
)
@options_of(TuneOptions, "tuning")
@options_of(QuantizeOptions, "quantizer", only=("per_channel",))
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; one a core if not given.")
@click.option("--scheduler", metavar="ADDRESS", help="Work on a Dask cluster, such as tcp://host:8786.")
@click.option("--resume", is_flag=True, help="Go on with what an interrupted run left in NET.hwq.work.")
@reading_options
@json_option
@click.pass_context
def optimize(
    context: click.Context,
    model: str,
    board: str,
    train: Path,
    validation: Path | None,
    test: Path | None,
    calibration_data: Path,
    output: Path,
    build: Path | None,
    front: Path | None,
    plot: Path | None,
    options: OptimizeOptions,
    training: TrainOptions,
    tuning: TuneOptions,
    quantizer: QuantizeOptions,
    reading: Reading,
    as_json: bool,
    **how: Any,  # jobs, scheduler and resume, as the optimizer takes them
) -> None:
    """Find the best network for a board: array, bits and pruning.

    The pick is written to NET.hwq.

    Candidates are judged by accuracy on VAL.npz, exact cycles and the resource model; pruned networks are retrained,
    and the best candidates trained, on TRAIN.npz. The front, the pick and its ratio to the best 8-bit dense build that
    fits the board are reported; inferences a second are those of the core (clock / cycles) at the board's target
    clock. What is done so far is in NET.hwq.work: after an interruption, --resume goes on from there. It is removed
    when the pick is written.
    """
    from hwquant.boards.board import load_board
    from hwquant.build import check_target
    from hwquant.data import load_samples
    from hwquant.files.places import discard
    from hwquant.optimize import optimize as find_best
    from hwquant.search.report import plotting
    from hwquant.training import Training

    if how["scheduler"] is not None:
        check_ignored(
            context, "jobs", reason="means nothing with --scheduler, whose workers work; leave it out"
        )
    inputs: list[Path | str | None] = [model, train, validation, test, calibration_data]
    check_outputs({"--output": (output, NETWORK), "--front": (front, JSON), "--plot": (plot, PLOT)}, inputs)
    if build is not None:
        check_target(build)
    if plot is not None:
        plotting()
    chosen = load_board(board)
    graph = load_float(model, train, reading)
    samples, deciding = divided(graph, train, validation, options.seed)
    tested = None if test is None else labelled(test, graph)
    calibration = load_samples(calibration_data, graph.given_inputs).x
    asked = replace(options, quantizer=quantizer)
    folder = output.with_name(f"{output.name}.work")
    try:
        with progress() as track:
            result = find_best(
                graph,
                chosen,
                Training(samples.pair(), training, tuning=tuning),
                calibration,
                deciding,
                asked,
                folder=folder,
                progress=track,
                **how,
            )
    except KeyboardInterrupt:
        if folder.exists():
            note(f"what was done is in {folder}: go on with --resume")
        raise
    try:
        picked = result.pick()
    except DoesNotFit:
        written = _write(result, None, front, plot)
        if not as_json:
            emit(False, {}, designs_table(result), *(f"wrote {path}" for path in written))
        raise
    written = _write(result, picked, front, plot)
    _report(result, picked, [*written, output], build, board, _tested(result, picked, graph, tested), as_json)
    discard(folder)


def _tested(
    result: OptimizeResult, picked: Candidate, graph: Graph, test: Samples | None
) -> dict[str, float | None] | None:
    """Accuracies on the test samples, which decide nothing."""
    from hwquant import floating, golden

    if test is None:
        return None

    def accuracy(item: Candidate | None) -> float | None:
        return None if item is None else test.accuracy(golden.predict(result.network(item), test.x)[0])

    return {
        "float": test.accuracy(floating.predict(graph, test.x)[0]),
        "baseline": accuracy(result.baseline),
        "picked": accuracy(picked),
    }


def _report(
    result: OptimizeResult,
    picked: Candidate,
    written: list[Path],
    build: Path | None,
    board: str,
    tested: dict[str, float | None] | None,
    as_json: bool,
) -> None:
    """Write the pick to the last of the files, and its build, and say what was found."""
    from hwquant import hwq
    from hwquant.advice import of_data
    from hwquant.optimize.report import comparison, describe_candidate, judge_pick

    qgraph = result.network(picked)
    hwq.save(qgraph, written[-1])
    lines = [
        f"picked: {describe_candidate(result, picked)}",
        comparison(result, picked),
        *_test_lines(tested),
        *(f"wrote {path}" for path in written),
        *_build(result, picked, qgraph, build, board),
    ]
    content = {**_content(result, picked), "test": tested, "network": str(written[-1])}
    content["build"] = None if build is None else str(build)
    advice = (*judge_pick(result, picked), *of_data(qgraph.options))
    emit(as_json, content, designs_table(result, picked), *lines, advice=advice)


def _test_lines(tested: dict[str, float | None] | None) -> list[str]:
    if tested is None:
        return []
    known = {"picked": "the pick", "baseline": "8-bit dense", "float": "float"}
    parts = [f"{what} {tested[key]:.2%}" for key, what in known.items() if tested[key] is not None]
    return [f"accuracy on the test samples: {', '.join(parts)}"]


def _build(
    result: OptimizeResult, picked: Candidate, qgraph: QGraph, build: Path | None, board: str
) -> list[str]:
    """Write the pick's build where it was asked for; lines on it."""
    from hwquant.build import write_build

    if build is None:
        return []
    page = write_report(write_build(qgraph, result.program(picked, qgraph), build), "compile")
    return [
        f"wrote {build}; the report is {page}",
        f"its bitstream: hwquant build {build} --board {board}",
    ]


def _content(result: OptimizeResult, picked: Candidate | None) -> dict[str, Any]:
    return {
        **result.to_json(),
        "picked": None if picked is None else picked.to_json(),
        "improvement": None if picked is None else result.improvement(picked),
    }


def _write(
    result: OptimizeResult, picked: Candidate | None, front: Path | None, plot: Path | None
) -> list[Path]:
    """Write the files that were asked for besides network and build; their paths."""
    from hwquant.files import write_bytes
    from hwquant.optimize.report import optimize_plot

    if front is not None:
        text = json.dumps(_content(result, picked), indent=1, allow_nan=False) + "\n"
        write_bytes(front, text.encode())
    if plot is not None:
        write_bytes(plot, optimize_plot(result, picked))
    return [path for path in (front, plot) if path is not None]
