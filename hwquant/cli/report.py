"""``hwquant report``: a build as one page for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwquant.cli.common import check_writable, count_option, emit, json_option, load_network, write_report
from hwquant.cli.evaluate import output_index, predict
from hwquant.cli.progress import progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    from hwquant.advice import Advice
    from hwquant.build import Build
    from hwquant.page import Accuracy


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "-d",
    "--data",
    type=click.Path(path_type=Path),
    metavar="DATA.npz",
    help="Measure the accuracy on these samples: x and the labels y, as for `hwquant evaluate`.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="MODEL.onnx|MODEL.pt2",
    help="The float network, for its accuracy beside that of the integers.",
)
@count_option
@click.option(
    "--output", metavar="NAME", help="Of several outputs, the one that y labels; by default the first."
)
@reading_options
@json_option
def report(
    build: Path,
    data: Path | None,
    model: Path | None,
    count: int | None,
    output: str | None,
    reading: Reading,
    as_json: bool,
) -> None:
    """Write BUILD/report.html again, from what BUILD holds.

    `hwquant compile` and `hwquant build` do so as well; with DATA.npz the accuracy is measured first, and kept.
    """
    from hwquant.advice import of_options
    from hwquant.build import load_build
    from hwquant.page import load_record
    from hwquant.page.boards import board_results

    if data is None and (model or count or output):
        raise HwquantError("the accuracy needs samples: give -d DATA.npz as well")
    if model is None:
        reading.check_unused(f"build {build}")
    source = load_build(build)
    check_writable(build)
    load_record(build)
    board_results(build)
    accuracy, advice = None, of_options(source.qgraph.options)
    if data is not None:
        accuracy, more = _measured(source, data, model, count, output, reading)
        advice = (*advice, *more)
    path = write_report(source, "report" if accuracy else None, accuracy)
    result: dict[str, object] = {"report": str(path)}
    if accuracy:
        measured = {"integer": accuracy.integer, "total": accuracy.samples}
        result |= {"accuracy": measured if accuracy.real is None else {"float": accuracy.real, **measured}}
    lines = [f"wrote {path}"]
    if accuracy:
        real = "" if accuracy.real is None else f"{accuracy.real:.2%} in float, "
        lines.insert(0, f"{accuracy.samples} samples: accuracy {real}{accuracy.integer:.2%} in integers")
    emit(as_json, result, *lines, advice=advice)


def _measured(
    source: Build, data: Path, model: Path | None, count: int | None, output: str | None, reading: Reading
) -> tuple[Accuracy, tuple[Advice, ...]]:
    """Measure the accuracy of a build's network, and of a float one; with it, what is wrong with the data."""
    from hwquant.clipping import check_inputs
    from hwquant.data import load_samples
    from hwquant.page import Accuracy

    advice: tuple[Advice, ...] = ()
    networks = [source.qgraph, *([load_network(model, reading)] if model else [])]
    if model and not isinstance(networks[1], Graph):
        raise HwquantError(f"{model} is an integer network; --model is for the float one")
    shares = []
    with progress() as track:
        for network in networks:
            index = output_index(network, output)
            samples = load_samples(data, network.given_inputs, count)
            share = samples.accuracy(predict(network, samples, track, index))
            if share is None:
                raise HwquantError(f"{data} has no labels y, and the accuracy needs them")
            shares.append(share)
            if isinstance(network, QGraph):
                advice = (*advice, *check_inputs(network, samples.x))
    accuracy = Accuracy(
        data=data.name,
        samples=len(samples),
        integer=shares[0],
        real=shares[1] if model else None,
        model=model.name if model else "",
    )
    return accuracy, advice
