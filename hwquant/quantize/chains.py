"""Consecutive layers on integers alone, and one product of their scales at the end (CN112085154A, claim 7).

A layer that hands on its sums as they are has neither shift nor multiplier: its output has the scale ``S_x S_w`` and
the zero point 0, and all that happens to a sum is the layer's own clamp, such as ReLU's at 0. What ends a chain of such
layers applies all scales at once: the next layer with its shift, or whoever turns the network's output into real
values.

Integers grow from layer to layer. A layer hands on its sums where their range over all inputs, computed from the
actual weights, fits the bits that were asked for; otherwise it rescales to its ordinary format, which ends the chain.
It also does where several terms are added, in it or in the layer that reads its output (perhaps through max pools), and
where its output is concatenated, multiplied with another one or averaged over 2^n elements: these need scales that suit
each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwquant.advice import Advice
from hwquant.coding import integer_limits
from hwquant.errors import HwquantError
from hwquant.graph import Concat, Rearrange
from hwquant.qgraph import Layer, QGraph, Tensor
from hwquant.quantize.formats import Scale, TensorFormat
from hwquant.quantize.layer_scales import LayerScales
from hwquant.quantize.plans import TermPlan
from hwquant.quantize.precision import Precision
from hwquant.quantize.shifts import Alignment
from hwquant.quantize.single_bit import loses_signs
from hwquant.quantize.weight_scheme import Array, WeightScheme
from hwquant.quantize.weights import ideal_scale
from hwquant.ranges import Range, sum_range

_UNBOUNDED = 62
"""Bits that hold every sum, before its range is known."""
_LARGEST_BIAS = 2.0**40
"""Steps of a bias beside which what weights add is nothing, and that accumulators hardly hold."""


def candidates(precision: Precision) -> Collection[str]:
    """Names of the layers that may hand on their sums, by their place in the network; empty where none is to."""
    plan, groups = precision.plan, precision.groups
    if precision.options.chain_bits is None:
        return frozenset()
    for layer in plan.layers:
        if layer.function:
            raise HwquantError(
                f"layer {layer.name!r} has a table, whose addresses cannot be as wide as sums that are handed on: "
                "leave chain_bits out"
            )
    tied = {node.name for node in plan.nodes if isinstance(node, Concat | Rearrange)}
    tied |= {name for product in plan.products for name in product.inputs}
    for layer in plan.layers:
        tied |= {term.input for term in layer.terms if term.unit is not None or len(layer.terms) > 1}
    fixed = {groups.find(name) for name in tied}
    alone = [layer for layer in plan.layers if len(layer.terms) == 1 and groups.find(layer.name) not in fixed]
    return {
        layer.name
        for layer in alone
        if not loses_signs(layer.terms[0].weight, one_scale(*precision.schemes[layer.name]))
    }


def suits(bias: Array, scales: LayerScales) -> bool:
    """Whether biases are such that an accumulator holds them in steps of these scales."""
    return bool((np.abs(bias) < _LARGEST_BIAS * scales.accumulator).all())


def sum_scales(term: TermPlan, scheme: WeightScheme, source: Scale, scales: str) -> LayerScales:
    """The scales of a layer that hands on its sums: that of its weights alone, as no output asks for another.

    Parameters
    ----------
    term : TermPlan
        The layer's only term.
    scheme : WeightScheme
        How its weights become integers, with one scale for all channels.
    source : Scale
        The scale of the tensor that it reads.
    scales : str
        The option of this name: with "power_of_two" the weights' scale is one.

    Returns
    -------
    LayerScales
        Scales without any shift or multiplier.
    """
    ones = term.unit is not None or (term.constant and scales != "power_of_two")
    scale = float(term.weight.flat[0] if ones else ideal_scale(term.weight, scheme)[0])
    if scale <= 0:  # all weights are zero
        scale = 1.0
    if scales == "power_of_two":
        scale = 2.0 ** np.ceil(np.log2(scale))
    shift = np.zeros(1, np.int64)
    alignment = Alignment(shift, (0,), (shift if ones else None,))
    return LayerScales(alignment, (np.array([scale]),), np.array([source.value * scale]), shift, None)


def sum_format(scale: float, low: int = 0, high: int = 0, bits: int = _UNBOUNDED) -> TensorFormat:
    """The format of sums: 0 stands for 0.0."""
    return TensorFormat(Scale.of(scale), 0, bits, scale * low, scale * high)


def kept(
    layer: Layer, source: Tensor, limits: Range, scale: float, most: int
) -> tuple[Layer, TensorFormat] | None:
    """A layer that hands on its sums, and their format, where their proven range fits ``most`` bits; else None.

    Parameters
    ----------
    layer : Layer
        The layer, without shift and multiplier, its clamp that of the float layer.
    source : Tensor
        The tensor that it reads.
    limits : tuple of int
        Least and greatest integer of that tensor.
    scale : float
        The real value of a step of the sum.
    most : int
        Bits that a sum may have.

    Returns
    -------
    layer : Layer
        The layer; its clamp is no wider than what its sums can reach.
    format : TensorFormat
        The format of its output.
    """
    low, high = sum_range(layer, {source.name: source}, {source.name: limits})
    # 0 stays within them where the float layer's clamp leaves it: channels that fill up a word hold it.
    low, high = (min(max(end, layer.low), layer.high) for end in (min(low, 0), max(high, 0)))
    for bits in range(2, most + 1):
        least, greatest = integer_limits(bits)
        if least <= low and high <= greatest:
            return replace(layer, low=low, high=high), sum_format(scale, low, high, bits)
    return None


def hands_on_sums(layer: Layer, qgraph: QGraph) -> bool:
    """Whether nothing but a clamp is between a layer's sums and its output."""
    return (
        len(layer.terms) == 1
        and layer.multiplier is None
        and not layer.shift.any()
        and qgraph.tensors[layer.name].zero_point == 0
    )


