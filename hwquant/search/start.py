"""Where the guided search begins, and what is always worth a try: configurations found without it.

Everything in one width; each variable narrowed alone, which shows how much noise it lets into the output; and
from these sensitivities a staircase from the widest to the narrowest: at each step the variable that saves
most for the noise it adds is narrowed by one width. Noise adds up over layers to first order, and a width of
one bit less has four times the noise, so one measurement a variable is enough to draw the staircase.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwquant.search.space import Configuration, Space

_PROBED = 4
"""Sensitivities are measured at the width next to this one: narrow enough to show."""


def uniform(space: Space) -> list[Configuration]:
    """Everything in one width, the widest first."""
    return [(bits,) * len(space.variables) for bits in reversed(space.bits)]


def probe_bits(space: Space) -> int:
    """The width at which variables are narrowed alone."""
    return min(space.bits, key=lambda bits: (abs(bits - _PROBED), bits))


def probes(space: Space) -> list[Configuration]:
    """Each variable narrowed alone, the others at the widest."""
    widest, probed = space.bits[-1], probe_bits(space)
    count = len(space.variables)
    return [tuple(probed if i == index else widest for i in range(count)) for index in range(count)]


def staircase(space: Space, noise: Sequence[float], base: float) -> list[Configuration]:
    """From everything at its widest to everything at its narrowest, a variable and a width at a time.

    ``noise`` is that of each of :func:`probes`, ``base`` that of the widest.
    """
    probed = probe_bits(space)
    added = [max(item - base, 1e-12) * 4.0**probed for item in noise]
    current = [len(space.bits) - 1] * len(space.variables)
    steps: list[Configuration] = []
    while any(current):

        def price(index: int) -> float:
            """Noise added for each bit of memory saved."""
            wide, narrow = space.bits[current[index]], space.bits[current[index] - 1]
            saved = space.variables[index].elements * (wide - narrow)
            return added[index] * (4.0**-narrow - 4.0**-wide) / saved

        best = min((index for index in range(len(current)) if current[index]), key=price)
        current[best] -= 1
        steps.append(tuple(space.bits[index] for index in current))
    return steps


def narrower(space: Space, configuration: Configuration) -> list[Configuration]:
    """All with one variable narrower than here: first each by one width, then each by two, and so on."""
    found = []
    for steps in range(1, len(space.bits)):
        for index, bits in enumerate(configuration):
            choices = [item for item in space.bits if item < bits]
            if len(choices) >= steps:
                found.append((*configuration[:index], choices[-steps], *configuration[index + 1 :]))
    return found


def evenly(items: Sequence[Configuration], count: int) -> list[Configuration]:
    """At most ``count`` of them, evenly spaced, the first among them."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
