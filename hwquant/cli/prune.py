"""``hwquant prune``: groups of weights to zero, with retraining; the hardware skips their tiles."""

from __future__ import annotations

from dataclasses import asdict
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
from hwquant.cli.outputs import ANY, NETWORK, ONNX, check_outputs
from hwquant.cli.progress import leaving, progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.results import pruning_table
from hwquant.cli.samples import HELD_OUT, divided
from hwquant.errors import HwquantError
from hwquant.pruning.options import PruneOptions, RetrainOptions
from hwquant.quantize.options import QuantizeOptions

if TYPE_CHECKING:
    from hwquant.graph import Graph


@click.command()
@click.argument("model", metavar=MODEL)
@path_option("--train", required=True, metavar="TRAIN.npz", help="Samples x and labels y to retrain with.")
@path_option(
    "--validation",
    metavar="VAL.npz",
    help=f"Samples x and labels y that decide; if not given, {HELD_OUT}.",
)
@calibration_option
@output_option
@path_option(
    "--float",
    "float_output",
    metavar="PRUNED.onnx",
    help="Keep the pruned float network too, for hwquant search, progressive or quantize: zeros stay zeros.",
)
@options_of(PruneOptions, "pruning")
@options_of(RetrainOptions, "options")
@quantizer_options("quantizer")
@checkpoint_options
@reading_options
@json_option
def prune(
    model: str,
    train: Path,
    validation: Path | None,
    calibration_data: Path,
    output: Path,
    float_output: Path | None,
    pruning: PruneOptions,
    options: RetrainOptions,
    quantizer: QuantizeOptions,
    checkpoint: Path | None,
    resume: bool,
    reading: Reading,
    as_json: bool,
) -> None:
    """Prune MODEL in groups, retrain it, and quantize it.

    Layer by layer, with retraining after each pass. The integer network goes to NET.hwq.

    MODULE:FACTORY is a Python function, importable from the working folder, that returns a torch.nn.Module.
    Each pass is judged on the validation samples as integers: the accuracy stays within --max-drop of what the network
    had as integers before. Reported are the weights that are zero, the tiles that the array skips, and the cycles that
    this saves.
    """
    from hwquant import hwq
    from hwquant.advice import of_options
    from hwquant.data import load_samples
    from hwquant.export import save_float
    from hwquant.files import remove
    from hwquant.program.compiler import compile_network
    from hwquant.pruning import prune as prune_network
    from hwquant.pruning.report import judge_pruning, savings
    from hwquant.quantize import quantize
    from hwquant.training import Training

    file = output.with_name(f"{output.name}.checkpoint") if checkpoint is None else checkpoint
    inputs: list[Path | str | None] = [model, train, validation, calibration_data]
    outputs = {
        "--output": (output, NETWORK),
        "--float": (float_output, ONNX),
        "--checkpoint": (checkpoint, ANY),
    }
    check_outputs(outputs, inputs)
    graph = with_history_of_bits(load_float(model, train, reading))
    if float_output is not None:
        _check_float(graph)
    samples, deciding = divided(graph, train, validation, options.seed)
    calibration = load_samples(calibration_data, graph.given_inputs)
    with progress() as track:
        training = Training(samples.pair(), options, progress=track, checkpoint=file, resume=resume)
        with leaving(file, "has what was done"):
            result = prune_network(graph, training, deciding.pair(), calibration.x, pruning, quantizer)
        dense = compile_network(quantize(graph, calibration.x, quantizer), pruning.array)
    qgraph = result.qgraph
    saved = savings(result.graph, qgraph, compile_network(qgraph, pruning.array), dense)
    hwq.save(qgraph, output)
    if float_output is not None:
        save_float(result.graph, float_output)
    if checkpoint is None:
        remove(file)
    content: dict[str, Any] = {
        "network": str(output),
        "float": None if float_output is None else str(float_output),
        "accuracy": {"before": result.before.accuracy, "after": result.after.accuracy},
        **saved.to_json(),
        "sensitivity": {item.layer: item.drop for item in result.sensitivities},
        "passes": [asdict(item) for item in result.passes],
        "epochs": sum(item.epochs for item in result.passes),
        "samples": {"train": len(samples), "validation": len(deciding), "calibration": len(calibration)},
    }
    advice = (*judge_pruning(graph, result, pruning, len(deciding)), *of_options(qgraph.options))
    emit(as_json, content, pruning_table(content), *_lines(content), advice=advice)


def _lines(content: dict[str, Any]) -> list[str]:
    """Lines on what the table does not say."""
    cycles, accuracy = content["cycles"], content["accuracy"]
    accuracies = ", ".join(
        f"{accuracy['before'][kind]:.2%} -> {accuracy['after'][kind]:.2%} {what}"
        for kind, what in (("integer", "as integers"), ("float", "in float"))
    )
    kept = sum(item["met"] for item in content["passes"])
    return [
        f"weights pruned {content['pruned']:.1%}, tiles skipped {content['skipped']:.1%}, cycles of an inference "
        f"{cycles['dense']:,} -> {cycles['pruned']:,}",
        f"accuracy on {content['samples']['validation']} validation samples: {accuracies}",
        f"passes {len(content['passes'])}, of which {kept} were kept; epochs of training {content['epochs']:g} in all",
        *(f"wrote {content[name]}" for name in ("network", "float") if content[name] is not None),
    ]


def _check_float(graph: Graph) -> None:
    """Raise early where the float network could not be read back from the file that is to keep it."""
    from hwquant.export import float_to_onnx
    from hwquant.frontends import from_onnx

    try:
        from_onnx(float_to_onnx(graph))
    except HwquantError as error:
        raise HwquantError(f"--float cannot keep {graph.name!r}: {error}; leave --float out") from error
