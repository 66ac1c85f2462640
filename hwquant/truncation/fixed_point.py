"""Truncation to fixed point: every scale is a power of two, weights have 8 bits or one.

Eight-bit weights have no offset: ``w = 2^-f w_q``, what the bits of a fixed-point number are. A single bit is
0 or -1, and says little without its integer offset: every output channel has a scale and an offset of its own,
so that its weights are either 0 or ``2^-f``, or either 0 or ``-2^-f``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hwquant.data import Samples
from hwquant.graph import Conv, Graph
from hwquant.quantize import Observed, QuantizeOptions

if TYPE_CHECKING:
    from torch import nn

    from hwquant.qgraph import QGraph
    from hwquant.training import TrainOptions
    from hwquant.training.loop import Data, Report

_EVALUATED = 2000
"""Samples that the accuracy after each epoch is an estimate from."""


def weighted(graph: Graph) -> list[str]:
    """Names of the convolutions and matrix products, in order."""
    return [node.name for node in graph.nodes if isinstance(node, Conv)]


def options(to: str, binary: Collection[str]) -> QuantizeOptions:
    """Of the quantizer: each weight is rounded to the nearest, and nothing else is done to it.

    ``binary`` are the names of the layers whose weights get one bit where ``to`` is "binary".
    """
    if to == "int8":
        return QuantizeOptions(scales="power_of_two", symmetric=True, bias_correction=False)
    bits = dict.fromkeys(binary, 1)
    return QuantizeOptions(bits=bits, scales="power_of_two", per_channel=True, bias_correction=False)


def finetune(
    observed: Observed,
    chosen: QuantizeOptions,
    train: Data,
    training: TrainOptions | None = None,
    test: Samples | None = None,
    report: Report | None = None,
) -> QGraph:
    """Truncate everything, and train the float weights behind the truncated ones (straight-through
    estimator). See :func:`hwquant.training.fit`; ``report`` is told the accuracy on the labels of ``test``.

    Before every step a weight is put back into the range of its codes (as in BinaryConnect, Courbariaux et
    al. 2015): outside of it no gradient gets through, and with one bit most weights begin outside.
    """
    from hwquant.training import QuantizedNetwork, TrainOptions, accuracy, fit

    network = QuantizedNetwork(observed, chosen)
    network.quantize_tensors(network.plan.tensors)
    network.decide_grids(layer.name for layer in network.plan.layers)
    network.straight_through = True
    network.register_forward_pre_hook(lambda *_: network.clamp_weights())
    evaluate = None
    if test is not None and test.y is not None and not isinstance(test.x, Mapping):
        x, y = test.x[:_EVALUATED], test.y[:_EVALUATED]

        def evaluate(module: nn.Module) -> float:
            return accuracy(module, x, y)

    training = training or TrainOptions()
    results = fit(
        network, train, training, evaluate=evaluate, progress=report, stage="fine-tune the truncated network"
    )
    network.freeze_all()
    qgraph = network.to_qgraph()
    summary = {"training": training.as_json(), "loss": [item.loss for item in results]}
    return replace(qgraph, options={**qgraph.options, "finetuned": summary})
