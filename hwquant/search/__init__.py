"""Mixed precision chosen by test accuracy (CN116720550A): a search over bits per layer.

The publication scales the weights of every layer to fixed precision, quantizes each layer's output to match,
tests combinations of per-layer precision, and takes the best by test accuracy. Here the combinations are
tested exhaustively where they are few, otherwise by a guided multi-objective search; what a candidate costs
is what the compiled program says. The result is the Pareto front, and a pick under constraints.

The accuracy that decides is measured on the samples given: keep others for the figure that you report.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hwquant import floating
from hwquant.data import Samples
from hwquant.errors import HwquantError, Unsupported
from hwquant.graph import Graph
from hwquant.options import chosen
from hwquant.progress import Progress
from hwquant.quantize import observe_network
from hwquant.quantize.calibration import Data, check_data
from hwquant.search.evaluate import Outcome, Task, one_thread
from hwquant.search.guided import Evolution, check_guide, evolve
from hwquant.search.journal import Journal, identity
from hwquant.search.ledger import Ledger
from hwquant.search.objectives import ACCURACY, OBJECTIVES, Objective
from hwquant.search.options import Constraints, SearchOptions
from hwquant.search.result import Candidate, SearchResult, cost, describe_measures
from hwquant.search.space import Configuration, Space
from hwquant.search.start import evenly, narrower, probes, staircase, uniform
from hwquant.search.workers import open_workers

__all__ = [
    "ACCURACY",
    "OBJECTIVES",
    "Candidate",
    "Constraints",
    "Objective",
    "SearchOptions",
    "SearchResult",
    "search",
]

_LARGEST_SPACE = 100_000
"""Most configurations that an exhaustive search takes on."""


def search(
    graph: Graph,
    calibration: NDArray[Any] | Data,
    test: Samples,
    options: SearchOptions | None = None,
    *,
    journal: Path | None = None,
    resume: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> SearchResult:
    """Search the bits of each layer, for accuracy and for what the hardware costs.

    Parameters
    ----------
    graph : Graph
        The float network.
    calibration : ndarray or mapping of ndarray
        Typical inputs, as for :func:`hwquant.quantize.quantize`.
    test : Samples
        Labelled samples that the candidates are judged by.
    options : SearchOptions, optional
        All options at once, instead of single ones by name.
    journal : Path, optional
        File that every evaluated candidate is written to at once.
    resume : bool, default False
        Whether to go on with an existing journal.
    jobs : int, optional
        Processes on this machine; None starts one a core.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers evaluate instead.
    progress : Progress, optional
        Told of every candidate, with a note on the best one so far.
    **changes : Any
        Single options: the attributes of :class:`SearchOptions`.

    Returns
    -------
    SearchResult
        The outcome: the same for the same arguments, whoever evaluates, also after an interruption.

    Raises
    ------
    Unsupported
        The network in 8 bits cannot be quantized or compiled.
    HwquantError
        Options are out of range, data do not fit, the journal is of another search, or workers die again and again.
    MissingPackage
        A package that the search needs is not installed.
    """
    options = chosen(SearchOptions, options, changes)
    if test.y is None:
        raise HwquantError("the test data have no labels y, which the accuracy is measured with; add them")
    data = check_data(graph, calibration)
    with one_thread():
        observed = observe_network(graph, data, progress)
        exact = floating.predict(graph, test.x)[0]
    space = Space.of(observed.plan, options.bits, options.activations)
    if options.exhaustive and space.size > _LARGEST_SPACE:
        raise HwquantError(
            f"an exhaustive search would evaluate {space.size:,} configurations, {len(space.bits)} widths of "
            f"{len(space.variables)} layers; give fewer bits, or search guided"
        )
    task = Task(observed, test, exact, space, options.quantizer, options.array, options.measured)
    accuracy = test.accuracy(exact)
    if accuracy is None:
        raise HwquantError("the float network's accuracy is not known")
    if not options.exhaustive and space.size > options.trials:
        check_guide()  # before anything is kept
    with (
        open_workers(task, jobs, scheduler) as workers,
        Journal(journal, identity(graph, data, task), len(space.variables), resume) as kept,
    ):
        run = _Search(options, space, accuracy, progress)
        ledger = Ledger(workers, kept, options.measured, run.watch)
        run.run(ledger)
    return SearchResult.of(options, task, accuracy, ledger.outcomes)


class _Search:
    """The strategy: int8 first, then everything, or useful starting points and evolution from there."""

    def __init__(
        self, options: SearchOptions, space: Space, float_accuracy: float, progress: Progress | None
    ) -> None:
        self._options, self._space, self._progress = options, space, progress
        self._references = {"float": float_accuracy}
        self._everything = options.exhaustive or space.size <= options.trials
        self._total = space.size if self._everything else options.trials
        if space.int8 not in space:
            self._total += 1
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
        self._references["int8"] = int8.measures[ACCURACY]
        if self._everything:
            everything = list(self._space.everything())
            for start in range(0, len(everything), self._options.generation):
                ledger.evaluate(everything[start : start + self._options.generation])
        else:
            self._evolve(ledger, self._start(ledger))

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
        """The next steps down from the best so far, at most half a generation of them."""
        works = [(self._rank(item), key) for key, item in ledger.outcomes.items() if item.error is None]
        best = min(works, key=lambda item: item[0])[1]
        return ledger.new(narrower(self._space, best))[: self._options.generation // 2]

    def _rank(self, outcome: Outcome) -> tuple[float, float]:
        """Small is good: first by how much the constraints are missed, then by the costs."""
        missed = self._options.constraints.violations(outcome.measures, self._references)
        costs = [name for name in self._options.objectives if not OBJECTIVES[name].maximize]
        return (
            sum(max(0.0, value) for value in missed.values()),
            math.prod(outcome.measures[name] for name in costs),
        )

    def _judged(self, outcome: Outcome) -> tuple[list[float], dict[str, float]] | None:
        if outcome.error is not None:
            return None
        costs = [cost(name, outcome.measures[name]) for name in self._options.objectives]
        return costs, self._options.constraints.violations(outcome.measures, self._references)

    def watch(self, configuration: Configuration, outcome: Outcome, done: int) -> None:
        """Report a candidate, and the best so far.

        The best one misses the constraints least, and of equal ones is the cheapest.
        """
        if self._progress is None:
            return
        if outcome.error is None and "int8" in self._references:
            rank = self._rank(outcome)
            if rank < self._best:
                self._best, self._note = rank, "best " + describe_measures(outcome.measures)
        self._progress("search", done, self._total, self._note)
