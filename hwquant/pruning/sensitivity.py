"""How much accuracy each convolution costs when it alone is pruned, and which ones to prune (CN111242287A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hwquant import training
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.progress import Progress
from hwquant.pruning.groups import convolutions
from hwquant.pruning.options import PruneOptions


@dataclass(frozen=True)
class Sensitivity:
    """How much accuracy one layer costs when it alone is pruned.

    Attributes
    ----------
    layer : str
        Name of the convolution.
    pruned : float
        Share of its weights, 0..1, that a first pruning takes.
    drop : float
        Accuracy that is then lost, as a share of the samples; negative where it is gained.
    """

    layer: str
    pruned: float
    drop: float


def measure(
    graph: Graph,
    x: NDArray[Any],
    y: NDArray[Any],
    options: PruneOptions,
    progress: Progress | None = None,
) -> tuple[Sensitivity, ...]:
    """Measure how sensitive every convolution is, without retraining.

    Parameters
    ----------
    graph : Graph
        The trained network.
    x : ndarray, shape (N, ...)
        Validation samples, of which the first ``options.sensitivity_samples`` are used.
    y : ndarray of int, shape (N,)
        Labels of the samples.
    options : PruneOptions
        How a layer is pruned, and how many samples are used.
    progress : Progress, optional
        Told of every layer, with its name as a note.

    Returns
    -------
    tuple of Sensitivity
        All convolutions, the least sensitive first.
    """
    x, y = x[: options.sensitivity_samples], y[: options.sensitivity_samples]
    before = training.accuracy(training.TrainableNetwork(graph), x, y)
    sensitivities = []
    nodes = convolutions(graph)
    for index, node in enumerate(nodes):
        if progress:
            progress("sensitivity", index, len(nodes), node.name)
        mask = options.keep(graph, node)
        after = training.accuracy(training.TrainableNetwork(graph, {node.name: mask}), x, y)
        sensitivities.append(Sensitivity(node.name, float(1 - mask.mean()), before - after))
    return tuple(sorted(sensitivities, key=lambda item: item.drop))  # equal ones in the order of the network


def to_prune(sensitivities: Sequence[Sensitivity], options: PruneOptions) -> list[str]:
    """Choose the layers to prune.

    Parameters
    ----------
    sensitivities : sequence of Sensitivity
        All convolutions, the least sensitive first.
    options : PruneOptions
        How sensitive a layer may be.

    Returns
    -------
    list of str
        Names of the layers, the least sensitive first.

    Raises
    ------
    HwquantError
        All layers are too sensitive.
    """
    layers = [item.layer for item in sensitivities if 100 * item.drop <= options.max_sensitivity]
    if not layers:
        least = sensitivities[0]
        raise HwquantError(
            f"every convolution is too sensitive: {least.layer!r} loses least, {100 * least.drop:.1f} points, and "
            f"max_sensitivity is {options.max_sensitivity:g}; lower threshold_factor or raise max_sensitivity"
        )
    return layers
