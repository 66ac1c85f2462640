"""What the calibration data say about each tensor: range, distribution, moments.

Memory is bounded: the data are seen in batches, and large sets of values become histograms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.host import before
from hwquant.progress import Progress
from hwquant.quantize.plans import TermPlan
from hwquant.states import completed
from hwquant.validate import LARGEST_SCALE, SMALLEST_SCALE

Array = NDArray[np.float64]
Data = Mapping[str, NDArray[Any]]

_BATCH_ELEMENTS = 1 << 23
"""Elements of all tensors that a batch keeps at once (64 MiB in float64)."""
_BINS = 2048
_FEW_VALUES = 256
"""Up to so many different values a tensor is kept as these values instead of a histogram."""


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """The distribution of one float tensor over the calibration data.

    Attributes
    ----------
    low, high : float
        The extreme values.
    values : ndarray of float64, shape (V,)
        The different values but zero if ``exact``, else the centres of a histogram's bins.
    shares : ndarray of float64, shape (V,)
        In what share of all elements each of ``values`` occurs.
    exact : bool
        The tensor has so few different values that ``values`` are these, not a histogram.
    zeros : float
        Share of the elements that are exactly 0.
    variance : ndarray of float64, shape (C,)
        Variance of each channel, over samples and positions.
    peak : ndarray of float64, shape (C,)
        Largest magnitude in each channel.
    """

    low: float
    high: float
    values: Array
    shares: Array
    exact: bool
    zeros: float
    variance: Array
    peak: Array

    @property
    def power(self) -> float:
        """The mean of the channels' variances: the signal that noise is compared with."""
        return float(self.variance.mean())

    def quantile(self, share: float) -> float:
        """The value that this share of all elements does not exceed (zeros included)."""
        values = np.append(self.values, 0.0)
        order = np.argsort(values, kind="stable")
        below = np.cumsum(np.append(self.shares, self.zeros)[order])
        index = min(int(np.searchsorted(below, share)), len(values) - 1)
        return float(np.clip(values[order][index], self.low, self.high))


def check_data(graph: Graph, x: NDArray[Any] | Data) -> dict[str, NDArray[Any]]:
    """Check calibration data against a network's inputs, and return them by input name.

    Parameters
    ----------
    graph : Graph
        The float network.
    x : ndarray of real numbers, shape (N, *shape), or mapping of them
        The data; a mapping by input name where there are several inputs. Where the network has states, and the data
        has none, the samples are calls one after the other.

    Returns
    -------
    dict of ndarray
        The arrays by input name.

    Raises
    ------
    HwquantError
        Arrays are missing, of the wrong shape, empty, not finite, or far too large or small.
    """
    x = completed(graph, before(graph, x), lambda one: floating.outputs(graph, one))
    if not isinstance(x, Mapping):
        if len(graph.inputs) != 1:
            names = ", ".join(repr(item.name) for item in graph.inputs)
            raise HwquantError(
                f"network {graph.name!r} has several inputs; give calibration data for {names}"
            )
        x = {graph.inputs[0].name: x}
    data = {}
    for item in graph.inputs:
        if item.name not in x:
            raise HwquantError(f"there is no calibration data for input {item.name!r}")
        array = np.asarray(x[item.name])
        if array.dtype.kind not in "fiub":
            raise HwquantError(f"calibration data for {item.name!r} must be real numbers, not {array.dtype}")
        if array.ndim == 0 or array.shape[1:] != item.shape or len(array) == 0:
            wanted = ", ".join(map(str, ("N", *item.shape)))
            raise HwquantError(
                f"calibration data for {item.name!r} must have the shape ({wanted}) and at least one sample, "
                f"not the shape {array.shape}"
            )
        if not np.isfinite(array).all():
            raise HwquantError(
                f"calibration data for {item.name!r} hold a NaN or an infinity; remove these samples"
            )
        if (peak := _peak(array)) and not SMALLEST_SCALE <= peak <= LARGEST_SCALE:
            raise HwquantError(
                f"calibration data for {item.name!r} have magnitudes up to {peak:.2g}; give them as the network was "
                f"trained with, from {SMALLEST_SCALE:.2g} to {LARGEST_SCALE:.2g}"
            )
        data[item.name] = array
    if len({len(array) for array in data.values()}) > 1:
        raise HwquantError("the calibration data of the inputs differ in the number of samples")
    return data


def _peak(array: NDArray[Any]) -> float:
    """The largest magnitude in an array."""
    return max(float(array.max()), -float(array.min()))


