"""``hwquant search``: bits for each layer, by test accuracy and by what the hardware costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.common import emit, json_option, progress
from hwquant.cli.options import calibration_option, output_option
from hwquant.cli.outcome import note
from hwquant.cli.outputs import JSON, NETWORK, PLOT, Outputs, check_ignored, check_outputs
from hwquant.errors import DoesNotFit

if TYPE_CHECKING:
    from hwquant.search import Candidate, SearchResult

DEFAULT_DROP = 0.5


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """``2,4,8``."""
    items = [item.strip() for item in text.split(",")]
    if not all(item.isdigit() for item in items):
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 2,4,8")
    return tuple(int(item) for item in items)


def _names(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(","))


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2")
@calibration_option
@click.option(
    "-d",
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="TEST.npz",
    help="x and labels y that candidates are judged by; keep others for the accuracy that you report.",
)
@output_option
@click.option(
    "--array", default="8x8", show_default=True, metavar="RxC", help="Array that cycles and bytes are for."
)
@click.option(
    "--bits",
    default="2,3,4,5,6,8",
    show_default=True,
    callback=_numbers,
    help="What the bits of a layer's weights may be.",
)
@click.option("--activations", is_flag=True, help="Search the bits of layer outputs and inputs too.")
@click.option(
    "--objective",
    "objectives",
    default="accuracy,cycles,weight_bytes",
    show_default=True,
    callback=_names,
    help="Also: memory_bytes (of all memories), weight_bits (independent of the array).",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help=f"Accuracy that may be lost, in points; {DEFAULT_DROP} unless another limit is given.",
)
@click.option(
    "--drop-from",
    default="float",
    show_default=True,
    type=click.Choice(["float", "int8"]),
    help="What --max-drop counts from: the float network, or all layers in 8 bits.",
)
@click.option("--max-weight-bytes", type=click.IntRange(1, 1 << 60), metavar="N", help="Limit of the pick.")
@click.option("--max-cycles", type=click.IntRange(1, 1 << 60), metavar="N", help="Limit of the pick.")
@click.option(
    "--trials", default=200, show_default=True, type=click.IntRange(min=1), help="Candidates at most."
)
@click.option(
    "--generation",
    default=24,
    show_default=True,
    type=click.IntRange(min=2),
    help="Candidates chosen at a time; as many can be evaluated in parallel.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--exhaustive", is_flag=True, help="Every configuration, however many trials that is.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; one a core if not given.")
@click.option("--scheduler", metavar="ADDRESS", help="Evaluate on a Dask cluster, such as tcp://host:8786.")
@click.option("--front", type=click.Path(path_type=Path), metavar="FRONT.json", help="Write all candidates.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FRONT.png", help="Plot the front.")
@click.option("--per-channel", is_flag=True, help="As in quantize.")
@click.option("--error-compensation", is_flag=True, help="As in quantize; the better quantizer below 8 bits.")
@click.option("--resume", is_flag=True, help="Go on with the journal that an interrupted search left.")
@json_option
@click.pass_context
def search(
    context: click.Context,
    model: Path,
    calibration_data: Path,
    data: Path,
    output: Path,
    array: str,
    max_drop: float | None,
    drop_from: str,
    max_weight_bytes: int | None,
    max_cycles: int | None,
    jobs: int | None,
    scheduler: str | None,
    front: Path | None,
    plot: Path | None,
    per_channel: bool,
    error_compensation: bool,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Search the bits of each layer of MODEL: accuracy and costs.

    The pick is written to NET.hwq.

    Every candidate is quantized, run on TEST.npz and compiled. Those evaluated so far are in NET.hwq.journal:
    after an interruption, --resume goes on from there. The journal is removed when the pick is written.
    """
    from hwquant import hwq
    from hwquant.advice import of_data
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.frontends import load_model
    from hwquant.program.config import parse_array
    from hwquant.quantize import QuantizeOptions
    from hwquant.search import Constraints, SearchOptions
    from hwquant.search import search as search_bits
    from hwquant.search.report import front_table, judge_pick, plotting
    from hwquant.search.result import describe_measures

    limits = {"weight_bytes": max_weight_bytes, "cycles": max_cycles}
    given = {name: float(value) for name, value in limits.items() if value is not None}
    drop = DEFAULT_DROP if max_drop is None and not given else max_drop
    chosen = SearchOptions(
        array=parse_array(array),
        constraints=Constraints(drop, drop_from, given),
        quantizer=QuantizeOptions(per_channel=per_channel, error_compensation=error_compensation),
        **options,
    )
    outputs: Outputs = {"--output": (output, NETWORK), "--front": (front, JSON), "--plot": (plot, PLOT)}
    check_outputs(outputs, [model, calibration_data, data])
    if chosen.exhaustive:
        check_ignored(
            context, "trials", "generation", "seed", reason="means nothing with --exhaustive; leave it out"
        )
    if scheduler is not None:
        check_ignored(
            context, "jobs", reason="means nothing with --scheduler, whose workers evaluate; leave it out"
        )
    if drop is None:
        check_ignored(context, "drop_from", reason="means nothing without --max-drop; give that as well")
    if plot is not None:
        plotting()
    graph = load_model(model)
    calibration = load_samples(calibration_data, graph.inputs)
    test = load_samples(data, graph.inputs)
    journal = output.with_name(f"{output.name}.journal")
    try:
        with progress() as track:
            result = search_bits(
                graph,
                calibration.x,
                test,
                chosen,
                journal=journal,
                resume=resume,
                jobs=jobs,
                scheduler=scheduler,
                progress=track,
            )
    except KeyboardInterrupt:
        if journal.exists():
            note(f"what was evaluated is in {journal}: go on with --resume")
        raise
    try:
        picked = result.pick()
    except DoesNotFit:
        written = _write(result, None, front, plot)
        if not as_json:
            emit(False, {}, front_table(result), *(f"wrote {path}" for path in written))
        raise
    written = _write(result, picked, front, plot)
    qgraph = result.network(picked)
    hwq.save(qgraph, output)
    remove(journal)
    emit(
        as_json,
        {**_content(result, picked), "network": str(output)},
        front_table(result, picked),
        f"{len(result.candidates)} candidates of {result.task.space.size:,}; picked: "
        f"{describe_measures(picked.measures)} (float {result.float_accuracy:.2%})",
        *(f"wrote {path}" for path in (*written, output)),
        advice=(*judge_pick(result, picked), *of_data(qgraph.options)),
    )


def _content(result: SearchResult, picked: Candidate | None) -> dict[str, Any]:
    return {**result.to_json(), "picked": None if picked is None else picked.to_json()}


def _write(
    result: SearchResult, picked: Candidate | None, front: Path | None, plot: Path | None
) -> list[Path]:
    """The files that were asked for besides the network; their paths."""
    from hwquant.files import write_bytes
    from hwquant.search.report import front_plot

    if front is not None:
        text = json.dumps(_content(result, picked), indent=1, allow_nan=False) + "\n"
        write_bytes(front, text.encode())
    if plot is not None:
        write_bytes(plot, front_plot(result, picked))
    return [path for path in (front, plot) if path is not None]
