"""Building the layers in order, each fitted to what the integer layers before it really produce.

The layers so far run on the calibration data as integers. From their output follow, per output channel, the
mean error that quantization leaves in front of the clamp (it goes into the bias: Nagel et al., Data-free
quantization through weight equalization and bias correction, 2019), and the covariances for error-compensated
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from hwquant import floating, golden
from hwquant.graph import Concat, Conv, Input, MaxPool, Output
from hwquant.qgraph import IntArray, QGraph, QNode, Tensor, Term
from hwquant.quantize.assemble import assemble_layer, layer_scales, quantize_terms
from hwquant.quantize.calibration import Data, Progress, TensorStatistics, batches
from hwquant.quantize.compensation import compensated_rounding, covariances
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.scales import ActivationScale, importance, term_bits, weight_scheme
from hwquant.quantize.structure import LayerPlan, Plan, TermPlan
from hwquant.quantize.weights import Array

_ELEMENTS = 1 << 24
"""Elements of one tensor that are kept as integers at once (128 MiB)."""
_SAMPLES = 512


def fitting_samples(plan: Plan, data: Data) -> dict[str, NDArray[Any]]:
    """The first samples, as many as layers are fitted to."""
    largest = max(math.prod(plan.graph.shapes[name]) for name in plan.tensors)
    count = min(_SAMPLES, max(1, _ELEMENTS // largest))
    return {name: array[:count] for name, array in data.items()}


def build_nodes(
    plan: Plan,
    activations: Mapping[str, ActivationScale],
    tensors: Mapping[str, Tensor],
    statistics: Mapping[str, TensorStatistics],
    samples: Data,
    images: Mapping[str, Array],
    options: QuantizeOptions,
    progress: Progress | None = None,
) -> list[QNode]:
    """The integer nodes of a plan whose activation scales are chosen; ``images`` come from
    :func:`mean_images`."""
    bits = term_bits(plan, options)
    run = IntegerRun(plan, tensors, samples)
    nodes: list[QNode] = []
    for index, node in enumerate(plan.nodes):
        match node:
            case MaxPool() | Concat():
                made: QNode = node
            case LayerPlan():
                schemes = [weight_scheme(term, plan, bits, options) for term in node.terms]
                shares = [importance(term, statistics) for term in node.terms]
                scales = layer_scales(node, schemes, shares, activations, options)
                terms = quantize_terms(node, schemes, scales, shares)
                if options.error_compensation:
                    terms = [
                        compensate(term, float_term, run.centred(term.input))
                        for term, float_term in zip(terms, node.terms)
                    ]
                correction = mean_error(node, terms, images, run) if options.bias_correction else np.zeros(())
                made = assemble_layer(node, terms, scales, correction, activations[node.name])
            case _:
                assert_never(node)
        nodes.append(made)
        run.step(made)
        if progress:
            progress("quantize", index + 1, len(plan.nodes))
    return nodes


class IntegerRun:
    """The integer network on the calibration data, node after node. Tensors are kept for as long as they are
    read."""

    def __init__(self, plan: Plan, tensors: Mapping[str, Tensor], samples: Data) -> None:
        self._tensors = tensors
        self._pending = {name: sum(name in node.inputs for node in plan.nodes) for name in plan.tensors}
        self._values: dict[str, NDArray[np.int8]] = {}
        for item in plan.graph.inputs:
            q = tensors[item.name].quantize(item.prepare(samples[item.name]))
            self._values[item.name] = q.astype(np.int8)

    def tensor(self, name: str) -> Tensor:
        """Its integer format."""
        return self._tensors[name]

    def centred(self, name: str) -> IntArray:
        """The integers (N, C, H, W) of a tensor less its zero point."""
        return self._values[name].astype(np.int64) - self._tensors[name].zero_point

    def step(self, node: QNode) -> None:
        """Run one node, and forget what no later node reads."""
        names = dict.fromkeys(node.inputs)
        inputs = tuple(Input(name, self._tensors[name].shape, self._tensors[name].shape) for name in names)
        outputs = (Output(node.name, node.name, self._tensors[node.name].shape),)
        single = QGraph(
            node.name, inputs, (node,), outputs, {name: self._tensors[name] for name in (*names, node.name)}
        )
        result = golden.run(
            single, {name: self._values[name].astype(np.int64) for name in names}, keep=[node.name]
        )
        self._values[node.name] = result[node.name].astype(np.int8)
        for name in names:
            self._pending[name] -= 1
            if not self._pending[name]:
                del self._values[name]


def mean_images(plan: Plan, samples: Data) -> dict[str, Array]:
    """Mean over the samples of each float tensor that a layer reads, float64 (C, H, W)."""
    names = list(dict.fromkeys(name for layer in plan.layers for name in layer.inputs))
    count = len(next(iter(samples.values())))
    total: dict[str, Array] = {name: np.zeros(plan.graph.shapes[name]) for name in names}
    for batch in batches(plan.graph, samples, names):
        for name, x in batch.items():
            total[name] += x.sum(axis=0)
    return {name: image / count for name, image in total.items()}


def mean_error(
    layer: LayerPlan, terms: Sequence[Term], images: Mapping[str, Array], run: IntegerRun
) -> Array:
    """By how much the float sums of a layer exceed the integer ones on average, float64 [out].

    Terms are linear: it is enough to run them on mean images.
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
    """Mean over the pixels of a convolution of one image, float64 [out]."""
    bias = np.zeros(len(weight))
    node = Conv("", ("",), weight, bias, term.window, term.groups)
    return floating.evaluate(node, image[:, None]).mean(axis=(1, 2, 3))


def compensate(term: Term, float_term: TermPlan, x: IntArray) -> Term:
    """The term with its weights rounded for the least error of the output on the inputs ``x`` (centred
    integers). Those of a pool stay one number: hardware sums its window with a single weight."""
    if float_term.unit is not None or float_term.constant:
        return term
    codes = np.array([-(1 << (term.bits - 1)), (1 << (term.bits - 1)) - 1])
    ends = term.offset[:, None] - codes[::-1] if term.anchor == "max" else term.offset[:, None] + codes
    kept = np.ones(term.codes.shape, np.bool_) if term.mask is None else term.mask
    adjusted = compensated_rounding(
        float_term.weight / term.scale.reshape(-1, 1, 1, 1),
        covariances(float_term, x),
        ends[:, 0],
        ends[:, 1],
        kept,
    )
    offset = term.offset.reshape(-1, 1, 1, 1)
    return replace(
        term, codes=(offset - adjusted if term.anchor == "max" else adjusted - offset).astype(np.int8)
    )