def batches(graph: Graph, data: Data, names: Collection[str]) -> Iterator[dict[str, Array]]:
    """Yield the named float tensors (n, C, H, W) of a batch of samples after the other, by name."""
    elements = sum(math.prod(graph.shapes[name]) for name in names)
    size = max(1, _BATCH_ELEMENTS // max(elements, 1))
    count = len(next(iter(data.values())))
    for start in range(0, count, size):
        part = {name: array[start : start + size] for name, array in data.items()}
        yield floating.run(graph, part, keep=names)


def observe(
    graph: Graph, data: Data, names: Collection[str], progress: Progress | None = None
) -> dict[str, TensorStatistics]:
    """Take the statistics of the named tensors of a float network on calibration data."""
    count = len(next(iter(data.values())))
    return take_statistics(names, lambda wanted: batches(graph, data, wanted), count, progress)


def take_statistics(
    names: Collection[str],
    source: Callable[[Collection[str]], Iterable[Mapping[str, Array]]],
    count: int,
    progress: Progress | None = None,
) -> dict[str, TensorStatistics]:
    """Take the statistics of tensors in two passes: moments and ranges, then histograms.

    Parameters
    ----------
    names : collection of str
        The tensors.
    source : callable
        A function from names to batches of these tensors (n, C, H, W), by name: the same ones whenever it is called.
        A network that is being trained is calibrated again with what it gives now.
    count : int
        Samples in all batches together.
    progress : Progress or None, optional
        Called with "calibrate", samples seen, and twice their number.

    Returns
    -------
    dict of str to TensorStatistics
        The statistics of every tensor.

    Raises
    ------
    HwquantError
        A tensor is infinite, NaN or far too large.
    """
    first = {name: _Moments() for name in names}
    done = 0
    for batch in source(names):
        for name, x in batch.items():
            if not np.isfinite(x).all():
                raise HwquantError(f"tensor {name!r} becomes infinite or NaN on the calibration data")
            if (peak := _peak(x)) > LARGEST_SCALE:
                raise HwquantError(
                    f"tensor {name!r} has magnitudes up to {peak:.2g} on the calibration data, beyond "
                    f"{LARGEST_SCALE:.2g}; give data, or train a network, of smaller numbers"
                )
            first[name].add(x)
        done += len(x)
        if progress:
            progress("calibrate", done, 2 * count)
    histograms = {name: np.zeros(_BINS) for name in names}
    for batch in source([name for name in names if first[name].many]):
        for name, x in batch.items():
            bounds = (first[name].low, first[name].high)
            histograms[name] += np.histogram(x[x != 0], bins=_BINS, range=bounds)[0]
        done += len(x)
        if progress:
            progress("calibrate", done, 2 * count)
    return {name: first[name].finish(histograms[name]) for name in names}


class _Moments:
    """Running sums over batches (n, C, H, W) of one tensor."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.elements, self.zeros = 0, 0
        self.total: Array = np.zeros(())
        self.squares: Array = np.zeros(())
        self.peak: Array = np.zeros(())
        self.counts: dict[float, int] = {}
        self.many = False

    def add(self, x: Array) -> None:
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        self.elements += x.size
        self.zeros += int(np.count_nonzero(x == 0))
        self.total = self.total + x.sum(axis=(0, 2, 3))
        self.squares = self.squares + np.square(x).sum(axis=(0, 2, 3))
        self.peak = np.maximum(self.peak, np.maximum(x.max(axis=(0, 2, 3)), -x.min(axis=(0, 2, 3))))
        if not self.many:
            values, counts = np.unique(x[x != 0], return_counts=True)
            self.many = len(values) + len(self.counts) > 2 * _FEW_VALUES
            if not self.many:
                for value, count in zip(values.tolist(), counts.tolist()):
                    self.counts[value] = self.counts.get(value, 0) + count
                self.many = len(self.counts) > _FEW_VALUES

    def finish(self, histogram: Array) -> TensorStatistics:
        mean, square = (total * total.size / self.elements for total in (self.total, self.squares))
        # The difference of two rounded numbers: what is left of a constant channel is no variance.
        variance = np.where(square - mean**2 > 1e-12 * square, square - mean**2, 0.0)
        if self.many:
            edges = np.linspace(self.low, self.high, _BINS + 1)
            values, counts = (edges[:-1] + edges[1:]) / 2, histogram
        else:
            values = np.array(sorted(self.counts))
            counts = np.array([self.counts[value] for value in sorted(self.counts)], np.float64)
        return TensorStatistics(
            low=self.low,
            high=self.high,
            values=values,
            shares=counts / self.elements,
            exact=not self.many,
            zeros=self.zeros / self.elements,
            variance=variance,
            peak=self.peak,
        )


def importance(term: TermPlan, statistics: Mapping[str, TensorStatistics]) -> Array:
    """The variance of what each weight multiplies: how much an error of the weight counts.

    Parameters
    ----------
    term : TermPlan
        The term with the weights.
    statistics : mapping of TensorStatistics
        Statistics by tensor, of the term's input at least.

    Returns
    -------
    ndarray of float64
        Broadcastable to the weight, [out, in / groups, kernel height, kernel width].
    """
    per_group = term.weight.shape[1]
    variance = statistics[term.input].variance.reshape(term.groups, per_group)
    return np.repeat(variance, len(term.weight) // term.groups, axis=0)[:, :, None, None]
