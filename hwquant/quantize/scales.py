"""The joint choice of all activation scales, such that every rescaling is an exact shift.

Tensors that must share a scale (through MaxPool and Concat) form a *group*. Groups whose scales must differ
by a power of two (through identity terms, and averages over 2^n elements) form a *class*: its scales are
``mantissa * 2^e`` with one mantissa. How well an activation range is used depends on the mantissa and on a
group's own ``e``. How well a term's weight range is used depends only on the ratio of the mantissas of its
input and of its output, since its net shift is free. So the noise of the whole network is a sum of tables
over single classes and over pairs of them, with 16 labels (mantissas ``2^(j/16)``) each, and has an exact
minimum (``elimination``).

Noise is counted relative to the signal of the tensor it enters: to first order these ratios add up along a
network. Weights count with their actual quantization error, weighted with the variance of what they multiply.

With fixed-point multipliers only the identity terms of one layer are tied to each other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import numpy as np

from hwquant.errors import HwquantError, Unsupported
from hwquant.graph import Concat, MaxPool
from hwquant.qgraph import Tensor
from hwquant.quantize.activations import best_scale, value_range
from hwquant.quantize.calibration import TensorStatistics
from hwquant.quantize.elimination import Cost, minimize
from hwquant.quantize.lattice import Scale, weight_exponents
from hwquant.quantize.options import QuantizeOptions, resolve_bits
from hwquant.quantize.structure import LayerPlan, Plan, TermPlan
from hwquant.quantize.weights import SIGNS_ARE_LOST, Array, WeightScheme, loses_signs

STEPS_PER_OCTAVE = 16
_GRID_TOLERANCE = 1e-3
"""In steps; float32 data are off by some 1e-5 of a step."""
_EXACT = 1e-9
"""Noise over signal of what counts as exact."""


@dataclass(frozen=True, eq=False)
class ActivationScale:
    """Integer format of the tensors of a group, and the range it was chosen for."""

    scale: Scale
    zero_point: int
    bits: int
    low: float
    high: float

    def tensor(self, name: str, shape: tuple[int, int, int]) -> Tensor:
        return Tensor(name, shape, self.scale.value, self.zero_point, self.bits)


class Partition:
    """Disjoint sets of names; a set is known by its first name."""

    def __init__(self, names: Sequence[str]) -> None:
        self._parent = {name: name for name in names}
        self._order = {name: index for index, name in enumerate(names)}

    def find(self, name: str) -> str:
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def unite(self, a: str, b: str) -> None:
        first, second = sorted((self.find(a), self.find(b)), key=self._order.__getitem__)
        self._parent[second] = first

    def sets(self) -> dict[str, list[str]]:
        result: dict[str, list[str]] = {}
        for name in self._parent:
            result.setdefault(self.find(name), []).append(name)
        return result


def scale_groups(plan: Plan) -> Partition:
    """Tensors that must share scale, zero point and bits."""
    groups = Partition(plan.tensors)
    for node in plan.nodes:
        match node:
            case MaxPool() | Concat():
                for name in node.inputs:
                    groups.unite(name, node.name)
            case LayerPlan():
                pass
            case _:
                assert_never(node)
    return groups


def scale_classes(plan: Plan, shift_only: bool) -> Partition:
    """Tensors whose scales must differ by powers of two."""
    classes = scale_groups(plan)
    for layer in plan.layers:
        tied = [term.input for term in layer.terms if term.unit is not None]
        if shift_only and tied:
            tied.append(layer.name)
        for a, b in pairwise(tied):
            classes.unite(a, b)
    return classes


def term_bits(plan: Plan, options: QuantizeOptions) -> dict[str, int]:
    """Weight bits by the name of a term's float node. Identity terms take the fewest of their layer's
    convolutions."""
    aliases: dict[str, tuple[str, ...]] = {}
    for layer in plan.layers:
        owners = tuple(dict.fromkeys(term.node for term in layer.terms if term.unit is None))
        owners = owners or (layer.terms[0].node,)
        aliases |= {name: owners for name in layer.members if name not in owners}
        aliases |= {name: (name,) for name in owners}
    bits = resolve_bits(options.bits, aliases, "bits")
    for layer in plan.layers:
        least = min(bits[term.node] for term in layer.terms if term.node in bits)
        bits |= {term.node: least for term in layer.terms if term.node not in bits}
    return bits


def tensor_bits(plan: Plan, groups: Partition, options: QuantizeOptions) -> dict[str, int]:
    """Activation bits by group."""
    aliases = {name: (groups.find(name),) for name in plan.tensors}
    for layer in plan.layers:
        aliases |= {name: (groups.find(layer.name),) for name in layer.members}
    return resolve_bits(options.activation_bits, aliases, "activation_bits")


def weight_scheme(
    term: TermPlan, plan: Plan, bits: Mapping[str, int], options: QuantizeOptions
) -> WeightScheme:
    """How the weights of a convolution become integers. The constant weights of a pool need no channel
    scales.

    Raises
    ------
    Unsupported
        the weights are +a and -a, and are to have one bit
    """
    per_channel = options.per_channel and not term.constant
    scheme = WeightScheme(
        bits[term.node],
        options.anchor,
        options.rounding,
        options.symmetric,
        per_channel,
        options.literal_range,
    )
    if term.unit is None and loses_signs(term.weight, scheme):
        raise Unsupported(f"layer {term.node!r}: {SIGNS_ARE_LOST}", where=term.node)
    return scheme


def importance(term: TermPlan, statistics: Mapping[str, TensorStatistics]) -> Array:
    """Variance of what each weight multiplies, broadcastable to [out, in / groups, kernel height, kernel
    width]."""
    per_group = term.weight.shape[1]
    variance = statistics[term.input].variance.reshape(term.groups, per_group)
    return np.repeat(variance, len(term.weight) // term.groups, axis=0)[:, :, None, None]


def choose_scales(
    plan: Plan,
    statistics: Mapping[str, TensorStatistics],
    options: QuantizeOptions,
    tables: dict[Hashable, Cost] | None = None,
) -> dict[str, ActivationScale]:
    """Scale, zero point and bits of every tensor.

    ``tables`` keeps the noise of single terms for the next call with the same plan and statistics.
    """
    tables = {} if tables is None else tables
    shift_only = options.scales != "multiplier"
    groups, classes = scale_groups(plan), scale_classes(plan, shift_only)
    requests = _requests(plan, groups, statistics, options)
    inputs = {groups.find(item.name) for item in plan.graph.inputs}
    costs, labels = [], {}
    for name in classes.sets():
        own = {group: request for group, request in requests.items() if classes.find(group) == name}
        labels[name] = [1.0] if options.scales == "power_of_two" else _mantissas(own, inputs)
        table = [sum(request.best(mantissa)[0] for request in own.values()) for mantissa in labels[name]]
        costs.append(Cost((name,), np.array(table)))
    bits = term_bits(plan, options)
    for layer in plan.layers:
        reference = _reference(layer, shift_only)
        for term in layer.terms:
            if term.unit is None and reference is not None:
                scheme = weight_scheme(term, plan, bits, options)
                ends = classes.find(reference), classes.find(term.input)
                key = (layer.name, term.node, scheme, ends, *(tuple(labels[end]) for end in ends))
                if key not in tables:
                    tables[key] = _term_cost(layer, term, scheme, statistics, ends, labels)
                costs.append(tables[key])
    chosen = minimize(costs, {name: len(mantissas) for name, mantissas in labels.items()})
    result = {}
    for group, members in groups.sets().items():
        owner = classes.find(group)
        mantissa = labels[owner][chosen[owner]]
        _, exponent, zero_point = requests[group].best(mantissa)
        request = requests[group]
        for name in members:
            result[name] = ActivationScale(
                Scale(mantissa, exponent), zero_point, request.bits, request.low, request.high
            )
    return result


@dataclass(frozen=True, eq=False)
class _Request:
    """What a group's scale has to represent."""

    statistics: tuple[TensorStatistics, ...]
    low: float
    high: float
    bits: int
    may_clip: bool

    def best(self, mantissa: float) -> tuple[float, int, int]:
        """Noise, exponent, zero point."""
        return best_scale(self.statistics, (self.low, self.high), mantissa, self.bits, self.may_clip)


