"""Outcomes by configuration: each evaluated once, kept at once, reported as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwquant.search.evaluate import Outcome
from hwquant.search.journal import Journal
from hwquant.search.space import Configuration
from hwquant.search.workers import Workers

Watch = Callable[[Configuration, Outcome, int], None]
"""Called for each outcome as it comes, with the number of candidates so far."""


class Ledger:
    """All that a search has asked for.

    Parameters
    ----------
    workers : Workers
        Where candidates are evaluated.
    journal : Journal
        Where outcomes are kept, and where those of an interrupted search are.
    measured : sequence of str
        Names of the objectives that an outcome must have.
    watch : callable or None
        Called with each outcome as it comes.

    Attributes
    ----------
    outcomes : dict of Outcome
        Outcomes by configuration, in the order in which they were first asked for: the same for the same search,
        whoever evaluates and whatever the journal already holds.
    """

    def __init__(
        self,
        workers: Workers[Configuration, Outcome],
        journal: Journal,
        measured: Sequence[str],
        watch: Watch | None,
    ) -> None:
        self._workers, self._journal, self._watch = workers, journal, watch
        self._measured = set(measured)
        self.outcomes: dict[Configuration, Outcome] = {}

    def __len__(self) -> int:
        return len(self.outcomes)

    def new(self, configurations: Sequence[Configuration]) -> list[Configuration]:
        """Leave out the configurations that were asked for before, and those that are there twice."""
        return [item for item in dict.fromkeys(configurations) if item not in self.outcomes]

    def evaluate(self, configurations: Sequence[Configuration]) -> list[Outcome]:
        """Give the outcomes of configurations, in order; what is not known yet is evaluated."""
        asked = self.new(configurations)
        outcomes: dict[Configuration, Outcome] = {}
        missing = []
        for item in asked:
            known = self._journal.outcomes.get(item)
            if known is not None and (known.error is not None or self._measured <= set(known.measures)):
                self._keep(outcomes, item, known)
            else:
                missing.append(item)
        for index, outcome in self._workers(missing) if missing else ():
            self._journal.add(missing[index], outcome)
            self._keep(outcomes, missing[index], outcome)
        self.outcomes |= {item: outcomes[item] for item in asked}
        return [self.outcomes[item] for item in configurations]

    def _keep(
        self, outcomes: dict[Configuration, Outcome], configuration: Configuration, outcome: Outcome
    ) -> None:
        outcomes[configuration] = outcome
        if self._watch is not None:
            self._watch(configuration, outcome, len(self.outcomes) + len(outcomes))
