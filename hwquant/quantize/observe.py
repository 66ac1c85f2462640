"""A network after one look at its calibration data: what every choice of options has in common."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.advice import Advice
from hwquant.graph import Graph
from hwquant.progress import Progress
from hwquant.quantize.calibration import Data, TensorStatistics, check_data, observe
from hwquant.quantize.elimination import Cost
from hwquant.quantize.equalize import Factors, equalize, rescale
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.judge import VALIDATION
from hwquant.quantize.judge_data import judge_data, unusual
from hwquant.quantize.plans import Plan
from hwquant.quantize.references import References, float_references
from hwquant.quantize.weight_scheme import Array

_BATCH = 64
_ELEMENTS = 1 << 24
"""Elements of one tensor that are kept as integers at once (128 MiB)."""
_SAMPLES = 512
"""Samples that layers are fitted to, at most."""
RANDOM = "random numbers in the ranges of the inputs"
"""What a network whose integers are given is measured on where there are no data, in words."""
ENOUGH_TO_JUDGE = 64
"""Samples beyond those that layers are fitted to, from which on these alone are what the result is measured on."""


@dataclass(frozen=True)
class Balancing:
    """What :func:`hwquant.quantize.balance` tried.

    Attributes
    ----------
    as_is_db, balanced_db : float
        Signal to noise ratios of the outputs on calibration data, in dB.
    kept : bool
        Whether the channels are balanced.
    """

    as_is_db: float
    balanced_db: float
    kept: bool


@dataclass(frozen=True, eq=False)
class Observed:
    """All that quantization needs besides its options; who tries many options makes it once.

    Attributes
    ----------
    graph : Graph
        The float network.
    plan : Plan
        Its layers.
    statistics : Mapping[str, TensorStatistics]
        Statistics of every tensor, over all calibration samples.
    samples : Mapping[str, NDArray]
        The samples that layers are fitted to, by input name.
    references : References
        What the float network gives on ``samples``.
    count : int
        Number of calibration samples.
    judged : Mapping[str, NDArray]
        The samples that the result is measured on, by input name.
    judged_by : str
        What these are, in words.
    equalized : Factors
        What channels were multiplied by, by convolution; see :mod:`hwquant.quantize.equalize`.
    advice : tuple of Advice
        What is wrong with the calibration data.
    balancing : Balancing or None
        What balanced channels do to the noise; None where they were not tried.
    tables : dict
        What earlier calls of :func:`~hwquant.quantize.quantize_observed` have found out about single weights; it
        changes no result.
    """

    graph: Graph
    plan: Plan
    statistics: Mapping[str, TensorStatistics]
    samples: Mapping[str, NDArray[Any]]
    references: References
    count: int
    judged: Mapping[str, NDArray[Any]]
    judged_by: str
    equalized: Factors
    advice: tuple[Advice, ...]
    balancing: Balancing | None = None
    tables: dict[Hashable, Cost] = field(default_factory=dict)


def observe_network(
    graph: Graph,
    calibration: NDArray[Any] | Data,
    progress: Progress | None = None,
    validation: NDArray[Any] | Data | None = None,
    keep: bool = False,
) -> Observed:
    """Run the float network on the calibration data, and keep what quantization needs.

    Parameters
    ----------
    graph : Graph
        The float network.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        Typical inputs; a mapping by input name where there are several inputs.
    progress : Progress or None, optional
        Told of every stage.
    validation : ndarray of real numbers, shape (N, *shape), or mapping of them, optional
        Inputs that results are measured on, as for :func:`hwquant.quantize.quantize`.
    keep : bool, default False
        Whether what the network says of its integers (``Graph.given``) holds, so that its channels stay as they are.
        Without it only the ranges of its tensors are taken over.

    Returns
    -------
    Observed
        For :func:`~hwquant.quantize.quantize_observed`, once or with many options.

    Raises
    ------
    HwquantError
        The data do not fit or are not finite, weights are not finite, or integers cannot express the network.
    """
    data = check_data(graph, calibration)
    other = None if validation is None else check_data(graph, validation)
    if keep:
        plan = plan_layers(graph)
        factors: Factors = {}
        statistics = observe(plan.graph, data, plan.observed, progress)
    else:
        graph = replace(graph, given=graph.given.ranges_only())
        plan, statistics, factors = equalize(graph, data, progress)
    samples = fitting_samples(plan, data)
    count = len(next(iter(data.values())))
    peaks = _peaks(graph, data)
    judged, judged_by = _judges(data, samples, other, [unusual(item) for item in peaks.values()])
    return Observed(
        graph,
        plan,
        statistics,
        samples,
        float_references(plan, samples),
        count,
        judged,
        judged_by,
        factors,
        judge_data(peaks, statistics),
    )


def with_channels(
    observed: Observed, factors: Factors, data: Data, progress: Progress | None = None
) -> Observed:
    """The same network with its channels multiplied by ``factors``, observed again on its calibration data."""
    plan = plan_layers(rescale(observed.plan.graph, factors))
    before = observed.equalized
    return replace(
        observed,
        plan=plan,
        statistics=observe(plan.graph, data, plan.observed, progress),
        references=float_references(plan, observed.samples),
        equalized={**before, **{name: before.get(name, 1.0) * factor for name, factor in factors.items()}},
        tables={},
    )


def fitting_samples(plan: Plan, data: Data) -> dict[str, NDArray[Any]]:
    """The first samples, as many as layers are fitted to."""
    largest = max(math.prod(plan.graph.shapes[name]) for name in plan.tensors)
    count = min(_SAMPLES, max(1, _ELEMENTS // largest))
    return {name: array[:count] for name, array in data.items()}


def _peaks(graph: Graph, data: Data) -> dict[str, Array]:
    """The largest magnitude of every sample of each input, as the first layer reads it."""
    result = {}
    for item in graph.inputs:
        array = data[item.name]
        peaks = [
            np.abs(item.prepare(array[start : start + _BATCH])) for start in range(0, len(array), _BATCH)
        ]
        result[item.name] = np.concatenate([part.reshape(len(part), -1).max(axis=1) for part in peaks])
    return result


def _judges(
    data: Data, fitted: Data, validation: Data | None, outliers: Sequence[Sequence[int]]
) -> tuple[dict[str, NDArray[Any]], str]:
    """The samples to measure the result on, and what they are in words.

    They are at most as many as layers are fitted to, and others if there are; without outliers, of which a single one
    would be all of the signal.
    """
    first = next(iter(data))
    used = len(fitted[first])
    if validation is not None:
        return {name: array[:used] for name, array in validation.items()}, VALIDATION
    usual = np.setdiff1d(np.arange(len(data[first])), np.concatenate([[], *outliers]))
    fresh = usual[usual >= used]
    words = "calibration data"
    if len(fresh) >= ENOUGH_TO_JUDGE:
        chosen, words = fresh[:used], f"{words} that gave ranges only"
    else:
        chosen = usual[usual < used]
    if len(usual) < len(data[first]):
        words += " without outliers"
    return {name: array[chosen] for name, array in data.items()}, words
