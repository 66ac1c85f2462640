"""What the scale of each group of tensors has to represent: a range of real values, in how many bits."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from hwquant.errors import HwquantError
from hwquant.quantize.activations import best_scale, quantization_noise, value_range, zero_points
from hwquant.quantize.calibration import TensorStatistics
from hwquant.quantize.precision import Precision

_GRID_TOLERANCE = 1e-3
"""How far values may be from equal spacing, in steps; float32 data are off by some 1e-5 of a step."""


@dataclass(frozen=True, eq=False)
class GroupRange:
    """What the one scale of a group of tensors has to represent.

    Attributes
    ----------
    statistics : tuple of TensorStatistics
        Statistics of those tensors of the group that matter.
    low, high : float
        The range of real values, 0 included.
    bits : int
        Bits of the integers.
    may_clip : bool
        Whether a smaller scale may be chosen, where that costs less than it saves.
    """

    statistics: tuple[TensorStatistics, ...]
    low: float
    high: float
    bits: int
    may_clip: bool

    def best(self, mantissa: float) -> tuple[float, int, int]:
        """The noise, exponent and zero point of the best scale with this mantissa."""
        return best_scale(self.statistics, (self.low, self.high), mantissa, self.bits, self.may_clip)

    def zero_point(self, scale: float) -> int:
        """The best zero point for a scale."""
        return min(
            (
                sum(quantization_noise(item, scale, trial, self.bits) for item in self.statistics),
                trial,
            )
            for trial in zero_points(self.low, self.high, scale, self.bits)
        )[1]

    def grid(self) -> float | None:
        """The smallest scale that holds the range and represents equally spaced values exactly.

        It is the distance between neighbouring values divided by a whole number; None if they are not equally spaced
        or too many. Pixels are equally spaced: 0..255, or these divided by 255, or normalized.
        """
        if not all(item.exact for item in self.statistics):
            return None
        values = np.unique(np.concatenate([item.values for item in self.statistics]))
        if len(values) < 2:
            return None
        multiples = (values - values[0]) / np.diff(values).min()
        if np.abs(multiples - np.round(multiples)).max() > _GRID_TOLERANCE:
            return None
        step = (values[-1] - values[0]) / np.round(multiples[-1])
        fraction = math.floor(((1 << self.bits) - 0.5) * step / (self.high - self.low))
        return float(step / fraction) if fraction > 0 else None


def group_ranges(
    precision: Precision, statistics: Mapping[str, TensorStatistics], known: Collection[str] = ()
) -> dict[str, GroupRange]:
    """Choose what each group has to represent, as ``calibration_method`` says.

    The network's outputs keep their whole range in any case.

    Parameters
    ----------
    precision : Precision
        The groups, their bits and the options.
    statistics : mapping of TensorStatistics
        Statistics of every float tensor, by name.
    known : collection of str, optional
        Groups whose formats are known, so that nobody asks for their ranges.

    Returns
    -------
    dict of str to GroupRange
        The range of every other group.

    Raises
    ------
    HwquantError
        The range of a group is unknown: its calibration data are zero everywhere.
    """
    plan, groups, options = precision.plan, precision.groups, precision.options
    outputs = {output.tensor for output in plan.graph.outputs}
    read = outputs | {name for node in plan.computed for name in node.inputs}
    result: dict[str, GroupRange] = {}
    tables = {layer.function.argument: layer for layer in plan.layers if layer.function}
    for group, members in groups.sets().items():
        if group in tables or group in known:
            continue
        # Clipping and rounding commute with the maximum: what matters of a pooled tensor is what the pool
        # leaves of it.
        used = tuple(statistics[name] for name in members if name in read) or tuple(
            statistics[name] for name in members
        )
        method = options.calibration_method if outputs.isdisjoint(members) else "minmax"
        percentile, may_clip = None, False
        match method:
            case "minmax":
                pass
            case "percentile":
                percentile = options.percentile
            case "mse":
                may_clip = True
            case _:
                assert_never(method)
        given = [plan.graph.given.ranges[name] for name in members if name in plan.graph.given.ranges]
        if given:
            low, high = min(low for low, _ in given), max(high for _, high in given)
            result[group] = GroupRange(used, low, high, precision.bits[group], False)
            continue
        low, high = value_range(used, percentile)
        if low == high == 0:
            low, high = _borrowed_range(group, precision, result)
        result[group] = GroupRange(used, low, high, precision.bits[group], may_clip)
    return result


def _borrowed_range(group: str, precision: Precision, known: Mapping[str, GroupRange]) -> tuple[float, float]:
    """A range for tensors that are always zero: the one of the tensor that they are computed from."""
    groups = precision.groups
    for node in precision.plan.computed:
        if groups.find(node.name) == group:
            source = groups.find(node.inputs[0])
            if source in known:
                return known[source].low, known[source].high
    raise HwquantError(
        f"the calibration data of {group!r} are zero everywhere, so that its range is unknown; give data in "
        "which it varies"
    )
