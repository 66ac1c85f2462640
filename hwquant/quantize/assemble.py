"""From plans, float weights and chosen scales to the integer layers of a :class:`~hwquant.qgraph.QGraph`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.qgraph import IntArray, Layer, Term
from hwquant.quantize.activations import integer_limits
from hwquant.quantize.lattice import (
    Alignment,
    Scale,
    align,
    fixed_point,
    net_shifts,
    term_scale,
    weight_exponents,
)
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.scales import ActivationScale
from hwquant.quantize.structure import LayerPlan, TermPlan
from hwquant.quantize.weights import Array, QuantizedWeight, WeightScheme, ideal_scale, quantize_weight

Schemes = Sequence[WeightScheme]


@dataclass(frozen=True, eq=False)
class LayerScales:
    """All real scales and all shifts of one layer.

    ``weight_scales`` float64 [1] or [out] of each term; ``accumulator`` float64 [1] or [out], the real value
    of one step of the sum.
    """

    alignment: Alignment
    weight_scales: tuple[Array, ...]
    accumulator: Array
    shift: IntArray
    multiplier: IntArray | None


def layer_scales(
    layer: LayerPlan,
    schemes: Schemes,
    importances: Sequence[Array],
    activations: Mapping[str, ActivationScale],
    options: QuantizeOptions,
) -> LayerScales:
    """Scales and shifts of a layer; those of its tensors are given.

    In shift-only networks the terms lead to the output's scale. Otherwise they lead to the one of an
    identity's input, or, without such, to the ideal scale of the first term.
    """
    target = activations[layer.name].scale
    sources = [activations[term.input].scale for term in layer.terms]
    ideals = [ideal_scale(term.weight, scheme) for term, scheme in zip(layer.terms, schemes)]
    if options.scales == "multiplier" and len(layer.terms) == 1 and layer.terms[0].unit is None:
        return _free_scale(ideals[0], sources[0], target)
    reference = target if options.scales != "multiplier" else _reference(layer, sources, ideals, target)
    shifts: list[IntArray | int] = []
    for term, scheme, source, share in zip(layer.terms, schemes, sources, importances):
        if term.unit is not None:
            shifts.append(reference.exponent - source.exponent - round(math.log2(term.unit)))
        else:
            ratio = reference.mantissa / source.mantissa
            _, exponents, free = weight_exponents(term.weight, scheme, ratio, share)
            shifts.append(net_shifts(exponents, free, reference, source))
    largest_power = max(0, min(scheme.bits for scheme in schemes) - 2)
    alignment = align(layer.name, shifts, largest_power)
    scales = tuple(
        np.array(term.unit / 2.0**powers)
        if term.unit is not None and powers is not None
        else term_scale(alignment.shift, left, reference, source)
        for term, left, powers, source in zip(layer.terms, alignment.left, alignment.unit_powers, sources)
    )
    accumulator = np.ldexp(reference.mantissa, reference.exponent - alignment.shift)
    if options.scales != "multiplier":
        return LayerScales(alignment, scales, accumulator, alignment.shift, None)
    multiplier, shift = fixed_point(accumulator / target.value)
    return LayerScales(alignment, scales, accumulator, shift, multiplier)


def _free_scale(ideal: Array, source: Scale, target: Scale) -> LayerScales:
    """A single term with a multiplier: its weights have their ideal scale."""
    scale = np.where(ideal > 0, ideal, target.value / source.value)
    accumulator = source.value * scale
    multiplier, shift = fixed_point(accumulator / target.value)
    return LayerScales(
        Alignment(np.zeros(1, np.int64), (0,), (None,)), (scale,), accumulator, shift, multiplier
    )


def _reference(layer: LayerPlan, sources: Sequence[Scale], ideals: Sequence[Array], target: Scale) -> Scale:
    for term, source in zip(layer.terms, sources):
        if term.unit is not None:
            return source
    ideal = ideals[0].max()
    return Scale.of(sources[0].value * ideal) if ideal > 0 else target


def quantize_terms(
    layer: LayerPlan, schemes: Schemes, scales: LayerScales, importances: Sequence[Array]
) -> list[Term]:
    """The integer weights of a layer, each rounded to its nearest code."""
    terms = []
    for index, (plan, scheme, scale) in enumerate(zip(layer.terms, schemes, scales.weight_scales)):
        powers = scales.alignment.unit_powers[index]
        if powers is None:
            quantized = quantize_weight(plan.weight, scheme, scale, importances[index])
        else:
            quantized = _unit_weight(plan, scheme, scale, powers)
        terms.append(
            Term(
                input=plan.input,
                codes=quantized.codes,
                offset=quantized.offset,
                scale=quantized.scale,
                anchor=scheme.anchor,
                bits=scheme.bits,
                window=plan.window,
                groups=plan.groups,
                shift=scales.alignment.left[index],
                mask=_mask(plan),
            )
        )
    return terms


def _unit_weight(term: TermPlan, scheme: WeightScheme, scale: Array, powers: IntArray) -> QuantizedWeight:
    """Integer weights ``2^powers``. A single bit, -1 or 0, needs an offset for the weight 1."""
    adjusted = np.broadcast_to((1 << powers).reshape(-1, 1, 1, 1), term.weight.shape)
    offset = 1 if scheme.bits == 1 and scheme.anchor == "min" else 0
    codes = offset - adjusted if scheme.anchor == "max" else adjusted - offset
    return QuantizedWeight(codes.astype(np.int8), np.array([offset]), scale, scheme.anchor)


def _mask(term: TermPlan) -> NDArray[np.bool_] | None:
    """False where the float weight is exactly zero, and its integer too; None where no weight is."""
    kept = term.weight != 0
    return None if kept.all() else kept


def assemble_layer(
    layer: LayerPlan,
    terms: Sequence[Term],
    scales: LayerScales,
    correction: Array,
    activation: ActivationScale,
) -> Layer:
    """The integer layer; ``correction`` (real, float64 [out]) is added to the bias."""
    bias = np.floor((layer.bias + correction) / scales.accumulator + 0.5)
    if not np.all(np.abs(bias) < 2.0**62):
        raise HwquantError(
            f"the bias of layer {layer.name!r} is out of proportion to its weights: no integer holds it"
        )
    low, high = integer_limits(activation.bits)
    step, zero_point = activation.scale.value, activation.zero_point
    bounds = [
        int(np.clip(np.floor(bound / step + 0.5) + zero_point, low, high))
        for bound in (layer.low, layer.high)
    ]
    return Layer(
        name=layer.name,
        terms=tuple(terms),
        bias=bias.astype(np.int64),
        shift=scales.shift,
        low=bounds[0],
        high=bounds[1],
        multiplier=scales.multiplier,
    )
