"""What a network says of its integers, as the quantizer knows formats and weight schemes; ``kept`` makes layers."""

from __future__ import annotations

import numpy as np

from hwquant.errors import HwquantError
from hwquant.expression import Expression
from hwquant.given import GivenFormat, GivenWeights
from hwquant.quantize.groups import Partition
from hwquant.quantize.plans import Plan
from hwquant.quantize.weight_scheme import WeightScheme

_PROBES = np.logspace(-30, 30, 121)
"""Sizes of the numbers that a function is tried with."""


def given_groups(plan: Plan, groups: Partition) -> dict[str, GivenFormat]:
    """The formats that are given, by the group of tensors that has one, and by the arguments of tables.

    Raises
    ------
    HwquantError
        Tensors that share their integers are given two formats.
    """
    result: dict[str, GivenFormat] = {}
    for name, tensor in plan.floats.items():
        form = plan.graph.given.formats.get(tensor)
        if form is None:
            continue
        group = groups.find(name)
        if not result.setdefault(group, form).same(form):
            raise HwquantError(
                f"tensor {name!r} shares its integers with {group!r}, whose format is another one; quantize with "
                "--scales shift, which chooses one for both"
            )
    return result


def is_step(expression: Expression) -> bool:
    """Whether a function of real numbers depends on nothing but their sign."""
    below, above = expression(np.concatenate([-_PROBES, _PROBES])).reshape(2, -1)
    return bool((below == below[0]).all() and (above == above[0]).all())


def kept_scheme(grid: GivenWeights) -> WeightScheme:
    """How weights were made integers that lie on a grid, as far as a scheme says it."""
    several = len(set(grid.scale.tolist())) > 1 or len(set(grid.least.tolist())) > 1
    return WeightScheme(grid.bits, per_channel=several, grid="mid_rise" if grid.step == 2 else "mid_tread")
