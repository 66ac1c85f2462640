"""``hwquant quantize``: a float network to integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hwquant.cli.bits_from import with_history_of_bits
from hwquant.cli.common import emit, json_option
from hwquant.cli.options import (
    calibration_option,
    cut_options,
    output_option,
    path_option,
    quantizer_options,
)
from hwquant.cli.outputs import NETWORK, check_outputs
from hwquant.cli.progress import progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.tables import balancing_lines, chain_lines, host_lines, network_table, sqnr_line
from hwquant.quantize.options import QuantizeOptions


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2")
@calibration_option
@output_option
@quantizer_options("options")
@path_option(
    "--validation",
    metavar="DATA.npz",
    help="Inputs x that the signal to noise ratios are measured on; if not given, calibration samples beyond those "
    "that layers are fitted to, or, where there are too few, these. They change no integer.",
)
@reading_options
@cut_options
@json_option
def quantize(
    model: Path,
    calibration_data: Path,
    output: Path,
    options: QuantizeOptions,
    validation: Path | None,
    reading: Reading,
    cut: dict[str, Any],
    as_json: bool,
) -> None:
    """Quantize MODEL to integers, calibrated on CALIB.npz.

    What the array cannot do at the beginning and the end of MODEL stays with the host, in NET.hwq too.
    """
    from hwquant import hwq
    from hwquant.advice import of_options
    from hwquant.data import load_samples
    from hwquant.describe import describe
    from hwquant.quantize import quantize as quantize_network

    check_outputs({"--output": (output, NETWORK)}, [model, calibration_data])
    graph = with_history_of_bits(reading.load(model, cut))
    samples = load_samples(calibration_data, graph.given_inputs)
    judging = None if validation is None else load_samples(validation, graph.given_inputs).x
    with progress() as track:
        qgraph = quantize_network(graph, samples.x, options, progress=track, validation=judging)
    hwq.save(qgraph, output)
    result = {"network": str(output), "name": qgraph.name, "samples": len(samples), **qgraph.options}
    if qgraph.host is not None:
        result["host"] = describe(qgraph)["host"]
    emit(
        as_json,
        result,
        network_table(qgraph),
        *host_lines(qgraph),
        sqnr_line(qgraph.options["sqnr"]),
        *chain_lines(qgraph.options.get("chains", ())),
        *balancing_lines(qgraph.options),
        f"wrote {output}, calibrated on {len(samples)} samples",
        advice=of_options(qgraph.options),
    )
