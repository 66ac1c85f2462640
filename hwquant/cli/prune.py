"""``hwquant prune``: groups of weights to zero, with retraining; the hardware skips their tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.common import emit, json_option
from hwquant.cli.modules import MODEL, load_float
from hwquant.cli.options import (
    calibration_option,
    checkpoint_options,
    options_of,
    output_option,
    path_option,
)
from hwquant.cli.outputs import ANY, NETWORK, check_outputs
from hwquant.cli.progress import leaving, progress
from hwquant.cli.results import pruning_table
from hwquant.errors import HwquantError
from hwquant.pruning.options import PruneOptions
from hwquant.quantize.options import QuantizeOptions
from hwquant.training.options import TrainOptions

if TYPE_CHECKING:
    from hwquant.data import Samples
    from hwquant.graph import Graph

HELD_OUT = 10
"""One of so many training samples is used for validation, where there are no samples for that."""


@click.command()
@click.argument("model", metavar=MODEL)
@path_option("--train", required=True, metavar="TRAIN.npz", help="Samples x and labels y to retrain with.")
@path_option(
    "--validation",
    metavar="VAL.npz",
    help=f"Samples x and labels y that decide; the last {HELD_OUT}th of TRAIN.npz, not trained on, if not given.",
)
@calibration_option
@output_option
@options_of(PruneOptions, "pruning")
@options_of(TrainOptions, "options")
@options_of(
    QuantizeOptions,
    "quantizer",
    only=("bits", "activation_bits", "per_channel", "error_compensation", "equalization"),
)
@checkpoint_options
@json_option
def prune(
    model: str,
    train: Path,
    validation: Path | None,
    calibration_data: Path,
    output: Path,
    pruning: PruneOptions,
    options: TrainOptions,
    quantizer: QuantizeOptions,
    checkpoint: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Prune MODEL in groups, retrain it, and quantize it.

    The integer network goes to NET.hwq.

    MODULE:FACTORY is a Python function, importable from the working folder, that returns a torch.nn.Module.
    --epochs are those of each pass. On the validation samples the accuracy, before quantization, stays within
    --max-drop of the float network's. Reported are the weights that are zero, the tiles that the array skips, and
    the cycles that this saves.
    """
    from hwquant import golden, hwq
    from hwquant.advice import of_options
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.program.compiler import compile_network
    from hwquant.pruning import prune as prune_network
    from hwquant.pruning.report import judge_pruning, savings
    from hwquant.quantize import quantize
    from hwquant.training import Training

    file = output.with_name(f"{output.name}.checkpoint") if checkpoint is None else checkpoint
    inputs: list[Path | str | None] = [model, train, validation, calibration_data]
    check_outputs({"--output": (output, NETWORK), "--checkpoint": (checkpoint, ANY)}, inputs)
    graph = load_float(model, train)
    samples, deciding = _samples(graph, train, validation)
    calibration = load_samples(calibration_data, graph.inputs)
    with progress() as track:
        training = Training(samples.pair(), options, progress=track, checkpoint=file, resume=resume)
        with leaving(file, "has what was done"):
            result = prune_network(graph, training, deciding.pair(), pruning)
        qgraph = quantize(result.graph, calibration.x, quantizer, progress=track)
        dense = compile_network(quantize(graph, calibration.x, quantizer), pruning.array)
        integer = deciding.accuracy(golden.predict(qgraph, deciding.x)[0])
    saved = savings(result.graph, qgraph, compile_network(qgraph, pruning.array), dense)
    hwq.save(qgraph, output)
    if checkpoint is None:
        remove(file)
    content: dict[str, Any] = {
        "network": str(output),
        "accuracy": {"float": result.before, "pruned": result.accuracy, "integer": integer},
        **saved.to_json(),
        "sensitivity": {item.layer: item.drop for item in result.sensitivities},
        "passes": [vars(item) for item in result.passes],
        "samples": {"train": len(samples), "validation": len(deciding), "calibration": len(calibration)},
    }
    advice = (*judge_pruning(graph, result, pruning), *of_options(qgraph.options))
    emit(as_json, content, pruning_table(content), *_lines(content), advice=advice)


def _lines(content: dict[str, Any]) -> list[str]:
    """Lines on what the table does not say."""
    accuracies = ", ".join(
        f"{content['accuracy'][kind]:.2%} {what}"
        for kind, what in (("float", "float"), ("pruned", "pruned"), ("integer", "as integers"))
    )
    cycles = content["cycles"]
    return [
        f"weights pruned {content['pruned']:.1%}, tiles skipped {content['skipped']:.1%}, cycles of an inference "
        f"{cycles['dense']:,} -> {cycles['pruned']:,}",
        f"accuracy on {content['samples']['validation']} validation samples: {accuracies}",
        f"wrote {content['network']}",
    ]


def _samples(graph: Graph, train: Path, validation: Path | None) -> tuple[Samples, Samples]:
    """Samples to train with, and samples that decide."""
    samples = _labelled(train, graph)
    if validation is not None:
        return samples, _labelled(validation, graph)
    held_out = -(-len(samples) // HELD_OUT)
    return samples[:-held_out], samples[-held_out:]


def _labelled(path: Path, graph: Graph) -> Samples:
    """Load labelled samples, to train or to decide with."""
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
