"""Which option would help a tensor or weights that lost their signal, if one does, and how to say so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwquant.qgraph import Layer, Term
from hwquant.quantize.calibration import TensorStatistics, importance
from hwquant.quantize.fidelity import LEAST_DB, Evidence
from hwquant.quantize.mid_rise import settle_grid
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.single_bit import loses_signs
from hwquant.quantize.weight_scheme import Array, WeightScheme
from hwquant.quantize.weights import quantize_weight

HELPS_DB = 3.0
"""By which an option must improve a layer's weights to be named: it halves their noise."""
SPREAD = 8.0
"""Ratio of the largest weights of two channels, from which on a scale for each saves 3 bits of the smaller."""
INPUT_SPREAD = 256.0
"""Ratio of what two channels reach, from which on the smaller one has less than a step of 8 bits."""


def remedy(tensor: str, evidence: Evidence) -> tuple[str, str]:
    """The option that would help a tensor most, and why, in words; "" where no option would."""
    plan, qgraph, statistics = evidence.plan, evidence.qgraph, evidence.statistics
    node = next((node for node in plan.nodes if node.name == tensor), None)
    for name in node.inputs if node is not None else ():
        before = evidence.measured[name].sqnr_db
        if before is not None and before < LEAST_DB:
            return "", f"what it reads, {name!r}, has {before:.1f} dB; help that one first"
    bits = qgraph.tensors[tensor].bits
    terms = []
    if isinstance(node, LayerPlan):
        integer_layer = next(
            layer for layer in qgraph.nodes if isinstance(layer, Layer) and layer.name == tensor
        )
        terms = [(term, own) for term, own in zip(node.terms, integer_layer.terms) if term.has_weights]
    for term, own in terms:
        if own.scale.size == 1 and _spread(term) > SPREAD and _helps(term, own, statistics, per_channel=True):
            spread = f"the largest weights of its channels differ by a factor of {_spread(term):.3g}"
            return "--per-channel", f"{spread}; try --per-channel"
    if any(own.step == 2 and own.bits == 1 and _helps(term, own, statistics) for term, own in terms):
        return (
            "--scales",
            "its weights are +1 and -1 times numbers that shifts do not give; try --scales multiplier",
        )
    least = min((own.bits for _, own in terms), default=8)
    if least < min(8, bits + 1):
        count = f"its weights have {least} bit{'s' if least > 1 else ''}"
        asked = qgraph.options["quantizer"]
        plain = isinstance(asked, Mapping) and not asked["error_compensation"]
        return (
            "--bits",
            f"{count}; try --bits {least + 1} or more{', or --error-compensation' if plain else ''}",
        )
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
    """The ratio of the largest weights of two channels: the one that has the largest, and the smallest."""
    largest = np.abs(term.weight).reshape(len(term.weight), -1).max(axis=1)
    return float(largest.max() / largest[largest > 0].min()) if (largest > 0).any() else 1.0


def weight_remedy(term: TermPlan, made: Term, statistics: Mapping[str, TensorStatistics]) -> tuple[str, str]:
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
    scheme = WeightScheme(
        bits or made.bits,
        made.anchor,
        per_channel=per_channel or made.scale.size > 1,
        grid="mid_rise" if made.step == 2 else "auto",
    )
    scheme = settle_grid(term.weight, scheme)
    if loses_signs(term.weight, scheme):
        return False
    share = importance(term, statistics)
    other = quantize_weight(term.weight, scheme, importance=share).dequantize()
    return _ratio(term.weight, other, share) >= weight_ratio(term.weight, made, share) + HELPS_DB


def weight_ratio(weight: Array, term: Term, share: Array) -> float:
    """Signal to noise of a layer's weights in dB, each counted by its ``share``; infinite without noise."""
    return _ratio(weight, term.weight * term.scale.reshape(-1, 1, 1, 1), share)


def _ratio(weight: Array, rounded: Array, share: Array) -> float:
    noise = float((share * np.square(rounded - weight)).sum())
    signal = float((share * np.square(weight)).sum())
    return float(10 * np.log10(signal / noise)) if noise > 0 and signal > 0 else np.inf
