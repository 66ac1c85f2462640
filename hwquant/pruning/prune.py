"""Group pruning with retraining, until the accuracy no longer holds (CN111242287A).

A pass goes through the layers to prune, the least sensitive first: the groups below the layer's threshold are
masked, and stay so. Then the network is retrained. Where the accuracy holds, the next pass cuts what is now
below the threshold (the mean norm of the groups that are left). Where it does not, the pass is undone, and the
most sensitive layer is left as it is from then on. It ends when nothing more can go.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant import training
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.pruning.groups import convolutions
from hwquant.pruning.options import PruneOptions
from hwquant.pruning.reorder import reorder
from hwquant.pruning.sensitivity import Sensitivity, measure, to_prune

if TYPE_CHECKING:
    from torch import nn

    from hwquant.training import TrainableNetwork, TrainOptions
    from hwquant.training.loop import Data, OptimizerFactory, Report
    from hwquant.training.losses import Loss

LOOK_AHEAD = 1.0
"""The threshold factor by which filters are packed before pruning: what is below the mean will mostly go."""


@dataclass(frozen=True)
class Pass:
    """One pass: share of all weights that were then pruned, and the validation accuracy after retraining.

    ``layers`` are those that were still being pruned; ``met``: whether the accuracy held.
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
    graph : the last network that met the target; pruned weights are exactly 0
    before : validation accuracy of the network as it was, 0..1
    accuracy : that of ``graph``
    sensitivities : of every convolution, the least sensitive first
    passes : in order
    """

    graph: Graph
    before: float
    accuracy: float
    sensitivities: tuple[Sensitivity, ...]
    passes: tuple[Pass, ...]


def prune(
    graph: Graph,
    train: Data,
    validation: tuple[NDArray[Any], NDArray[Any]],
    options: PruneOptions | None = None,
    train_options: TrainOptions | None = None,
    *,
    loss: Loss | None = None,
    optimizer: OptimizerFactory | None = None,
    progress: Report | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> PruneResult:
    """Prune a trained network; the same result for the same arguments.

    Parameters
    ----------
    graph : the network, trained; weights that are zero already stay so
    train : samples (x, y) to retrain with, or any loader of batches, as for :func:`hwquant.training.fit`
    validation : samples (x, y) that decide; not to be trained on
    options : what to prune, and how much accuracy it may cost
    train_options : of the retraining of one pass
    loss, optimizer : instead of those that ``train_options`` names, as for :func:`hwquant.training.fit`
    progress : called with what is being done, steps done, steps in all, and a note on how it goes
    checkpoint : file that is written after every epoch, and with ``resume`` read at the start; the result is the
        same bit for bit as without interruption

    Raises
    ------
    HwquantError : options that name no layer, nothing to prune, a training that diverges, or a checkpoint of
        another one
    """
    options = PruneOptions() if options is None else options
    options.check(graph)
    train_options = training.TrainOptions() if train_options is None else train_options
    if resume and checkpoint is None:
        raise HwquantError("resume needs the checkpoint to resume from")
    file = None
    if checkpoint is not None:
        belongs_to = training.owner(
            method="prune",
            network=graph,
            training_data=train,
            validation_data=validation,
            pruning_options=options,
            training_options=train_options,
            loss=loss,
            optimizer=optimizer,
        )
        file = training.Checkpoint(checkpoint, belongs_to, resume)
    if options.reorder:
        graph = reorder(graph, options.array, LOOK_AHEAD, options.prune).graph
    run = _Run(graph, validation, options, progress)
    network = training.TrainableNetwork(graph, {node.name: node.weight != 0 for node in convolutions(graph)})
    saved = {} if file is None else file.part("prune", {"network": dict, "state": STATE})
    if file is not None and saved:
        file.restore(network, saved["network"])
        state = State(**saved["state"])
    else:
        state = run.begin(network)
    while True:
        if file is not None:
            file.save(prune={"network": network.state_dict(), "state": copy.deepcopy(vars(state))})
        if len(state.passes) == options.passes:
            break
        candidate = run.cut(network, state)
        if candidate is None:
            break
        network_before, number = network, len(state.passes) + 1
        training.fit(
            candidate,
            train,
            train_options,
            loss=loss,
            optimizer=optimizer,
            evaluate=run.accuracy,
            progress=progress,
            checkpoint=file,
            stage=f"pass {number}",
        )
        network = candidate if run.judge(candidate, state) else network_before
    result = network.to_graph()
    if options.reorder:
        result = reorder(result, options.array).graph
    return PruneResult(
        graph=result,
        before=state.before,
        accuracy=state.accuracy,
        sensitivities=tuple(Sensitivity(**item) for item in state.sensitivities),
        passes=tuple(Pass(**item) for item in state.passes),
    )


@dataclass
class State:
    """All that a checkpoint holds of a pruning beside the network, as plain values.

    ``active`` are the layers that are still being pruned, the least sensitive first; ``sensitivities`` and
    ``passes`` the fields of :class:`Sensitivity` and :class:`Pass`.
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
    progress: Report | None

    def accuracy(self, network: nn.Module) -> float:
        """On the validation samples."""
        return training.accuracy(network, *self.validation)

    def begin(self, network: TrainableNetwork) -> State:
        """Measure what the network can do, and which layers to prune."""
        before = self.accuracy(network)
        sensitivities = measure(self.graph, *self.validation, self.options, self.progress)
        active = to_prune(sensitivities, self.options)
        return State(before, before, [vars(item) for item in sensitivities], active, [])

    def cut(self, network: TrainableNetwork, state: State) -> TrainableNetwork | None:
        """The network with more of its groups masked; None where nothing more can go."""
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
        """Whether the accuracy holds; the most sensitive layer goes no further where it does not."""
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
    """Share of the convolutions' weights that are exactly zero."""
    weights = [node.weight for node in convolutions(graph)]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.size for weight in weights)
