"""What share of a network's inputs and layer outputs does not fit into their integers, on given samples.

A value is clipped where its integer ends the tensor's range and the layer's own clamp does not: ReLU is no clipping.
Inputs are judged by their real values, so that a background of extreme pixels does not count. How much was clipped
when the network was quantized is in its ``options``; without that, as in files of older versions, it counts as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.advice import Advice
from hwquant.host import before
from hwquant.interface import Input
from hwquant.qgraph import IntArray, Layer, Product, QGraph, Tensor
from hwquant.states import completed

Arrays = Mapping[str, NDArray[Any]]

LEAST_SHARE = 0.01
"""Least clipped share that is a reason to worry: calibration by least squared error itself clips up to about 1 %."""
GROWTH = 2.0
"""How many times the share in calibration is another distribution, not chance."""
LEAST_SPAN = 1 / 16
"""Least share of an input's range that data should use: with less they lose 4 of its 8 bits, and are scaled otherwise
than those in calibration."""
ENOUGH = 8
"""Samples of which it is no chance that they use so little of the range."""
LEAST, MOST, PART = 32, 128, 32
"""How many samples layers are judged by, spread over the data: one in ``PART``, but no fewer than LEAST where there are
as many, and no more than MOST. A sample costs as much as three or four do in an evaluation."""
LEAST_VALUES = 10
"""Least number of clipped values of a tensor that is no chance."""
_ELEMENTS = 1 << 22
"""Elements of all tensors of a batch (32 MiB)."""


@dataclass(frozen=True)
class Clipping:
    """How much of a tensor is clipped.

    Attributes
    ----------
    tensor : str
        Name of the input or layer.
    share : float
        Share of its values on the samples, 0..1, that is clipped.
    calibrated : float
        Share that was clipped when the network was quantized, 0..1; 0 where that is not known.
    chance : float
        Share that other samples of the same kind may have beyond that, by chance: the extreme of N calibration samples
        is exceeded, or fallen short of, by 2 of N others.
    samples : int
        Samples that it was measured on.
    values : int
        Values of the tensor on these samples.
    """

    tensor: str
    share: float
    calibrated: float
    chance: float
    samples: int
    values: int

    @property
    def bad(self) -> bool:
        """Whether clearly more is clipped than in calibration."""
        clearly = self.share >= LEAST_SHARE + self.chance and self.share > GROWTH * self.calibrated
        return clearly and self.share * self.values >= LEAST_VALUES


def check_inputs(qgraph: QGraph, x: NDArray[Any] | Arrays) -> tuple[Advice, ...]:
    """Judge the range of some samples, for a network that was calibrated with others.

    Parameters
    ----------
    qgraph : QGraph
        The integer network.
    x : ndarray or mapping of ndarray, shape (N, ...)
        Samples as for :func:`hwquant.predict`; a mapping by input name where the network has several.

    Returns
    -------
    tuple of Advice
        Pieces of the kinds "clipped_input", "clipped_layer" and "narrow_input"; empty where all is well.
    """
    inner = completed(qgraph, before(qgraph, x), lambda one: golden.outputs(qgraph, one))
    arrays = inner if isinstance(inner, Mapping) else {qgraph.inputs[0].name: inner}
    arrays = {item.name: np.asarray(arrays[item.name]) for item in qgraph.inputs}
    advice = []
    for item, found in zip(qgraph.inputs, input_clipping(qgraph, arrays)):
        if found.bad:
            advice.append(_clipped_input(qgraph.tensors[item.name], found))
        elif found.samples >= ENOUGH:
            advice += _narrow(qgraph.tensors[item.name], item, arrays[item.name])
    return (*advice, *(_clipped_layer(found) for found in layer_clipping(qgraph, arrays) if found.bad))


def input_clipping(qgraph: QGraph, x: Arrays) -> list[Clipping]:
    """Measure how much of every input is clipped, on all samples.

    Parameters
    ----------
    qgraph : QGraph
        The integer network.
    x : mapping of ndarray, shape (N, ...)
        Samples by input name.
    """
    result = []
    for item in qgraph.inputs:
        array, (low, high) = x[item.name], bounds(qgraph.tensors[item.name])
        clipped = 0
        least, greatest = _extremes(item, array)
        if least < low or greatest >= high:
            size = max(1, _ELEMENTS // math.prod(item.shape))
            for start in range(0, len(array), size):
                real = item.prepare(array[start : start + size])
                clipped += int(np.count_nonzero((real < low) | (real >= high)))
        result.append(_found(qgraph, item.name, clipped, len(array)))
    return result


def layer_clipping(qgraph: QGraph, x: Arrays) -> list[Clipping]:
    """Measure how much of every layer's output is clipped, on some of the samples, spread over all.

    Parameters
    ----------
    qgraph : QGraph
        The integer network.
    x : mapping of ndarray, shape (N, ...)
        Samples by input name.
    """
    ends = layer_ends(qgraph)
    total = len(next(iter(x.values())))
    wanted = min(total, max(LEAST, min(total // PART, MOST)))
    chosen = np.linspace(0, total - 1, wanted).round().astype(int)
    if not ends or not total:
        return []
    counts = dict.fromkeys(ends, 0)
    size = max(1, _ELEMENTS // sum(math.prod(tensor.shape) for tensor in qgraph.tensors.values()))
    for start in range(0, len(chosen), size):
        part = {name: array[chosen[start : start + size]] for name, array in x.items()}
        integers = golden.run(qgraph, golden.quantize_input(qgraph, part), keep=ends)
        for name, values in ends.items():
            counts[name] += count(integers[name], values)
    return [_found(qgraph, name, counts[name], len(chosen)) for name in ends]


def _found(qgraph: QGraph, name: str, clipped: int, samples: int) -> Clipping:
    values = samples * math.prod(qgraph.tensors[name].shape)
    count = qgraph.options.get("calibration_samples")
    chance = 2 / count if isinstance(count, int) and count > 0 else 0.0
    return Clipping(name, clipped / max(1, values), calibrated(qgraph, name), chance, samples, values)


def layer_ends(qgraph: QGraph) -> dict[str, tuple[int, ...]]:
    """Find the integers of each layer's output that stand for clipped values; layers without such are left out.

    The end at which the layer has a clamp of its own, as ReLU has at 0, is none of them. A function may have as many
    values there as it likes, so that layers with tables are left out.
    """
    result = {}
    for node in qgraph.nodes:
        if isinstance(node, Product) or (isinstance(node, Layer) and node.table is None):
            tensor = qgraph.tensors[node.name]
            ends = [
                end
                for end, clamp in zip(tensor.limits, (node.low, node.high))
                if end == clamp and clamp != tensor.zero_point
            ]
            if ends:
                result[node.name] = tuple(ends)
    return result


def count(q: IntArray, values: tuple[int, ...]) -> int:
    """Count the integers in ``q`` that are among ``values``."""
    return sum(int(np.count_nonzero(q == value)) for value in values)


def bounds(tensor: Tensor) -> tuple[float, float]:
    """Find the real values that a tensor holds: from the first bound on, and below the second."""
    low, high = tensor.limits
    return (low - tensor.zero_point - 0.5) * tensor.scale, (high - tensor.zero_point + 0.5) * tensor.scale


def calibrated(qgraph: QGraph, name: str) -> float:
    """Look up the share of a tensor, 0..1, that was clipped when the network was quantized; 0 if that is not known."""
    tensors = qgraph.options.get("tensors")
    facts = tensors.get(name) if isinstance(tensors, Mapping) else None
    share = facts.get("clipped") if isinstance(facts, Mapping) else None
    return float(share) if isinstance(share, int | float) and 0 <= share <= 1 else 0.0


def _extremes(item: Input, x: NDArray[Any]) -> tuple[float, float]:
    """The least and the greatest prepared value of samples; exact where all elements are scaled alike, else bounds."""
    ends = np.array([float(x.min()), float(x.max())]) if x.size else np.zeros(2)
    real = np.multiply.outer(ends, item.scale) + item.shift
    return float(real.min()), float(real.max())


def _narrow(tensor: Tensor, item: Input, x: NDArray[Any]) -> Iterator[Advice]:
    least, greatest = _extremes(item, x)
    low, high = bounds(tensor)
    span = (max(greatest, 0.0) - min(least, 0.0)) / (high - low)
    if 0 < span < LEAST_SPAN:
        yield Advice(
            "narrow_input",
            item.name,
            f"the values of input {item.name!r} use {span:.1%} of its range {low:.4g}..{high:.4g}: give data scaled as "
            "the calibration data were, or quantize again with calibration data like these",
            "--calibration-data",
            span,
        )


def _clipped_input(tensor: Tensor, found: Clipping) -> Advice:
    low, high = bounds(tensor)
    return Advice(
        "clipped_input",
        found.tensor,
        f"{found.share:.1%} of the values of input {found.tensor!r} are out of its range {low:.4g}..{high:.4g} and are "
        f"clipped ({found.calibrated:.1%} in calibration): give data scaled as the calibration data were, or quantize "
        "again with calibration data like these",
        "--calibration-data",
        found.share,
    )


def _clipped_layer(found: Clipping) -> Advice:
    return Advice(
        "clipped_layer",
        found.tensor,
        f"{found.share:.1%} of the outputs of layer {found.tensor!r} are clipped on {found.samples} samples "
        f"({found.calibrated:.1%} in calibration): quantize again with calibration data like these",
        "--calibration-data",
        found.share,
    )
