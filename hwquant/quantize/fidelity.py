"""How well the integer network stands for the float one, tensor by tensor, on samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwquant import clipping, golden
from hwquant.qgraph import QGraph
from hwquant.quantize.calibration import Data, TensorStatistics, batches
from hwquant.quantize.plans import Plan
from hwquant.quantize.weight_scheme import Array

LEAST_DB = 20.0
"""Least signal to noise ratio of a tensor: noise is a tenth of the signal. Healthy networks have at least 21.6 dB."""


@dataclass(frozen=True, eq=False)
class Fidelity:
    """How well an integer tensor stands for the float one.

    Attributes
    ----------
    signal, noise : ndarray of float64, shape (C,)
        Sums of squares: of the float values, and of the errors.
    clipped : float
        Share of the values, 0..1, that counts as clipped where only integers are known: with those that are rounded
        to the last integer.
    outside : float
        Share of the values, 0..1, that is clipped: without those that are rounded to the last integer.
    """

    signal: Array
    noise: Array
    clipped: float
    outside: float

    @property
    def sqnr_db(self) -> float | None:
        """The signal to quantization noise ratio in dB; None where there is no noise at all, or no signal."""
        return _decibels(float(self.signal.sum()), float(self.noise.sum()))

    @property
    def channels_db(self) -> list[float | None]:
        """The signal to quantization noise ratio in dB of each channel; None as in :attr:`sqnr_db`."""
        return [_decibels(*pair) for pair in zip(self.signal.tolist(), self.noise.tolist())]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a quantized network.

    Attributes
    ----------
    plan : Plan
        The float layers.
    qgraph : QGraph
        The integer layers.
    statistics : Mapping[str, TensorStatistics]
        Statistics of every float tensor, on the calibration data.
    measured : Mapping[str, Fidelity]
        Fidelity of every integer tensor, on the samples that it is judged by.
    """

    plan: Plan
    qgraph: QGraph
    statistics: Mapping[str, TensorStatistics]
    measured: Mapping[str, Fidelity]


def _decibels(signal: float, noise: float) -> float | None:
    return round(10 * math.log10(signal / noise), 2) if signal > 0 and noise > 0 else None


def fidelity(plan: Plan, qgraph: QGraph, samples: Data) -> dict[str, Fidelity]:
    """Measure every integer tensor against the float network's, on samples by input name."""
    names = list(qgraph.tensors)
    channels = {name: qgraph.tensors[name].shape[0] for name in names}
    signal = {name: np.zeros(count) for name, count in channels.items()}
    noise = {name: np.zeros(count) for name, count in channels.items()}
    clipped, outside, elements = (dict.fromkeys(names, 0) for _ in range(3))
    ends = clipping.layer_ends(qgraph)
    inputs = {item.name for item in qgraph.inputs}
    start = 0
    for batch in batches(plan.graph, samples, names):
        count = len(batch[names[0]])
        part = {name: array[start : start + count] for name, array in samples.items()}
        integers = golden.run(qgraph, golden.quantize_input(qgraph, part), keep=names)
        for name, x in batch.items():
            signal[name] += np.square(x).sum(axis=(0, 2, 3))
            error = qgraph.tensors[name].dequantize(integers[name]) - x
            noise[name] += np.square(error).sum(axis=(0, 2, 3))
            elements[name] += x.size
            low, high = clipping.bounds(qgraph.tensors[name])
            beyond = (x < low) | (x >= high)
            if name in inputs:
                outside[name] += int(np.count_nonzero(beyond))
                clipped[name] = outside[name]
            elif name in ends:
                at_end = np.isin(integers[name], ends[name])
                clipped[name] += int(np.count_nonzero(at_end))
                outside[name] += int(np.count_nonzero(at_end & beyond))
        start += count

    def share(counts: Mapping[str, int], name: str) -> float:
        return round(counts[name] / elements[name], 6)

    return {
        name: Fidelity(signal[name], noise[name], share(clipped, name), share(outside, name))
        for name in names
    }
