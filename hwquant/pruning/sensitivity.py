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
    """Of one layer: share of its weights that a first pruning cuts, and the accuracy that is then lost, 0..1."""

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
    """Prune every convolution alone, without retraining; the least sensitive one first.

    Parameters
    ----------
    graph : Graph
        The trained network.
    x, y : NDArray[Any]
        Validation samples (N, *shape) and labels (N,); the first ``options.sensitivity_samples`` are used.
    progress : Progress | None, optional
        Called with what is being done, layers done, layers in all, a note.
    """
    x, y = x[: options.sensitivity_samples], y[: options.sensitivity_samples]
    before = training.accuracy(training.TrainableNetwork(graph), x, y)
    found = []
    nodes = convolutions(graph)
    for index, node in enumerate(nodes):
        if progress:
            progress("sensitivity", index, len(nodes), node.name)
        mask = options.keep(graph, node)
        after = training.accuracy(training.TrainableNetwork(graph, {node.name: mask}), x, y)
        found.append(Sensitivity(node.name, float(1 - mask.mean()), before - after))
    return tuple(sorted(found, key=lambda item: item.drop))  # equal ones in the order of the network


def to_prune(sensitivities: Sequence[Sensitivity], options: PruneOptions) -> list[str]:
    """The layers to prune, the least sensitive first; raises where all are too sensitive."""
    chosen = [item.layer for item in sensitivities if 100 * item.drop <= options.max_sensitivity]
    if not chosen:
        least = sensitivities[0]
        raise HwquantError(
            f"every convolution is too sensitive: {least.layer!r} loses least, {100 * least.drop:.1f} points, and "
            f"max_sensitivity is {options.max_sensitivity:g}; lower threshold_factor or raise max_sensitivity"
        )
    return chosen
