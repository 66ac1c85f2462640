"""What quantization did to each layer, as plain JSON values for ``QGraph.options`` and for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwquant import advice, clipping, golden
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize.assemble import Schemes
from hwquant.quantize.calibration import Data, batches
from hwquant.quantize.fuse import LayerPlan, Plan
from hwquant.quantize.judge import judge
from hwquant.quantize.scales import ActivationScale
from hwquant.quantize.weights import Array, ideal_scale

if TYPE_CHECKING:
    from hwquant.quantize.observe import Observed


@dataclass(frozen=True, eq=False)
class Fidelity:
    """How well an integer tensor stands for the float one.

    ``signal`` and ``noise`` are float64 [C], sums of squares. ``clipped`` is the share of its values that counts as
    clipped where only integers are known, with those that are rounded to the last integer; ``outside`` is without them.
    """

    signal: Array
    noise: Array
    clipped: float
    outside: float

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise; None where there is no noise at all, or no signal."""
        return _decibels(float(self.signal.sum()), float(self.noise.sum()))

    @property
    def channels_db(self) -> list[float | None]:
        """The same for each channel."""
        return [_decibels(*pair) for pair in zip(self.signal.tolist(), self.noise.tolist())]


def _decibels(signal: float, noise: float) -> float | None:
    return round(10 * math.log10(signal / noise), 2) if signal > 0 and noise > 0 else None


def fidelity(plan: Plan, qgraph: QGraph, samples: Data) -> dict[str, Fidelity]:
    """Every integer tensor against the float network's."""
    names = list(qgraph.tensors)
    channels = {name: qgraph.tensors[name].shape[0] for name in names}
    signal = {name: np.zeros(count) for name, count in channels.items()}
    noise = {name: np.zeros(count) for name, count in channels.items()}
    clipped, outside, elements = (dict.fromkeys(names, 0) for _ in range(3))
    ends = clipping.layer_ends(qgraph)
    inputs = {item.name for item in qgraph.inputs}
    start = 0
    for batch in batches(plan.graph, samples, names):
        count = len(batch[names[0]])
        part = {name: array[start : start + count] for name, array in samples.items()}
        integers = golden.run(qgraph, golden.quantize_input(qgraph, part), keep=names)
        for name, x in batch.items():
            signal[name] += np.square(x).sum(axis=(0, 2, 3))
            error = qgraph.tensors[name].dequantize(integers[name]) - x
            noise[name] += np.square(error).sum(axis=(0, 2, 3))
            elements[name] += x.size
            low, high = clipping.bounds(qgraph.tensors[name])
            beyond = (x < low) | (x >= high)
            if name in inputs:
                outside[name] += int(np.count_nonzero(beyond))
                clipped[name] = outside[name]
            elif name in ends:
                at_end = np.isin(integers[name], ends[name])
                clipped[name] += int(np.count_nonzero(at_end))
                outside[name] += int(np.count_nonzero(at_end & beyond))
        start += count

    def share(counts: Mapping[str, int], name: str) -> float:
        return round(counts[name] / elements[name], 6)

    return {
        name: Fidelity(signal[name], noise[name], share(clipped, name), share(outside, name))
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


def describe_tensor(activation: ActivationScale, measured: Fidelity) -> dict[str, object]:
    """Format of a tensor, the range that was asked for, its signal to noise ratio, and the share that is clipped."""
    return {
        "scale": activation.scale.value,
        "zero_point": activation.zero_point,
        "bits": activation.bits,
        "range": [activation.low, activation.high],
        "sqnr_db": measured.sqnr_db,
        "clipped": measured.clipped,
    }


def summary(qgraph: QGraph, measured: Mapping[str, Fidelity], observed: Observed) -> dict[str, object]:
    """Signal to noise of the outputs and of the worst tensor, and the samples that all of it was measured on."""
    known = {name: item.sqnr_db for name, item in measured.items() if item.sqnr_db is not None}
    worst = min(known, key=lambda name: known[name]) if known else None
    return {
        "outputs": {output.name: measured[output.tensor].sqnr_db for output in qgraph.outputs},
        "worst": None if worst is None else {"tensor": worst, "sqnr_db": known[worst]},
        "samples": len(next(iter(observed.judged.values()))),
        "data": observed.judged_by,
    }


def describe(
    observed: Observed,
    qgraph: QGraph,
    schemes: Mapping[str, Schemes],
    activations: Mapping[str, ActivationScale],
    trained: bool = False,
) -> dict[str, object]:
    """The whole report: ``layers`` and ``tensors`` by name, ``sqnr`` in short, ``warnings``, and the names of
    convolutions whose channels were ``equalized`` where there are any.

    Weights that were ``trained`` after quantization are not those of the float network: what they are is not judged.
    """
    plan = observed.plan
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    measured = fidelity(plan, qgraph, observed.judged)
    judged = () if trained else judge(plan, qgraph, observed.statistics, measured, observed.judged_by)
    found = (*observed.advice, *judged)
    result: dict[str, object] = {
        "layers": {
            layer.name: describe_layer(layer, layers[layer.name], schemes[layer.name])
            for layer in plan.layers
        },
        "tensors": {name: describe_tensor(activations[name], measured[name]) for name in qgraph.tensors},
        "sqnr": summary(qgraph, measured, observed),
        "warnings": advice.to_json(found),
    }
    if observed.equalized:
        result["equalized"] = sorted(observed.equalized)
    return result
