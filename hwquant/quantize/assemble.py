"""A layer in integers: its weights rounded to their codes, its bias and clamp in steps of the accumulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Coding, IntArray
from hwquant.errors import HwquantError
from hwquant.qgraph import Layer, Term
from hwquant.quantize.calibration import TensorStatistics, importance
from hwquant.quantize.formats import Formats
from hwquant.quantize.layer_scales import LayerScales, layer_scales
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.precision import Precision
from hwquant.quantize.tables import tabulate
from hwquant.quantize.weight_scheme import Array, WeightScheme
from hwquant.quantize.weights import QuantizedWeight, quantize_weight


def round_layer(
    layer: LayerPlan, precision: Precision, formats: Formats, statistics: Mapping[str, TensorStatistics]
) -> tuple[LayerScales, list[Term]]:
    """Choose scales and shifts of a layer, and round each of its weights to the nearest code.

    Parameters
    ----------
    layer : LayerPlan
        A layer of the precision's plan, perhaps with other weights.
    precision : Precision
        Bits and weight schemes of the network.
    formats : Formats
        The formats of the tensors that the layer reads, and of its own.
    statistics : mapping of TensorStatistics
        Statistics of the float tensors that the layer reads, by name.

    Returns
    -------
    scales : LayerScales
        Scales and shifts.
    terms : list of Term
        The integer weights.
    """
    schemes = precision.schemes[layer.name]
    shares = [importance(term, statistics) for term in layer.terms]
    scales = layer_scales(layer, schemes, shares, formats, precision.options)
    return scales, quantize_terms(layer, schemes, scales, shares)


def quantize_terms(
    layer: LayerPlan, schemes: Sequence[WeightScheme], scales: LayerScales, importances: Sequence[Array]
) -> list[Term]:
    """Round each weight of a layer to its nearest code, at scales that are chosen already."""
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
                offset=quantized.coding.offset,
                scale=quantized.scale,
                anchor=scheme.anchor,
                bits=scheme.bits,
                step=quantized.coding.step,
                window=plan.window,
                groups=plan.groups,
                shift=scales.alignment.left[index],
                mask=kept_weights(plan),
            )
        )
    return terms


def _unit_weight(term: TermPlan, scheme: WeightScheme, scale: Array, powers: IntArray) -> QuantizedWeight:
    """The integer weights ``2^powers``; a single bit, -1 or 0, needs an offset for the weight 1."""
    adjusted = np.broadcast_to((1 << powers).reshape(-1, 1, 1, 1), term.weight.shape)
    offset = 1 if scheme.bits == 1 and scheme.anchor == "min" else 0
    coding = Coding(scheme.bits, scheme.anchor, np.array([offset]))
    return QuantizedWeight(coding.codes(adjusted), scale, coding)


def kept_weights(term: TermPlan) -> NDArray[np.bool_] | None:
    """The pruning mask of a term: False where the float weight is exactly zero; None where no weight is."""
    kept = term.weight != 0
    return None if kept.all() else kept


def assemble_layer(
    layer: LayerPlan,
    terms: Sequence[Term],
    scales: LayerScales,
    correction: Array,
    formats: Formats,
) -> Layer:
    """Put the integer layer together: terms, and bias and clamp in steps of accumulator and output.

    Parameters
    ----------
    layer : LayerPlan
        The float layer.
    terms : sequence of Term
        Its integer weights.
    scales : LayerScales
        Its scales and shifts.
    correction : ndarray of float64, shape () or (out,)
        Real values that are added to the bias.
    formats : Formats
        The formats of the layer's output and, where it has a function, of what is in front of the table.

    Returns
    -------
    Layer
        The integer layer.

    Raises
    ------
    HwquantError
        The bias is so large that no integer of 63 bits holds it.
    """
    bias = np.floor((layer.bias + correction) / scales.accumulator + 0.5)
    if not np.all(np.abs(bias) < 2.0**62):
        raise HwquantError(
            f"the bias of layer {layer.name!r} is out of proportion to its weights: no integer holds it"
        )
    target = formats[layer.target]
    low, high = target.clamp(layer.low, layer.high)
    return Layer(
        name=layer.name,
        terms=tuple(terms),
        bias=bias.astype(np.int64),
        shift=scales.shift,
        low=low,
        high=high,
        multiplier=scales.multiplier,
        table=tabulate(layer.function.expression, target, formats[layer.name], layer.name)
        if layer.function
        else None,
    )