def _requests(
    plan: Plan, groups: Partition, statistics: Mapping[str, TensorStatistics], options: QuantizeOptions
) -> dict[str, _Request]:
    outputs = {output.tensor for output in plan.graph.outputs}
    read = outputs | {name for layer in plan.layers for name in layer.inputs}
    bits = tensor_bits(plan, groups, options)
    result: dict[str, _Request] = {}
    for group, members in groups.sets().items():
        # Clipping and rounding commute with the maximum: what matters of a pooled tensor is what the pool
        # leaves of it.
        used = tuple(statistics[name] for name in members if name in read) or tuple(
            statistics[name] for name in members
        )
        extreme = options.calibration_method == "minmax" or not outputs.isdisjoint(members)
        percentile = (
            options.percentile if options.calibration_method == "percentile" and not extreme else None
        )
        low, high = value_range(used, percentile)
        if low == high == 0:
            low, high = _borrowed_range(group, plan, groups, result)
        may_clip = options.calibration_method == "mse" and not extreme
        result[group] = _Request(used, low, high, bits[group], may_clip)
    return result


def _borrowed_range(
    group: str, plan: Plan, groups: Partition, requests: Mapping[str, _Request]
) -> tuple[float, float]:
    """A range for tensors that are always zero: the one of the tensor that they are computed from."""
    for layer in plan.layers:
        if groups.find(layer.name) == group:
            source = groups.find(layer.inputs[0])
            if source in requests:
                return requests[source].low, requests[source].high
    raise HwquantError(
        f"the calibration data of {group!r} are zero everywhere, so that its range is unknown; give data in "
        "which it varies"
    )


