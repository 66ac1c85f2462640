"""The guided search: NSGA-II (Deb et al., 2002), from the package optuna, a generation at a time.

A generation is asked for as a whole, evaluated in any order, and told in the order in which it was asked for:
so the result depends on the seed alone, not on who evaluates, or how many. Candidates that keep to the
constraints go before all others. The caller may add configurations of its own to a generation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hwquant.packages import load_package
from hwquant.search.evaluate import Outcome
from hwquant.search.ledger import Ledger
from hwquant.search.space import Configuration

PATIENCE = 20
"""Generations without a new configuration after which the guided search ends."""


def check_guide() -> Any:
    """Load the package that guides.

    Raises
    ------
    MissingPackage
        It is not installed.
    """
    return load_package("optuna", "optuna", "search", "a guided search")


class Evolution:
    """A guided search of optuna's, which is asked for configurations and told what became of them.

    Parameters
    ----------
    choices : mapping of sequence of int
        What each variable of a configuration may be, by the variable's name, in the configuration's order.
    objectives : int
        Number of costs, each to be made small.
    population : int
        Configurations in a generation.
    seed : int
        Seed of all random choices.
    """

    def __init__(
        self, choices: Mapping[str, Sequence[int]], objectives: int, population: int, seed: int
    ) -> None:
        optuna = check_guide()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._choices, self._population = choices, population
        self._failed = optuna.trial.TrialState.FAIL
        self._study = optuna.create_study(
            directions=["minimize"] * objectives,
            sampler=optuna.samplers.NSGAIISampler(population_size=population, seed=seed),
        )
        self._asked: list[Any] = []

    def begin(self, start: Sequence[Configuration]) -> list[Configuration]:
        """Begin with a first generation of the configurations in ``start`` and no others; they are returned."""
        return self._ask(start, len(start))

    def ask(self, given: Sequence[Configuration] = ()) -> list[Configuration]:
        """Ask for the configurations of a new generation; those in ``given`` are its first."""
        return self._ask(given, self._population)

    def _ask(self, given: Sequence[Configuration], count: int) -> list[Configuration]:
        for configuration in given:
            self._study.enqueue_trial(dict(zip(self._choices, configuration)))
        self._asked = [self._study.ask() for _ in range(count)]
        return [
            tuple(trial.suggest_categorical(name, values) for name, values in self._choices.items())
            for trial in self._asked
        ]

    def tell(self, results: Sequence[tuple[Sequence[float], Mapping[str, float]] | None]) -> None:
        """Tell what became of the last generation.

        Parameters
        ----------
        results : sequence of tuple
            For each configuration, in the order in which they were asked for: the costs, which are to be made small,
            and by name how much each constraint is missed (0 or less where it is kept); None for a configuration that
            does not work.
        """
        for trial, result in zip(self._asked, results, strict=True):
            if result is None:
                self._study.tell(trial, state=self._failed)
                continue
            costs, missed = result
            for name, value in missed.items():
                trial.set_constraint(name, value)
            self._study.tell(trial, list(costs))


Judge = Callable[[Outcome], tuple[Sequence[float], Mapping[str, float]] | None]
"""What :meth:`Evolution.tell` wants to know of an outcome."""


def evolve(
    evolution: Evolution,
    ledger: Ledger,
    start: Sequence[Configuration],
    total: int,
    judge: Judge,
    descent: Callable[[], Sequence[Configuration]],
) -> None:
    """Ask for one generation after another, until enough configurations are known or none is new any more.

    Parameters
    ----------
    evolution : Evolution
        What guides.
    ledger : Ledger
        Who evaluates, and knows what was evaluated before.
    start : sequence of tuple of int
        The first generation.
    total : int
        Configurations in the ledger after which the search ends.
    judge : callable
        Function from an outcome to what the evolution is told of it.
    descent : callable
        Function that gives configurations which are worth a try in any case, in the next generation.
    """
    asked, idle = evolution.begin(start), 0
    while True:
        evolution.tell([judge(item) for item in ledger.evaluate(asked)])
        if len(ledger) >= total or idle > PATIENCE:
            return
        asked = evolution.ask(descent())
        fresh = ledger.new(asked)
        idle = 0 if fresh else idle + 1
        left = total - len(ledger)
        if len(fresh) > left:
            ledger.evaluate(fresh[:left])
            return
