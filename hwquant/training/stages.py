"""Progressive quantization, sub-network by sub-network (CN112884133A), and all at once for comparison.

The network is cut into sub-networks of consecutive layers. In order, the inputs of a sub-network and the part
of its weights that is largest in absolute value become integers for good, and what is still float, in all of
the network, is fine-tuned to make up for it. When the last sub-network is done, the remaining weights follow in
rounds, the largest first, with fine-tuning in between, and in the end the biases.

Two things are added to the publication, and can be left out. ``compensate``: when weights are frozen, those of the
layer that are still float move at once, in closed form, and fine-tuning starts from there. ``anticipate``: in the
rounds, weights that are still float and trained are rounded in the forward pass (straight-through), so that
freezing them in the next round changes nothing.
"""

from __future__ import annotations

import os
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
from hwquant.training.checkpoint import FIT, Checkpoint, owner
from hwquant.training.loop import Data, EpochResult, Evaluate, OptimizerFactory, Report, fit, named_optimizer
from hwquant.training.losses import Loss
from hwquant.training.options import TrainOptions
from hwquant.training.quantized import QuantizedNetwork

Calibration = NDArray[Any] | Mapping[str, NDArray[Any]]
Convert = Callable[[QuantizedNetwork], None]
SubNetwork = tuple[LayerPlan, ...]

SUBNETWORKS_SHARE, LAST_SHARE = 0.4, 0.05
"""Of all epochs: for the sub-networks, and for the biases when nothing else is left."""
ROW = {"name": str, "frozen": float, "loss": (float, None), "score": (float, None)}
"""The form of a stage's row in the report, which a checkpoint holds too."""


@dataclass(frozen=True)
class Training:
    """How the stages are trained: the arguments of :func:`hwquant.training.fit` that they share."""

    data: Data
    options: TrainOptions
    loss: Loss | None
    optimizer: OptimizerFactory | None
    evaluate: Evaluate | None
    progress: Report | None


@dataclass(frozen=True)
class Stage:
    """What becomes an integer (``convert``), after which the rest is trained for a share of all epochs."""

    name: str
    convert: Convert
    share: float


