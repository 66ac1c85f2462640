"""Mixed precision chosen by test accuracy (CN116720550A): a search over bits per layer.

The publication scales the weights and biases of every layer to fixed precision, quantizes each layer's output to match,
tests combinations of per-layer precision, and takes the best by test accuracy. Here the combinations are
tested exhaustively where they are few, otherwise by a guided multi-objective search (``strategy``); what a candidate
costs is what the compiled program says, and the board that it is for. The most promising ones may be fine-tuned. The
result is the Pareto front, and a pick under constraints.

The accuracy that decides is measured on the samples given: keep others for the figure that you report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hwquant import floating
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.options import chosen
from hwquant.progress import Progress
from hwquant.quantize import observe_network
from hwquant.quantize.calibration import Data, check_data
from hwquant.search.evaluate import Task, one_thread
from hwquant.search.guided import check_guide
from hwquant.search.journal import Journal, identity
from hwquant.search.ledger import Ledger
from hwquant.search.objectives import ACCURACY, OBJECTIVES, Objective
from hwquant.search.options import Constraints, SearchOptions
from hwquant.search.result import Candidate, SearchResult
from hwquant.search.space import Space
from hwquant.search.strategy import Strategy
from hwquant.search.target import Target
from hwquant.search.tuning import FineTuning
from hwquant.workers import open_workers

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
    train: Samples | None = None,
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
    train : Samples, optional
        Labelled samples that the most promising candidates are fine-tuned with when all else is known. A fine-tuned
        candidate stands beside the one that it was, which it replaces only where it is better.
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

    Examples
    --------
    Method 4, all combinations of 2, 4 and 8 bits in three layers:

    >>> import hwquant
    >>> from hwquant import demo
    >>> graph = hwquant.load_model(demo.MODEL)
    >>> calibration = hwquant.load_samples(demo.CALIBRATION, graph.inputs).x
    >>> samples = hwquant.load_samples(demo.TEST_DATA, graph.inputs)
    >>> train, validation, test = samples[:160], samples[160:260], samples[260:]
    >>> result = hwquant.search_bits(graph, calibration, validation, bits=(2, 4, 8), exhaustive=True, jobs=1)
    >>> len(result.candidates), result.front[0].measures["accuracy"] >= result.front[-1].measures["accuracy"]
    (27, True)
    >>> picked = result.pick(hwquant.Constraints(max_drop=1.0))
    >>> picked.measures["weight_bytes"] < result.int8.measures["weight_bytes"]
    True
    >>> qgraph = result.network(picked)
    """
    options = chosen(SearchOptions, options, changes)
    if test.y is None:
        raise HwquantError("the test data have no labels y, which the accuracy is measured with; add them")
    data = check_data(graph, calibration)
    with one_thread():
        observed = observe_network(graph, data, progress)
        exact = floating.predict(graph, test.x)[0]
    activations = options.bits if options.activations else ()
    space = Space.of(observed.plan, options.bits, activations, options.bias_bits)
    if options.exhaustive and space.size > _LARGEST_SPACE:
        raise HwquantError(
            f"an exhaustive search would evaluate {space.size:,} configurations of {len(space.variables)} numbers of "
            "bits; give fewer bits, or search guided"
        )
    tuning = None if train is None else _tuning(train, data, options)
    target = None if options.board is None else Target.of(options.board)
    task = Task(
        observed, test, exact, space, options.quantizer, options.array, options.measured, target, tuning
    )
    accuracy = test.accuracy(exact)
    if accuracy is None:
        raise HwquantError("the float network's accuracy is not known")
    if not options.exhaustive and space.size > options.trials:
        check_guide()  # before anything is kept
    with (
        open_workers(task, jobs, scheduler) as workers,
        Journal(journal, identity(graph, data, task), len(space.variables), resume) as kept,
    ):
        run = Strategy(options, space, accuracy, tuning, progress)
        ledger = Ledger(workers, kept, options.measured, run.watch)
        run.run(ledger)
    return SearchResult.of(options, task, accuracy, ledger.outcomes)


def _tuning(train: Samples, data: Data, options: SearchOptions) -> FineTuning:
    """What candidates are fine-tuned with, checked before anything is kept."""
    train.pair()
    import hwquant.training

    _ = hwquant.training.progressive  # loads PyTorch, or says what is wrong with it
    return FineTuning(train, data, options.training, options.method)
