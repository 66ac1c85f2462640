"""How much accuracy each convolution costs when it alone is pruned, without retraining (CN111242287A)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import training
from hwquant.graph import Conv, Graph
from hwquant.progress import Progress
from hwquant.pruning.groups import convolutions
from hwquant.pruning.options import PruneOptions
from hwquant.pruning.reorder import skipped_cycles


@dataclass(frozen=True)
class Sensitivity:
    """How much accuracy one layer costs when it alone is pruned.

    Attributes
    ----------
    layer : str
        Name of the convolution.
    pruned : float
        Share of its weights, 0..1, that are zero after a first pruning.
    drop : float
        Accuracy that is then lost, as a share of the samples; negative where it is gained.
    """

    layer: str
    pruned: float
    drop: float


@dataclass(frozen=True, eq=False)
class Cut:
    """What a pass takes from one layer.

    Attributes
    ----------
    layer : str
        Name of the convolution.
    keep : ndarray of bool, of the shape of the weight
        False where a weight is zero from then on.
    step : float
        Share of the groups beyond the threshold that are taken.
    smallest : bool
        Whether no fewer groups can be taken: it is one.
    drop : float
        Accuracy that is lost before retraining, as a share of the samples.
    """

    layer: str
    keep: NDArray[np.bool_]
    step: float
    smallest: bool
    drop: float


@dataclass(frozen=True, eq=False)
class Trials:
    """Prunes layers of a network alone, and measures what it costs before retraining.

    Attributes
    ----------
    graph : Graph
        The network as it is.
    x : ndarray, shape (N, ...)
        Samples.
    y : ndarray of int, shape (N,)
        Labels of the samples.
    options : PruneOptions
        How a layer is pruned.
    before : float
        Accuracy of the network on the samples.
    """

    graph: Graph
    x: NDArray[Any]
    y: NDArray[Any]
    options: PruneOptions
    before: float

    @classmethod
    def of(cls, graph: Graph, x: NDArray[Any], y: NDArray[Any], options: PruneOptions) -> Trials:
        """Begin trials on the first samples, as many as the options say."""
        x, y = x[: options.sensitivity_samples], y[: options.sensitivity_samples]
        return cls(graph, x, y, options, training.accuracy(training.TrainableNetwork(graph), x, y))

    def cut(self, node: Conv, step: float) -> Cut | None:
        """Prune a share of what is beyond a layer's threshold; None where that is nothing, or the whole layer."""
        groups = self.options.shape(node.name).cut(self.graph, node)
        pruned = groups.pruned(node.weight, self.options.factor(node.name), self.options.prune, step)
        taken = int(pruned.sum() - groups.zeros(node.weight).sum())
        if not taken or pruned.all():
            return None
        keep = ~pruned[groups.labels] & (node.weight != 0)
        after = training.accuracy(training.TrainableNetwork(self.graph, {node.name: keep}), self.x, self.y)
        return Cut(node.name, keep, step, taken == 1, self.before - after)

    def saved(self, cut: Cut) -> int:
        """Count the cycles of the tiles that a cut empties."""
        array = self.options.array
        nodes = (
            replace(node, weight=node.weight * cut.keep)
            if isinstance(node, Conv) and node.name == cut.layer
            else node
            for node in self.graph.nodes
        )
        return skipped_cycles(replace(self.graph, nodes=tuple(nodes)), array) - skipped_cycles(
            self.graph, array
        )

    def bearable(self, node: Conv, step: float) -> Cut | None:
        """Prune as much of a layer as it bears: the step is halved until it costs no more than it may.

        Returns
        -------
        Cut or None
            None where there is nothing to prune, or even the least step costs too much.
        """
        while step >= self.options.least_step:
            found = self.cut(node, step)
            if found is None or 100 * found.drop <= self.options.max_sensitivity:
                return found
            if found.smallest:
                return None
            step /= 2
        return None


def measure(
    graph: Graph,
    x: NDArray[Any],
    y: NDArray[Any],
    options: PruneOptions,
    progress: Progress | None = None,
) -> tuple[Sensitivity, ...]:
    """Measure how sensitive every convolution is to the first pruning.

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
        All convolutions, the most sensitive first.
    """
    trials = Trials.of(graph, x, y, options)
    sensitivities = []
    nodes = convolutions(graph)
    for index, node in enumerate(nodes):
        if progress:
            progress("sensitivity", index, len(nodes), node.name)
        found = trials.cut(node, options.step)
        keep, drop = (node.weight != 0, 0.0) if found is None else (found.keep, found.drop)
        sensitivities.append(Sensitivity(node.name, float(1 - keep.mean()), drop))
    return tuple(sorted(sensitivities, key=lambda item: -item.drop))  # equal ones in the order of the network
