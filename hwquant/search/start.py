"""Where the guided search begins, and what is always worth a try: configurations found without it.

Everything of a kind in one width; each variable narrowed alone, which shows how much noise it lets into the output; and
from these sensitivities a staircase from the widest to the narrowest: at each step the variable that saves
most for the noise it adds is narrowed by one width. Noise adds up over layers to first order, and a width of
one bit less has four times the noise, so one measurement a variable is enough to draw the staircase.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwquant.search.space import Configuration, Space, Variable

_PROBED = 4
"""Bits at which variables are narrowed alone, or the nearest width that there is: narrow enough for noise to show."""


def uniform(space: Space) -> list[Configuration]:
    """List the configurations with everything of a kind in one width and all else at its widest, the widest first."""
    found = [space.widest]
    for kind in dict.fromkeys(item.kind for item in space.variables):
        widths = next(item.bits for item in space.variables if item.kind == kind)
        found += [
            tuple(bits if item.kind == kind else item.bits[-1] for item in space.variables)
            for bits in reversed(widths[:-1])
        ]
    return found


def probe_bits(variable: Variable) -> int:
    """Choose the width at which a variable is narrowed alone."""
    return min(variable.bits, key=lambda bits: (abs(bits - _PROBED), bits))


def probes(space: Space) -> list[Configuration]:
    """List the configurations with each variable narrowed alone, the others at the widest."""
    widest = space.widest
    return [
        (*widest[:index], probe_bits(item), *widest[index + 1 :])
        for index, item in enumerate(space.variables)
    ]


def staircase(space: Space, noise: Sequence[float], base: float) -> list[Configuration]:
    """Go from everything at its widest to everything at its narrowest, a variable and a width at a time.

    Parameters
    ----------
    space : Space
        The configurations that there are.
    noise : sequence of float
        Noise of each configuration of :func:`probes`, in order.
    base : float
        Noise of the widest configuration.

    Returns
    -------
    list of tuple of int
        The configurations after the widest, in order.
    """
    variables = space.variables
    added = [
        max(item - base, 1e-12) * 4.0 ** probe_bits(variable) for item, variable in zip(noise, variables)
    ]
    current = [len(item.bits) - 1 for item in variables]
    steps: list[Configuration] = []
    while any(current):

        def price(index: int) -> float:
            """Noise added for each bit of memory saved."""
            bits = variables[index].bits
            wide, narrow = bits[current[index]], bits[current[index] - 1]
            saved = variables[index].elements * (wide - narrow)
            return added[index] * (4.0**-narrow - 4.0**-wide) / saved

        best = min((index for index in range(len(current)) if current[index]), key=price)
        current[best] -= 1
        steps.append(tuple(item.bits[index] for item, index in zip(variables, current)))
    return steps


def narrower(space: Space, configuration: Configuration) -> list[Configuration]:
    """List the configurations with one variable narrower: first each by one width, then each by two, and so on."""
    configurations = []
    for steps in range(1, max(len(item.bits) for item in space.variables)):
        for index, (item, bits) in enumerate(zip(space.variables, configuration)):
            choices = [width for width in item.bits if width < bits]
            if len(choices) >= steps:
                configurations.append((*configuration[:index], choices[-steps], *configuration[index + 1 :]))
    return configurations


def evenly(items: Sequence[Configuration], count: int) -> list[Configuration]:
    """Take at most ``count`` items, evenly spaced, the first among them."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
