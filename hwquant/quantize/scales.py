"""The joint choice of all activation scales, such that every rescaling is an exact shift.

Groups of tensors that share a scale, and classes of groups whose scales differ by a power of two, are those of
``groups``: the scales of a class are ``mantissa * 2^e`` with one mantissa. How well an activation range is used depends
on the mantissa and on a group's own ``e``. How well a term's weight range is used depends only on the ratio of the
mantissas of its input and of its output, since its net shift is free. So the noise of the whole network is a sum of
tables over single classes and over pairs of them, with 16 labels (mantissas ``2^(j/16)``) each, and has an exact
minimum (``elimination``).

Noise is counted relative to the signal of the tensor it enters: to first order these ratios add up along a
network. Weights count with their actual quantization error, weighted with the variance of what they multiply.

With fixed-point multipliers only the identity terms of one layer are tied to each other. Without, a product of two
tensors ties the mantissas of all three (``products``): a table that is infinite where they do not suit each other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from hwquant.errors import HwquantError
from hwquant.quantize.calibration import TensorStatistics, importance
from hwquant.quantize.elimination import Cost, minimize
from hwquant.quantize.formats import Formats, Scale, TensorFormat
from hwquant.quantize.groups import Partition, scale_classes
from hwquant.quantize.mid_rise import exact_unit
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.precision import Precision
from hwquant.quantize.products import missing_octaves, product_costs, with_products
from hwquant.quantize.shifts import weight_exponents
from hwquant.quantize.tables import argument_ranges
from hwquant.quantize.value_ranges import GroupRange, group_ranges
from hwquant.quantize.weight_scheme import WeightScheme

STEPS_PER_OCTAVE = 16
_EXACT = 1e-9
"""Noise over signal of what counts as exact."""

Labels = Mapping[str, Sequence[float]]
"""The mantissas to choose from, by class."""


def choose_scales(
    precision: Precision,
    statistics: Mapping[str, TensorStatistics],
    tables: dict[Hashable, Cost] | None = None,
    decided: Formats | None = None,
) -> dict[str, TensorFormat]:
    """Choose scale, zero point and bits of every tensor.

    Parameters
    ----------
    precision : Precision
        The plan, with its bits and weight schemes.
    statistics : mapping of TensorStatistics
        Statistics of every float tensor, by name.
    tables : dict or None, optional
        The noise of single terms from an earlier call with the same plan and statistics; what this call computes of
        it is added.
    decided : Formats or None, optional
        Formats from an earlier call, by tensor, that are kept; the others are chosen to suit them. Between the stages
        of a training, tensors that are not integers yet are calibrated again so.

    Returns
    -------
    dict of str to TensorFormat
        The format of every tensor.
    """
    classes = scale_classes(precision.plan, _shift_only(precision))
    kept = {precision.groups.find(name): item for name, item in (decided or {}).items()}
    known = kept if precision.keep else ()
    ranges = group_ranges(precision, statistics, known)
    ranges |= argument_ranges(precision, statistics, ranges, known)
    fixed = {classes.find(group): item.scale.mantissa for group, item in kept.items()}
    labels: Labels = {
        **_labels(precision, classes, ranges),
        **{name: [mantissa] for name, mantissa in fixed.items()},
    }
    if precision.options.scales == "shift":
        labels = with_products(precision.plan, classes, labels, _every_mantissa(), fixed)
    costs = [
        *(product_costs(precision.plan, classes, labels) if _shift_only(precision) else ()),
        *_range_costs(classes, ranges, labels),
        *_weight_costs(precision, statistics, classes, labels, {} if tables is None else tables),
    ]
    labelling = minimize(costs, {name: len(mantissas) for name, mantissas in labels.items()})
    result: dict[str, TensorFormat] = {}
    for group, members in precision.groups.sets().items():
        if group not in ranges:
            result |= dict.fromkeys(members, kept[group])
            continue
        owner, item = classes.find(group), ranges[group]
        mantissa = labels[owner][labelling[owner]]
        _, exponent, zero_point = item.best(mantissa)
        chosen = TensorFormat(Scale(mantissa, exponent), zero_point, item.bits, item.low, item.high)
        result |= dict.fromkeys(members, kept.get(group, chosen))
    return _coarse_enough(precision, result, ranges) if _shift_only(precision) else result


def _coarse_enough(
    precision: Precision, formats: dict[str, TensorFormat], ranges: Mapping[str, GroupRange]
) -> dict[str, TensorFormat]:
    """Make the outputs of products whose scales are finer than a shift to the right allows as coarse as needed.

    That loses nothing: the products themselves are no finer.
    """
    members, result = precision.groups.sets(), dict(formats)
    for _ in range(1 + len(precision.plan.products)):
        missing = {item.name: missing_octaves(item, result) for item in precision.plan.products}
        if not any(missing.values()):
            return result
        for name, octaves in missing.items():
            group = precision.groups.find(name)
            item = result[name]
            scale = Scale(item.scale.mantissa, item.scale.exponent + octaves)
            changed = replace(item, scale=scale, zero_point=ranges[group].zero_point(scale.value))
            result |= dict.fromkeys(members[group], changed if octaves else item)
    raise HwquantError(
        f"the output of product {next(iter(missing))!r} shares its scale with what it reads, and is too fine for a "
        "shift; quantize with --scales multiplier"
    )


def _shift_only(precision: Precision) -> bool:
    return precision.options.scales != "multiplier"


def _labels(precision: Precision, classes: Partition, ranges: Mapping[str, GroupRange]) -> Labels:
    """The mantissas that each class may take."""
    match precision.options.scales:
        case "power_of_two":
            return {name: [1.0] for name in classes.sets()}
        case "shift" | "multiplier" | "keep":
            inputs = {precision.groups.find(item.name) for item in precision.plan.graph.inputs}
            labels = {name: _mantissas(_members(name, classes, ranges), inputs) for name in classes.sets()}
            return _with_exact(precision, classes, labels) if _shift_only(precision) else labels
        case _:
            assert_never(precision.options.scales)


def _members(name: str, classes: Partition, ranges: Mapping[str, GroupRange]) -> dict[str, GroupRange]:
    """The groups of a class."""
    return {group: item for group, item in ranges.items() if classes.find(group) == name}


def _mantissas(own: Mapping[str, GroupRange], inputs: Collection[str]) -> list[float]:
    """The mantissas that a class of groups may take: 16 to the octave.

    Only the exact ones are taken where network inputs, pixels usually, can be represented exactly: they then need no
    more than the zero point added.
    """
    grids = {name: item.grid() for name, item in own.items() if name in inputs}
    exact = {
        name: Scale.of(step).mantissa
        for name, step in grids.items()
        if step is not None and own[name].best(Scale.of(step).mantissa)[0] < _EXACT
    }
    return list(dict.fromkeys(exact.values())) or _every_mantissa()


def _every_mantissa() -> list[float]:
    return [2.0 ** (step / STEPS_PER_OCTAVE) for step in range(STEPS_PER_OCTAVE)]


def _with_exact(precision: Precision, classes: Partition, labels: Labels) -> Labels:
    """Add the mantissas with which weights that lie on a grid already keep their scale, layer after layer.

    The accumulator of such a layer has the mantissa of its input times that of its weights.
    """
    exact = {
        name: list(mantissas) if len(mantissas) < STEPS_PER_OCTAVE else []
        for name, mantissas in labels.items()
    }
    for layer in precision.plan.layers:
        target = classes.find(layer.target)
        for term, scheme in zip(layer.terms, precision.schemes[layer.name]):
            source, mantissa = classes.find(term.input), _exact_mantissa(term, scheme)
            if mantissa is None or source == target:
                continue
            for before in exact[source] or labels[source][:1]:
                product = Scale.of(before * mantissa).mantissa
                if all(abs(product - other) > _EXACT for other in (*labels[target], *exact[target])):
                    exact[target].append(product)
    return {name: [*dict.fromkeys((*mantissas, *exact[name]))] for name, mantissas in labels.items()}


def _exact_mantissa(term: TermPlan, scheme: WeightScheme) -> float | None:
    """The mantissa of the scale of weights that lie on a mid-rise grid; None where they do not, or it is not one."""
    if scheme.grid != "mid_rise" or not scheme.symmetric:
        return None
    units = exact_unit(scheme.rows(term.weight), scheme.bits)
    mantissas = {round(Scale.of(unit).mantissa, 6) for unit in units.tolist() if unit > 0}
    return Scale.of(float(units[0])).mantissa if (units > 0).all() and len(mantissas) == 1 else None


def _range_costs(classes: Partition, ranges: Mapping[str, GroupRange], labels: Labels) -> Iterator[Cost]:
    """The noise of the activations, by the mantissa of their class."""
    for name, mantissas in labels.items():
        own = _members(name, classes, ranges).values()
        yield Cost((name,), np.array([sum(item.best(mantissa)[0] for item in own) for mantissa in mantissas]))


def _weight_costs(
    precision: Precision,
    statistics: Mapping[str, TensorStatistics],
    classes: Partition,
    labels: Labels,
    tables: dict[Hashable, Cost],
) -> Iterator[Cost]:
    """The noise of the weights, by the mantissas of the classes that a term leads from and to."""
    for layer in precision.plan.layers:
        reference = _reference(layer, _shift_only(precision))
        for term, scheme in zip(layer.terms, precision.schemes[layer.name]):
            if term.unit is None and reference is not None:
                ends = classes.find(reference), classes.find(term.input)
                key = (layer.name, term.node, scheme, ends, *(tuple(labels[end]) for end in ends))
                if key not in tables:
                    tables[key] = _term_cost(layer, term, scheme, statistics, ends, labels)
                yield tables[key]


def _reference(layer: LayerPlan, shift_only: bool) -> str | None:
    """The tensor whose scale the terms' shifts lead to; None where nothing ties the accumulator's scale."""
    if shift_only:
        return layer.target
    return next((term.input for term in layer.terms if term.unit is not None), None)


def _term_cost(
    layer: LayerPlan,
    term: TermPlan,
    scheme: WeightScheme,
    statistics: Mapping[str, TensorStatistics],
    ends: tuple[str, str],
    labels: Labels,
) -> Cost:
    """The noise of a term's weights by the mantissas of its reference and of its input."""
    output = statistics[layer.function.tensor if layer.function else layer.name]
    weights = importance(term, statistics)
    # Noise where the clamp is active does not get through.
    gain = (1 - output.zeros) / (len(term.weight) * output.power) if output.power > 0 else 0.0
    known: dict[float, float] = {}

    def noise(ratio: float) -> float:
        octave = round(ratio / 2.0 ** math.floor(math.log2(ratio)), 12)
        if octave not in known:
            known[octave] = gain * weight_exponents(term.weight, scheme, ratio, weights)[0]
        return known[octave]

    target, source = ends
    if target == source:
        return Cost((target,), np.full(len(labels[target]), noise(1.0)))
    table = [[noise(a / b) for b in labels[source]] for a in labels[target]]
    return Cost(ends, np.array(table))
