"""How far a pruning is: what each pass did, what a checkpoint holds, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hwquant.graph import Graph
from hwquant.history import KEY, Step, history, with_steps
from hwquant.pruning.groups import convolutions
from hwquant.pruning.judge import Verdict
from hwquant.pruning.sensitivity import Sensitivity
from hwquant.qgraph import QGraph


@dataclass(frozen=True)
class PruningPass:
    """One pass of pruning and retraining.

    Attributes
    ----------
    layers : list of str
        Names of the layers that the pass pruned; none for the longer retraining in the end.
    steps : list of float
        Their steps, in the same order.
    epochs : float
        Passes over the training data of its retraining.
    pruned : float
        Share of all weights, 0..1, that were zero after the pass.
    verdict : Verdict
        On the network after retraining.
    met : bool
        Whether the accuracy held, or became no worse in the end, so that the pass was kept.
    """

    layers: list[str]
    steps: list[float]
    epochs: float
    pruned: float
    verdict: Verdict
    met: bool


@dataclass(frozen=True, eq=False)
class PruneResult:
    """A pruned network.

    Attributes
    ----------
    graph : Graph
        The last network that met the target; pruned weights are exactly 0.
    qgraph : QGraph
        The same as integers, as it was judged.
    before : Verdict
        On the network as it was.
    after : Verdict
        On ``graph`` and ``qgraph``.
    sensitivities : tuple of Sensitivity
        Sensitivities of all convolutions, the most sensitive first.
    passes : tuple of PruningPass
        The passes in order.
    """

    graph: Graph
    qgraph: QGraph
    before: Verdict
    after: Verdict
    sensitivities: tuple[Sensitivity, ...]
    passes: tuple[PruningPass, ...]


@dataclass
class State:
    """All that a checkpoint holds of a pruning beside the network, as plain values.

    Attributes
    ----------
    before : dict
        The fields of the :class:`~hwquant.pruning.judge.Verdict` on the network as it was, by name.
    after : dict
        Likewise, on the last network that met the target.
    sensitivities : list of dict
        The fields of each :class:`~hwquant.pruning.sensitivity.Sensitivity`, by name.
    queue : list of str
        Names of the layers that are still being pruned, that whose turn is next first.
    steps : dict of float
        Their steps, by name.
    passes : list of dict
        The fields of each :class:`PruningPass`, by name.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    sensitivities: list[dict[str, Any]]
    queue: list[str]
    steps: dict[str, float]
    passes: list[dict[str, Any]]

    def result(self, graph: Graph, qgraph: QGraph, after: Verdict | None = None) -> PruneResult:
        """Make the result of a pruning; ``after`` is the verdict on it where it is not the last one that was met."""
        before, after = Verdict(**self.before), after or Verdict(**self.after)
        text = (
            f"{pruned_share(graph):.1%} of the weights, {after.skipped:.1%} of the tiles, {before.cycles:,} to "
            f"{after.cycles:,} cycles; accuracy as integers {before.integer:.2%} to {after.integer:.2%}"
        )
        steps = (*graph.history, Step("prune", text))
        options = with_steps({**qgraph.options, KEY: []}, (*steps, *history(qgraph.options)))
        return PruneResult(
            graph=replace(graph, history=steps),
            qgraph=replace(qgraph, options=options),
            before=before,
            after=after,
            sensitivities=tuple(Sensitivity(**item) for item in self.sensitivities),
            passes=tuple(
                PruningPass(**{**item, "verdict": Verdict(**item["verdict"])}) for item in self.passes
            ),
        )


_VERDICT = {"floating": float, "integer": float, "skipped": float, "cycles": int}
STATE = {
    "before": _VERDICT,
    "after": _VERDICT,
    "sensitivities": [{"layer": str, "pruned": float, "drop": float}],
    "queue": [str],
    "steps": dict,
    "passes": [
        {
            "layers": [str],
            "steps": [float],
            "epochs": float,
            "pruned": float,
            "verdict": _VERDICT,
            "met": bool,
        }
    ],
}
"""The form of a :class:`State` in a checkpoint."""


def pruned_share(graph: Graph) -> float:
    """Measure the share of the convolutions' weights, 0..1, that are exactly zero."""
    weights = [node.weight for node in convolutions(graph)]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.size for weight in weights)
