"""What a user should know about a quantized network: layers that lost their signal, and why.

All thresholds were chosen so that the four networks of MLPerf Tiny, the demo and random networks are silent with
default options; how far these stay from each is said beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hwquant.advice import Advice
from hwquant.graph import Concat
from hwquant.qgraph import Layer, QGraph, Term
from hwquant.quantize.calibration import TensorStatistics
from hwquant.quantize.fuse import LayerPlan, Plan, TermPlan
from hwquant.quantize.scales import importance
from hwquant.quantize.weights import Array, WeightScheme, loses_signs, quantize_weight

if TYPE_CHECKING:
    from hwquant.quantize.report import Fidelity

VALIDATION = "validation data"
LEAST_DB = 20.0
"""Of a tensor. Noise is then a tenth of the signal; healthy networks have at least 21.6 dB."""
LEAST_CHANNEL_DB = 10.0
"""Of a channel of an output. Healthy networks have at least 20 dB."""
BRANCH_SHARE = 1 / 16
"""A branch whose values are smaller than this share of its concatenation's has less than 4 of the 8 bits."""
LEAST_WEIGHT_DB = 3.0
"""Of a layer's weights, each counted with the variance of what it multiplies: half of what they do is lost."""
MOST_CLIPPED = 0.05
"""Share of a tensor's values that may be clipped on calibration data; healthy networks clip at most 1 %."""
HELPS_DB = 3.0
"""By which an option must improve a layer's weights to be named: it halves their noise."""
SPREAD = 8.0
"""Ratio of the largest weights of two channels, from which on a scale for each saves 3 bits of the smaller."""
INPUT_SPREAD = 256.0
"""Ratio of what two channels reach, from which on the smaller one has less than a step of 8 bits."""


def judge(
    plan: Plan,
    qgraph: QGraph,
    statistics: Mapping[str, TensorStatistics],
    measured: Mapping[str, Fidelity],
    data: str,
) -> tuple[Advice, ...]:
    """All that is wrong with a network, measured on ``data`` (in words), the outputs first."""
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    branches = list(_branches(plan, statistics, measured))
    named = {item.where for item in branches}
    return (
        *_outputs(plan, qgraph, statistics, measured),
        *branches,
        *(
            _low(f"{kind} {name!r}", name, name, ratio, plan, qgraph, statistics, measured)
            for name, kind in _sources(plan)
            if name not in named and (ratio := measured[name].sqnr_db) is not None and ratio < LEAST_DB
        ),
        *_collapsed(plan, layers, statistics),
        *_dead(plan, statistics),
        *_clipped(measured, data),
    )


def _outputs(
    plan: Plan,
    qgraph: QGraph,
    statistics: Mapping[str, TensorStatistics],
    measured: Mapping[str, Fidelity],
) -> Iterator[Advice]:
    """Outputs that are noise, as a whole or in some channels."""
    for output in plan.graph.outputs:
        ratio, channels = measured[output.tensor].sqnr_db, measured[output.tensor].channels_db
        if ratio is None:
            continue
        if ratio < LEAST_DB:
            yield _low(
                f"output {output.name!r}",
                output.name,
                output.tensor,
                ratio,
                plan,
                qgraph,
                statistics,
                measured,
            )
            continue
        lost = [
            index for index, value in enumerate(channels) if value is not None and value < LEAST_CHANNEL_DB
        ]
        if lost:
            worst = min(lost, key=lambda index: channels[index] or 0.0)
            peak = statistics[output.tensor].peak
            yield Advice(
                "channel_spread",
                output.name,
                f"{len(lost)} of {len(channels)} channels of output {output.name!r} have signal to noise ratios below "
                f"{LEAST_CHANNEL_DB:.0f} dB, the worst ({worst}) has {channels[worst]:.1f} dB: its values reach "
                f"{peak[worst]:.3g}, those of another channel {peak.max():.3g}, and one scale serves both; scale the "
                "output's channels alike in the float network, or make them outputs of their own",
                value=channels[worst],
            )


