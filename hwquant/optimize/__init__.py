"""The best network for a board: array, bits, pruning and offset mode searched together.

Three steps, on one journal. First candidates of the dense network: bits of each layer, bits of the activations, where
offsets are added. Each is quantized (weights rounded so that errors compensate each other), judged on validation
samples, and put on the best of all arrays that fit the board, on exact cycles and the resource model. Then the network
is pruned for the tiles of the most promising arrays, pass by pass, and candidates of all depths are judged. At last
those that are better than the best so far, and miss the accuracy by no more than training may bring back, are trained
with their bits (progressively), and judged again.

The search is NSGA-II (:mod:`hwquant.search.guided`), pruning that of :mod:`hwquant.pruning`, training that of
:mod:`hwquant.training`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hwquant import __version__, floating
from hwquant.boards.board import Board, load_board
from hwquant.boards.outside import board_memory
from hwquant.data import Samples
from hwquant.errors import HwquantError, Unsupported
from hwquant.fingerprint import fingerprint
from hwquant.graph import Graph
from hwquant.optimize.hardware import HARDWARE
from hwquant.optimize.options import OptimizeOptions
from hwquant.optimize.result import Candidate, OptimizeResult
from hwquant.optimize.space import Space
from hwquant.optimize.store import Store
from hwquant.optimize.strategy import Strategy
from hwquant.optimize.task import Task
from hwquant.optimize.variants import Pass, pruned_variants, quick
from hwquant.options import chosen
from hwquant.progress import Progress
from hwquant.quantize import observe_network
from hwquant.quantize.calibration import Data, check_data
from hwquant.search.evaluate import one_thread
from hwquant.search.guided import check_guide
from hwquant.search.journal import Journal
from hwquant.search.ledger import Ledger
from hwquant.search.objectives import ACCURACY
from hwquant.search.space import INT8
from hwquant.search.space import Space as BitSpace
from hwquant.search.target import Target
from hwquant.workers import Item, Result, Workers, open_workers

if TYPE_CHECKING:
    from hwquant.training import Training

__all__ = ["Candidate", "OptimizeOptions", "OptimizeResult", "optimize"]

MEASURED = (ACCURACY, *HARDWARE)


def optimize(
    graph: Graph,
    board: Board | str,
    training: Training,
    calibration: NDArray[Any] | Data,
    validation: Samples,
    options: OptimizeOptions | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> OptimizeResult:
    """Find the best network for a board, on the best array.

    Parameters
    ----------
    graph : Graph
        The trained float network.
    board : Board or str
        A board with a device, or its name.
    training : Training
        Labelled samples to train with, and how finalists are trained; passes of pruning have
        ``options.prune_epochs`` instead of its epochs. Checkpoint and ``evaluate`` stay None.
    calibration : ndarray or mapping of ndarray
        Typical inputs, as for :func:`hwquant.quantize.quantize`.
    validation : Samples
        Labelled samples that decide; they are not to be trained on, and others are to be reported on.
    options : OptimizeOptions, optional
        All options at once, instead of single ones by name.
    folder : Path, optional
        Folder in which candidates, pruned and trained networks are kept as they come; None keeps them in memory.
    resume : bool, default False
        Whether to go on with a folder that an interrupted optimization left.
    jobs : int, optional
        Processes on this machine; None starts one a core.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers judge, prune and train instead.
    progress : Progress, optional
        Told of every candidate and every pass, with a note on the best candidate so far.
    **changes : Any
        Single options: the attributes of :class:`OptimizeOptions`.

    Returns
    -------
    OptimizeResult
        The outcome: the same for the same arguments, whoever judges, also after an interruption.

    Raises
    ------
    DoesNotFit
        No candidate fits the board.
    Unsupported
        The board has no device, or not the memory that is asked for, or the network cannot be quantized.
    HwquantError
        Options are out of range, data do not fit, or the folder is of another optimization.
    MissingPackage
        A package that the search or the training needs is not installed.

    Examples
    --------
    The best network for an iCEBreaker, by inferences a second:

    >>> import hwquant
    >>> from hwquant import demo
    >>> graph = hwquant.load_model(demo.MODEL)
    >>> calibration = hwquant.load_samples(demo.CALIBRATION, graph.inputs).x
    >>> samples = hwquant.load_samples(demo.TEST_DATA, graph.inputs)
    >>> train, validation, test = samples[:160], samples[160:260], samples[260:]
    >>> training = hwquant.Training(train.pair(), hwquant.TrainOptions(epochs=1, batch_size=16, lr=1e-3))
    >>> options = hwquant.OptimizeOptions(trials=4, arrays=0, finalists=1, rounds=1, max_drop=2.0)
    >>> result = hwquant.optimize_network(graph, "icebreaker", training, calibration, validation, options, jobs=1)
    >>> picked = result.pick()
    >>> picked.measures["fps"] >= result.baseline.measures["fps"]
    True
    >>> program = result.program(picked)
    """
    options = chosen(OptimizeOptions, options, changes)
    board = load_board(board) if isinstance(board, str) else board
    _check(board, training, validation, options)
    check_guide()  # before anything is kept
    training = replace(
        training,
        options=replace(training.chosen, seed=options.seed),
        validation=validation.pair(),
        progress=None,
    )
    data = check_data(graph, calibration)
    with one_thread():
        observed = observe_network(graph, data, progress)
        accuracy = validation.accuracy(floating.predict(graph, validation.x)[0])
    if accuracy is None:
        raise HwquantError("the validation samples have no labels y, which decide; add them")
    layers = [item.name for item in BitSpace.of(observed.plan, options.bits).variables]
    space = Space.of(layers, options.bits, options.activation_bits, options.offsets)
    target = Target(board.name, board.device_name, board.target_mhz)
    memory = None if options.external == "none" else board.memory
    task = Task(
        (graph,), data, validation, training, target, board.link, memory, space, options, {0: observed}
    )
    identity = _identity(task)
    store = Store(folder, graph, fingerprint(identity))
    values = range(max(INT8 + 1, 1 + options.arrays * options.passes))
    with Journal(store.journal, identity, len(space.choices), resume, values) as journal:
        return _run(task, accuracy, store, journal, _Where(jobs, scheduler, progress))


@dataclass(frozen=True)
class _Where:
    """Who judges, prunes and trains, and who is told."""

    jobs: int | None
    scheduler: str | None
    progress: Progress | None

    def workers(self, task: Callable[[Item], Result]) -> AbstractContextManager[Workers[Item, Result]]:
        return open_workers(task, self.jobs, self.scheduler)


def _run(task: Task, accuracy: float, store: Store, journal: Journal, where: _Where) -> OptimizeResult:
    """Go through the three steps."""
    options = task.options
    strategy = Strategy(options, accuracy, where.progress)
    with where.workers(task) as workers:
        ledger = Ledger(workers, journal, MEASURED, strategy.watch)
        arrays = strategy.explore_dense(ledger, task.space)
    known = list(ledger.outcomes)
    one_pass = Pass(
        quick(task.training, options),
        task.validation,
        task.calibration,
        options,
        accuracy - options.worth_training / 100,
    )
    with where.workers(one_pass) as workers:
        variants = pruned_variants(task.graphs[0], arrays, one_pass, store, workers, where.progress)
    space = replace(task.space, networks=len(variants))
    task = replace(task, graphs=tuple(item.graph for item in variants), space=space)
    with where.workers(task) as workers:
        ledger = Ledger(workers, journal, MEASURED, strategy.watch)
        strategy.explore_all(ledger, space, known)
        strategy.train(ledger, fingerprint(task.training.chosen, task.training.tuning))
    return OptimizeResult.of(task, accuracy, tuple(variants), ledger.outcomes)


def _check(board: Board, training: Training, validation: Samples, options: OptimizeOptions) -> None:
    """Raise for what no optimization can do with, before anything is done."""
    if board.device is None:
        raise Unsupported(
            f"the board {board.name!r} has no device that a network could fit; choose another",
            where=board.name,
        )
    board_memory(board, options.external)
    if training.evaluate is not None or training.checkpoint is not None:
        raise HwquantError(
            "optimizing evaluates and keeps what is done by itself; leave evaluate and checkpoint out"
        )
    if validation.y is None:
        raise HwquantError("the validation samples have no labels y, which decide; add them")


def _identity(task: Task) -> dict[str, str]:
    """Take the checksums of all that an optimization depends on, by what they are of."""
    from hwquant.training import owner

    training = task.training
    return {
        "hwquant version": fingerprint(__version__),
        "network": fingerprint(task.graphs[0]),
        "calibration data": fingerprint(task.calibration),
        "validation data": fingerprint(task.validation),
        **owner(
            training_data=training.data,
            training_options=[training.chosen, training.tuning],
            loss=training.loss,
            optimizer=training.optimizer,
        ),
        "board": fingerprint(task.target, task.link, task.memory),
        "optimizer's options": fingerprint(task.options),
    }
