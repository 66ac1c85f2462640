"""The guided search: NSGA-II (Deb et al., 2002), from the package optuna, a generation at a time.

A generation is asked for as a whole, evaluated in any order, and told in the order in which it was asked for:
so the result depends on the seed alone, not on who evaluates, or how many. Candidates that keep to the
constraints go before all others. The caller may add configurations of its own to a generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwquant.packages import load_package
from hwquant.search.space import Configuration, Space


def check_guide() -> Any:
    """The package that guides; raises where it is absent."""
    return load_package("optuna", "optuna", "search", "a guided search")


class Evolution:
    """Asks optuna for configurations, and tells it what became of them."""

    def __init__(self, space: Space, objectives: int, population: int, seed: int) -> None:
        optuna = check_guide()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._population = space, population
        self._failed = optuna.trial.TrialState.FAIL
        self._study = optuna.create_study(
            directions=["minimize"] * objectives,
            sampler=optuna.samplers.NSGAIISampler(population_size=population, seed=seed),
        )
        self._asked: list[Any] = []

    def begin(self, start: Sequence[Configuration]) -> list[Configuration]:
        """The first generation: these configurations alone."""
        return self._ask(start, len(start))

    def ask(self, given: Sequence[Configuration] = ()) -> list[Configuration]:
        """The configurations of a new generation, ``given`` first among them."""
        return self._ask(given, self._population)

    def _ask(self, given: Sequence[Configuration], count: int) -> list[Configuration]:
        names = [f"{item.kind} {item.name}" for item in self._space.variables]
        for configuration in given:
            self._study.enqueue_trial(dict(zip(names, configuration)))
        self._asked = [self._study.ask() for _ in range(count)]
        return [
            tuple(trial.suggest_categorical(name, self._space.bits) for name in names)
            for trial in self._asked
        ]

    def tell(self, results: Sequence[tuple[Sequence[float], Mapping[str, float]] | None]) -> None:
        """What became of the last generation, in order: costs to make small, and by how much constraints are
        missed (0 or less: kept); None for what does not work."""
        for trial, result in zip(self._asked, results, strict=True):
            if result is None:
                self._study.tell(trial, state=self._failed)
                continue
            costs, missed = result
            for name, value in missed.items():
                trial.set_constraint(name, value)
            self._study.tell(trial, list(costs))