def _branches(
    plan: Plan, statistics: Mapping[str, TensorStatistics], measured: Mapping[str, Fidelity]
) -> Iterator[Advice]:
    """Branches of a concatenation that are lost in the scale that another one needs."""
    for node in plan.nodes:
        if not isinstance(node, Concat):
            continue
        largest = float(statistics[node.name].peak.max())
        for name in dict.fromkeys(node.inputs):
            ratio, peak = measured[name].sqnr_db, float(statistics[name].peak.max())
            if ratio is not None and ratio < LEAST_DB and peak < BRANCH_SHARE * largest:
                yield Advice(
                    "concat_branch",
                    name,
                    f"branch {name!r} of concatenation {node.name!r} has a signal to noise ratio of {ratio:.1f} dB: "
                    f"its values reach {peak:.3g}, those of another branch {largest:.3g}, and all share one scale; "
                    "multiply the branch by a constant in the float network, and divide where it is read",
                    value=ratio,
                )


def _sources(plan: Plan) -> Iterator[tuple[str, str]]:
    """Tensors where noise arises, and what they are; pools hand it on, and outputs are judged before."""
    outputs = {output.tensor for output in plan.graph.outputs}
    yield from ((item.name, "input") for item in plan.graph.inputs)
    yield from ((layer.name, "layer") for layer in plan.layers if layer.name not in outputs)


def _low(
    what: str,
    where: str,
    tensor: str,
    ratio: float,
    plan: Plan,
    qgraph: QGraph,
    statistics: Mapping[str, TensorStatistics],
    measured: Mapping[str, Fidelity],
) -> Advice:
    """A tensor that is mostly noise, and what would help."""
    option, why = _remedy(tensor, plan, qgraph, statistics, measured)
    return Advice(
        "low_sqnr", where, f"{what} has a signal to noise ratio of {ratio:.1f} dB: {why}", option, ratio
    )


def _remedy(
    tensor: str,
    plan: Plan,
    qgraph: QGraph,
    statistics: Mapping[str, TensorStatistics],
    measured: Mapping[str, Fidelity],
) -> tuple[str, str]:
    """The option that would help a tensor most, and why."""
    node = next((node for node in plan.nodes if node.name == tensor), None)
    for name in node.inputs if node is not None else ():
        before = measured[name].sqnr_db
        if before is not None and before < LEAST_DB:
            return "", f"what it reads, {name!r}, has {before:.1f} dB; help that one first"
    bits = qgraph.tensors[tensor].bits
    terms = []
    if isinstance(node, LayerPlan):
        made = next(layer for layer in qgraph.nodes if isinstance(layer, Layer) and layer.name == tensor)
        terms = [
            (term, own)
            for term, own in zip(node.terms, made.terms)
            if term.unit is None and not term.constant
        ]
    for term, own in terms:
        if own.scale.size == 1 and _spread(term) > SPREAD and _helps(term, own, statistics, per_channel=True):
            spread = f"the largest weights of its channels differ by a factor of {_spread(term):.3g}"
            return "--per-channel", f"{spread}; try --per-channel"
    least = min((own.bits for _, own in terms), default=8)
    if least < min(8, bits + 1):
        count = f"its weights have {least} bit{'s' if least > 1 else ''}"
        return "--bits", f"{count}; try --bits {least + 1} or more, or --error-compensation"
    if bits < 8:
        return "--activation-bits", f"its values have {bits} bits; try --activation-bits {bits + 1} or more"
    for name in node.inputs if node is not None else ():
        peak = statistics[name].peak
        if peak.max() > INPUT_SPREAD * peak[peak > 0].min(initial=np.inf):
            reach = f"channels of what it reads, {name!r}, reach from {peak[peak > 0].min():.3g} to {peak.max():.3g}"
            return (
                "",
                f"{reach}, and one scale serves them; bring them to one range, such as by normalizing the data",
            )
    return "", "its values do not suit their integers; look for values of very different ranges in it"


