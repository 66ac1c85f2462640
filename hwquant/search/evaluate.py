"""One candidate: quantized, fine-tuned if asked for, run on the test samples, compiled, measured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from hwquant import hwq
from hwquant.data import Samples
from hwquant.errors import Damaged, DoesNotFit, Unsupported
from hwquant.fingerprint import fingerprint
from hwquant.packages import load_package
from hwquant.program.sides import Array
from hwquant.qgraph import QGraph
from hwquant.quantize import Observed, QuantizeOptions, quantize_observed
from hwquant.search.objectives import OBJECTIVES, Trial
from hwquant.search.space import Configuration, Space
from hwquant.search.target import Target
from hwquant.search.tuning import FineTuning, Tuned

Item = Configuration | Tuned
"""What is evaluated: bits, or bits and a fine-tuning."""


@dataclass(frozen=True, eq=False)
class Task:
    """All that evaluating a candidate needs besides its bits; sent to a worker once.

    Attributes
    ----------
    observed : Observed
        Network and calibration data.
    test : Samples
        Labelled samples that candidates are judged by.
    exact : ndarray, shape (N, ...)
        The float network's first output for the samples.
    space : Space
        What a configuration chooses.
    quantizer : QuantizeOptions
        The quantizer's options that are the same for all candidates.
    array : tuple of int
        Rows and columns of the array that candidates are compiled for.
    measured : tuple of str
        Names of the objectives that are measured.
    target : Target, optional
        The board that candidates are compiled for.
    tuning : FineTuning, optional
        What candidates are fine-tuned with; None where none are.
    """

    observed: Observed
    test: Samples
    exact: NDArray[Any]
    space: Space
    quantizer: QuantizeOptions
    array: Array
    measured: tuple[str, ...]
    target: Target | None = None
    tuning: FineTuning | None = None

    def __call__(self, item: Item) -> Outcome:
        """Evaluate a candidate, as workers do."""
        return finetune(self, item) if isinstance(item, Tuned) else evaluate(self, item)


@dataclass(frozen=True)
class Outcome:
    """What is known about a candidate.

    Attributes
    ----------
    measures : mapping of float
        Values of objectives by name; empty where the candidate does not work.
    noise : float, default 0.0
        Power of the output's error relative to the float network's output, as
        :attr:`hwquant.search.objectives.Trial.noise` has it.
    network : str, default ""
        Checksum of the candidate's integers; empty where the candidate does not work.
    error : str, optional
        Why the candidate cannot be quantized or compiled; None where it works.
    made : bytes, default b""
        The network as a ``.hwq`` file has it, where it was fine-tuned; empty for one that quantization makes again.
    """

    measures: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0
    network: str = ""
    error: str | None = None
    made: bytes = b""


def one_thread() -> AbstractContextManager[object]:
    """Do linear algebra on one thread in the ``with`` block.

    How sums are split among threads shows in their last bits, and a candidate must be the same network in every
    process.

    Raises
    ------
    MissingPackage
        The package threadpoolctl is not installed.
    """
    limits: Any = load_package("threadpoolctl", "threadpoolctl", "search", "the search for mixed precision")
    return limits.threadpool_limits(1)


def quantize_candidate(task: Task, configuration: Configuration, described: bool = False) -> QGraph:
    """Quantize a candidate.

    Parameters
    ----------
    task : Task
        The search.
    configuration : tuple of int
        The candidate's bits.
    described : bool, default False
        Whether the network also says how well it was quantized, which takes longer.

    Raises
    ------
    Unsupported
        Integers cannot express the network.
    """
    options = task.space.options(task.quantizer, configuration)
    with one_thread():
        return quantize_observed(task.observed, options, described=described)


def network_checksum(qgraph: QGraph) -> str:
    """Take the checksum of all that a network computes with, not of how it is described."""
    return fingerprint(qgraph.nodes, qgraph.tensors)


def trained_network(made: bytes, checksum: str) -> QGraph:
    """Read the network of a fine-tuned candidate.

    Raises
    ------
    Damaged
        The bytes are no network, or not the one of this checksum, which was measured.
    """
    qgraph = hwq.from_bytes(made, "a trained network of the journal")
    if network_checksum(qgraph) != checksum:
        raise Damaged("a trained network of the journal is not the one that was measured; remove the journal")
    return qgraph


def evaluate(task: Task, configuration: Configuration) -> Outcome:
    """Measure a candidate; that it does not fit, or that integers cannot express it, is an outcome and no error."""
    try:
        return measured(task, quantize_candidate(task, configuration))
    except (DoesNotFit, Unsupported) as error:
        return Outcome(error=str(error))


def finetune(task: Task, item: Tuned) -> Outcome:
    """Fine-tune a candidate and measure it; that its training fails, too, is an outcome and no error."""
    if task.tuning is None:
        raise RuntimeError("a candidate is to be fine-tuned, and there is nothing to train with")
    from hwquant.training import Diverged

    options = task.space.options(task.quantizer, item.configuration)
    try:
        qgraph = task.tuning.run(task.observed.graph, options)
        return replace(measured(task, qgraph), made=hwq.to_bytes(qgraph))
    except (DoesNotFit, Unsupported, Diverged) as error:
        return Outcome(error=str(error))


def measured(task: Task, qgraph: QGraph) -> Outcome:
    """Measure a candidate's network.

    Raises
    ------
    DoesNotFit
        It cannot be compiled for the array.
    """
    trial = Trial(qgraph, task.test, task.exact, task.array, task.target)
    with one_thread():
        measures = {name: OBJECTIVES[name].measure(trial) for name in task.measured}
    return Outcome(measures, trial.noise, network_checksum(qgraph))
