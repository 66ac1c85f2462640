"""Progressive quantization, sub-network by sub-network (CN112884133A), and all at once for comparison.

The network is cut into sub-networks of consecutive layers. In order, the inputs of a sub-network and the part
of its weights that is largest in absolute value become integers for good, and what is still float, in all of
the network, is fine-tuned to make up for it. When the last sub-network is done, the remaining weights follow in
rounds, the largest first, with fine-tuning in between, and in the end the biases.

Two things are added to the publication, and can be left out (:class:`ProgressiveOptions`). ``compensate``: when
weights are frozen, those of the layer that are still float move at once, in closed form, and fine-tuning starts from
there. ``anticipate``: in the rounds, weights that are still float and trained are rounded in the forward pass
(straight-through), so that freezing them in the next round changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions, observe_network
from hwquant.quantize.fuse import LayerPlan, Plan
from hwquant.training.checkpoint import FIT
from hwquant.training.loop import EpochResult, fit, named_optimizer
from hwquant.training.options import ProgressiveOptions
from hwquant.training.quantized import QuantizedNetwork
from hwquant.training.training import Training

Calibration = NDArray[Any] | Mapping[str, NDArray[Any]]
Convert = Callable[[QuantizedNetwork], None]
SubNetwork = tuple[LayerPlan, ...]

SUBNETWORKS_SHARE, LAST_SHARE = 0.4, 0.05
"""Shares of all epochs: for the sub-networks, and for the biases when nothing else is left."""
ROW = {"name": str, "frozen": float, "loss": (float, None), "score": (float, None)}
"""The form of a stage's row in the report, which a checkpoint holds too."""


@dataclass(frozen=True)
class Stage:
    """A step of the method: what becomes an integer, after which the rest is trained.

    Attributes
    ----------
    name : str
        Name of the stage, in reports and checkpoints.
    convert : callable
        The function that makes integers of a part of a :class:`QuantizedNetwork`.
    share : float
        Share of all epochs that the rest is trained for.
    """

    name: str
    convert: Convert
    share: float


def progressive(
    graph: Graph,
    training: Training,
    calibration: Calibration,
    options: QuantizeOptions | None = None,
    stages: ProgressiveOptions | None = None,
) -> QGraph:
    """Quantize a network part by part, and fine-tune what is still float after each.

    Parameters
    ----------
    graph : Graph
        The trained float network; weights that are exactly zero stay zero.
    training : Training
        What is trained with. The epochs are those of all stages together: the sub-networks get 40 % of them, the last
        round, in which only biases are left to train, 5 %, and the rounds before it the rest; the learning rate
        follows one schedule over all of them.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        Typical inputs, as for :func:`hwquant.quantize.quantize`.
    options : QuantizeOptions or None, optional
        Options of the quantizer; those for biases and rounding without training (``bias_correction``,
        ``error_compensation``) have no effect.
    stages : ProgressiveOptions or None, optional
        What becomes an integer when.

    Returns
    -------
    QGraph
        What the fine-tuned network computes, bit for bit. Its ``options`` have, besides those of
        :func:`hwquant.quantize.quantize`, "progressive": "training", "fraction", "rounds" and "stages" with
        each stage's name, share of frozen weights, loss and score.

    Raises
    ------
    HwquantError
        Options that the network does not suit, a training that diverges, or a checkpoint of another one.
    """
    chosen = stages or ProgressiveOptions()
    network = QuantizedNetwork(observe_network(graph, calibration), options or QuantizeOptions())
    parts = cut(network.plan, chosen.subnetworks)
    summary = {**chosen.as_json(), "subnetworks": len(parts)}
    return _run("progressive", network, calibration, _stages(parts, chosen), training, summary)


def finetune_all_at_once(
    graph: Graph, training: Training, calibration: Calibration, options: QuantizeOptions | None = None
) -> QGraph:
    """Quantize everything at the start, and fine-tune with straight-through gradients.

    Weights and biases are rounded in the forward pass, and frozen in the end.

    Parameters
    ----------
    graph : Graph
        The trained float network; weights that are exactly zero stay zero.
    training : Training
        What is trained with.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        Typical inputs, as for :func:`hwquant.quantize.quantize`.
    options : QuantizeOptions or None, optional
        Options of the quantizer, as for :func:`progressive`.

    Returns
    -------
    QGraph
        What the fine-tuned network computes, bit for bit.

    Raises
    ------
    HwquantError
        Options that the network does not suit, a training that diverges, or a checkpoint of another one.
    """

    def convert(network: QuantizedNetwork) -> None:
        network.quantize_tensors(network.plan.tensors)
        network.decide_grids(layer.name for layer in network.plan.layers)
        network.straight_through = True

    network = QuantizedNetwork(observe_network(graph, calibration), options or QuantizeOptions())
    return _run("finetuned", network, calibration, [Stage("all at once", convert, 1.0)], training, {})


