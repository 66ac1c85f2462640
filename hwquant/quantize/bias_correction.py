"""The mean error that quantization leaves in front of a layer's clamp, which its bias takes back.

Nagel et al., Data-free quantization through weight equalization and bias correction, 2019. Here the error is measured:
what the integer layers before really produce, against the float network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hwquant import floating
from hwquant.graph import Conv
from hwquant.qgraph import Term
from hwquant.quantize.integer_run import IntegerRun
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.weight_scheme import Array


def mean_error(
    layer: LayerPlan, terms: Sequence[Term], images: Mapping[str, Array], run: IntegerRun
) -> Array:
    """Measure by how much the float sums of a layer exceed the integer ones on average.

    Terms are linear: it is enough to run them on mean images.

    Parameters
    ----------
    layer : LayerPlan
        The float layer.
    terms : sequence of Term
        Its integer weights.
    images : mapping of ndarray of float64, shape (C, H, W)
        The mean of each float tensor that the layer reads, by name.
    run : IntegerRun
        What the integer layers before it really produce.

    Returns
    -------
    ndarray of float64, shape (out,)
        The mean error of each output channel, in real values.
    """
    difference = np.zeros(len(layer.bias))
    for term, float_term in zip(terms, layer.terms):
        tensor = run.tensor(term.input)
        image = tensor.scale * run.centred(term.input).mean(axis=0)
        weight = term.weight * term.scale.reshape(-1, 1, 1, 1)
        difference += _mean_output(float_term, float_term.weight, images[term.input])
        difference -= _mean_output(float_term, weight, image)
    return difference


def _mean_output(term: TermPlan, weight: Array, image: Array) -> Array:
    """The mean over the pixels of a convolution of one image, float64 [out]."""
    bias = np.zeros(len(weight))
    node = Conv("", ("",), weight, bias, term.window, term.groups)
    return floating.evaluate(node, image[:, None]).mean(axis=(1, 2, 3))