def progressive(
    graph: Graph,
    train: Data,
    calibration: Calibration,
    options: QuantizeOptions | None = None,
    training: TrainOptions | None = None,
    *,
    fraction: float = 0.5,
    rounds: int = 2,
    subnetworks: int | None = None,
    compensate: bool = True,
    anticipate: bool = True,
    loss: Loss | None = None,
    optimizer: OptimizerFactory | None = None,
    evaluate: Evaluate | None = None,
    progress: Report | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> QGraph:
    """Quantize a network part by part, and fine-tune what is still float after each.

    Parameters
    ----------
    graph : the trained float network; weights that are exactly zero stay zero
    train : arrays (x, y), or a loader of batches; see :func:`hwquant.training.fit`
    calibration : typical inputs, as for :func:`hwquant.quantize.quantize`
    options : of the quantizer; all but ``literal_range`` work, and those for biases and rounding without
        training (``bias_correction``, ``error_compensation``) have no effect
    training : ``epochs`` are those of all stages together: the sub-networks get 40 % of them, the last round, in
        which only biases are left to train, 5 %, and the rounds before it the rest; the learning rate follows
        one schedule over all of them
    fraction : share of a layer's weights, the largest in absolute value, that its sub-network freezes; and
        the share of what is left that each round but the last one freezes
    rounds : in which the remaining weights are frozen
    compensate : when weights are frozen, those of the layer that are still float first move in closed form, so
        that its output on the calibration data changes least
    anticipate : in the rounds, weights that are still float are trained as what they will be rounded to
    subnetworks : number of sub-networks of consecutive layers; one for each layer with weights if None
    loss, optimizer, evaluate, progress : see :func:`hwquant.training.fit`
    checkpoint : file that is written after every epoch, and with ``resume`` read at the start; the result is
        the same bit for bit as without interruption

    Returns
    -------
    QGraph
        what the fine-tuned network computes, bit for bit. Its ``options`` have, besides those of
        :func:`hwquant.quantize.quantize`, "progressive": "training", "fraction", "rounds" and "stages" with
        each stage's name, share of frozen weights, loss and score.
    """
    if not 0 < fraction <= 1:
        raise HwquantError(f"fraction must be above 0 and at most 1, not {fraction!r}")
    if not isinstance(rounds, int) or rounds < 1:
        raise HwquantError(f"rounds must be an integer of at least 1, not {rounds!r}")
    observed = observe_network(graph, calibration)
    network = QuantizedNetwork(observed, options or QuantizeOptions())
    parts = cut(network.plan, subnetworks)
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
        first = anticipate and index == 0 and not last
        convert = _quantize_rest(first, 1.0 if last else fraction, compensate)
        stages.append(Stage(f"round {index + 1}/{rounds}", convert, share))
    summary = {
        "fraction": fraction,
        "rounds": rounds,
        "subnetworks": len(parts),
        "compensate": compensate,
        "anticipate": anticipate,
    }
    arguments = Training(train, training or TrainOptions(), loss, optimizer, evaluate, progress)
    return _run("progressive", network, calibration, stages, arguments, summary, checkpoint, resume)


def finetune_all_at_once(
    graph: Graph,
    train: Data,
    calibration: Calibration,
    options: QuantizeOptions | None = None,
    training: TrainOptions | None = None,
    *,
    loss: Loss | None = None,
    optimizer: OptimizerFactory | None = None,
    evaluate: Evaluate | None = None,
    progress: Report | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> QGraph:
    """Quantize everything at the start and fine-tune with straight-through gradients: weights and biases are
    rounded in the forward pass, and frozen in the end. Arguments and result are those of :func:`progressive`.
    """

    def convert(network: QuantizedNetwork) -> None:
        network.quantize_tensors(network.plan.tensors)
        network.decide_grids(layer.name for layer in network.plan.layers)
        network.straight_through = True

    network = QuantizedNetwork(observe_network(graph, calibration), options or QuantizeOptions())
    arguments = Training(train, training or TrainOptions(), loss, optimizer, evaluate, progress)
    stages = [Stage("all at once", convert, 1.0)]
    return _run("finetuned", network, calibration, stages, arguments, {}, checkpoint, resume)


def cut(plan: Plan, count: int | None) -> list[SubNetwork]:
    """Consecutive layers in ``count`` groups of about equally many layers with weights; one for each if None.

    Layers without weights (pools, additions) go with the layer after them, the last ones with the one before.
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
    """Inputs of a sub-network and the largest of its weights; after the last one, the network's outputs."""

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
    """The largest of the weights that are still float; with ``anticipate``, all of them are rounded from now on,
    and trained nevertheless until they are frozen."""

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
    path: str | os.PathLike[str] | None,
    resume: bool,
) -> QGraph:
    """All stages, from the one that the checkpoint was written in; then everything to integers."""
    if resume and path is None:
        raise HwquantError("resume needs the checkpoint to resume from")
    checkpoint = None
    if path is not None:
        belongs_to = owner(
            method=method,
            network=network.observed.graph,
            calibration_data=calibration,
            training_data=training.data,
            quantizer_options=[network.options, summary],
            training_options=training.options,
            loss=training.loss,
            optimizer=training.optimizer,
        )
        checkpoint = Checkpoint(path, belongs_to, resume)
    # One for all stages: new moments in each would shake weights that are settled.
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = (training.optimizer or named_optimizer(training.options))(parameters)
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
        results = fit(
            network,
            training.data,
            replace(training.options, epochs=training.options.epochs * share),
            loss=training.loss,
            optimizer=lambda _: optimizer,
            evaluate=training.evaluate,
            progress=training.progress,
            checkpoint=checkpoint,
            stage=stage.name,
            span=span,
        )
        rows.append({"name": stage.name, "frozen": _frozen_share(network), **_outcome(results)})
        if checkpoint and results:
            checkpoint.save(stages={"rows": rows})
    network.freeze_all()
    qgraph = network.to_qgraph()
    report = {**summary, "training": training.options.as_json(), "stages": rows}
    return replace(qgraph, options={**qgraph.options, method: report})


def _outcome(results: Sequence[EpochResult]) -> dict[str, Any]:
    last = results[-1] if results else None
    return {"loss": last.loss if last else None, "score": last.score if last else None}


def _frozen_share(network: QuantizedNetwork) -> float:
    frozen = [network.frozen(node) for node in network.convolutions]
    return sum(int(mask.sum()) for mask in frozen) / sum(mask.numel() for mask in frozen)
