"""Channels made alike where that lowers the noise of the outputs, which is found out by trying.

A channel's largest weights where it is computed and where it is read become equal (Nagel et al., Data-free
quantization through weight equalization and bias correction, 2019), by the factors that
:mod:`~hwquant.quantize.equalize` may multiply channels with. Whether it helps depends on bits, scales and roundings:
the network is quantized both ways, and the one whose outputs are nearer to the float network's on calibration data is
kept.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import floating, golden
from hwquant.graph import Conv, Graph
from hwquant.progress import Progress
from hwquant.quantize.calibration import Data, check_data
from hwquant.quantize.equalize import Factors, channel_reads, largest_weights, rescale
from hwquant.quantize.mid_rise import lies_on_grid
from hwquant.quantize.observe import Balancing, Observed, observe_network, with_channels
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.pipeline import quantize_observed
from hwquant.quantize.precision import resolve_precision, term_bits
from hwquant.quantize.weight_scheme import Array

_ROUNDS = 20
"""Times that all channels are balanced, at most: what changes a channel's weights changes the channels next to it."""
_SETTLED = 1.05
"""Largest factor of a round after which channels count as balanced."""
_ENOUGH_BITS = 8
_LARGEST = 2.0**10
"""What a channel is multiplied or divided by, at most."""
_LEAST_GAIN_DB = 0.2
"""Signal over noise that balanced channels must gain to be kept: less is chance."""
_JUDGED = 256
"""Calibration samples that the two networks are compared on, at most."""


def observe_for(
    graph: Graph,
    calibration: NDArray[Any] | Data,
    options: QuantizeOptions,
    progress: Progress | None = None,
    validation: NDArray[Any] | Data | None = None,
) -> Observed:
    """Observe a network that is to be quantized with certain options: its channels are balanced if that pays.

    A literal range is that of the weights as they are.

    Parameters
    ----------
    graph : Graph
        The float network.
    calibration, validation : ndarray of real numbers, shape (N, *shape), or mapping of them
        As for :func:`hwquant.quantize.observe_network`.
    options : QuantizeOptions
        How it is to be quantized.
    progress : Progress or None, optional
        Told of every stage.
    """
    observed = observe_network(graph, calibration, progress, validation)
    if not options.equalization or options.literal_range:
        return observed
    return balance(observed, check_data(graph, calibration), options, progress)


def balance(
    observed: Observed, data: Data, options: QuantizeOptions, progress: Progress | None = None
) -> Observed:
    """Balance the channels of a network if that lowers the noise of its outputs.

    Where all weights have 8 bits it is not tried: their noise is less than what coarser activations add.

    Parameters
    ----------
    observed : Observed
        The network, and what is known of it.
    data : mapping of ndarray
        Its calibration samples (N, *shape) by input name.
    options : QuantizeOptions
        How the network is to be quantized.
    progress : Progress or None, optional
        Told of the stages.

    Returns
    -------
    Observed
        The network that gives less noise, with both figures in ``balancing``; ``observed`` itself if nothing
        was tried.
    """
    narrow = any(bits < _ENOUGH_BITS for bits in term_bits(observed.plan, options).values())
    factors = balancing_factors(observed.plan.graph, _exact(observed, options)) if narrow else {}
    if not factors:
        return observed
    balanced = with_channels(observed, factors, data, progress)
    before, after = output_sqnr(observed, options), output_sqnr(balanced, options)
    kept = after > before + _LEAST_GAIN_DB
    return replace(balanced if kept else observed, balancing=Balancing(before, after, kept))


def _exact(observed: Observed, options: QuantizeOptions) -> set[str]:
    """Convolutions whose weights lie on their grid already, which they would not when multiplied."""
    precision = resolve_precision(observed.plan, options)
    return {
        term.node
        for layer in observed.plan.layers
        for term, scheme in zip(layer.terms, precision.schemes[layer.name])
        if scheme.grid == "mid_rise" and lies_on_grid(term.weight, scheme.bits)
    }


def balancing_factors(graph: Graph, kept: Collection[str] = ()) -> Factors:
    """Choose factors with which the largest weights of a channel are alike where it is computed and read.

    Parameters
    ----------
    graph : Graph
        The float network.
    kept : collection of str, optional
        Convolutions whose weights stay as they are.

    Returns
    -------
    Factors
        Only of those convolutions of which a channel changes. A channel that nothing computes or reads has 1.
    """
    convolutions = [node.name for node in graph.nodes if isinstance(node, Conv) and node.name not in kept]
    readers = {name: [read.reader.name for read in channel_reads(graph, name)] for name in convolutions}
    free = [name for name, found in readers.items() if found and not set(found) & set(kept)]
    result = {name: np.ones(graph.shapes[name][0]) for name in free}
    for _ in range(_ROUNDS):
        largest = 1.0
        for name in free:
            own, other = _channel_weights(graph, name)
            used = (own > 0) & (other > 0)
            wanted = np.sqrt(np.where(used, other, 1.0) / np.where(used, own, 1.0))
            wanted /= np.exp(np.log(wanted).mean())
            after = np.where(used, np.clip(result[name] * wanted, 1 / _LARGEST, _LARGEST), result[name])
            factor, result[name] = after / result[name], after
            graph = rescale(graph, {name: factor})
            largest = max(largest, float(factor.max()), float(1 / factor.min()))
        if largest < _SETTLED:
            break
    return {name: factor for name, factor in result.items() if np.any(factor != 1.0)}


def _channel_weights(graph: Graph, name: str) -> tuple[Array, Array]:
    """The largest weight of each channel where it is computed, and where it is read."""
    nodes = {node.name: node for node in graph.nodes}
    node = nodes[name]
    assert isinstance(node, Conv)
    own = np.abs(node.weight).reshape(len(node.weight), -1).max(axis=1)
    other = np.zeros(len(own))
    for read in channel_reads(graph, name):
        part = slice(read.start, read.start + len(own))
        other = np.maximum(other, largest_weights(read.reader)[part])
    return own, other


def output_sqnr(observed: Observed, options: QuantizeOptions) -> float:
    """Quantize a network, and measure the signal to noise ratio of its outputs on calibration data.

    Parameters
    ----------
    observed : Observed
        The network.
    options : QuantizeOptions
        How it is quantized.

    Returns
    -------
    float
        In dB, the noise being that of all outputs together, each relative to its own variance.
    """
    qgraph = quantize_observed(observed, options, described=False)
    samples = {name: array[:_JUDGED] for name, array in observed.samples.items()}
    exact = floating.run(observed.plan.graph, samples)
    integers = golden.run(qgraph, golden.quantize_input(qgraph, samples))
    noise = 0.0
    for name, x in exact.items():
        error = float(np.square(qgraph.tensors[name].dequantize(integers[name]) - x).mean())
        noise += error / (float(x.var()) or 1.0)
    return round(-10 * math.log10(max(noise, 1e-12)), 2)
