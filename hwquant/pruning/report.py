"""What pruning buys in hardware: weights pruned, tiles skipped and cycles saved, which are three different things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwquant.advice import Advice
from hwquant.graph import Graph
from hwquant.program.cycles import timing
from hwquant.program.program import LayerInfo, Program
from hwquant.pruning.groups import convolutions
from hwquant.pruning.options import PruneOptions
from hwquant.pruning.state import PruneResult, pruned_share
from hwquant.qgraph import QGraph


@dataclass(frozen=True)
class LayerSavings:
    """What pruning buys in one layer on the array.

    Attributes
    ----------
    name : str
        Name of the layer.
    convolutions : tuple of str
        Names of the float network's convolutions in the layer.
    weights : int
        Weights of the convolutions.
    pruned : int
        Weights among them that are zero.
    tiles : int
        Tiles of the layer if none were zero.
    skipped : int
        Tiles among them that the program skips.
    tile_cycles : int
        Cycles of the tiles that are executed.
    dense_tile_cycles : int
        Cycles of the tiles of the network before pruning.
    """

    name: str
    convolutions: tuple[str, ...]
    weights: int
    pruned: int
    tiles: int
    skipped: int
    tile_cycles: int
    dense_tile_cycles: int


@dataclass(frozen=True)
class Savings:
    """A pruned network's program against the dense one's.

    Attributes
    ----------
    pruned : float
        Share of the weights that are zero.
    skipped : float
        Share of the tiles that the program skips.
    promised : float
        Share of the dense tiles' cycles that the skipped tiles take.
    cycles : int
        Cycles of one inference of the pruned network, exact.
    dense_cycles : int
        Cycles of one inference of the network before pruning, exact.
    layers : tuple of LayerSavings
        The layers on the array in order of execution.
    """

    pruned: float
    skipped: float
    promised: float
    cycles: int
    dense_cycles: int
    layers: tuple[LayerSavings, ...]

    @property
    def kept_promise(self) -> float:
        """Cycles saved, as a share of those that the skipped tiles promise; 1 where they promise none."""
        promise = self.promised * self.dense_cycles
        return (self.dense_cycles - self.cycles) / promise if promise else 1.0

    def to_json(self) -> dict[str, Any]:
        """Give all numbers as plain JSON values."""
        return {
            "pruned": self.pruned,
            "skipped": self.skipped,
            "promised": self.promised,
            "kept_promise": self.kept_promise,
            "cycles": {"dense": self.dense_cycles, "pruned": self.cycles},
            "layers": [vars(layer) | {"convolutions": list(layer.convolutions)} for layer in self.layers],
        }


def savings(graph: Graph, qgraph: QGraph, program: Program, dense: Program) -> Savings:
    """Compare a pruned network with the network before pruning, on the same array.

    Parameters
    ----------
    graph : Graph
        The pruned float network.
    qgraph : QGraph
        The pruned network, quantized.
    program : Program
        The pruned network, compiled.
    dense : Program
        The network before pruning, quantized and compiled for the same array.
    """
    layers = [_layer(graph, qgraph, *infos) for infos in zip(program.layers, dense.layers, strict=True)]
    tiles = sum(layer.tiles for layer in layers)
    cycles = sum(layer.tile_cycles for layer in layers)
    dense_cycles = sum(layer.dense_tile_cycles for layer in layers)
    return Savings(
        pruned=pruned_share(graph),
        skipped=sum(layer.skipped for layer in layers) / tiles,
        promised=1 - cycles / dense_cycles,
        cycles=timing(program).cycles,
        dense_cycles=timing(dense).cycles,
        layers=tuple(layers),
    )


def judge_pruning(
    graph: Graph, result: PruneResult, options: PruneOptions, samples: int
) -> tuple[Advice, ...]:
    """Judge why nothing was pruned, and whether the validation samples could decide.

    Parameters
    ----------
    graph : Graph
        The network before pruning.
    result : PruneResult
        What pruning made of it.
    options : PruneOptions
        What it was pruned with.
    samples : int
        Number of validation samples.

    Returns
    -------
    tuple of Advice
        A piece of the kind "nothing_pruned" where that is so, and one of the kind "few_validation_samples" where a
        single sample is more than the accuracy that may be lost.
    """
    advice = _why_nothing(graph, result, options)
    if 100 / samples > options.max_drop > 0:
        text = (
            f"one of {samples} validation samples is {100 / samples:.2g} points of accuracy, more than the "
            f"{options.max_drop:g} of --max-drop, so that none may be lost: give more with --validation"
        )
        few = Advice("few_validation_samples", graph.name, text, "--validation", float(samples))
        return (*advice, few)
    return advice


def _why_nothing(graph: Graph, result: PruneResult, options: PruneOptions) -> tuple[Advice, ...]:
    """Why nothing was pruned; empty where something was."""
    if pruned_share(result.graph) > pruned_share(graph):
        return ()
    if result.passes:
        lost = 100 * (result.before.integer - max(item.verdict.integer for item in result.passes))
        what = "the only pass" if len(result.passes) == 1 else f"each of {len(result.passes)} passes"
        return _nothing(
            graph,
            f"{what} lost more than the {options.max_drop:g} points of --max-drop, even after retraining (the best "
            f"{lost:.1f}): raise --max-drop or --epochs, or lower --step and --least-step",
            "--max-drop",
            lost,
        )
    largest = max(options.shape(node.name).cut(graph, node).count for node in convolutions(graph))
    if largest == 1:
        return _nothing(
            graph,
            "every layer is a single group, and no layer is pruned away altogether: make groups "
            "smaller with --group-size, --filters or --array",
            "--group-size",
            1.0,
        )
    side = "below" if options.prune == "below" else "above"
    return _nothing(
        graph,
        f"no group but whole layers lies {side} its layer's threshold, {options.threshold_factor} "
        "times the mean: change --threshold-factor, or make groups smaller with --group-size",
        "--threshold-factor",
        float(largest),
    )


def _nothing(graph: Graph, why: str, option: str, value: float) -> tuple[Advice, ...]:
    return (Advice("nothing_pruned", graph.name, f"nothing was pruned: {why}", option, value),)


def _layer(graph: Graph, qgraph: QGraph, info: LayerInfo, dense: LayerInfo) -> LayerSavings:
    members: set[str] = set(info.covers)
    for name in info.covers:
        members.update(qgraph.options["layers"].get(name, {"fused": ()})["fused"])  # type: ignore[attr-defined]
    nodes = [node for node in convolutions(graph) if node.name in members]
    return LayerSavings(
        name=info.name,
        convolutions=tuple(node.name for node in nodes),
        weights=sum(node.weight.size for node in nodes),
        pruned=sum(int((node.weight == 0).sum()) for node in nodes),
        tiles=info.tiles,
        skipped=info.tiles_skipped,
        tile_cycles=info.ideal_cycles,
        dense_tile_cycles=dense.ideal_cycles,
    )
