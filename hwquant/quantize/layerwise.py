"""The layers of a network in order, each fitted to what the integer layers before it really produce.

The layers so far run on the calibration data as integers. From their output follow, per output channel, the mean error
that goes into the bias (``bias_correction``), and the covariances for error-compensated rounding (``compensation``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwquant.progress import Progress
from hwquant.qgraph import Layer, Product, QNode, Term
from hwquant.quantize import chains
from hwquant.quantize.assemble import assemble_layer, quantize_terms, round_layer
from hwquant.quantize.bias_correction import mean_error
from hwquant.quantize.calibration import importance
from hwquant.quantize.compensation import compensate
from hwquant.quantize.formats import Formats, TensorFormat, integer_tensors, zero_points
from hwquant.quantize.integer_run import IntegerRun
from hwquant.quantize.kept import LARGEST_MULTIPLIER, bias_is_integer, keep_layer, threshold
from hwquant.quantize.layer_scales import LayerScales
from hwquant.quantize.narrow_bias import narrow_bias
from hwquant.quantize.observe import Observed
from hwquant.quantize.plans import LayerPlan, ProductPlan
from hwquant.quantize.precision import Precision
from hwquant.quantize.products import integer_product
from hwquant.quantize.thresholds import with_own_thresholds
from hwquant.quantize.ties import with_even_halves
from hwquant.ranges import Range, node_range


@dataclass(frozen=True, eq=False)
class Fitted:
    """The integer nodes of a plan, and what became of the formats and the weight schemes on the way.

    Attributes
    ----------
    nodes : tuple of QNode
        The nodes, in the order of the plan.
    precision : Precision
        As it was, but for layers that hand on their sums: their weights have one scale.
    formats : Formats
        As they were, but for the outputs of these layers.
    """

    nodes: tuple[QNode, ...]
    precision: Precision
    formats: Formats


def fit_layers(
    precision: Precision, formats: Formats, observed: Observed, progress: Progress | None = None
) -> Fitted:
    """Compute the integer nodes of a plan whose tensors' formats are chosen.

    Parameters
    ----------
    precision : Precision
        The plan, and how its weights become integers.
    formats : Formats
        The formats of its tensors.
    observed : Observed
        The samples that layers are fitted to, and what the float network makes of them.
    progress : Progress or None, optional
        Called with "quantize", nodes done and nodes in all.

    Returns
    -------
    Fitted
        The nodes; where layers hand on their sums (:mod:`~hwquant.quantize.chains`), the formats of these too.
    """
    plan, made, schemes = precision.plan, dict(formats), dict(precision.schemes)
    run = IntegerRun(plan, integer_tensors(plan, made), observed.samples)
    members, may_hand_on = precision.groups.sets(), chains.candidates(precision)
    ranges = {item.name: run.tensor(item.name).limits for item in plan.graph.inputs}
    nodes: list[QNode] = []

    def fit(layer: LayerPlan) -> Layer:
        if layer.name in may_hand_on:
            found = _fit_sums(layer, precision, made, observed, run, ranges)
            if found is not None:
                integer, of_sums = found
                made.update(dict.fromkeys(members[precision.groups.find(layer.name)], of_sums))
                schemes[layer.name] = tuple(chains.one_scale(scheme) for scheme in schemes[layer.name])
                run.change(integer_tensors(plan, made).values())
                return integer
        return _fit_layer(layer, precision, made, observed, run)

    def multiply(product: ProductPlan) -> Product:
        return integer_product(product, made, precision.options)

    for node in plan.integer_nodes(fit, multiply):
        run.step(node)
        ranges[node.name] = node_range(node, run.tensor(node.name), ranges)
        nodes.append(node)
        if progress:
            progress("quantize", len(nodes), len(plan.nodes))
    return Fitted(tuple(nodes), replace(precision, schemes=schemes), made)


def _fit_layer(
    layer: LayerPlan,
    precision: Precision,
    formats: Formats,
    observed: Observed,
    run: IntegerRun,
) -> Layer:
    """A layer rounded, with the errors of its weights compensated and its mean error in the bias, as asked for.

    Integers that are given stay as they are.
    """
    if precision.keep:
        kept = keep_layer(layer, precision.plan.graph.given.weights, formats)
        if kept is not None:
            target = formats[layer.target]
            correction = threshold(layer, kept[0].accumulator, target)
            made = assemble_layer(layer, kept[1], kept[0], correction, formats)
            exact = (layer.bias + correction) / kept[0].accumulator
            if not bias_is_integer(exact) and len(made.terms) == 1:
                ratio = kept[0].accumulator / target.scale.value
                made = with_own_thresholds(made, exact, ratio, target.zero_point, LARGEST_MULTIPLIER)
            if target.rounding == "half_even":
                made = with_even_halves(made, kept[0].accumulator / target.scale.value, target) or made
            return narrow_bias(made, precision.bias_bits[layer.name], zero_points(formats))
    scales, terms = round_layer(layer, precision, formats, observed.statistics)
    return _finish(layer, terms, scales, formats, precision, observed, run)


def _fit_sums(
    layer: LayerPlan,
    precision: Precision,
    formats: Formats,
    observed: Observed,
    run: IntegerRun,
    ranges: Mapping[str, Range],
) -> tuple[Layer, TensorFormat] | None:
    """A layer that hands on its sums, and their format; None where they have more bits than were asked for."""
    options, (term,), (scheme,) = precision.options, layer.terms, precision.schemes[layer.name]
    if options.chain_bits is None:
        return None
    scheme, source = chains.one_scale(scheme), formats[term.input].scale
    scales = chains.sum_scales(term, scheme, source, options.scales)
    if not chains.suits(layer.bias, scales):
        return None
    (scale,) = scales.accumulator.tolist()
    terms = quantize_terms(layer, (scheme,), scales, [importance(term, observed.statistics)])
    of_sums = {**formats, layer.name: chains.sum_format(scale)}
    integer = _finish(layer, terms, scales, of_sums, precision, observed, run)
    return chains.kept(integer, run.tensor(term.input), ranges[term.input], scale, options.chain_bits)


def _finish(
    layer: LayerPlan,
    terms: list[Term],
    scales: LayerScales,
    formats: Formats,
    precision: Precision,
    observed: Observed,
    run: IntegerRun,
) -> Layer:
    """A layer whose scales are chosen: errors compensated and in the bias, as asked for."""
    options = precision.options
    if options.error_compensation:
        terms = compensate(layer, terms, run, observed.references)
    correction = np.zeros(())
    if options.bias_correction:
        correction = mean_error(layer, terms, observed.references.images, run)
    made = assemble_layer(layer, terms, scales, correction, formats)
    return narrow_bias(made, precision.bias_bits[layer.name], zero_points(formats))
