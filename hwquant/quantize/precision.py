"""What the options say about one network, resolved once: bits of every tensor, and how the weights become integers.

Precision is a layer's own (the options may name layers), which is what the search for mixed precision (CN116720550A,
:mod:`hwquant.search`) chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwquant.errors import HwquantError, Unsupported
from hwquant.given import GivenWeights
from hwquant.quantize.given_formats import given_groups, kept_scheme
from hwquant.quantize.groups import Partition, scale_groups
from hwquant.quantize.mid_rise import settle_grid
from hwquant.quantize.narrow_bias import WIDEST
from hwquant.quantize.options import DEFAULT_BITS, QuantizeOptions, by_owner
from hwquant.quantize.plans import Plan, TermPlan
from hwquant.quantize.single_bit import SIGNS_ARE_LOST, loses_signs
from hwquant.quantize.weight_scheme import Grid, WeightScheme

DEFAULT_GRID: Grid = "auto"
ONE_CODE = (
    "symmetric weights on a mid-tread grid need at least 2 bits, as 1 bit leaves only 0; choose mid_rise"
)

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
    keep : bool, default False
        What the network says of its integers (``Graph.given``) holds; the rest has multipliers between layers.
    """

    plan: Plan
    options: QuantizeOptions
    groups: Partition
    bits: Mapping[str, int]
    schemes: Mapping[str, Schemes]
    bias_bits: Mapping[str, int]
    keep: bool = False


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
        The options name what is not in the network, or ask for two numbers of bits, or two grids, in one place.
    Unsupported
        Weights are +a and -a (and 0), and are to have one bit on a mid-tread grid; or some are 0, and are to be on a
        mid-rise one; or weights are to have one symmetric bit on a mid-tread grid.
    """
    keep = options.scales == "keep" and bool(plan.graph.given)
    if options.scales == "keep":
        options = (
            replace(options, scales="multiplier", per_channel=True)
            if keep
            else replace(options, scales="shift")
        )
    groups = scale_groups(plan)
    bits = tensor_bits(plan, groups, options)
    given: Mapping[str, GivenWeights] = {}
    if keep:
        if options.chain_bits is not None:
            raise HwquantError(
                "the scales of a network that is quantized already leave no chains: leave chain_bits out, or quantize "
                "with --scales shift"
            )
        given = plan.graph.given.weights
        _check_asked(plan, groups, options)
        bits |= {name: form.bits for name, form in given_groups(plan, groups).items() if name in bits}
    weight_bits = term_bits(plan, options)
    grids = by_owner(options.grid, _weight_names(plan), "grid", DEFAULT_GRID)
    schemes = {
        layer.name: tuple(
            kept_scheme(given[term.node])
            if term.node in given
            else _scheme(term, weight_bits[term.node], grids.get(term.node, DEFAULT_GRID), options)
            for term in layer.terms
        )
        for layer in plan.layers
    }
    return Precision(plan, options, groups, bits, schemes, layer_bias_bits(plan, options), keep)


def _check_asked(plan: Plan, groups: Partition, options: QuantizeOptions) -> None:
    """Refuse bits that are asked for where others are given.

    Raises
    ------
    HwquantError
        The names of the options, "*" aside, or a number that is not the default, are of integers that are given.
    """
    weights = {name: item.bits for name, item in plan.graph.given.weights.items()}
    formats = {name: form.bits for name, form in given_groups(plan, groups).items()}
    asked = by_owner(options.bits, _weight_names(plan), "bits", DEFAULT_BITS)
    wanted = tensor_bits(plan, groups, options)
    for what, known, asked_for, flag in (
        ("weight", weights, asked, options.bits),
        ("tensor", formats, wanted, options.activation_bits),
    ):
        for name, bits in known.items():
            if asked_for.get(name, bits) != bits and flag != DEFAULT_BITS:
                raise HwquantError(
                    f"the {what} {name!r} has {bits} bits in the source, and {asked_for[name]} are asked for; leave "
                    "that out to keep its integers, or quantize with --scales shift"
                )


def tensor_bits(plan: Plan, groups: Partition, options: QuantizeOptions) -> dict[str, int]:
    """The bits of the activations, by group."""
    aliases = {name: (groups.find(name),) for name in plan.tensors}
    for node in plan.computed:
        aliases |= {name: (groups.find(node.name),) for name in node.members}
    return by_owner(options.activation_bits, aliases, "activation_bits", DEFAULT_BITS)


def layer_bias_bits(plan: Plan, options: QuantizeOptions) -> dict[str, int]:
    """The bits of the biases, by layer; any node that is fused into a layer names it."""
    aliases = {name: (layer.name,) for layer in plan.layers for name in (*layer.members, layer.name)}
    bits = WIDEST if options.bias_bits is None else options.bias_bits
    return by_owner(bits, aliases, "bias_bits", WIDEST)


def term_bits(plan: Plan, options: QuantizeOptions) -> dict[str, int]:
    """The bits of the weights, by the float node of a term.

    Identity terms take the fewest of their layer's convolutions.
    """
    bits = by_owner(options.bits, _weight_names(plan), "bits", DEFAULT_BITS)
    for layer in plan.layers:
        least = min(bits[term.node] for term in layer.terms if term.node in bits)
        bits |= {term.node: least for term in layer.terms if term.node not in bits}
    return bits


def _weight_names(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The float nodes of terms that each name of a layer's members stands for."""
    aliases: dict[str, tuple[str, ...]] = {}
    for layer in plan.layers:
        owners = tuple(dict.fromkeys(term.node for term in layer.terms if term.unit is None))
        owners = owners or (layer.terms[0].node,)
        aliases |= {name: owners for name in layer.members if name not in owners}
        aliases |= {name: (name,) for name in owners}
    return aliases


def _scheme(term: TermPlan, bits: int, grid: Grid, options: QuantizeOptions) -> WeightScheme:
    """How the weights of a term become integers.

    The constant weights of a pool need no channel scales; one bit of a pool or an identity needs its offset.
    """
    per_channel = options.per_channel and not term.constant
    symmetric = options.symmetric and (term.has_weights or bits > 1)
    scheme = WeightScheme(
        bits,
        options.anchor,
        options.rounding,
        symmetric,
        per_channel,
        options.literal_range,
        grid if term.has_weights else "mid_tread",
    )
    try:
        scheme = settle_grid(term.weight, scheme)
    except Unsupported as error:
        raise Unsupported(f"layer {term.node!r}: {error}", where=term.node) from error
    if term.unit is None and loses_signs(term.weight, scheme):
        raise Unsupported(f"layer {term.node!r}: {SIGNS_ARE_LOST}", where=term.node)
    if term.has_weights and scheme.symmetric and scheme.bits == 1 and scheme.grid == "mid_tread":
        raise Unsupported(f"layer {term.node!r}: {ONE_CODE}", where=term.node)
    return scheme
