"""``hwquant progressive``: quantization part by part, or all at once, with fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.bits_from import with_history_of_bits
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
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.samples import labelled
from hwquant.cli.tables import network_table
from hwquant.errors import HwquantError
from hwquant.quantize.options import QuantizeOptions
from hwquant.training.options import ProgressiveOptions, TrainOptions, TuneOptions

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("model", metavar=MODEL)
@path_option(
    "--train",
    "train_data",
    required=True,
    metavar="TRAIN.npz",
    help="x (N, then the input's shape; float32, float64, int8 or uint8) and labels y to fine-tune with.",
)
@path_option(
    "--validation",
    metavar="VAL.npz",
    help="x and labels y that decide what is best, and are not trained on; a tenth of TRAIN.npz if not given.",
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
@click.option(
    "--all-at-once",
    is_flag=True,
    help="Fine-tune everything at once instead; the options on sub-networks and rounds have no effect.",
)
@options_of(TuneOptions, "tuning")
@options_of(TrainOptions, "options")
@checkpoint_options
@reading_options
@json_option
def progressive(
    model: str,
    train_data: Path,
    validation: Path | None,
    calibration_data: Path,
    output: Path,
    test_data: Path | None,
    quantizer: QuantizeOptions,
    stages: ProgressiveOptions,
    all_at_once: bool,
    tuning: TuneOptions,
    options: TrainOptions,
    checkpoint: Path | None,
    resume: bool,
    reading: Reading,
    as_json: bool,
) -> None:
    """Quantize MODEL part by part, with fine-tuning in between.

    What is still float after each part is trained on TRAIN.npz. What is written is the best on VAL.npz of the trained
    network and of those that quantization without training gives, except with --literal.

    MODULE:FACTORY is a Python function, importable from the working folder, that returns a torch.nn.Module.
    """
    from hwquant import floating, golden, hwq
    from hwquant.advice import of_data
    from hwquant.data import load_samples
    from hwquant.files import remove
    from hwquant.training import Training, Verdict, accuracy, finetune_all_at_once
    from hwquant.training import progressive as quantize_progressively

    if all_at_once and stages.literal:
        raise HwquantError("--literal is progressive quantization as published; leave out --all-at-once")
    inputs: list[Path | str | None] = [model, train_data, validation, calibration_data, test_data]
    check_outputs({"--output": (output, NETWORK), "--checkpoint": (checkpoint, ANY)}, inputs)
    graph = with_history_of_bits(load_float(model, train_data, reading))
    train = labelled(train_data, graph)
    test = labelled(test_data, graph) if test_data else None
    deciding = labelled(validation, graph).pair() if validation else None
    x = load_samples(calibration_data, graph.given_inputs).x
    kept = checkpoint or output.with_name(f"{output.name}.checkpoint")
    evaluate = (lambda network: accuracy(network, *test.pair())) if test else None
    with progress() as track, leaving(kept, "has what was done"):
        training = Training(
            train.pair(),
            options,
            validation=deciding,
            tuning=tuning,
            evaluate=evaluate,
            progress=track,
            checkpoint=kept,
            resume=resume,
        )
        if all_at_once:
            qgraph = finetune_all_at_once(graph, training, x, quantizer)
        else:
            qgraph = quantize_progressively(graph, training, x, quantizer, stages)
    hwq.save(qgraph, output)
    if checkpoint is None:
        remove(kept)
    report: Any = qgraph.options["finetuned" if all_at_once else "progressive"]
    verdict = Verdict.from_json(report["guard"])
    lines = [str(verdict), f"wrote {output}, the network called {verdict.returned!r}"]
    scores: dict[str, float | None] = dict.fromkeys(("float", "integer"))
    if test:
        scores = {
            "float": test.accuracy(floating.predict(graph, test.x)[0]),
            "integer": test.accuracy(golden.predict(qgraph, test.x)[0]),
        }
        lines[-1] += f"; accuracy {scores['integer']:.2%} of {len(test)}, float {scores['float']:.2%}"
    result = {"network": str(output), "name": qgraph.name, "accuracy": scores, **report}
    advice = (*verdict.advice(qgraph.name), *of_data(qgraph.options))
    emit(as_json, result, network_table(qgraph), *lines, advice=advice)
