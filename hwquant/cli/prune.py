"""``hwquant prune``: groups of weights to zero, with retraining, so that the hardware skips their tiles."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwquant.cli.common import emit, json_option, progress
from hwquant.cli.modules import MODEL, load_float
from hwquant.cli.options import (
    calibration_option,
    checkpoint_options,
    output_option,
    training_options,
    width_options,
)
from hwquant.cli.outcome import note
from hwquant.cli.outputs import ANY, NETWORK, check_outputs
from hwquant.errors import HwquantError

if TYPE_CHECKING:
    from hwquant.data import Samples
    from hwquant.graph import Graph

HELD_OUT = 10
"""Without validation samples, one of so many training samples becomes one."""


@click.command()
@click.argument("model", metavar=MODEL)
@click.option(
    "--train",
    required=True,
    type=click.Path(path_type=Path),
    metavar="TRAIN.npz",
    help="Samples x and labels y to retrain with.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="VAL.npz",
    help=f"Samples x and labels y that decide; the last {HELD_OUT}th of TRAIN.npz, not trained on, if not given.",
)
@calibration_option
@output_option
@click.option(
    "--array", default="8x8", show_default=True, metavar="RxC", help="Array whose tiles are skipped."
)
@click.option(
    "--group-size",
    type=click.IntRange(1, 1 << 30),
    metavar="N",
    help="Consecutive input channels in a group; the array's rows if not given.",
)
@click.option(
    "--filters",
    default="C",
    show_default=True,
    metavar="1|C",
    help="Consecutive filters in a group: a number, or C for the array's columns.",
)
@click.option(
    "--threshold-factor",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Of a layer's threshold, the mean L1 norm of its groups.",
)
@click.option(
    "--step",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of a layer's groups that a pass prunes at most.",
)
@click.option("--passes", default=10, show_default=True, type=click.IntRange(min=1), help="Passes at most.")
@click.option(
    "--prune",
    "polarity",
    default="below",
    show_default=True,
    type=click.Choice(["below", "above"]),
    help="Which groups: those below the threshold, or those above it (the literal claim).",
)
@click.option(
    "--max-drop",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="Validation accuracy that may be lost.",
)
@click.option(
    "--max-sensitivity",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="Layers that lose more when they alone are pruned are left untouched.",
)
@click.option(
    "--sensitivity-samples",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Validation samples that this is measured on.",
)
@click.option("--reorder", is_flag=True, help="Pack like-patterned filters into tiles.")
@training_options
@width_options
@click.option("--per-channel", is_flag=True, help="As in quantize.")
@click.option("--error-compensation", is_flag=True, help="As in quantize.")
@checkpoint_options
@json_option
def prune(
    model: str,
    train: Path,
    validation: Path | None,
    calibration_data: Path,
    output: Path,
    array: str,
    filters: str,
    polarity: str,
    checkpoint: Path | None,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Prune MODEL in groups, retrain it, and quantize it.

    The integer network goes to NET.hwq.

    MODULE:FACTORY is a Python function, importable from the working folder, that returns a torch.nn.Module.
    --epochs are those of each pass. On the validation samples the accuracy, before quantization, stays within
    --max-drop of the float network's. Reported are the weights that are zero, the tiles that the array skips, and
    the cycles that this saves.
    """
    from hwquant import hwq
    from hwquant.advice import of_options
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.program.compiler import compile_network
    from hwquant.program.config import parse_array
    from hwquant.pruning import PruneOptions
    from hwquant.pruning import prune as prune_network
    from hwquant.pruning.report import judge_pruning, savings
    from hwquant.quantize import QuantizeOptions, quantize
    from hwquant.training import TrainOptions

    def take(*names: str) -> dict[str, Any]:
        return {name: options.pop(name) for name in names}

    training = take(*(field.name for field in dataclasses.fields(TrainOptions)))
    quantizer = QuantizeOptions(**take("bits", "activation_bits", "per_channel", "error_compensation"))
    shape = parse_array(array)
    chosen = PruneOptions(shape, filters=_filters(filters), prune=polarity, **options)
    file = output.with_name(f"{output.name}.checkpoint") if checkpoint is None else checkpoint
    inputs: list[Path | str | None] = [model, train, validation, calibration_data]
    check_outputs({"--output": (output, NETWORK), "--checkpoint": (checkpoint, ANY)}, inputs)
    graph = load_float(model, train)
    samples = _labelled(train, graph)
    if validation is None:
        held_out = -(-len(samples) // HELD_OUT)
        samples, deciding = samples[:-held_out], samples[-held_out:]
    else:
        deciding = _labelled(validation, graph)
    calibration = load_samples(calibration_data, graph.inputs)
    with progress() as track:
        try:
            result = prune_network(
                graph,
                samples.pair(),
                deciding.pair(),
                chosen,
                TrainOptions(**training),
                progress=track,
                checkpoint=file,
                resume=resume,
            )
        except KeyboardInterrupt:
            if file.exists():
                note(f"{file} has what was done; the same command with --resume goes on")
            raise
        qgraph = quantize(result.graph, calibration.x, quantizer, progress=track)
        dense = compile_network(quantize(graph, calibration.x, quantizer), shape)
        integer = _accuracy(qgraph, deciding)
    saved = savings(result.graph, qgraph, compile_network(qgraph, shape), dense)
    hwq.save(qgraph, output)
    if checkpoint is None:
        remove(file)
    drops = {item.layer: item.drop for item in result.sensitivities}
    content = {
        "network": str(output),
        "accuracy": {"float": result.before, "pruned": result.accuracy, "integer": integer},
        **saved.to_json(),
        "sensitivity": drops,
        "passes": [vars(item) for item in result.passes],
        "samples": {"train": len(samples), "validation": len(deciding), "calibration": len(calibration)},
    }
    accuracies = f"{result.before:.2%} float, {result.accuracy:.2%} pruned, {integer:.2%} as integers"
    emit(
        as_json,
        content,
        _table(content),
        f"weights pruned {saved.pruned:.1%}, tiles skipped {saved.skipped:.1%}, cycles of an inference "
        f"{saved.dense_cycles:,} -> {saved.cycles:,}",
        f"accuracy on {len(deciding)} validation samples: {accuracies}",
        f"wrote {output}",
        advice=(*judge_pruning(graph, result, chosen), *of_options(qgraph.options)),
    )


def _filters(text: str) -> int | None:
    """``C`` is the array's columns."""
    if text.upper() == "C":
        return None
    if not text.isdecimal() or len(text) > 9:
        raise click.BadParameter(f"{text!r} is neither a number nor C", param_hint="--filters")
    return int(text)


def _labelled(path: Path, graph: Graph) -> Samples:
    """Samples to train or to decide with."""
    from hwquant.data import load_samples

    if len(graph.inputs) != 1:
        names = ", ".join(item.name for item in graph.inputs)
        raise HwquantError(
            f"network {graph.name!r} has the inputs {names}; prune it from Python, with a loader"
        )
    samples = load_samples(path, graph.inputs)
    if samples.y is None:
        raise HwquantError(f"{path} has no labels y, which pruning needs to retrain and to decide")
    if len(samples) < 2:
        raise HwquantError(f"{path} has a single sample; give more")
    return samples


def _accuracy(network: Any, samples: Samples) -> float | None:
    from hwquant import golden

    return samples.accuracy(golden.predict(network, samples.x)[0])


def _table(content: dict[str, Any]) -> Table:
    """Layer by layer."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("layer")
    for heading in ("drop alone", "weights", "pruned", "tiles", "skipped", "tile cycles", "dense"):
        table.add_column(heading, justify="right")
    for layer in content["layers"]:
        drops = [f"{100 * content['sensitivity'][name]:.1f}" for name in layer["convolutions"]]
        table.add_row(
            Text(" + ".join(layer["convolutions"]) or layer["name"]),
            ", ".join(drops),
            f"{layer['weights']:,}",
            f"{layer['pruned'] / layer['weights']:.1%}" if layer["weights"] else "",
            f"{layer['tiles']:,}",
            f"{layer['skipped']:,}",
            f"{layer['tile_cycles']:,}",
            f"{layer['dense_tile_cycles']:,}",
        )
    return table
