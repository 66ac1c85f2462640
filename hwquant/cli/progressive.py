"""``hwquant progressive``: quantization part by part, with fine-tuning in between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.advice import Advice
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
from hwquant.cli.tables import network_table
from hwquant.errors import HwquantError

if TYPE_CHECKING:
    from hwquant.data import Samples
    from hwquant.graph import Graph


@click.command()
@click.argument("model", metavar=MODEL)
@click.option(
    "--train",
    "train_data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="TRAIN.npz",
    help="x (N, then the input's shape; float32, float64 or uint8) and labels y to fine-tune with.",
)
@calibration_option
@output_option
@click.option(
    "--test",
    "test_data",
    type=click.Path(path_type=Path),
    metavar="TEST.npz",
    help="x and labels y: report the accuracy on them, after every epoch too.",
)
@width_options
@click.option("--per-channel", is_flag=True, help="A scale, offset and shift for every output channel.")
@click.option("--symmetric", is_flag=True, help="No integer offsets.")
@click.option(
    "--fraction",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of a sub-network's weights, the largest, that becomes integers first.",
)
@click.option(
    "--rounds",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="In which the remaining weights become integers, when all sub-networks are done.",
)
@click.option(
    "--subnetworks",
    type=click.IntRange(1),
    metavar="N",
    help="Number of sub-networks of consecutive layers; by default one for each layer with weights.",
)
@training_options
@checkpoint_options
@json_option
def progressive(
    model: str,
    train_data: Path,
    calibration_data: Path,
    output: Path,
    test_data: Path | None,
    bits: int,
    activation_bits: int,
    per_channel: bool,
    symmetric: bool,
    fraction: float,
    rounds: int,
    subnetworks: int | None,
    checkpoint: Path | None,
    resume: bool,
    as_json: bool,
    **training: Any,
) -> None:
    """Quantize MODEL part by part, with fine-tuning in between.

    What is still float after each part is trained on TRAIN.npz.

    MODULE:FACTORY is a Python function, importable from the working folder, that returns a torch.nn.Module.
    """
    from hwquant import floating, golden, hwq
    from hwquant.advice import of_data
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.quantize import QuantizeOptions, quantize
    from hwquant.training import TrainOptions
    from hwquant.training import accuracy as torch_accuracy
    from hwquant.training import progressive as quantize_progressively

    chosen = QuantizeOptions(
        bits=bits, activation_bits=activation_bits, per_channel=per_channel, symmetric=symmetric
    )
    options = TrainOptions(**training)
    inputs: list[Path | str | None] = [model, train_data, calibration_data, test_data]
    check_outputs({"--output": (output, NETWORK), "--checkpoint": (checkpoint, ANY)}, inputs)
    graph = load_float(model, train_data)
    if len(graph.inputs) > 1:
        raise HwquantError(f"network {graph.name!r} has several inputs; the command trains one, use Python")
    train = _labelled(train_data, graph)
    test = _labelled(test_data, graph) if test_data else None
    calibration = load_samples(calibration_data, graph.inputs)
    kept = checkpoint or output.with_name(f"{output.name}.checkpoint")
    with progress() as track:
        try:
            qgraph = quantize_progressively(
                graph,
                train.pair(),
                calibration.x,
                chosen,
                options,
                fraction=fraction,
                rounds=rounds,
                subnetworks=subnetworks,
                evaluate=(lambda network: torch_accuracy(network, *test.pair())) if test else None,
                progress=track,
                checkpoint=kept,
                resume=resume,
            )
        except KeyboardInterrupt:
            if kept.exists():
                note(f"{kept} has what was done; the same command with --resume goes on")
            raise
    hwq.save(qgraph, output)
    if checkpoint is None:
        remove(kept)
    scores = {
        "float": test.accuracy(floating.predict(graph, test.x)[0]) if test else None,
        "integer": test.accuracy(golden.predict(qgraph, test.x)[0]) if test else None,
        "untrained": test.accuracy(golden.predict(quantize(graph, calibration.x, chosen), test.x)[0])
        if test
        else None,
    }
    report: Any = qgraph.options["progressive"]
    result = {"network": str(output), "name": qgraph.name, "accuracy": scores, **report}
    line = f"wrote {output}, fine-tuned on {len(train)} samples"
    if test:
        line += f"; accuracy {scores['integer']:.2%} of {len(test)}, float {scores['float']:.2%}"
    advice = (*judge_training(qgraph.name, **scores), *of_data(qgraph.options))
    emit(as_json, result, network_table(qgraph), line, advice=advice)


def judge_training(
    name: str, *, float: float | None, integer: float | None, untrained: float | None
) -> tuple[Advice, ...]:
    """Where training made the network less accurate than quantization alone."""
    if integer is None or untrained is None or integer >= untrained:
        return ()
    text = (
        f"the network is less accurate than quantized without training ({integer:.2%}, {untrained:.2%}): use hwquant "
        "quantize, or train with a smaller --lr or for more --epochs"
    )
    return (Advice("training_hurts", name, text, "--lr", untrained - integer),)


def _labelled(path: Path, graph: Graph) -> Samples:
    from hwquant.data import load_samples

    samples = load_samples(path, graph.inputs)
    if samples.y is None:
        raise HwquantError(f"{path} has no labels y; training and accuracy need them")
    return samples