def _spread(term: TermPlan) -> float:
    """Ratio of the largest weights of the channel that has the largest, and of the one that has the smallest."""
    largest = np.abs(term.weight).reshape(len(term.weight), -1).max(axis=1)
    return float(largest.max() / largest[largest > 0].min()) if (largest > 0).any() else 1.0


def _collapsed(
    plan: Plan, layers: Mapping[str, Layer], statistics: Mapping[str, TensorStatistics]
) -> Iterator[Advice]:
    """Weights of which rounding has left nearly nothing."""
    for layer in plan.layers:
        for term, made in zip(layer.terms, layers[layer.name].terms):
            if term.unit is not None or term.constant:
                continue
            ratio = weight_ratio(term.weight, made, importance(term, statistics))
            if ratio < LEAST_WEIGHT_DB:
                option, remedy = _weight_remedy(term, made, statistics)
                yield Advice(
                    "weights_collapse",
                    layer.name,
                    f"the weights of {term.node!r} collapse in {made.bits} bit{'s' if made.bits > 1 else ''}: what is "
                    f"left of them is {ratio:.1f} dB above its error; {remedy}",
                    option,
                    round(ratio, 2),
                )


def _weight_remedy(term: TermPlan, made: Term, statistics: Mapping[str, TensorStatistics]) -> tuple[str, str]:
    """The option that would help weights of which nothing is left, if one does, and how to say so."""
    if made.scale.size == 1 and _spread(term) > SPREAD and _helps(term, made, statistics, per_channel=True):
        return "--per-channel", "try --per-channel"
    if made.bits < 8 and _helps(term, made, statistics, bits=8):
        return "--bits", f"try --bits {made.bits + 1} or more"
    return "", (
        "those for some channels of what it reads are much larger than the others, and one scale serves them; bring "
        f"the channels of {term.input!r} to one range"
    )


def _helps(
    term: TermPlan,
    made: Term,
    statistics: Mapping[str, TensorStatistics],
    bits: int | None = None,
    per_channel: bool = False,
) -> bool:
    """Whether other integers would keep clearly more of the weights."""
    scheme = WeightScheme(bits or made.bits, made.anchor, per_channel=per_channel or made.scale.size > 1)
    if loses_signs(term.weight, scheme):
        return False
    share = importance(term, statistics)
    other = quantize_weight(term.weight, scheme, importance=share).dequantize()
    return _ratio(term.weight, other, share) >= weight_ratio(term.weight, made, share) + HELPS_DB


def weight_ratio(weight: Array, term: Term, share: Array) -> float:
    """Signal to noise of a layer's weights, in dB, each counted by its ``share``; infinite where there is no noise."""
    return _ratio(weight, term.weight * term.scale.reshape(-1, 1, 1, 1), share)


def _ratio(weight: Array, rounded: Array, share: Array) -> float:
    noise = float((share * np.square(rounded - weight)).sum())
    signal = float((share * np.square(weight)).sum())
    return float(10 * np.log10(signal / noise)) if noise > 0 and signal > 0 else np.inf


def _dead(plan: Plan, statistics: Mapping[str, TensorStatistics]) -> Iterator[Advice]:
    """Layers and outputs that give the same for every sample."""
    outputs = {output.tensor for output in plan.graph.outputs}
    for layer in plan.layers:
        constant = statistics[layer.name].variance == 0
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


def _clipped(measured: Mapping[str, Fidelity], data: str) -> Iterator[Advice]:
    """Tensors that do not hold the data that they were measured on."""
    for name, item in measured.items():
        if item.outside > MOST_CLIPPED:
            remedy = (
                "give calibration data like these"
                if data == VALIDATION
                else "try --calibration minmax, or a higher --percentile"
            )
            yield Advice(
                "clipped_in_calibration",
                name,
                f"{item.outside:.1%} of the values of {name!r} are out of its range and are clipped on the {data}; "
                f"{remedy}",
                "--calibration-data" if data == VALIDATION else "--calibration",
                item.outside,
            )
