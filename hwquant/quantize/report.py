"""What quantization did to each layer, as plain JSON values for ``QGraph.options`` and for people."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hwquant import golden
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize.assemble import Schemes
from hwquant.quantize.calibration import Data, batches
from hwquant.quantize.scales import ActivationScale
from hwquant.quantize.structure import LayerPlan, Plan
from hwquant.quantize.weights import ideal_scale


def signal_to_noise(plan: Plan, qgraph: QGraph, samples: Data) -> dict[str, float | None]:
    """Signal to quantization noise of every integer tensor against the float network, in dB.

    None where there is no noise at all, or no signal.
    """
    names = list(qgraph.tensors)
    signal, noise = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    start = 0
    for batch in batches(plan.graph, samples, names):
        count = len(batch[names[0]])
        part = {name: array[start : start + count] for name, array in samples.items()}
        integers = golden.run(qgraph, golden.quantize_input(qgraph, part), keep=names)
        for name, x in batch.items():
            signal[name] += float(np.square(x).sum())
            noise[name] += float(np.square(qgraph.tensors[name].dequantize(integers[name]) - x).sum())
        start += count
    return {
        name: round(10 * math.log10(signal[name] / noise[name]), 2)
        if signal[name] > 0 and noise[name] > 0
        else None
        for name in names
    }


def describe_layer(plan: LayerPlan, layer: Layer, schemes: Schemes) -> dict[str, object]:
    """Terms, shifts and clamp of a layer. ``stretch`` is the factor by which a weight scale exceeds the ideal
    one."""
    terms = []
    for float_term, term, scheme in zip(plan.terms, layer.terms, schemes):
        item: dict[str, object] = {"input": term.input, "bits": term.bits, "left_shift": term.shift}
        item["scale"], item["offset"] = term.scale.tolist(), term.offset.tolist()
        if float_term.unit is None:
            ideal = ideal_scale(float_term.weight, scheme)
            item["weight_range"] = [float(float_term.weight.min()), float(float_term.weight.max())]
            item["stretch"] = [
                round(scale / best, 4) if best > 0 else None
                for scale, best in zip(term.scale.tolist(), ideal.tolist())
            ]
        else:
            item["weight"] = float_term.unit
        terms.append(item)
    result: dict[str, object] = {"fused": list(plan.members), "terms": terms, "shift": layer.shift.tolist()}
    if layer.multiplier is not None:
        result["multiplier"] = layer.multiplier.tolist()
    result["clamp"] = [layer.low, layer.high]
    return result


def describe_tensor(activation: ActivationScale, noise: float | None) -> dict[str, object]:
    """Format of a tensor, the range that was asked for, and its signal to noise ratio."""
    return {
        "scale": activation.scale.value,
        "zero_point": activation.zero_point,
        "bits": activation.bits,
        "range": [activation.low, activation.high],
        "sqnr_db": noise,
    }


def describe(
    plan: Plan,
    qgraph: QGraph,
    schemes: Mapping[str, Schemes],
    activations: Mapping[str, ActivationScale],
    samples: Data,
) -> dict[str, object]:
    """The whole report: ``layers`` and ``tensors`` by name."""
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    noise = signal_to_noise(plan, qgraph, samples)
    return {
        "layers": {
            layer.name: describe_layer(layer, layers[layer.name], schemes[layer.name])
            for layer in plan.layers
        },
        "tensors": {name: describe_tensor(activations[name], noise[name]) for name in qgraph.tensors},
    }
