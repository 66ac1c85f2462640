"""``hwquant quantize``: a float network to integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hwquant.cli.bits_from import with_history_of_bits
from hwquant.cli.common import emit, json_option
from hwquant.cli.evaluate import predict
from hwquant.cli.options import (
    cut_options,
    output_option,
    path_option,
    quantizer_options,
)
from hwquant.cli.outputs import NETWORK, check_outputs
from hwquant.cli.progress import progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.cli.tables import (
    balancing_lines,
    chain_lines,
    host_lines,
    kept_lines,
    network_table,
    sqnr_line,
)
from hwquant.errors import HwquantError
from hwquant.qgraph import QGraph
from hwquant.quantize.options import QuantizeOptions


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2")
@path_option(
    "-c",
    "--calibration-data",
    metavar="CALIB.npz",
    help="Typical inputs x (N, then the input's shape), such as a few hundred training samples. With several inputs, "
    "an array for each by its name in place of x. A network that says the integers of all its tensors needs none.",
)
@output_option
@quantizer_options("options")
@path_option(
    "--validation",
    metavar="DATA.npz",
    help="Inputs x that the signal to noise ratios are measured on; if not given, calibration samples beyond those "
    "that layers are fitted to, or, where there are too few, these. They change no integer. With labels y, the "
    "accuracy of a network that had integers is measured with its own scales and with others.",
)
@reading_options
@cut_options
@json_option
def quantize(
    model: Path,
    calibration_data: Path | None,
    output: Path,
    options: QuantizeOptions,
    validation: Path | None,
    reading: Reading,
    cut: dict[str, Any],
    as_json: bool,
) -> None:
    """Quantize MODEL to integers, calibrated on CALIB.npz.

    One that is quantized already keeps its own integers. What `hwquant export` wrote becomes the .hwq file that it was.

    What the array cannot do at the beginning and the end of MODEL stays with the host, in NET.hwq too.
    """
    from hwquant import hwq
    from hwquant.advice import of_options
    from hwquant.data import load_samples
    from hwquant.describe import describe
    from hwquant.quantize import quantize as quantize_network

    read = [path for path in (model, calibration_data) if path is not None]
    check_outputs({"--output": (output, NETWORK)}, read)
    count, qgraph, accuracy = 0, reading.read_back(model), {}
    if qgraph is not None:
        _check_finished(qgraph, options, cut)
    else:
        graph = with_history_of_bits(reading.load(model, cut))
        samples = None if calibration_data is None else load_samples(calibration_data, graph.given_inputs)
        judging = None if validation is None else load_samples(validation, graph.given_inputs)
        with progress() as track:
            calibration = None if samples is None else samples.x
            judged = None if judging is None else judging.x
            qgraph = quantize_network(graph, calibration, options, progress=track, validation=judged)
            if "kept" in qgraph.options and judging is not None and judging.y is not None:
                kept = quantize_network(graph, calibration, progress=track)
                accuracy = {
                    name: judging.accuracy(predict(item, judging, track))
                    for name, item in (("kept", kept), ("changed", qgraph))
                }
        count = 0 if samples is None else len(samples)
    hwq.save(qgraph, output)
    result = {"network": str(output), "name": qgraph.name, "samples": count, **qgraph.options}
    if accuracy:
        result["accuracy"] = accuracy
    if qgraph.host is not None:
        result["host"] = describe(qgraph)["host"]
    emit(
        as_json,
        result,
        network_table(qgraph),
        *host_lines(qgraph),
        *([sqnr_line(qgraph.options["sqnr"])] if "sqnr" in qgraph.options else []),
        *kept_lines(qgraph.options, accuracy),
        *chain_lines(qgraph.options.get("chains", ())),
        *balancing_lines(qgraph.options),
        f"wrote {output}, {f'calibrated on {count} samples' if count else 'with the integers that the network had'}",
        advice=of_options(qgraph.options),
    )


def _check_finished(qgraph: QGraph, options: QuantizeOptions, cut: dict[str, Any]) -> None:
    """Raise where something is asked of an integer network that was exported, which has all of it."""
    if options != QuantizeOptions() or cut["inputs"] or cut["outputs"]:
        raise HwquantError(
            f"network {qgraph.name!r} was exported by hwquant and has its integers and its borders, which no option "
            "changes: leave the options out, or quantize the float network"
        )