def _stages(parts: Sequence[SubNetwork], options: ProgressiveOptions) -> list[Stage]:
    """A stage for each sub-network, then the rounds."""
    fraction, rounds, compensate = options.fraction, options.rounds, options.compensate
    stages = [
        Stage(
            f"sub-network {index + 1}/{len(parts)}",
            _quantize_part(part, index == len(parts) - 1, fraction, compensate),
            SUBNETWORKS_SHARE / len(parts),
        )
        for index, part in enumerate(parts)
    ]
    for index in range(rounds):
        last = index == rounds - 1
        share = LAST_SHARE if last else (1 - SUBNETWORKS_SHARE - LAST_SHARE) / (rounds - 1)
        first = options.anticipate and index == 0 and not last
        convert = _quantize_rest(first, 1.0 if last else fraction, compensate)
        stages.append(Stage(f"round {index + 1}/{rounds}", convert, share))
    return stages


def cut(plan: Plan, count: int | None) -> list[SubNetwork]:
    """Cut the layers of a plan into sub-networks of consecutive ones.

    Layers without weights (pools, additions) go with the layer after them, the last ones with the one before.

    Parameters
    ----------
    plan : Plan
        The layers.
    count : int or None
        Number of sub-networks, of about equally many layers with weights; one for each of these if None.

    Returns
    -------
    list of tuple of LayerPlan
        The sub-networks, in order.

    Raises
    ------
    HwquantError
        There are no weights, or fewer layers with weights than sub-networks are asked for.
    """
    parts: list[list[LayerPlan]] = []
    waiting: list[LayerPlan] = []
    for layer in plan.layers:
        waiting.append(layer)
        if any(term.has_weights for term in layer.terms):
            parts.append(waiting)
            waiting = []
    if not parts:
        raise HwquantError(f"network {plan.graph.name!r} has no weights to train")
    parts[-1] += waiting
    if count is None:
        count = len(parts)
    if not isinstance(count, int) or not 1 <= count <= len(parts):
        raise HwquantError(f"subnetworks must be an integer from 1 to {len(parts)}, not {count!r}")
    groups = np.array_split(np.arange(len(parts)), count)
    return [tuple(layer for index in group for layer in parts[index]) for group in groups]


def _quantize_part(part: SubNetwork, last: bool, fraction: float, compensate: bool) -> Convert:
    """Make integers of the inputs of a sub-network and of the largest of its weights.

    The network's outputs follow after the last sub-network.
    """

    def convert(network: QuantizedNetwork) -> None:
        network.quantize_tensors(name for layer in part for name in layer.inputs)
        network.decide_grids(layer.name for layer in part)
        for layer in part:
            for term in layer.terms:
                if term.has_weights:
                    network.freeze(term.node, fraction, compensate)
        if last:
            network.quantize_tensors(network.plan.tensors)

    return convert


def _quantize_rest(anticipate: bool, fraction: float, compensate: bool) -> Convert:
    """Make integers of the largest of the weights that are still float.

    With ``anticipate`` all of them are rounded from now on, and trained nevertheless until they are frozen.
    """

    def convert(network: QuantizedNetwork) -> None:
        if anticipate:
            network.straight_through = True
            if compensate:
                for node in network.convolutions:
                    network.settle(node)
        for node in network.convolutions:
            network.freeze(node, fraction, compensate and not network.straight_through)

    return convert


def _run(
    method: str,
    network: QuantizedNetwork,
    calibration: Calibration,
    stages: Sequence[Stage],
    training: Training,
    summary: Mapping[str, Any],
) -> QGraph:
    """Run all stages, from the one that the checkpoint was written in; then make integers of everything."""
    checkpoint = training.open_checkpoint(
        method,
        network=network.observed.graph,
        calibration_data=calibration,
        quantizer_options=[network.options, summary],
    )
    options = training.chosen
    # One for all stages: new moments in each would shake weights that are settled.
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = (training.optimizer or named_optimizer(options))(parameters)
    saved: Mapping[str, Any] = {}
    rows: list[dict[str, Any]] = []
    if checkpoint is not None and checkpoint.state:
        saved = checkpoint.part("fit", FIT, needed=True)
        rows = list(checkpoint.part("stages", {"rows": [ROW]}).get("rows", []))
        checkpoint.restore(network, saved["network"])
        checkpoint.restore_optimizer(optimizer, saved["optimizer"])
    total = sum(stage.share for stage in stages)
    begin = 0.0
    for index, stage in enumerate(stages):
        share = stage.share / total
        begin, span = begin + share, (begin, begin + share)
        if index < len(rows):
            continue
        if saved.get("stage") != stage.name:
            stage.convert(network)
        part = replace(
            training,
            options=replace(options, epochs=options.epochs * share),
            optimizer=lambda _: optimizer,
        )
        results = fit(network, part, checkpoint=checkpoint, stage=stage.name, span=span)
        rows.append({"name": stage.name, "frozen": _frozen_share(network), **_outcome(results)})
        if checkpoint and results:
            checkpoint.save(stages={"rows": rows})
    network.freeze_all()
    qgraph = network.to_qgraph()
    report = {**summary, "training": options.as_json(), "stages": rows}
    return replace(qgraph, options={**qgraph.options, method: report})


def _outcome(results: Sequence[EpochResult]) -> dict[str, Any]:
    last = results[-1] if results else None
    return {"loss": last.loss if last else None, "score": last.score if last else None}


def _frozen_share(network: QuantizedNetwork) -> float:
    frozen = [network.frozen(node) for node in network.convolutions]
    return sum(int(mask.sum()) for mask in frozen) / sum(mask.numel() for mask in frozen)
