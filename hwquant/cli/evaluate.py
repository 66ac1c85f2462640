"""``hwquant evaluate``: accuracy of a float or an integer network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from hwquant.cli.common import count_option, data_option, emit, json_option, load_network
from hwquant.cli.progress import progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.progress import Progress
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    from hwquant.data import Samples

BATCH = 500
"""Number of samples between two movements of the progress bar."""


def predict(network: Graph | QGraph, samples: Samples, track: Progress, output: int = 0) -> NDArray[Any]:
    """Compute an output of the network, counted from 0, for every sample; raises where it is not finite."""
    from hwquant import golden

    stream = golden.Stream(network)
    parts = []
    for start in range(0, len(samples), BATCH):
        track(f"evaluate {network.name}", start, len(samples))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            parts.append(stream.predict(samples[start : start + BATCH].x)[output])
    result = np.concatenate(parts)
    if not np.isfinite(result).all():
        raise HwquantError(f"network {network.name!r} gives NaN or infinity on these data")
    return result


def output_index(network: Graph | QGraph, name: str | None) -> int:
    """Index of the output with a name; of the first where the name is None."""
    names = network.network_outputs
    if name is None:
        return 0
    if name not in names:
        raise HwquantError(f"network {network.name!r} has no output {name!r}; it has {', '.join(names)}")
    return names.index(name)


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2|NET.hwq")
@data_option
@count_option
@click.option(
    "--output", metavar="NAME", help="Of several outputs, the one that y labels; by default the first."
)
@reading_options
@json_option
def evaluate(
    model: Path, data: Path, count: int | None, output: str | None, reading: Reading, as_json: bool
) -> None:
    """Accuracy of MODEL on DATA.npz, in float or in integers.

    For a .hwq file those are the integers that the hardware computes.
    """
    from hwquant.clipping import check_inputs
    from hwquant.data import load_samples

    network = load_network(model, reading)
    index = output_index(network, output)
    samples = load_samples(data, network.given_inputs, count)
    with progress() as track:
        scores = predict(network, samples, track, index)
    accuracy = samples.accuracy(scores)
    advice = check_inputs(network, samples.x) if isinstance(network, QGraph) else ()
    kind = "float" if isinstance(network, Graph) else "integer"
    chosen = network.network_outputs[index]
    result = {
        "accuracy": accuracy,
        "total": len(samples),
        "output": chosen,
        "model": str(model),
        "kind": kind,
    }
    what = f"{kind} network {network.name}" + (
        f", output {chosen}" if len(network.network_outputs) > 1 else ""
    )
    if accuracy is None:
        line = f"{what}: {data} has no labels y, so the accuracy is not available"
    else:
        correct = round(accuracy * len(samples))
        line = f"{what}: {correct} of {len(samples)} correct, accuracy {accuracy:.2%}"
    emit(as_json, result, line, advice=advice)
