"""Truncation to fixed point: every scale is a power of two, weights have 8 bits or one.

Eight-bit weights have no offset: ``w = 2^-f w_q``, what the bits of a fixed-point number are. Binary weights are +1 or
-1 times the scale ``S = 2^-f`` of their output channel, by their sign, as the method has them, and BinaryConnect
(Courbariaux et al., 2015); ``S`` is the power of two with the least squared error, which would otherwise be the mean of
the weights' sizes (Rastegari et al., XNOR-Net, 2016). These are "bipolar" weights. "Unipolar" ones are 0 or ``S``, or 0
or ``-S``, whichever suits a channel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hwquant.data import Samples
from hwquant.graph import Conv, Graph
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize import Observed, QuantizeOptions, quantize_observed
from hwquant.quantize.weight_scheme import Grid

if TYPE_CHECKING:
    from hwquant.training import QuantizedNetwork, Training
    from hwquant.training.loop import Evaluate

Binary = Literal["bipolar", "unipolar"]
"""What a single bit stands for: +S or -S; or 0 or S, or 0 or -S, by output channel."""

_EVALUATED = 2000
"""Samples that the accuracy after each epoch is an estimate from."""


def weighted(graph: Graph) -> list[str]:
    """Names of the convolutions and matrix products, in order."""
    return [node.name for node in graph.nodes if isinstance(node, Conv)]


def options(to: str, binary: Collection[str], values: Binary = "bipolar") -> QuantizeOptions:
    """Options of the quantizer for a target: each weight is rounded to the nearest.

    Biases make up for the mean error that is left.

    Parameters
    ----------
    to : str
        "int8" or "binary".
    binary : collection of str
        Names of the layers whose weights get one bit where ``to`` is "binary".
    values : {"bipolar", "unipolar"}, default "bipolar"
        What the bit stands for: +S or -S; or 0 or S.

    Returns
    -------
    QuantizeOptions
        Every scale is a power of two.
    """
    if to == "int8":
        return QuantizeOptions(scales="power_of_two", symmetric=True)
    bits = dict.fromkeys(binary, 1)
    if values == "unipolar":
        return QuantizeOptions(bits=bits, scales="power_of_two", per_channel=True, grid="mid_tread")
    grid: dict[str, Grid] = dict.fromkeys(binary, "mid_rise")
    return QuantizeOptions(bits=bits, scales="power_of_two", per_channel=True, symmetric=True, grid=grid)


def finetune(
    observed: Observed, chosen: QuantizeOptions, training: Training, *, test: Samples | None = None
) -> QGraph:
    """Truncate everything, and train the float weights behind the truncated ones.

    Gradients go straight through the truncation. Before every step a weight is put back into the range of its codes
    (as in BinaryConnect, Courbariaux et al. 2015): outside of it no gradient gets through, and with one bit most
    weights begin outside.

    Parameters
    ----------
    observed : Observed
        The float network and what its calibration data say.
    chosen : QuantizeOptions
        What the weights and tensors are truncated to.
    training : Training
        What is trained with. Unless it evaluates in another way, the score of an epoch is the accuracy on ``test``.
    test : Samples or None, optional
        Inputs, perhaps with labels.

    Returns
    -------
    QGraph
        The truncated network after fine-tuning; its ``options`` have "finetuned".
    """
    from hwquant.training import QuantizedNetwork, fit

    saved = training.open_checkpoint(
        "truncation",
        network=observed.graph,
        calibration_data=[observed.statistics, observed.samples],
        quantizer_options=chosen,
    )
    network = QuantizedNetwork(observed, chosen)
    network.quantize_tensors(network.plan.tensors)
    network.decide_grids(layer.name for layer in network.plan.layers)
    network.straight_through = True
    _start_from(network, quantize_observed(observed, chosen, described=False))
    network.register_forward_pre_hook(lambda *_: network.clamp_weights())
    evaluated = replace(training, evaluate=training.evaluate or _accuracy(test))
    results = fit(network, evaluated, checkpoint=saved, stage="fine-tune")
    network.freeze_all()
    qgraph = network.to_qgraph()
    summary = {"training": training.chosen.as_json(), "loss": [item.loss for item in results]}
    return replace(qgraph, options={**qgraph.options, "finetuned": summary})


def _accuracy(test: Samples | None) -> Evaluate | None:
    """The accuracy on some of the test samples, where they are such as one can train with, and have labels."""
    from hwquant.training import accuracy

    if test is None or test.y is None or isinstance(test.x, Mapping):
        return None
    x, y = test.x[:_EVALUATED], test.y[:_EVALUATED]
    return lambda module: accuracy(module, x, y)


def _start_from(network: QuantizedNetwork, qgraph: QGraph) -> None:
    """Biases that make up for the mean error, without which one bit leaves activations that are always 0."""
    for layer in qgraph.nodes:
        if isinstance(layer, Layer):
            term = layer.terms[0]
            step = qgraph.tensors[term.input].scale * term.scale / 2.0**term.shift
            bias = network.bias(layer.name)
            bias.data.copy_(bias.new_tensor((layer.bias * step).tolist()))
