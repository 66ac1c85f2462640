"""What is to be expected of a configuration, from those that were evaluated.

Noise adds up over the variables, and one bit less makes it four times as large; costs multiply, with a factor for each
width of each variable; accuracy is that of candidates with about as much noise. All of it is fitted to what is known,
in a fraction of the time that one evaluation takes, and only says what to evaluate next.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.search.evaluate import Outcome
from hwquant.search.objectives import ACCURACY, OBJECTIVES
from hwquant.search.space import Configuration, Space

POOL = 20_000
"""Configurations that are looked at, at most."""
_SMOOTHING = 0.5
"""Width, in the logarithm of the noise, of the kernel that accuracies are averaged with."""
_RIDGE = 0.05
"""How little a width's own factor is trusted against a cost that falls with each bit alike."""

Array = NDArray[Any]
Known = Sequence[tuple[Configuration, Outcome]]


@dataclass(frozen=True)
class Expectation:
    """What is expected of a configuration.

    Attributes
    ----------
    measures : mapping of float
        Values of objectives by name.
    chance : float
        That it is accurate enough, 0..1.
    """

    measures: Mapping[str, float]
    chance: float


class Surrogate:
    """Expectations of a space's configurations.

    Parameters
    ----------
    space : Space
        The configurations that there are.
    known : sequence of (tuple of int, Outcome)
        What was evaluated and works, at least one.
    accurate : sequence of bool
        Which of these are accurate enough.
    """

    def __init__(self, space: Space, known: Known, accurate: Sequence[bool]) -> None:
        self._space, self._accurate = space, np.array(accurate, np.float64)
        configurations = np.array([item for item, _ in known])
        self._measures = {
            name: np.array([outcome.measures[name] for _, outcome in known]) for name in known[0][1].measures
        }
        noise = np.array([outcome.noise for _, outcome in known])
        floor = max(float(noise.max()), 1e-30) * 1e-6
        self._noise = np.maximum(noise, floor)
        powers = self._powers(configurations)
        fitted, *_ = np.linalg.lstsq(powers / self._noise[:, None], np.ones(len(known)), rcond=None)
        self._shares = np.maximum(fitted, 0.0)
        self._known_noise = np.log(np.maximum(powers @ self._shares, floor))
        self._floor = floor
        features = self._features(configurations)
        gram = features.T @ features + np.diag(self._ridge())
        self._factors = {
            name: np.linalg.solve(gram, features.T @ np.log(np.maximum(values, OBJECTIVES[name].least)))
            for name, values in self._measures.items()
            if name != ACCURACY
        }

    def expect(self, configurations: Sequence[Configuration]) -> list[Expectation]:
        """Say what is expected of configurations, in order."""
        items = np.array(configurations)
        features = self._features(items)
        expected = {name: np.exp(features @ factors) for name, factors in self._factors.items()}
        noise = np.log(np.maximum(self._powers(items) @ self._shares, self._floor))
        distance = (noise[:, None] - self._known_noise) / _SMOOTHING
        nearest = np.square(distance).min(axis=1, keepdims=True)  # at least one has a say
        weight = np.exp(-0.5 * (np.square(distance) - nearest))
        weight /= weight.sum(axis=1, keepdims=True)
        expected[ACCURACY] = weight @ self._measures[ACCURACY]
        chances = weight @ self._accurate
        return [
            Expectation({name: float(values[index]) for name, values in expected.items()}, float(chance))
            for index, chance in enumerate(chances)
        ]

    def _powers(self, configurations: Array) -> Array:
        """What the noise of each variable is proportional to, and a constant: float64 [N, variables + 1]."""
        return np.column_stack([4.0**-configurations, np.ones(len(configurations))])

    def _features(self, configurations: Array) -> Array:
        """A constant, the bits, and which width each variable has: float64 [N, features]."""
        columns = [np.ones(len(configurations)), *configurations.T.astype(np.float64)]
        for index, item in enumerate(self._space.variables):
            columns += [configurations[:, index] == bits for bits in item.bits]
        return np.column_stack(columns)

    def _ridge(self) -> Array:
        variables = self._space.variables
        widths = sum(len(item.bits) for item in variables)
        return np.array([1e-9] + [1e-3] * len(variables) + [_RIDGE] * widths)


def pool(space: Space, best: Sequence[Configuration]) -> list[Configuration]:
    """List configurations worth a look: all, or what differs from the best ones in at most two variables.

    Parameters
    ----------
    space : Space
        The configurations that there are.
    best : sequence of tuple of int
        Configurations, the best first.
    """
    if space.size <= POOL:
        return list(space.everything())
    found: dict[Configuration, None] = {}
    for item in best:
        if len(found) >= POOL:
            break
        found |= dict.fromkeys(near for near in _near(space, item) if near in space)
    return list(found)[:POOL]


def _near(space: Space, center: Configuration) -> list[Configuration]:
    single = [(index, bits) for index, item in enumerate(space.variables) for bits in item.bits]
    found = []
    for changes in itertools.chain(((item,) for item in single), itertools.combinations(single, 2)):
        changed = list(center)
        for index, bits in changes:
            changed[index] = bits
        found.append(tuple(changed))
    return found
