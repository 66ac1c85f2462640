"""Functions as tables: what a layer's integers in front of its table stand for, and what the table makes of them.

The integers in front of a table are nobody's output. So their scale and zero point are chosen for the error that is
left behind the function: where it is flat, as sigmoid is at both ends, values may be clipped, and the steps are spent
where it is steep.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwquant.coding import integer_limits
from hwquant.errors import HwquantError
from hwquant.expression import Expression
from hwquant.qgraph import Table
from hwquant.quantize.activations import smallest_exponent, zero_points
from hwquant.quantize.calibration import TensorStatistics
from hwquant.quantize.formats import TensorFormat
from hwquant.quantize.precision import Precision
from hwquant.quantize.value_ranges import GroupRange
from hwquant.quantize.weight_scheme import Array

_CLIP_OCTAVES = 8
"""How far below the scale of the whole range the least error is looked for."""
FEWEST_BITS = 8
"""Bits in front of a table, where they are enough."""
MOST_BITS = 10
"""Bits in front of a table at most, where they are chosen: more would cost memory and hardly gain anything."""
COSTLY = 4.0
"""Noise in front of a table over that of rounding behind it for which a bit more is spent: 6 dB."""
_COVERED = 1 / 510
"""Error at the ends, in shares of the function's range, that still counts as none: half a step of 8 bits."""


def tabulate(expression: Expression, argument: TensorFormat, output: TensorFormat, where: str) -> Table:
    """Make the table of a function.

    Parameters
    ----------
    expression : Expression
        The function.
    argument : TensorFormat
        The format in front of the table.
    output : TensorFormat
        The format behind it.
    where : str
        The layer, for the message.

    Raises
    ------
    HwquantError
        The function is not defined for any of the integers.
    """
    low, high = integer_limits(argument.bits)
    real = argument.scale.value * (np.arange(low, high + 1, dtype=np.float64) - argument.zero_point)
    values = output.tensor(where, (1, 1, 1)).quantize(defined(expression, real, where))
    return Table(values, argument.scale.value, argument.zero_point)


def defined(expression: Expression, x: Array, where: str) -> Array:
    """The values of a function at ``x``; where it has none, that of the nearest element which has one."""
    y = expression(x)
    known = np.flatnonzero(~np.isnan(y))
    if not len(known):
        raise HwquantError(
            f"the function of layer {where!r} is not defined in the range of its calibration data"
        )
    if len(known) == len(y):
        return y
    return np.asarray(y[known[np.abs(known[:, None] - np.arange(len(y))).argmin(axis=0)]])


@dataclass(frozen=True, eq=False)
class ArgumentRange(GroupRange):
    """What the integers in front of a table have to represent: ``statistics`` are of the function's argument.

    Attributes
    ----------
    expression : Expression
        The function.
    power : float
        The signal behind the function, that noise is compared with.
    where : str
        The layer.
    """

    expression: Expression
    power: float
    where: str

    def best(self, mantissa: float) -> tuple[float, int, int]:
        """The noise behind the function, exponent and zero point of the best scale with this mantissa."""
        covering = smallest_exponent(self.low, self.high, mantissa, self.bits)
        trials = []
        for exponent in range(covering - _CLIP_OCTAVES, covering + 1):
            scale = math.ldexp(mantissa, exponent)
            for zero_point in zero_points(self.low, self.high, scale, self.bits):
                noise, covers = self._noise(scale, zero_point)
                if self.may_clip or covers or exponent == covering:
                    trials.append((noise, -exponent, zero_point))
        noise, exponent, zero_point = min(trials)
        return noise, -exponent, zero_point

    @cached_property
    def _samples(self) -> tuple[Array, Array, Array]:
        """Values of the argument with both ends, their shares of all, and the function of them."""
        item = self.statistics[0]
        values = np.concatenate([item.values, [0.0, item.low, item.high]])
        shares = np.concatenate([item.shares, [item.zeros, 0.0, 0.0]])
        kept = (shares > 0) | (np.arange(len(shares)) >= len(shares) - 2)
        values, shares = values[kept], shares[kept]
        order = np.argsort(values, kind="stable")
        values, shares = values[order], shares[order]
        return values, shares, defined(self.expression, values, self.where)

    def _noise(self, scale: float, zero_point: int) -> tuple[float, bool]:
        """Noise over signal behind the function, and whether both ends of the range get through."""
        least, greatest = integer_limits(self.bits)
        values, shares, exact = self._samples
        table = defined(
            self.expression,
            scale * (np.arange(least, greatest + 1, dtype=np.float64) - zero_point),
            self.where,
        )
        q = np.clip(np.floor(values / scale + 0.5) + zero_point, least, greatest).astype(np.int64)
        error = table[q - least] - exact
        noise = float(shares @ error**2 - (shares @ error) ** 2)
        ends = max(abs(error[0]), abs(error[-1])) <= _COVERED * (exact.max() - exact.min())
        return noise / self.power if self.power > 0 else 0.0, bool(ends)


def argument_ranges(
    precision: Precision,
    statistics: Mapping[str, TensorStatistics],
    ranges: Mapping[str, GroupRange],
    known: Collection[str] = (),
) -> dict[str, GroupRange]:
    """What the integers in front of each table have to represent, by their name.

    Ends of a range may be lost where that costs less than it saves, as ``calibration_method`` says; not in front of the
    network's outputs, which keep their whole range. The integers have 8 bits, or up to 10 where fewer would leave
    :data:`COSTLY` times as much noise behind the function as its output's own rounding.

    Parameters
    ----------
    precision : Precision
        The plan, and its bits.
    statistics : mapping of TensorStatistics
        Statistics of the float tensors, by name.
    ranges : mapping of GroupRange
        What the groups of tensors have to represent.
    known : collection of str, optional
        Groups whose formats are known: those of arguments have no range, those of outputs round to 8 bits.
    """
    outputs = {precision.groups.find(output.tensor) for output in precision.plan.graph.outputs}
    may_clip = precision.options.calibration_method == "mse"
    result: dict[str, GroupRange] = {}
    for layer in precision.plan.layers:
        if layer.function is None or layer.function.argument in known:
            continue
        group = precision.groups.find(layer.name)
        item, output = statistics[layer.function.tensor], statistics[layer.name]
        given = precision.plan.graph.given.ranges.get(layer.function.tensor, (item.low, item.high))
        low, high = min(0.0, given[0]), max(0.0, given[1])
        made = ArgumentRange(
            (item,),
            low,
            high if high > low else 1.0,
            FEWEST_BITS,
            may_clip and group not in outputs,
            layer.function.expression,
            output.power,
            layer.name,
        )
        allowed = COSTLY * _least_noise(ranges[group]) if group in ranges else math.inf
        while made.bits < MOST_BITS and _least_noise(made) > allowed:
            made = replace(made, bits=made.bits + 1)
        result[layer.function.argument] = made
    return result


def _least_noise(item: GroupRange) -> float:
    """The noise that is left with the best of a few scales."""
    return min(item.best(2.0 ** (step / 4))[0] for step in range(4))
