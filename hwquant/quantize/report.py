"""What quantization did to each layer, as plain JSON values for ``QGraph.options`` and for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from hwquant import advice
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize.fidelity import Evidence, Fidelity, fidelity
from hwquant.quantize.formats import Formats, TensorFormat
from hwquant.quantize.fuse import LayerPlan
from hwquant.quantize.judge import judge
from hwquant.quantize.observe import Observed
from hwquant.quantize.precision import Precision, Schemes
from hwquant.quantize.weights import ideal_scale


def describe_layer(plan: LayerPlan, layer: Layer, schemes: Schemes) -> dict[str, object]:
    """Describe terms, shifts and clamp of a layer as plain values.

    ``stretch`` is the factor by which a weight scale exceeds the ideal one.
    """
    terms = []
    for float_term, term, scheme in zip(plan.terms, layer.terms, schemes):
        item: dict[str, object] = {"input": term.input, "bits": term.bits, "left_shift": term.shift}
        item["scale"], item["offset"] = term.scale.tolist(), term.offset.tolist()
        if float_term.unit is None:
            item["grid"] = scheme.grid
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


def describe_tensor(item: TensorFormat, measured: Fidelity) -> dict[str, object]:
    """Describe a tensor: format, range that was asked for, signal to noise ratio, share that is clipped."""
    return {
        "scale": item.scale.value,
        "zero_point": item.zero_point,
        "bits": item.bits,
        "range": [item.low, item.high],
        "sqnr_db": measured.sqnr_db,
        "clipped": measured.clipped,
    }


def summary(qgraph: QGraph, measured: Mapping[str, Fidelity], observed: Observed) -> dict[str, object]:
    """Sum up signal to noise of the outputs and of the worst tensor, and what both were measured on."""
    known = {name: item.sqnr_db for name, item in measured.items() if item.sqnr_db is not None}
    worst = min(known, key=lambda name: known[name]) if known else None
    return {
        "outputs": {output.name: measured[output.tensor].sqnr_db for output in qgraph.outputs},
        "worst": None if worst is None else {"tensor": worst, "sqnr_db": known[worst]},
        "samples": len(next(iter(observed.judged.values()))),
        "data": observed.judged_by,
    }


def quantization_report(
    observed: Observed,
    qgraph: QGraph,
    precision: Precision,
    formats: Formats,
    trained: bool = False,
) -> dict[str, object]:
    """Report what quantization did to a network, as plain values.

    Parameters
    ----------
    observed : Observed
        The float network and what is known of it.
    qgraph : QGraph
        The integer network.
    precision : Precision
        Bits and weight schemes.
    formats : Formats
        The formats of all tensors.
    trained : bool, default False
        The weights were trained after quantization, so that they are not those of the float network: how well they
        stand for these is not judged.

    Returns
    -------
    dict of str to object
        ``layers`` and ``tensors`` by name, ``sqnr`` in short, ``warnings``, and the names of convolutions whose
        channels were ``equalized`` where there are any; signal to noise ratios with and without ``balancing`` where
        both were tried.
    """
    plan = observed.plan
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    measured = fidelity(plan, qgraph, observed.judged)
    evidence = Evidence(plan, qgraph, observed.statistics, measured)
    judged = () if trained else judge(evidence, observed.judged_by)
    found = (*observed.advice, *judged)
    result: dict[str, object] = {
        "layers": {
            layer.name: describe_layer(layer, layers[layer.name], precision.schemes[layer.name])
            for layer in plan.layers
        },
        "tensors": {name: describe_tensor(formats[name], measured[name]) for name in qgraph.tensors},
        "sqnr": summary(qgraph, measured, observed),
        "warnings": advice.to_json(found),
    }
    if observed.equalized:
        result["equalized"] = sorted(observed.equalized)
    if observed.balancing:
        result["balancing"] = asdict(observed.balancing)
    return result
