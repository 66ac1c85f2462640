"""How a search goes through its space: what it evaluates, in which order, and what it fine-tunes in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hwquant.errors import Unsupported
from hwquant.progress import Progress
from hwquant.search.evaluate import Item, Outcome, one_thread
from hwquant.search.guided import Evolution, evolve
from hwquant.search.ledger import Ledger
from hwquant.search.objectives import ACCURACY
from hwquant.search.options import SearchOptions
from hwquant.search.pareto import front
from hwquant.search.result import cost, describe_measures, relative_cost
from hwquant.search.space import Configuration, Space
from hwquant.search.start import evenly, narrower, probes, staircase, uniform
from hwquant.search.surrogate import Expectation, Surrogate, pool
from hwquant.search.tuning import FineTuning, Tuned


class Strategy:
    """Int8 first, then everything, or useful starting points and evolution from there; then fine-tuning.

    Parameters
    ----------
    options : SearchOptions
        The options of the search.
    space : Space
        All configurations.
    float_accuracy : float
        Accuracy of the float network, 0..1.
    tuning : FineTuning or None
        What candidates are fine-tuned with; None where none are.
    progress : Progress or None
        Told of every candidate.
    """

    def __init__(
        self,
        options: SearchOptions,
        space: Space,
        float_accuracy: float,
        tuning: FineTuning | None,
        progress: Progress | None,
    ) -> None:
        self._options, self._space, self._tuning, self._progress = options, space, tuning, progress
        self._references = {"float": float_accuracy}
        self._everything = options.exhaustive or space.size <= options.trials
        self._total = space.size if self._everything else options.trials
        if space.int8 not in space:
            self._total += 1
        self._trained = 0
        self._best, self._note = (math.inf, math.inf), ""

    def run(self, ledger: Ledger) -> None:
        """Ask the ledger for one generation after another, until the search is over.

        Raises
        ------
        Unsupported
            The network in 8 bits does not work.
        """
        (int8,) = ledger.evaluate([self._space.int8])
        if int8.error is not None:
            raise Unsupported(int8.error)
        self._references["int8"], self._int8 = int8.measures[ACCURACY], int8
        if self._everything:
            everything = list(self._space.everything())
            for start in range(0, len(everything), self._options.generation):
                ledger.evaluate(everything[start : start + self._options.generation])
        else:
            self._evolve(ledger, self._start(ledger))
        if self._tuning is not None:
            chosen = [Tuned(item, self._tuning.checksum) for item in self.worth_training(ledger)]
            self._trained = len(chosen)
            ledger.evaluate(chosen)

    def worth_training(self, ledger: Ledger) -> list[Configuration]:
        """Choose the configurations that are fine-tuned, of those on the front that keep to the limits on costs.

        First those that cost no more than the best so far, which misses the least accuracy, and those among them
        first that miss the least: what training is to win back. Then the cheapest of the others.
        """
        works = self._works(ledger)
        names = self._options.objectives
        chosen = [works[index] for index in front([self._costs(item) for _, item in works])]
        limits = self._options.constraints
        ranked = []
        best = min((self._rank(item.measures) for _, item in works), default=(0.0, 0.0))[1]
        for configuration, outcome in chosen:
            missed = limits.violations(outcome.measures, self._references)
            lost = max(0.0, missed.pop("max_drop", 0.0))
            if any(value > 0 for value in missed.values()):
                continue
            price = relative_cost(names, outcome.measures, self._int8.measures)
            if limits.max_drop is None:
                ranked.append((0.0, -outcome.measures[ACCURACY], price, configuration))
            elif price <= best:
                ranked.append((0.0, lost, price, configuration))
            else:
                ranked.append((1.0, price, lost, configuration))
        return [item[-1] for item in sorted(ranked)[: self._options.finetuned]]

    def _works(self, ledger: Ledger) -> list[tuple[Configuration, Outcome]]:
        return [
            (item, outcome)
            for item, outcome in ledger.outcomes.items()
            if not isinstance(item, Tuned) and outcome.error is None
        ]

    def _start(self, ledger: Ledger) -> list[Configuration]:
        """Evaluate useful configurations, and leave about half of the trials; what the evolution begins with."""
        space, trials = self._space, self._total
        widths = evenly(uniform(space), max(1, trials - len(ledger)))
        ledger.evaluate(widths)
        chosen = [item for item in [space.int8, *widths] if item in space]
        alone = probes(space)
        if len(ledger.new(alone)) > (trials - len(ledger)) // 2:
            return chosen
        (base,), noise = ledger.evaluate([widths[0]]), ledger.evaluate(alone)
        if base.error is None and not any(item.error for item in noise):
            steps = staircase(space, [item.noise for item in noise], base.noise)
            steps = evenly(ledger.new(steps), (trials - len(ledger)) // 2)
            ledger.evaluate(steps)
            chosen += alone + steps
        return list(dict.fromkeys(chosen))

    def _evolve(self, ledger: Ledger, start: list[Configuration]) -> None:
        options = self._options
        evolution = Evolution(self._space.choices, len(options.objectives), options.generation, options.seed)
        evolve(evolution, ledger, start, self._total, self._judged, lambda: self._descent(ledger))

    def _descent(self, ledger: Ledger) -> list[Configuration]:
        """What is expected to be best of what is not known yet: half a generation.

        A quarter are the next steps down from the best so far.
        """
        works = sorted(self._works(ledger), key=lambda item: self._rank(item[1].measures))
        count = self._options.generation // 2
        down = ledger.new(narrower(self._space, works[0][0]))[: count // 2]
        others = [
            item for item in ledger.new(pool(self._space, [item for item, _ in works])) if item not in down
        ]
        if not others:
            return down
        accurate = [self._missed(item.measures).get("max_drop", 0.0) <= 0 for _, item in works]
        with one_thread():
            expected = Surrogate(self._space, works, accurate).expect(others)
        best = self._rank(works[0][1].measures)
        order = sorted(range(len(others)), key=lambda index: self._promise(expected[index], best))
        return down + [others[index] for index in order[: count - len(down)]]

    def _promise(self, expected: Expectation, best: tuple[float, ...]) -> tuple[float, ...]:
        """Small is good: the gain over the best so far, times its chance; where there is none yet, the rank."""
        missed = self._missed(expected.measures)
        missed.pop("max_drop", None)
        rank = self._rank(expected.measures)
        if best[0] > 0 or self._options.constraints.max_drop is None or max(missed.values(), default=0.0) > 0:
            return (0.0, *rank)
        return (-expected.chance * max(0.0, 1 - rank[1] / best[1]), *rank)

    def _missed(self, measures: Mapping[str, float]) -> dict[str, float]:
        return self._options.constraints.violations(measures, self._references)

    def _rank(self, measures: Mapping[str, float]) -> tuple[float, float]:
        """Small is good: first by how much the constraints are missed, then as a pick is made of what keeps to them."""
        missed = self._missed(measures)
        total = sum(max(0.0, value) for value in missed.values())
        if self._options.constraints.max_drop is None:
            return total, -measures[ACCURACY]
        return total, relative_cost(self._options.objectives, measures, self._int8.measures)

    def _costs(self, outcome: Outcome) -> list[float]:
        return [cost(name, outcome.measures[name]) for name in self._options.objectives]

    def _judged(self, outcome: Outcome) -> tuple[list[float], dict[str, float]] | None:
        if outcome.error is not None:
            return None
        violations = self._options.constraints.violations(outcome.measures, self._references)
        return self._costs(outcome), violations

    def watch(self, item: Item, outcome: Outcome, done: int) -> None:
        """Report a candidate, and the best so far.

        The best one misses the constraints least, and of equal ones is the cheapest.
        """
        if self._progress is None:
            return
        if outcome.error is None and "int8" in self._references:
            rank = self._rank(outcome.measures)
            if rank < self._best:
                self._best, self._note = rank, "best " + describe_measures(outcome.measures)
        self._progress(
            "fine-tune" if isinstance(item, Tuned) else "search",
            done,
            self._total + self._trained,
            self._note,
        )
