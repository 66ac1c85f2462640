"""Formats that are given, and those that follow from them.

A network that is quantized already has no scales inside of what its source takes for one operator and hwquant for
several, such as a difference or a PReLU. There a multiple of a tensor has exactly its integers, or their mirror image,
and a clip has some of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from hwquant.quantize.formats import Scale, TensorFormat
from hwquant.quantize.given_formats import given_groups, is_step
from hwquant.quantize.groups import Partition
from hwquant.quantize.options import DEFAULT_BITS
from hwquant.quantize.plans import LayerPlan, Plan


def kept_formats(plan: Plan, groups: Partition, bits: Mapping[str, int]) -> dict[str, TensorFormat]:
    """The formats that are given, of groups and of the arguments of tables, and those that follow from them.

    Parameters
    ----------
    plan : Plan
        The network.
    groups : Partition
        Tensors that share their format.
    bits : mapping of int
        Bits of tensors, by group; 8 where they are not in it.

    Returns
    -------
    dict of TensorFormat
        The formats by group.
    """
    result = {
        name: TensorFormat(
            Scale.of(form.scale), form.zero_point, form.bits, *form.range, rounding=form.rounding
        )
        for name, form in given_groups(plan, groups).items()
    }
    for layer in plan.layers:
        if layer.function and all(term.node in plan.graph.given.weights for term in layer.terms):
            sources = [result.get(groups.find(term.input)) for term in layer.terms]
            if None not in sources and is_step(layer.function.expression):
                sign = TensorFormat(Scale.of(1.0), 0, 2, -2.0, 1.0, rounding="sign")
                result.setdefault(layer.function.argument, sign)
    makers: dict[str, list[LayerPlan | None]] = {groups.find(item.name): [None] for item in plan.graph.inputs}
    for node in plan.computed:
        linear = node if isinstance(node, LayerPlan) else None
        makers.setdefault(groups.find(node.name), []).append(
            linear if linear and not linear.function else None
        )
        if linear and linear.function:
            makers[linear.target] = [linear]
    while True:
        found: dict[str, TensorFormat] = {}
        for group, layers in makers.items():
            if group not in result and len(layers) == 1 and layers[0] is not None:
                same = _multiple(layers[0], groups, result, bits.get(group, DEFAULT_BITS))
                found |= {} if same is None else {group: same}
        if not found:
            return result
        result |= found


def _multiple(
    layer: LayerPlan, groups: Partition, known: Mapping[str, TensorFormat], bits: int
) -> TensorFormat | None:
    """The format of a sum that has the integers of another tensor, or their mirror image; None of any other."""
    if layer.bias.any() or len(layer.terms) > 1:
        return None
    (term,) = layer.terms
    source, factor = known.get(groups.find(term.input)), float(term.weight.flat[0])
    alike = (term.weight == factor).all() and term.weight[0].size == 1 and factor != 0
    if source is None or not alike or source.bits > bits:
        return None
    zero_point = source.zero_point if factor > 0 else -1 - source.zero_point
    low, high = sorted((factor * source.low, factor * source.high))
    return TensorFormat(Scale.of(abs(factor) * source.scale.value), zero_point, source.bits, low, high)
