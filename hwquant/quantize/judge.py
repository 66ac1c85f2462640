"""What a user should know about a quantized network: layers that lost their signal, and why.

All thresholds were chosen so that the four networks of MLPerf Tiny, the demo and random networks are silent with
default options; how far these stay from each is said beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwquant.advice import Advice
from hwquant.graph import Concat
from hwquant.qgraph import Layer
from hwquant.quantize.calibration import importance
from hwquant.quantize.fidelity import LEAST_DB, Evidence
from hwquant.quantize.remedies import remedy, weight_ratio, weight_remedy

VALIDATION = "validation data"
LEAST_CHANNEL_DB = 10.0
"""Least signal to noise ratio of a channel of an output. Healthy networks have at least 20 dB."""
BRANCH_SHARE = 1 / 16
"""A branch whose values are smaller than this share of its concatenation's has less than 4 of the 8 bits."""
LEAST_WEIGHT_DB = 3.0
"""Least signal to noise ratio of a layer's weights, at which half of what they do is lost.

Each weight counts with the variance of what it multiplies.
"""
MOST_CLIPPED = 0.05
"""Share of a tensor's values that may be clipped on calibration data; healthy networks clip at most 1 %."""


def judge(evidence: Evidence, data: str) -> tuple[Advice, ...]:
    """Say all that is wrong with a quantized network, the outputs first.

    Parameters
    ----------
    evidence : Evidence
        What is known of the network.
    data : str
        What it was measured on, in words.

    Returns
    -------
    tuple of Advice
        Empty for a healthy network.
    """
    branches = list(_branches(evidence))
    named = {item.where for item in branches}
    return (
        *_outputs(evidence),
        *branches,
        *(
            _low(f"{kind} {name!r}", name, name, ratio, evidence)
            for name, kind in _sources(evidence)
            if name not in named
            and (ratio := evidence.measured[name].sqnr_db) is not None
            and ratio < LEAST_DB
        ),
        *_collapsed(evidence),
        *_dead(evidence),
        *_clipped(evidence, data),
    )


def _outputs(evidence: Evidence) -> Iterator[Advice]:
    """Outputs that are noise, as a whole or in some channels."""
    for output in evidence.plan.graph.outputs:
        fidelity = evidence.measured[output.tensor]
        ratio, channels = fidelity.sqnr_db, fidelity.channels_db
        if ratio is None:
            continue
        if ratio < LEAST_DB:
            yield _low(f"output {output.name!r}", output.name, output.tensor, ratio, evidence)
            continue
        lost = [
            index for index, value in enumerate(channels) if value is not None and value < LEAST_CHANNEL_DB
        ]
        if lost:
            worst = min(lost, key=lambda index: channels[index] or 0.0)
            peak = evidence.statistics[output.tensor].peak
            yield Advice(
                "channel_spread",
                output.name,
                f"{len(lost)} of {len(channels)} channels of output {output.name!r} have signal to noise ratios below "
                f"{LEAST_CHANNEL_DB:.0f} dB, the worst ({worst}) has {channels[worst]:.1f} dB: its values reach "
                f"{peak[worst]:.3g}, those of another channel {peak.max():.3g}, and one scale serves both; scale the "
                "output's channels alike in the float network, or make them outputs of their own",
                value=channels[worst],
            )


def _branches(evidence: Evidence) -> Iterator[Advice]:
    """Branches of a concatenation that are lost in the scale that another one needs."""
    statistics = evidence.statistics
    for node in evidence.plan.nodes:
        if not isinstance(node, Concat):
            continue
        largest = float(statistics[node.name].peak.max())
        for name in dict.fromkeys(node.inputs):
            ratio, peak = evidence.measured[name].sqnr_db, float(statistics[name].peak.max())
            if ratio is not None and ratio < LEAST_DB and peak < BRANCH_SHARE * largest:
                yield Advice(
                    "concat_branch",
                    name,
                    f"branch {name!r} of concatenation {node.name!r} has a signal to noise ratio of {ratio:.1f} dB: "
                    f"its values reach {peak:.3g}, those of another branch {largest:.3g}, and all share one scale; "
                    "multiply the branch by a constant in the float network, and divide where it is read",
                    value=ratio,
                )


def _sources(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Tensors where noise arises, and what they are; pools hand it on, and outputs are judged before."""
    plan = evidence.plan
    outputs = {output.tensor for output in plan.graph.outputs}
    yield from ((item.name, "input") for item in plan.graph.inputs)
    yield from ((node.name, "layer") for node in plan.computed if node.name not in outputs)


def _low(what: str, where: str, tensor: str, ratio: float, evidence: Evidence) -> Advice:
    """A tensor that is mostly noise, and what would help."""
    option, why = remedy(tensor, evidence)
    return Advice(
        "low_sqnr", where, f"{what} has a signal to noise ratio of {ratio:.1f} dB: {why}", option, ratio
    )


def _collapsed(evidence: Evidence) -> Iterator[Advice]:
    """Weights of which rounding has left nearly nothing."""
    layers = {node.name: node for node in evidence.qgraph.nodes if isinstance(node, Layer)}
    statistics = evidence.statistics
    for layer in evidence.plan.layers:
        kept = evidence.measured[layer.name].sqnr_db
        if kept is None or kept >= LEAST_DB:
            continue  # compensated weights may be far from the float ones and do the same
        for term, own in zip(layer.terms, layers[layer.name].terms):
            if not term.has_weights:
                continue
            ratio = weight_ratio(term.weight, own, importance(term, statistics))
            if ratio < LEAST_WEIGHT_DB:
                option, way_out = weight_remedy(term, own, statistics)
                yield Advice(
                    "weights_collapse",
                    layer.name,
                    f"the weights of {term.node!r} collapse in {own.bits} bit{'s' if own.bits > 1 else ''}: what is "
                    f"left of them is {ratio:.1f} dB above its error; {way_out}",
                    option,
                    round(ratio, 2),
                )


def _dead(evidence: Evidence) -> Iterator[Advice]:
    """Layers and outputs that give the same for every sample."""
    outputs = {output.tensor for output in evidence.plan.graph.outputs}
    for layer in evidence.plan.layers:
        constant = evidence.statistics[layer.name].variance == 0
        if constant.all():
            yield Advice(
                "constant_layer",
                layer.name,
                f"layer {layer.name!r} gives nearly the same values on all calibration data: what it computes is lost "
                "or its inputs do not vary; give calibration data as the network will meet them",
                "--calibration-data",
                1.0,
            )
        elif layer.name in outputs and constant.any():
            yield Advice(
                "constant_channel",
                layer.name,
                f"{int(constant.sum())} of {constant.size} channels of {layer.name!r}, an output, give the same value "
                f"on all calibration data, the first is channel {int(constant.argmax())}",
                value=float(constant.mean()),
            )


def _clipped(evidence: Evidence, data: str) -> Iterator[Advice]:
    """Tensors that do not hold the data that they were measured on."""
    for name, item in evidence.measured.items():
        if item.outside > MOST_CLIPPED:
            way_out = (
                "give calibration data like these"
                if data == VALIDATION
                else "try --calibration minmax, or a higher --percentile"
            )
            yield Advice(
                "clipped_in_calibration",
                name,
                f"{item.outside:.1%} of the values of {name!r} are out of its range and are clipped on the {data}; "
                f"{way_out}",
                "--calibration-data" if data == VALIDATION else "--calibration",
                item.outside,
            )
