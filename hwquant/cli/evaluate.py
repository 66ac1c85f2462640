"""``hwquant evaluate``: accuracy of a float or an integer network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from hwquant.cli.common import (
    Track,
    count_option,
    data_option,
    emit,
    json_option,
    load_network,
    only_input,
    progress,
)
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.qgraph import QGraph

BATCH = 500
"""Samples between two movements of the progress bar."""


def predict(network: Graph | QGraph, x: NDArray[Any], track: Track) -> NDArray[Any]:
    """The network's first output for every sample, finite."""
    from hwquant import floating, golden

    run: Any = floating.predict if isinstance(network, Graph) else golden.predict
    parts = []
    for start in range(0, len(x), BATCH):
        track(f"evaluate {network.name}", start, len(x))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            parts.append(run(network, x[start : start + BATCH])[0])
    output = np.concatenate(parts)
    if not np.isfinite(output).all():
        raise HwquantError(f"network {network.name!r} gives NaN or infinity on these data")
    return output


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2|NET.hwq")
@data_option
@count_option
@json_option
def evaluate(model: Path, data: Path, count: int | None, as_json: bool) -> None:
    """Accuracy of MODEL on DATA.npz: the float network, or the integers that the hardware computes."""
    from hwquant.data import load_samples

    network = load_network(model)
    samples = load_samples(data, only_input(network), count)
    with progress() as track:
        output = predict(network, samples.x, track)
    accuracy = samples.accuracy(output)
    kind = "float" if isinstance(network, Graph) else "integer"
    result = {"accuracy": accuracy, "total": len(samples), "model": str(model), "kind": kind}
    if accuracy is None:
        line = f"{kind} network {network.name}: {data} has no labels y, so the accuracy is not available"
    else:
        correct = round(accuracy * len(samples))
        line = f"{kind} network {network.name}: {correct} of {len(samples)} correct, accuracy {accuracy:.2%}"
    emit(as_json, result, line)
