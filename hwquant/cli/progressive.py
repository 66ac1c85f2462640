"""``hwquant progressive``: quantization part by part, with fine-tuning in between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.advice import Advice
from hwquant.cli.common import emit, json_option
from hwquant.cli.modules import MODEL, load_float
from hwquant.cli.options import (
    calibration_option,
    checkpoint_options,
    options_of,
    output_option,
    path_option,
    quantizer_options,
)
from hwquant.cli.outputs import ANY, NETWORK, check_outputs
from hwquant.cli.progress import leaving, progress
from hwquant.cli.tables import network_table
from hwquant.errors import HwquantError
from hwquant.quantize.options import QuantizeOptions
from hwquant.training.options import ProgressiveOptions, TrainOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwquant.data import Samples
    from hwquant.graph import Graph
    from hwquant.qgraph import QGraph
    from hwquant.quantize.calibration import Data


@click.command()
@click.argument("model", metavar=MODEL)
@path_option(
    "--train",
    "train_data",
    required=True,
    metavar="TRAIN.npz",
    help="x (N, then the input's shape; float32, float64 or uint8) and labels y to fine-tune with.",
)
@calibration_option
@output_option
@path_option(
    "--test",
    "test_data",
    metavar="TEST.npz",
    help="x and labels y: report the accuracy on them, after every epoch too.",
)
@quantizer_options("quantizer")
@options_of(ProgressiveOptions, "stages")
@options_of(TrainOptions, "options")
@checkpoint_options
@json_option
def progressive(
    model: str,
    train_data: Path,
    calibration_data: Path,
    output: Path,
    test_data: Path | None,
    quantizer: QuantizeOptions,
    stages: ProgressiveOptions,
    options: TrainOptions,
    checkpoint: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Quantize MODEL part by part, with fine-tuning in between.

    What is still float after each part is trained on TRAIN.npz.

    MODULE:FACTORY is a Python function, importable from the working folder, that returns a torch.nn.Module.
    """
    from hwquant import hwq
    from hwquant.advice import of_data
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.training import Training, accuracy
    from hwquant.training import progressive as quantize_progressively

    inputs: list[Path | str | None] = [model, train_data, calibration_data, test_data]
    check_outputs({"--output": (output, NETWORK), "--checkpoint": (checkpoint, ANY)}, inputs)
    graph = load_float(model, train_data)
    if len(graph.inputs) > 1:
        raise HwquantError(f"network {graph.name!r} has several inputs; the command trains one, use Python")
    train = _labelled(train_data, graph)
    test = _labelled(test_data, graph) if test_data else None
    x = load_samples(calibration_data, graph.inputs).x
    kept = checkpoint or output.with_name(f"{output.name}.checkpoint")
    evaluate = (lambda network: accuracy(network, *test.pair())) if test else None
    with progress() as track, leaving(kept, "has what was done"):
        training = Training(
            train.pair(), options, evaluate=evaluate, progress=track, checkpoint=kept, resume=resume
        )
        qgraph = quantize_progressively(graph, training, x, quantizer, stages)
    hwq.save(qgraph, output)
    if checkpoint is None:
        remove(kept)
    scores = _scores(graph, qgraph, x, quantizer, test)
    report: Any = qgraph.options["progressive"]
    result = {"network": str(output), "name": qgraph.name, "accuracy": scores, **report}
    line = f"wrote {output}, fine-tuned on {len(train)} samples"
    if test:
        line += f"; accuracy {scores['integer']:.2%} of {len(test)}, float {scores['float']:.2%}"
    advice = (*judge_training(qgraph.name, **scores), *of_data(qgraph.options))
    emit(as_json, result, network_table(qgraph), line, advice=advice)


def _scores(
    graph: Graph,
    qgraph: QGraph,
    calibration: NDArray[Any] | Data,
    options: QuantizeOptions,
    test: Samples | None,
) -> dict[str, float | None]:
    """Accuracies of the float network, of the result, and of the network quantized without training."""
    from hwquant import floating, golden
    from hwquant.quantize import quantize

    if test is None:
        return dict.fromkeys(("float", "integer", "untrained"))
    return {
        "float": test.accuracy(floating.predict(graph, test.x)[0]),
        "integer": test.accuracy(golden.predict(qgraph, test.x)[0]),
        "untrained": test.accuracy(golden.predict(quantize(graph, calibration, options), test.x)[0]),
    }


def judge_training(
    name: str, *, float: float | None, integer: float | None, untrained: float | None
) -> tuple[Advice, ...]:
    """Advice where training made the network less accurate than quantization alone."""
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
