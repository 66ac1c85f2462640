"""What is judged when: the dense network first, then pruned ones too, then the best of them trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from hwquant.errors import DoesNotFit
from hwquant.optimize.hardware import MEASURES, array_of
from hwquant.optimize.options import OptimizeOptions
from hwquant.optimize.result import missed
from hwquant.optimize.space import Space
from hwquant.program.sides import Array, array_name
from hwquant.progress import Progress
from hwquant.search.evaluate import Item, Outcome
from hwquant.search.guided import Evolution, evolve
from hwquant.search.ledger import Ledger
from hwquant.search.objectives import ACCURACY
from hwquant.search.space import Configuration
from hwquant.search.tuning import Tuned

DENSE_SHARE = 2
"""One of so many trials goes to the dense network, before anything is pruned."""


class Strategy:
    """The order in which candidates are asked for; all that it does depends on their outcomes alone.

    Parameters
    ----------
    options : OptimizeOptions
        The options.
    float_accuracy : float
        Accuracy of the float network, 0..1.
    progress : Progress or None
        Told of every candidate, with a note on the best one so far.
    """

    def __init__(self, options: OptimizeOptions, float_accuracy: float, progress: Progress | None) -> None:
        self._options, self._float, self._progress = options, float_accuracy, progress
        self._goal = MEASURES[options.objective]
        self._best: tuple[float, ...] = (math.inf,)
        self._note, self._what, self._total = "", "", 0

    def explore_dense(self, ledger: Ledger, space: Space) -> list[Array]:
        """Judge the baseline and candidates of the dense network; the arrays to prune for.

        Raises
        ------
        DoesNotFit
            No candidate fits the board.
        """
        self._begin("search dense", max(len(space.baseline), self._options.trials // DENSE_SHARE))
        ledger.evaluate(space.baseline)
        self._explore(ledger, space, self._start(ledger, space))
        works = self._ranked(ledger)
        if not works:
            reasons = [item.error for item in ledger.outcomes.values() if item.error is not None]
            raise DoesNotFit(reasons[-1], resource="board")
        arrays = [array_of(item.measures) for _, item in works]
        return list(dict.fromkeys(arrays))[: self._options.arrays]

    def explore_all(self, ledger: Ledger, space: Space, known: Sequence[Item]) -> None:
        """Judge candidates of all networks; those of the dense one, which are ``known``, are where it begins."""
        self._begin("search all", max(self._options.trials, len(known)))
        ledger.evaluate(known)
        best = [key for key, _ in self._untrained(ledger) if key in space]
        count = max(2, (self._total - len(ledger)) // 2)
        pruned = [(number, *key[1:]) for key in best for number in range(1, space.networks)]
        self._explore(ledger, space, [*best[: self._options.generation], *pruned[:count]])

    def train(self, ledger: Ledger, training: str) -> None:
        """Train finalists, in rounds; ``training`` is the checksum of what they are trained with."""
        options = self._options
        self._begin("train finalists", len(ledger) + options.finalists * options.rounds)
        for _ in range(options.rounds if options.finalists else 0):
            chosen = self._finalists(ledger)
            ledger.evaluate([Tuned(item, training) for item in chosen])

    def watch(self, item: Item, outcome: Outcome, done: int) -> None:
        """Report a candidate, and the best so far."""
        if outcome.error is None and self._rank(outcome, self._options.max_drop) < self._best:
            self._best = self._rank(outcome, self._options.max_drop)
            measures = outcome.measures
            self._note = (
                f"best accuracy {measures[ACCURACY]:.2%}, {measures[self._goal.name]:,.0f} {self._goal.title} on "
                f"{array_name(array_of(measures))}"
            )
        if self._progress is not None:
            self._progress(self._what, done, self._total, self._note)

    def _start(self, ledger: Ledger, space: Space) -> list[Configuration]:
        return space.start(max(2, (self._total - len(ledger)) // 2), self._options.seed)

    def _begin(self, what: str, total: int) -> None:
        self._what, self._total = what, total

    def _explore(self, ledger: Ledger, space: Space, start: Sequence[Configuration]) -> None:
        options = self._options
        size = math.prod(len(values) for values in space.choices.values())
        if size <= self._total - len(ledger):
            ledger.evaluate(list(_everything(space)))
            return
        start = [item for item in dict.fromkeys(start) if item in space]
        evolution = Evolution(space.choices, 2, options.generation, options.seed)
        evolve(evolution, ledger, start, self._total, self._judged, lambda: self._descent(ledger, space))

    def _descent(self, ledger: Ledger, space: Space) -> list[Configuration]:
        """Steps from those that nothing beats, each in turn, at most half a generation of them."""
        steps = [list(space.neighbours(key)) for key in self._hopeful(ledger)]
        in_turn = [item for row in zip_longest(*steps) for item in row if item is not None]
        return ledger.new(in_turn)[: self._options.generation // 2]

    def _judged(self, outcome: Outcome) -> tuple[list[float], dict[str, float]] | None:
        if outcome.error is not None:
            return None
        missing = missed(outcome.measures, self._float, self._options, self._options.worth_training)
        return [-outcome.measures[ACCURACY], self._goal.cost(outcome.measures)], missing

    def _ranked(self, ledger: Ledger) -> list[tuple[Item, Outcome]]:
        """The candidates that work, the best first: those that are worth training before all others."""
        allowed = self._options.worth_training
        works = [item for item in ledger.outcomes.items() if item[1].error is None]
        return sorted(works, key=lambda item: self._rank(item[1], allowed))

    def _untrained(self, ledger: Ledger) -> list[tuple[Configuration, Outcome]]:
        return [(key, item) for key, item in self._ranked(ledger) if not isinstance(key, Tuned)]

    def _rank(self, outcome: Outcome, allowed: float) -> tuple[float, ...]:
        """Small is good: first by how much the limits are missed, then by the goal, then by accuracy."""
        missing = missed(outcome.measures, self._float, self._options, allowed)
        return sum(missing.values()), self._goal.cost(outcome.measures), -outcome.measures[ACCURACY]

    def _hopeful(self, ledger: Ledger) -> list[Configuration]:
        """The untrained candidates that no other one beats in goal and accuracy, the best in the goal first.

        Only those that are worth training, or the one that comes nearest to it.
        """
        chosen, accuracy = list[Configuration](), -1.0
        for key, outcome in self._untrained(ledger):
            if chosen and self._rank(outcome, self._options.worth_training)[0]:
                break
            if outcome.measures[ACCURACY] > accuracy:
                chosen.append(key)
                accuracy = outcome.measures[ACCURACY]
        return chosen

    def _finalists(self, ledger: Ledger) -> list[Configuration]:
        """Choose whom to train: better in the goal than the best that keeps to the limits, evenly, with both ends.

        Where trained ones failed already, only those that are less bold than they were.
        """
        options, goal = self._options, self._goal
        cost = {key: goal.cost(item.measures) for key, item in self._ranked(ledger)}
        fails = {key: self._rank(ledger.outcomes[key], options.max_drop)[0] > 0 for key in cost}
        best = min((cost[key] for key in cost if not fails[key]), default=math.inf)
        bold = max((cost[key] for key in cost if fails[key] and isinstance(key, Tuned)), default=-math.inf)
        candidates = [
            key
            for key in self._hopeful(ledger)
            if bold < cost[key] < best and not self._rank(ledger.outcomes[key], options.worth_training)[0]
        ]
        count = min(options.finalists, len(candidates))
        if count == 1:
            return candidates[-1:]  # the most accurate
        return [candidates[index * (len(candidates) - 1) // (count - 1)] for index in range(count)]


def _everything(space: Space) -> Iterator[Configuration]:
    """Go through all configurations, the widest first."""
    configurations: list[Configuration] = [()]
    for values in space.choices.values():
        configurations = [(*item, value) for item in configurations for value in values]
    yield from configurations
