"""What quantization did to each layer, as plain JSON values for ``QGraph.options`` and for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hwquant import advice
from hwquant.advice import Advice
from hwquant.history import Step
from hwquant.qgraph import Layer, Product, QGraph
from hwquant.quantize.chains import describe_chains, judge_chains
from hwquant.quantize.fidelity import Evidence, Fidelity, fidelity
from hwquant.quantize.formats import Formats, TensorFormat
from hwquant.quantize.judge import judge
from hwquant.quantize.observe import Observed
from hwquant.quantize.plans import LayerPlan, ProductPlan
from hwquant.quantize.precision import Precision, Schemes
from hwquant.quantize.ties import halves
from hwquant.quantize.weights import ideal_scale, stretched_rows


def describe_layer(plan: LayerPlan, layer: Layer, schemes: Schemes) -> dict[str, Any]:
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
    if plan.function is not None and layer.table is not None:
        result["table"] = {
            "function": str(plan.function.expression),
            "bits": layer.table.bits,
            "scale": layer.table.scale,
            "zero_point": layer.table.zero_point,
        }
    return result


def describe_product(plan: ProductPlan, product: Product) -> dict[str, Any]:
    """Describe shift and clamp of a product as plain values."""
    result: dict[str, object] = {"fused": list(plan.members), "shift": [product.shift]}
    if product.multiplier is not None:
        result["multiplier"] = [product.multiplier]
    return {**result, "clamp": [product.low, product.high]}


def literal_ranges(
    precision: Precision, layers: Mapping[str, Layer], described: Mapping[str, dict[str, Any]]
) -> Iterator[Advice]:
    """Say which layers have channels that do not take their literal range, and note how many in their descriptions."""
    for plan in precision.plan.layers:
        terms = zip(plan.terms, layers[plan.name].terms, precision.schemes[plan.name])
        for index, (float_term, term, scheme) in enumerate(terms):
            if not float_term.has_weights:
                continue
            stretched = stretched_rows(float_term.weight, scheme, term.scale)
            count = int(stretched.sum())
            described[plan.name]["terms"][index]["stretched_channels"] = count
            if count:
                yield Advice(
                    "stretched_range",
                    plan.name,
                    f"{count} of {stretched.size} channels of {float_term.node!r} take the range stretched to contain "
                    "0, as their literal offsets do not fit the 8 bits that a channel's has; leave out --per-channel "
                    "for an offset of the whole layer, which may have more",
                    "--per-channel",
                    count / stretched.size,
                )


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
        channels were ``equalized`` where there are any; the ``chains`` of layers without rescaling between them where
        these were asked for; signal to noise ratios with and without ``balancing`` where both were tried.
    """
    plan = observed.plan
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    measured = fidelity(plan, qgraph, observed.judged)
    evidence = Evidence(plan, qgraph, observed.statistics, measured)
    judged = () if trained else judge(evidence, observed.judged_by)
    chains, most = None, precision.options.chain_bits
    if most is not None:
        chains = describe_chains(qgraph)
        judged = (*judged, *judge_chains(chains, most, qgraph.name))
    described = {
        layer.name: describe_layer(layer, layers[layer.name], precision.schemes[layer.name])
        for layer in plan.layers
    }
    described |= {
        item.name: describe_product(item, product)
        for item in plan.products
        for product in qgraph.nodes
        if isinstance(product, Product) and product.name == item.name
    }
    if precision.options.literal_range and not trained:
        judged = (*judged, *literal_ranges(precision, layers, described))
    found = (*observed.advice, *halves(plan.layers, layers, formats), *judged)
    result: dict[str, object] = {
        "layers": described,
        "tensors": {name: describe_tensor(formats[name], measured[name]) for name in qgraph.tensors},
        "sqnr": summary(qgraph, measured, observed),
        "warnings": advice.to_json(found),
    }
    if chains is not None:
        result["chains"] = chains
    if observed.equalized:
        result["equalized"] = sorted(observed.equalized)
    if observed.balancing:
        result["balancing"] = asdict(observed.balancing)
    return result


def quantized_step(qgraph: QGraph) -> Step:
    """Tell in a line what quantization without training did to a network."""
    bits = sorted({term.bits for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms})
    widths = sorted({tensor.bits for tensor in qgraph.tensors.values()})
    measured: Any = qgraph.options["sqnr"]
    known = [value for value in measured["outputs"].values() if value is not None]
    noise = f"signal over noise {min(known):.1f} dB" if known else "exact outputs"
    return Step(
        "quantize",
        f"weights {_span(bits)} bits, activations {_span(widths)} bits; {noise} on {measured['samples']} samples of "
        f"the {measured['data']}",
    )


def _span(values: Sequence[int]) -> str:
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}" if values else "no"
