"""What the options say about one network, resolved once: bits of every tensor, and how the weights become integers.

Precision is a layer's own (the options may name layers), which is what the search for mixed precision (CN116720550A,
:mod:`hwquant.search`) chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwquant.errors import Unsupported
from hwquant.quantize.fuse import Plan, TermPlan
from hwquant.quantize.groups import Partition, scale_groups
from hwquant.quantize.narrow_bias import WIDEST
from hwquant.quantize.options import QuantizeOptions, resolve_bits
from hwquant.quantize.single_bit import SIGNS_ARE_LOST, loses_signs
from hwquant.quantize.weight_scheme import WeightScheme

Schemes = tuple[WeightScheme, ...]
"""The weight schemes of the terms of a layer."""


@dataclass(frozen=True, eq=False)
class Precision:
    """A plan with all that the options decide before any data are looked at.

    Attributes
    ----------
    plan : Plan
        The layers.
    options : QuantizeOptions
        What the rest was resolved from, and how scales, ranges and roundings are to be chosen.
    groups : Partition
        Tensors that share their format.
    bits : Mapping[str, int]
        Bits of the activations, by group.
    schemes : Mapping[str, Schemes]
        How the weights of each term become integers, by layer.
    bias_bits : Mapping[str, int]
        Bits of the biases as hardware stores them, by layer.
    """

    plan: Plan
    options: QuantizeOptions
    groups: Partition
    bits: Mapping[str, int]
    schemes: Mapping[str, Schemes]
    bias_bits: Mapping[str, int]


def resolve_precision(plan: Plan, options: QuantizeOptions) -> Precision:
    """Resolve the options to bits and weight schemes of one network.

    Parameters
    ----------
    plan : Plan
        The layers of the network.
    options : QuantizeOptions
        What is asked for.

    Returns
    -------
    Precision
        Bits of every tensor, and schemes of every weight.

    Raises
    ------
    HwquantError
        The options name what is not in the network, or ask for two numbers of bits in one place.
    Unsupported
        Weights are +a and -a, and are to have one bit.
    """
    groups = scale_groups(plan)
    bits = tensor_bits(plan, groups, options)
    weight_bits = term_bits(plan, options)
    schemes = {
        layer.name: tuple(_scheme(term, weight_bits[term.node], options) for term in layer.terms)
        for layer in plan.layers
    }
    return Precision(plan, options, groups, bits, schemes, layer_bias_bits(plan, options))


def tensor_bits(plan: Plan, groups: Partition, options: QuantizeOptions) -> dict[str, int]:
    """The bits of the activations, by group."""
    aliases = {name: (groups.find(name),) for name in plan.tensors}
    for layer in plan.layers:
        aliases |= {name: (groups.find(layer.name),) for name in layer.members}
    return resolve_bits(options.activation_bits, aliases, "activation_bits")


def layer_bias_bits(plan: Plan, options: QuantizeOptions) -> dict[str, int]:
    """The bits of the biases, by layer; any node that is fused into a layer names it."""
    aliases = {name: (layer.name,) for layer in plan.layers for name in (*layer.members, layer.name)}
    bits = WIDEST if options.bias_bits is None else options.bias_bits
    return resolve_bits(bits, aliases, "bias_bits", WIDEST)


def term_bits(plan: Plan, options: QuantizeOptions) -> dict[str, int]:
    """The bits of the weights, by the float node of a term.

    Identity terms take the fewest of their layer's convolutions.
    """
    aliases: dict[str, tuple[str, ...]] = {}
    for layer in plan.layers:
        owners = tuple(dict.fromkeys(term.node for term in layer.terms if term.unit is None))
        owners = owners or (layer.terms[0].node,)
        aliases |= {name: owners for name in layer.members if name not in owners}
        aliases |= {name: (name,) for name in owners}
    bits = resolve_bits(options.bits, aliases, "bits")
    for layer in plan.layers:
        least = min(bits[term.node] for term in layer.terms if term.node in bits)
        bits |= {term.node: least for term in layer.terms if term.node not in bits}
    return bits


def _scheme(term: TermPlan, bits: int, options: QuantizeOptions) -> WeightScheme:
    """How the weights of a term become integers; the constant weights of a pool need no channel scales."""
    per_channel = options.per_channel and not term.constant
    scheme = WeightScheme(
        bits, options.anchor, options.rounding, options.symmetric, per_channel, options.literal_range
    )
    if term.unit is None and loses_signs(term.weight, scheme):
        raise Unsupported(f"layer {term.node!r}: {SIGNS_ARE_LOST}", where=term.node)
    return scheme
