"""Group pruning with retraining, until the accuracy no longer holds (CN111242287A).

A pass goes through the layers to prune, the least sensitive first: the groups below the layer's threshold are
masked, and stay so. Then the network is retrained. Where the accuracy holds, the next pass cuts what is now
below the threshold (the mean norm of the groups that are left). Where it does not, the pass is undone, and the
most sensitive layer is left as it is from then on. It ends when nothing more can go.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant import training
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.progress import Progress
from hwquant.pruning.groups import convolutions
from hwquant.pruning.options import PruneOptions
from hwquant.pruning.reorder import reorder
from hwquant.pruning.sensitivity import Sensitivity, measure, to_prune

if TYPE_CHECKING:
    from torch import nn

    from hwquant.training import TrainableNetwork, Training

LOOK_AHEAD = 1.0
"""The threshold factor by which filters are packed before pruning: what is below the mean will mostly go."""


@dataclass(frozen=True)
class PruningPass:
    """One pass of pruning and retraining.

    Attributes
    ----------
    layers : list of str
        Names of the layers that the pass pruned.
    pruned : float
        Share of all weights, 0..1, that were zero after the pass.
    accuracy : float
        Validation accuracy after retraining, 0..1.
    met : bool
        Whether the accuracy held, so that the pass was kept.
    """

    layers: list[str]
    pruned: float
    accuracy: float
    met: bool


@dataclass(frozen=True, eq=False)
class PruneResult:
    """A pruned network.

    Attributes
    ----------
    graph : Graph
        The last network that met the target; pruned weights are exactly 0.
    before : float
        Validation accuracy of the network as it was, 0..1.
    accuracy : float
        Validation accuracy of ``graph``, 0..1.
    sensitivities : tuple of Sensitivity
        Sensitivities of all convolutions, the least sensitive first.
    passes : tuple of PruningPass
        The passes in order.
    """

    graph: Graph
    before: float
    accuracy: float
    sensitivities: tuple[Sensitivity, ...]
    passes: tuple[PruningPass, ...]


def prune(
    graph: Graph,
    retraining: Training,
    validation: tuple[NDArray[Any], NDArray[Any]],
    options: PruneOptions | None = None,
) -> PruneResult:
    """Prune a trained network (CN111242287A); the same arguments give the same result.

    Parameters
    ----------
    graph : Graph
        The network, trained; weights that are zero already stay so.
    retraining : Training
        What the network is retrained with after each pass; the epochs are those of one pass. Its ``evaluate`` stays
        None, as the validation samples decide.
    validation : tuple of arrays
        Samples x, (N, *shape), and labels y, (N,), that decide; they are not to be trained on.
    options : PruneOptions, optional
        What to prune, and how much accuracy it may cost.

    Returns
    -------
    PruneResult
        The pruned network, and how it came about.

    Raises
    ------
    HwquantError
        The options name a layer that is not there, nothing can be pruned, the training diverges, or the checkpoint is
        of another pruning.
    """
    options = PruneOptions() if options is None else options
    options.check(graph)
    if retraining.evaluate is not None:
        raise HwquantError("pruning evaluates on the validation samples; leave evaluate out of the training")
    file = retraining.open_checkpoint(
        "prune", network=graph, validation_data=validation, pruning_options=options
    )
    if options.reorder:
        graph = reorder(graph, options.array, LOOK_AHEAD, options.prune).graph
    run = _Run(graph, validation, options, retraining.progress)
    network = training.TrainableNetwork(graph, {node.name: node.weight != 0 for node in convolutions(graph)})
    saved = {} if file is None else file.part("prune", {"network": dict, "state": STATE})
    if file is not None and saved:
        file.restore(network, saved["network"])
        state = State(**saved["state"])
    else:
        state = run.begin(network)
    one_pass = replace(retraining, evaluate=run.accuracy)
    while True:
        if file is not None:
            file.save(prune={"network": network.state_dict(), "state": copy.deepcopy(vars(state))})
        if len(state.passes) == options.passes:
            break
        candidate = run.cut(network, state)
        if candidate is None:
            break
        network_before, number = network, len(state.passes) + 1
        training.fit(candidate, one_pass, checkpoint=file, stage=f"pass {number}")
        network = candidate if run.judge(candidate, state) else network_before
    result = network.to_graph()
    if options.reorder:
        result = reorder(result, options.array).graph
    return PruneResult(
        graph=result,
        before=state.before,
        accuracy=state.accuracy,
        sensitivities=tuple(Sensitivity(**item) for item in state.sensitivities),
        passes=tuple(PruningPass(**item) for item in state.passes),
    )


@dataclass
class State:
    """All that a checkpoint holds of a pruning beside the network, as plain values.

    Attributes
    ----------
    before : float
        Validation accuracy of the network as it was, 0..1.
    accuracy : float
        Validation accuracy of the last network that met the target, 0..1.
    sensitivities : list of dict
        The fields of each :class:`~hwquant.pruning.sensitivity.Sensitivity`, by name.
    active : list of str
        Names of the layers that are still being pruned, the least sensitive first.
    passes : list of dict
        The fields of each :class:`PruningPass`, by name.
    """

    before: float
    accuracy: float
    sensitivities: list[dict[str, Any]]
    active: list[str]
    passes: list[dict[str, Any]]


STATE = {
    "before": float,
    "accuracy": float,
    "sensitivities": [{"layer": str, "pruned": float, "drop": float}],
    "active": [str],
    "passes": [{"layers": [str], "pruned": float, "accuracy": float, "met": bool}],
}
"""The form of a :class:`State` in a checkpoint."""


@dataclass(frozen=True, eq=False)
class _Run:
    """The steps of a pruning; they change the state."""

    graph: Graph
    validation: tuple[NDArray[Any], NDArray[Any]]
    options: PruneOptions
    progress: Progress | None

    def accuracy(self, network: nn.Module) -> float:
        """Measure the accuracy on the validation samples, 0..1."""
        return training.accuracy(network, *self.validation)

    def begin(self, network: TrainableNetwork) -> State:
        """Measure what the network can do, and which layers to prune."""
        before = self.accuracy(network)
        sensitivities = measure(self.graph, *self.validation, self.options, self.progress)
        active = to_prune(sensitivities, self.options)
        return State(before, before, [vars(item) for item in sensitivities], active, [])

    def cut(self, network: TrainableNetwork, state: State) -> TrainableNetwork | None:
        """Mask more groups of a network; None where nothing more can go."""
        graph = network.to_graph()
        masks = {node.name: node.weight != 0 for node in convolutions(graph)}
        changed = False
        for node in convolutions(graph):
            if node.name in state.active:
                kept = self.options.keep(graph, node) & masks[node.name]
                # A layer is not pruned away altogether.
                if kept.any() and not np.array_equal(kept, masks[node.name]):
                    masks[node.name], changed = kept, True
        return training.TrainableNetwork(graph, masks) if changed else None

    def judge(self, candidate: TrainableNetwork, state: State) -> bool:
        """Decide whether the accuracy holds; where it does not, the most sensitive layer goes no further."""
        accuracy = self.accuracy(candidate)
        met = accuracy >= state.before - self.options.max_drop / 100
        done = {"pruned": pruned_share(candidate.to_graph()), "accuracy": accuracy, "met": met}
        state.passes.append({"layers": list(state.active), **done})
        if met:
            state.accuracy = accuracy
        else:
            state.active.pop()
        return met


def pruned_share(graph: Graph) -> float:
    """Measure the share of the convolutions' weights, 0..1, that are exactly zero."""
    weights = [node.weight for node in convolutions(graph)]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.size for weight in weights)
