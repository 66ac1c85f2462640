"""``hwquant quantize``: a float network to integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hwquant.cli.common import emit, json_option, progress
from hwquant.cli.options import calibration_option, output_option, width_options
from hwquant.cli.outputs import NETWORK, check_ignored, check_outputs
from hwquant.cli.tables import network_table, sqnr_line


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2")
@calibration_option
@output_option
@width_options
@click.option("--per-channel", is_flag=True, help="A scale, offset and shift for every output channel.")
@click.option("--symmetric", is_flag=True, help="No integer offsets.")
@click.option(
    "--anchor",
    default="min",
    show_default=True,
    type=click.Choice(["min", "max"]),
    help="Which end of the weights' range has code 0: w = S (q + o), or w = S (o - q).",
)
@click.option(
    "--rounding",
    default="round",
    show_default=True,
    type=click.Choice(["round", "truncate"]),
    help="How an offset becomes an integer.",
)
@click.option("--literal-range", is_flag=True, help="Do not stretch the weights' range to contain 0.")
@click.option(
    "--scales",
    default="shift",
    show_default=True,
    type=click.Choice(["shift", "power_of_two", "multiplier"]),
    help="Between layers: shifts only (also with every scale a power of two: fixed point), or a fixed-point "
    "multiplier and a shift.",
)
@click.option(
    "--calibration",
    "calibration_method",
    default="mse",
    show_default=True,
    type=click.Choice(["minmax", "percentile", "mse"]),
    help="How an activation's range is chosen from the calibration data.",
)
@click.option(
    "--percentile",
    default=99.99,
    show_default=True,
    type=click.FloatRange(50, 100, min_open=True),
    help="Of --calibration percentile.",
)
@click.option(
    "--bias-correction/--no-bias-correction",
    default=True,
    show_default=True,
    help="Put the mean error on the calibration data into the biases.",
)
@click.option(
    "--error-compensation",
    is_flag=True,
    help="Round each weight to make up for the errors of those before it.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="DATA.npz",
    help="Inputs x that the signal to noise ratios are measured on; if not given, calibration samples beyond those "
    "that layers are fitted to, or, where there are too few, these. They change no integer.",
)
@json_option
@click.pass_context
def quantize(
    context: click.Context,
    model: Path,
    calibration_data: Path,
    output: Path,
    validation: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize MODEL to integers, calibrated on CALIB.npz."""
    from hwquant import hwq
    from hwquant.advice import of_options
    from hwquant.data import load_samples
    from hwquant.frontends import load_model
    from hwquant.quantize import QuantizeOptions
    from hwquant.quantize import quantize as quantize_network

    chosen = QuantizeOptions(**options)
    check_outputs({"--output": (output, NETWORK)}, [model, calibration_data])
    if chosen.calibration_method != "percentile":
        check_ignored(
            context,
            "percentile",
            reason="is for --calibration percentile: give that as well, or leave it out",
        )
    graph = load_model(model)
    samples = load_samples(calibration_data, graph.inputs)
    judging = None if validation is None else load_samples(validation, graph.inputs).x
    with progress() as track:
        qgraph = quantize_network(graph, samples.x, chosen, progress=track, validation=judging)
    hwq.save(qgraph, output)
    result = {"network": str(output), "name": qgraph.name, "samples": len(samples), **qgraph.options}
    emit(
        as_json,
        result,
        network_table(qgraph),
        sqnr_line(qgraph.options["sqnr"]),
        f"wrote {output}, calibrated on {len(samples)} samples",
        advice=of_options(qgraph.options),
    )