def describe_chains(qgraph: QGraph) -> list[dict[str, object]]:
    """Describe the chains of layers without rescaling between them as plain values.

    Returns
    -------
    list of dict
        For each the names of its ``layers``, the ``bits`` of the sums that all but its last layer hand on (with the
        last one's where these are an output of the network), the product ``scale`` of all scales, one or one an output
        channel, and the ``shift`` by which the last layer rescales; None where it does not.
    """
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    before = _producers(qgraph)
    outputs = {before.get(output.tensor) for output in qgraph.outputs}
    found: list[dict[str, object]] = []
    for layer in layers.values():
        on = hands_on_sums(layer, qgraph)
        if on and layer.name not in outputs:
            continue  # part of a longer one
        for term in layer.terms:
            names, scale = [layer.name], term.scale
            name = before.get(term.input)
            source = term.input
            while name is not None and hands_on_sums(layers[name], qgraph):
                (link,) = layers[name].terms
                names, scale, source = [name, *names], scale * link.scale, link.input
                name = before.get(source)
            if len(names) > 1 or on:
                found.append(
                    {
                        "layers": names,
                        "bits": [qgraph.tensors[item].bits for item in (names if on else names[:-1])],
                        "scale": (qgraph.tensors[source].scale * scale).tolist(),
                        "shift": None if on else (layer.shift - term.shift).tolist(),
                    }
                )
    return found


def _producers(qgraph: QGraph) -> Mapping[str, str]:
    """The layer whose integers a tensor holds, by the tensor's name; max pools hand them on."""
    result: dict[str, str] = {}
    for node in qgraph.nodes:
        if isinstance(node, Layer):
            result[node.name] = node.name
        elif len(node.inputs) == 1 and node.inputs[0] in result:
            result[node.name] = result[node.inputs[0]]
    return result


def judge_chains(chains: Sequence[Mapping[str, object]], bits: int, name: str) -> Iterator[Advice]:
    """Say so where no layer can hand on its sums in as few bits as were asked for."""
    if not chains:
        yield Advice(
            "no_chain",
            name,
            f"every layer of {name!r} rescales: no sums that another layer multiplies fit {bits} bits; give more "
            "--chain-bits, or fewer --bits and --activation-bits",
            "--chain-bits",
            float(bits),
        )


def one_scale(scheme: WeightScheme) -> WeightScheme:
    """How the weights of a layer that hands on its sums become integers: its tensor has one scale, and so have they."""
    return replace(scheme, per_channel=False)
