"""Outcomes by configuration: each evaluated once, kept at once, reported as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hwquant.search.evaluate import Item, Outcome
from hwquant.search.journal import Journal
from hwquant.workers import Workers

Asked = TypeVar("Asked", bound=Item)
Watch = Callable[[Item, Outcome, int], None]
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
        Outcomes by configuration, and by configuration and training, in the order in which they were first asked for:
        the same for the same search, whoever evaluates and whatever the journal already holds.
    """

    def __init__(
        self, workers: Workers[Item, Outcome], journal: Journal, measured: Sequence[str], watch: Watch | None
    ) -> None:
        self._workers, self._journal, self._watch = workers, journal, watch
        self._measured = set(measured)
        self.outcomes: dict[Item, Outcome] = {}

    def __len__(self) -> int:
        return len(self.outcomes)

    def new(self, items: Sequence[Asked]) -> list[Asked]:
        """Leave out what was asked for before, and what is there twice."""
        return [item for item in dict.fromkeys(items) if item not in self.outcomes]

    def evaluate(self, items: Sequence[Item]) -> list[Outcome]:
        """Give the outcomes of configurations, or of trainings, in order; what is not known yet is evaluated."""
        asked = self.new(items)
        outcomes: dict[Item, Outcome] = {}
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
        return [self.outcomes[item] for item in items]

    def _keep(self, outcomes: dict[Item, Outcome], item: Item, outcome: Outcome) -> None:
        outcomes[item] = outcome
        if self._watch is not None:
            self._watch(item, outcome, len(self.outcomes) + len(outcomes))
