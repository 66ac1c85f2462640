"""Formats that follow from others: of what is computed, element by element, of tensors whose formats are given.

A network that is quantized already has no scales inside of what its source takes for one operator and hwquant for
several: a difference, a PReLU, tensors of several scales that are joined. A multiple of a tensor has exactly its
integers, or their mirror image; a clip has some of them. What else is computed element by element stays in a range that
is proven by interval arithmetic, and gets the format that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np

from hwquant.coding import integer_limits
from hwquant.expression import Expression
from hwquant.quantize.formats import Scale, TensorFormat
from hwquant.quantize.given_formats import given_groups, is_step
from hwquant.quantize.groups import Partition
from hwquant.quantize.options import DEFAULT_BITS
from hwquant.quantize.plans import LayerPlan, Plan, ProductPlan, TermPlan
from hwquant.quantize.tables import defined

Interval = tuple[float, float]


def kept_formats(
    plan: Plan, groups: Partition, bits: Mapping[str, int], *, proven: bool
) -> dict[str, TensorFormat]:
    """The formats that are given, of groups and of the arguments of tables, and those that follow from them.

    Parameters
    ----------
    plan : Plan
        The network.
    groups : Partition
        Tensors that share their format.
    bits : mapping of int
        Bits of tensors, by group.
    proven : bool
        Whether proven ranges decide where nothing is given; else calibration data do.
    """
    known = {
        name: TensorFormat(
            Scale.of(form.scale), form.zero_point, form.bits, *form.range, rounding=form.rounding
        )
        for name, form in given_groups(plan, groups).items()
    }
    for layer in plan.layers:
        if layer.function and all(term.node in plan.graph.given.weights for term in layer.terms):
            sources = [known.get(groups.find(term.input)) for term in layer.terms]
            if None not in sources and is_step(layer.function.expression):
                known.setdefault(layer.function.argument, TensorFormat(Scale.of(1.0), 0, 2, -2.0, 1.0))
    return implied_formats(plan, groups, known, bits, proven=proven)


def implied_formats(
    plan: Plan,
    groups: Partition,
    known: Mapping[str, TensorFormat],
    bits: Mapping[str, int],
    *,
    proven: bool,
) -> dict[str, TensorFormat]:
    """The formats that follow from those that are known.

    Parameters
    ----------
    plan : Plan
        The network.
    groups : Partition
        Tensors that share their format.
    known : mapping of TensorFormat
        Formats by group, those of tables' arguments among them.
    bits : mapping of int
        Bits of tensors, by group; 8 where they are not in it.
    proven : bool
        Whether proven ranges decide, too; else only what has the integers of another tensor gets a format.

    Returns
    -------
    dict of TensorFormat
        The formats by group, ``known`` among them.
    """
    result = dict(known)
    made = [node for node in plan.computed if isinstance(node, ProductPlan) or node.function is None]
    tabulated = [node for node in plan.layers if node.function is not None]
    makers: dict[str, list[LayerPlan | ProductPlan]] = {layer.target: [layer] for layer in tabulated}
    for node in (*made, *tabulated):
        makers.setdefault(groups.find(node.name), []).append(node)
    inputs = {groups.find(item.name) for item in plan.graph.inputs}
    while True:
        found: dict[str, TensorFormat] = {}
        for group, nodes in makers.items():
            if group not in result and group not in inputs:
                form = _followed(group, nodes, groups, result, bits.get(group, DEFAULT_BITS), proven)
                found |= {} if form is None else {group: form}
        if not found:
            return result
        result |= found


def _followed(
    group: str,
    nodes: list[LayerPlan | ProductPlan],
    groups: Partition,
    known: Mapping[str, TensorFormat],
    bits: int,
    proven: bool,
) -> TensorFormat | None:
    """The format of a group, or of a table's argument, by what computes it; None where it does not follow."""
    same = _multiple(nodes[0], group, groups, known, bits) if len(nodes) == 1 else None
    if same is not None or not proven:
        return same
    reached = []
    for node in nodes:
        if isinstance(node, LayerPlan) and node.function is not None and node.target != group:
            argument = known.get(node.target)
            found = None if argument is None else _tabulated(node.name, node.function.expression, argument)
        else:
            found = _range(node, groups, known)
        if found is None or not np.isfinite(found).all():
            return None
        reached.append(found)
    return _holding((min(low for low, _ in reached), max(high for _, high in reached)), bits)


def _tabulated(name: str, expression: Expression, argument: TensorFormat) -> Interval:
    """The range of a function's table."""
    low, high = integer_limits(argument.bits)
    q = np.arange(low, high + 1, dtype=np.float64)
    y = defined(expression, argument.scale.value * (q - argument.zero_point), name)
    return float(y.min()), float(y.max())


def _multiple(
    node: LayerPlan | ProductPlan,
    group: str,
    groups: Partition,
    known: Mapping[str, TensorFormat],
    bits: int,
) -> TensorFormat | None:
    """The format of what has the integers of another tensor, or their mirror image; None of anything else."""
    if not isinstance(node, LayerPlan) or node.bias.any() or len(node.terms) > 1:
        return None
    if groups.find(node.target) != group:  # a function of them
        return None
    (term,) = node.terms
    source, factor = known.get(groups.find(term.input)), float(term.weight.flat[0])
    alike = (term.weight == factor).all() and term.weight[0].size == 1 and factor != 0
    if source is None or not alike or source.bits > bits:
        return None
    zero_point = source.zero_point if factor > 0 else -1 - source.zero_point
    low, high = sorted((factor * source.low, factor * source.high))
    return TensorFormat(Scale.of(abs(factor) * source.scale.value), zero_point, source.bits, low, high)


def _range(
    node: LayerPlan | ProductPlan, groups: Partition, known: Mapping[str, TensorFormat]
) -> Interval | None:
    """The range of what a node computes, in front of a function; None where it sums over pixels or channels."""
    sources = [known.get(groups.find(name)) for name in node.inputs]
    ranges = [(source.low, source.high) for source in sources if source is not None]
    if len(ranges) < len(sources):
        return None
    match node:
        case LayerPlan():
            low = high = node.bias
            for term, reach in zip(node.terms, ranges):
                ends = _ends(term, reach)
                if ends is None:
                    return None
                low, high = low + ends.min(axis=0), high + ends.max(axis=0)
            found = float(low.min()), float(high.max())
        case ProductPlan():
            products = np.outer(ranges[0], ranges[1])
            found = float(products.min()), float(products.max())
        case _:
            assert_never(node)
    least, greatest = np.clip(found, node.low, node.high)
    return float(least), float(greatest)


def _ends(term: TermPlan, reach: Interval) -> np.ndarray | None:
    """What a term adds at both ends of its input's range, (2, out); None where it sums over several elements."""
    if term.weight[0].size > 1 and not term.constant:
        return None
    low, high = reach
    if term.window.padded:
        low, high = min(low, 0.0), max(high, 0.0)
    return np.outer((low, high), term.weight.sum(axis=(1, 2, 3)))


def _holding(reach: Interval, bits: int) -> TensorFormat:
    """The finest format that holds a range, and 0."""
    low, high = min(0.0, reach[0]), max(0.0, reach[1])
    least, greatest = integer_limits(bits)
    scale = (high - low) / (greatest - least) or 1.0
    zero_point = int(np.clip(np.floor(least - low / scale + 0.5), least, greatest))
    return TensorFormat(Scale.of(scale), zero_point, bits, low, high)
