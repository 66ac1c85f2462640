"""All scales and shifts of one layer, when those of its tensors are chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwquant.coding import IntArray
from hwquant.quantize.formats import Formats, Scale
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.plans import LayerPlan
from hwquant.quantize.shifts import (
    FINEST_SHIFT,
    LARGEST_LEFT_OF_IDENTITY,
    LARGEST_SHIFT,
    Alignment,
    align,
    fixed_point,
    largest_left,
    net_shifts,
    term_scale,
    weight_exponents,
)
from hwquant.quantize.weight_scheme import Array, WeightScheme
from hwquant.quantize.weights import ideal_scale


@dataclass(frozen=True, eq=False)
class LayerScales:
    """All real scales and all shifts of one layer.

    Attributes
    ----------
    alignment : Alignment
        The shifts of the terms.
    weight_scales : tuple of ndarray of float64, shape (1,) or (out,)
        ``S_w`` of each term.
    accumulator : ndarray of float64, shape (1,) or (out,)
        The real value of one step of the sum.
    shift : ndarray of int64, shape (1,) or (out,)
        The rounding right shift.
    multiplier : ndarray of int64, shape (1,) or (out,), or None
        What the sum is multiplied with before the shift; None in shift-only networks.
    """

    alignment: Alignment
    weight_scales: tuple[Array, ...]
    accumulator: Array
    shift: IntArray
    multiplier: IntArray | None


def layer_scales(
    layer: LayerPlan,
    schemes: Sequence[WeightScheme],
    importances: Sequence[Array],
    formats: Formats,
    options: QuantizeOptions,
) -> LayerScales:
    """Choose scales and shifts of a layer whose tensors have their formats already.

    In shift-only networks the terms lead to the output's scale. Otherwise they lead to the one of an
    identity's input, or, without such, to the ideal scale of the first term.

    Parameters
    ----------
    layer : LayerPlan
        The float layer.
    schemes : sequence of WeightScheme
        The scheme of each term.
    importances : sequence of ndarray of float64
        The weights' shares in the error, term by term, each broadcastable to the weight.
    formats : Formats
        The formats of the tensors that the layer reads, and of its own.
    options : QuantizeOptions
        Its ``scales`` says whether there is a multiplier.

    Returns
    -------
    LayerScales
        Scales and shifts.

    Raises
    ------
    HwquantError
        Ranges differ so much that shifts or the multiplier would be out of bounds.
    """
    target = formats[layer.target].scale
    sources = [formats[term.input].scale for term in layer.terms]
    # Sums that the layer before did not rescale have more bits, which the shift takes off.
    wider = max(0, *(formats[term.input].bits - 8 for term in layer.terms))
    ideals = [ideal_scale(term.weight, scheme) for term, scheme in zip(layer.terms, schemes)]
    if options.scales == "multiplier" and len(layer.terms) == 1 and layer.terms[0].unit is None:
        return _free_scale(ideals[0], sources[0], target, LARGEST_SHIFT + wider)
    reference = target if options.scales != "multiplier" else _reference(layer, sources, ideals, target)
    shifts: list[IntArray | int] = []
    for term, scheme, source, share in zip(layer.terms, schemes, sources, importances):
        if term.unit is not None:
            shifts.append(reference.exponent - source.exponent - round(math.log2(term.unit)))
        else:
            ratio = reference.mantissa / source.mantissa
            _, exponents, free = weight_exponents(term.weight, scheme, ratio, share)
            shifts.append(net_shifts(exponents, free, reference, source, FINEST_SHIFT + wider))
    largest_power = max(0, min(scheme.bits for scheme in schemes) - 2)
    lefts = [
        largest_left(scheme) if term.unit is None else LARGEST_LEFT_OF_IDENTITY
        for term, scheme in zip(layer.terms, schemes)
    ]
    alignment = align(layer.name, shifts, largest_power, LARGEST_SHIFT + wider, lefts)
    scales = tuple(
        np.array(term.unit / 2.0**powers)
        if term.unit is not None and powers is not None
        else term_scale(alignment.shift, left, reference, source)
        for term, left, powers, source in zip(layer.terms, alignment.left, alignment.unit_powers, sources)
    )
    accumulator = np.ldexp(reference.mantissa, reference.exponent - alignment.shift)
    if options.scales != "multiplier":
        return LayerScales(alignment, scales, accumulator, alignment.shift, None)
    multiplier, shift = fixed_point(accumulator / target.value, largest_shift=LARGEST_SHIFT + wider)
    return LayerScales(alignment, scales, accumulator, shift, multiplier)


def _free_scale(ideal: Array, source: Scale, target: Scale, largest_shift: int) -> LayerScales:
    """A single term with a multiplier: its weights have their ideal scale."""
    scale = np.where(ideal > 0, ideal, target.value / source.value)
    accumulator = source.value * scale
    multiplier, shift = fixed_point(accumulator / target.value, largest_shift=largest_shift)
    return LayerScales(
        Alignment(np.zeros(1, np.int64), (0,), (None,)), (scale,), accumulator, shift, multiplier
    )


def _reference(layer: LayerPlan, sources: Sequence[Scale], ideals: Sequence[Array], target: Scale) -> Scale:
    for term, source in zip(layer.terms, sources):
        if term.unit is not None:
            return source
    ideal = ideals[0].max()
    return Scale.of(sources[0].value * ideal) if ideal > 0 else target
