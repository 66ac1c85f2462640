"""One candidate: quantized, run on the test samples, compiled, measured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from hwquant.data import Samples
from hwquant.errors import DoesNotFit, Unsupported
from hwquant.fingerprint import fingerprint
from hwquant.packages import load_package
from hwquant.qgraph import QGraph
from hwquant.quantize import Observed, QuantizeOptions, quantize_observed
from hwquant.search.objectives import OBJECTIVES, Trial
from hwquant.search.space import Configuration, Space


@dataclass(frozen=True, eq=False)
class Task:
    """All that evaluating a candidate needs besides its bits; sent to a worker once.

    Attributes
    ----------
    observed : Observed
        Network and calibration data.
    test : Samples
        Labelled samples.
    exact : NDArray[Any]
        The float network's first output for them.
    space : Space
        What a configuration chooses.
    quantizer : QuantizeOptions
        The options that are the same for all.
    array : tuple[int, int]
        Rows and columns.
    measured : tuple[str, ...]
        Names of objectives.
    """

    observed: Observed
    test: Samples
    exact: NDArray[Any]
    space: Space
    quantizer: QuantizeOptions
    array: tuple[int, int]
    measured: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What is known about a candidate.

    Attributes
    ----------
    measures : Mapping[str, float], optional
        Objectives by name; empty where the candidate does not work.
    noise : float, default 0.0
        Of the output, relative to the float network's; see :class:`~hwquant.search.objectives.Trial`.
    network : str, default ''
        Checksum of its integers.
    error : str | None, optional
        Why it cannot be quantized or compiled.
    """

    measures: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0
    network: str = ""
    error: str | None = None


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra on one thread: how its sums are split among threads shows in their last bits, and a
    candidate must be the same network in every process."""
    limits: Any = load_package("threadpoolctl", "threadpoolctl", "search", "the search for mixed precision")
    return limits.threadpool_limits(1)


def quantize_candidate(task: Task, configuration: Configuration, described: bool = False) -> QGraph:
    """The integer network of a configuration."""
    options = task.space.options(task.quantizer, configuration)
    with one_thread():
        return quantize_observed(task.observed, options, described=described)


def network_checksum(qgraph: QGraph) -> str:
    """Of all that is computed with, not of how it is described."""
    return fingerprint(qgraph.nodes, qgraph.tensors)


def evaluate(task: Task, configuration: Configuration) -> Outcome:
    """Measure a candidate. One that does not fit, or that integers cannot express, is an outcome too, no error."""
    try:
        qgraph = quantize_candidate(task, configuration)
        trial = Trial(qgraph, task.test, task.exact, task.array)
        with one_thread():
            measures = {name: OBJECTIVES[name].measure(trial) for name in task.measured}
        return Outcome(measures, trial.noise, network_checksum(qgraph))
    except (DoesNotFit, Unsupported) as error:
        return Outcome(error=str(error))