def _mantissas(own: Mapping[str, _Request], inputs: Collection[str]) -> list[float]:
    """Labels of a class of groups: 16 to the octave; only the exact ones where network inputs, pixels
    usually, can be represented exactly: they then need no more than the zero point added.
    """
    grids = {name: _grid(request) for name, request in own.items() if name in inputs}
    exact = {
        name: Scale.of(step).mantissa
        for name, step in grids.items()
        if step is not None and own[name].best(Scale.of(step).mantissa)[0] < _EXACT
    }
    uniform = [2.0 ** (step / STEPS_PER_OCTAVE) for step in range(STEPS_PER_OCTAVE)]
    return list(dict.fromkeys(exact.values())) or uniform


def _grid(request: _Request) -> float | None:
    """The largest whole fraction of the distance between neighbouring values that holds the range; None if
    the values are not equally spaced. Pixels are: 0..255, or these divided by 255, or normalized.
    """
    if not all(item.exact for item in request.statistics):
        return None
    values = np.unique(np.concatenate([item.values for item in request.statistics]))
    if len(values) < 2:
        return None
    multiples = (values - values[0]) / np.diff(values).min()
    if np.abs(multiples - np.round(multiples)).max() > _GRID_TOLERANCE:
        return None
    step = (values[-1] - values[0]) / np.round(multiples[-1])
    fraction = math.floor(((1 << request.bits) - 0.5) * step / (request.high - request.low))
    return float(step / fraction) if fraction > 0 else None


def _reference(layer: LayerPlan, shift_only: bool) -> str | None:
    """The tensor whose scale the terms' shifts lead to; None where nothing ties the accumulator's scale."""
    if shift_only:
        return layer.name
    return next((term.input for term in layer.terms if term.unit is not None), None)


def _term_cost(
    layer: LayerPlan,
    term: TermPlan,
    scheme: WeightScheme,
    statistics: Mapping[str, TensorStatistics],
    ends: tuple[str, str],
    labels: Mapping[str, Sequence[float]],
) -> Cost:
    """Noise of a term's weights by the mantissas of its reference and of its input."""
    output = statistics[layer.name]
    weights = importance(term, statistics)
    # Noise where the clamp is active does not get through.
    gain = (1 - output.zeros) / (len(term.weight) * output.power) if output.power > 0 else 0.0
    known: dict[float, float] = {}

    def noise(ratio: float) -> float:
        octave = round(ratio / 2.0 ** math.floor(math.log2(ratio)), 12)
        if octave not in known:
            known[octave] = gain * weight_exponents(term.weight, scheme, ratio, weights)[0]
        return known[octave]

    target, source = ends
    if target == source:
        return Cost((target,), np.full(len(labels[target]), noise(1.0)))
    table = [[noise(a / b) for b in labels[source]] for a in labels[target]]
    return Cost(ends, np.array(table))
