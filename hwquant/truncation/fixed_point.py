"""Truncation to fixed point: every scale is a power of two, weights have 8 bits or one.

Eight-bit weights have no offset: ``w = 2^-f w_q``, what the bits of a fixed-point number are. A single bit is
0 or -1, and says little without its integer offset: every output channel has a scale and an offset of its own,
so that its weights are either 0 or ``2^-f``, or either 0 or ``-2^-f``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize import Observed, QuantizeOptions, quantize_observed

if TYPE_CHECKING:
    from torch import nn

    from hwquant.training import QuantizedNetwork, TrainOptions
    from hwquant.training.loop import Data, Report

_EVALUATED = 2000
"""Samples that the accuracy after each epoch is an estimate from."""


def weighted(graph: Graph) -> list[str]:
    """Names of the convolutions and matrix products, in order."""
    return [node.name for node in graph.nodes if isinstance(node, Conv)]


def options(to: str, binary: Collection[str]) -> QuantizeOptions:
    """Of the quantizer: each weight is rounded to the nearest; biases make up for the mean error that is left.

    ``binary`` are the names of the layers whose weights get one bit where ``to`` is "binary".
    """
    if to == "int8":
        return QuantizeOptions(scales="power_of_two", symmetric=True)
    bits = dict.fromkeys(binary, 1)
    return QuantizeOptions(bits=bits, scales="power_of_two", per_channel=True)


def finetune(
    observed: Observed,
    chosen: QuantizeOptions,
    train: Data,
    training: TrainOptions,
    *,
    test: Samples | None = None,
    report: Report | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> QGraph:
    """Truncate everything, and train the float weights behind the truncated ones (straight-through
    estimator). See :func:`hwquant.training.fit`; ``report`` is told the accuracy on the labels of ``test``.
    ``checkpoint`` is written after every epoch; with ``resume`` training goes on from it.

    Before every step a weight is put back into the range of its codes (as in BinaryConnect, Courbariaux et
    al. 2015): outside of it no gradient gets through, and with one bit most weights begin outside.
    """
    from hwquant.training import Checkpoint, QuantizedNetwork, accuracy, fit, owner

    if resume and checkpoint is None:
        raise HwquantError("resume needs the checkpoint to resume from")
    network = QuantizedNetwork(observed, chosen)
    network.quantize_tensors(network.plan.tensors)
    network.decide_grids(layer.name for layer in network.plan.layers)
    network.straight_through = True
    _start_from(network, quantize_observed(observed, chosen, described=False))
    network.register_forward_pre_hook(lambda *_: network.clamp_weights())
    evaluate = None
    if test is not None and test.y is not None and not isinstance(test.x, Mapping):
        x, y = test.x[:_EVALUATED], test.y[:_EVALUATED]

        def evaluate(module: nn.Module) -> float:
            return accuracy(module, x, y)

    saved = None
    if checkpoint is not None:
        belongs_to = owner(
            method="truncation",
            network=observed.graph,
            calibration_data=[observed.statistics, observed.samples],
            training_data=train,
            quantizer_options=chosen,
            training_options=training,
        )
        saved = Checkpoint(checkpoint, belongs_to, resume)
    results = fit(
        network, train, training, evaluate=evaluate, progress=report, checkpoint=saved, stage="fine-tune"
    )
    network.freeze_all()
    qgraph = network.to_qgraph()
    summary = {"training": training.as_json(), "loss": [item.loss for item in results]}
    return replace(qgraph, options={**qgraph.options, "finetuned": summary})


def _start_from(network: QuantizedNetwork, qgraph: QGraph) -> None:
    """Biases that make up for the mean error, without which one bit leaves activations that are always 0."""
    for layer in qgraph.nodes:
        if isinstance(layer, Layer):
            term = layer.terms[0]
            step = qgraph.tensors[term.input].scale * term.scale / 2.0**term.shift
            bias = network.bias(layer.name)
            bias.data.copy_(bias.new_tensor((layer.bias * step).tolist()))
