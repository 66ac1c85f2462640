"""A network whose integers are given, observed: on calibration data, or, where it needs none, on random numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.advice import SHOWN, Advice
from hwquant.coding import integer_limits
from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.interface import Input
from hwquant.progress import Progress
from hwquant.quantize.bounds import Bounds, bounds
from hwquant.quantize.calibration import Data
from hwquant.quantize.formats import TensorFormat
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.groups import scale_groups
from hwquant.quantize.implied import kept_formats
from hwquant.quantize.kept import beyond
from hwquant.quantize.observe import RANDOM, Observed, observe_network
from hwquant.quantize.options import QuantizeOptions

RANDOM_SAMPLES = 16


def observe_given(
    graph: Graph,
    calibration: NDArray[Any] | Data | None,
    options: QuantizeOptions,
    progress: Progress | None = None,
    validation: NDArray[Any] | Data | None = None,
) -> tuple[Observed, QuantizeOptions]:
    """Observe a network that is to keep its integers.

    Parameters
    ----------
    graph : Graph
        The float network, with the integers that it has (``Graph.given``).
    calibration : ndarray of real numbers, mapping of them, or None
        Typical inputs; None where the formats of all tensors are given.
    options : QuantizeOptions
        How the rest of it is to be quantized.
    progress : Progress or None, optional
        Told of every stage.
    validation : ndarray of real numbers, shape (N, *shape), or mapping of them, optional
        Inputs that the result is measured on.

    Returns
    -------
    observed : Observed
        The network, and what is known of it.
    options : QuantizeOptions
        What of the options is possible: without data no errors can be compensated.

    Raises
    ------
    HwquantError
        There are no data, and a tensor has no format.
    """
    if calibration is None:
        calibration, found = _random_inputs(graph)
        graph = replace(graph, given=replace(graph.given, ranges={**graph.given.ranges, **found}))
        options = replace(options, error_compensation=False, bias_correction=False)
        observed = observe_network(graph, calibration, progress, validation, keep=True)
        if validation is None:
            observed = replace(observed, judged_by=RANDOM)
        observed = replace(observed, advice=tuple(_bounded(graph, found)), count=0)
    else:
        observed = observe_network(graph, calibration, progress, validation, keep=True)
    told = (*observed.advice, *map(_lost, graph.given.lost), *_changed(graph))
    return replace(observed, advice=told), options


def _lost(name: str) -> Advice:
    return Advice(
        "integers_lost",
        name,
        f"the integers of {name!r} in the source are not kept: constants are multiplied into them, which no scale "
        "takes in, they have more than 8 bits, or more scales than one for each channel; they are quantized anew",
    )


def _changed(graph: Graph) -> Iterator[Advice]:
    """Weights that are kept but for a step."""
    for node in graph.nodes:
        if isinstance(node, Conv) and node.name in graph.given.weights:
            count = beyond(graph.given.weights[node.name], node.weight)
            if count:
                yield Advice(
                    "weights_changed",
                    node.name,
                    f"{count} of {node.weight.size} weights of {node.name!r} are 254 in place of 255, as channels with "
                    "zero points of their own have offsets of 8 bits; quantize them with signed integers in the source",
                    value=count / node.weight.size,
                )


def _bounded(graph: Graph, found: Mapping[str, Bounds]) -> Iterator[Advice]:
    if found:
        yield Advice(
            "bounded_ranges",
            graph.name,
            f"{', '.join(map(repr, list(found)[:SHOWN]))}{', ...' if len(found) > SHOWN else ''} of network "
            f"{graph.name!r} have no scales in the source; they have all that their functions can give, which "
            "calibration data may show to be less",
            "--calibration-data",
            len(found),
        )


def _random_inputs(graph: Graph) -> tuple[dict[str, NDArray[np.float64]], dict[str, Bounds]]:
    """Samples whose integers are evenly distributed, and the bounds of tensors without formats."""
    plan = plan_layers(graph)
    groups = scale_groups(plan)
    known = kept_formats(plan, groups, {})
    within = bounds(plan.graph)
    without = {name: plan.floats.get(name, name) for name in plan.formats if groups.find(name) not in known}
    missing = [name for name, tensor in without.items() if tensor not in within]
    if missing:
        others = f", and {len(missing) - 1} more have none" if len(missing) > 1 else ""
        raise HwquantError(
            f"tensor {missing[0]!r} of network {graph.name!r} has no scale in the source{others}; "
            "give calibration data, typical inputs (-c, --calibration-data)"
        )
    rng = np.random.default_rng(0)
    samples = {item.name: _samples(item, known[groups.find(item.name)], rng) for item in plan.graph.inputs}
    return samples, {tensor: within[tensor] for tensor in without.values()}


def _samples(item: Input, form: TensorFormat, rng: np.random.Generator) -> NDArray[np.float64]:
    """Arrays (N, *shape) of the user's that become even integers of the input's format."""
    low, high = integer_limits(form.bits)
    q = rng.integers(low, high, (RANDOM_SAMPLES, math.prod(item.shape)), endpoint=True)
    real = form.scale.value * (q - form.zero_point)
    if item.order is not None:
        real[:, item.order] = real.copy()
    real = real.reshape(RANDOM_SAMPLES, *item.shape) - item.shift
    return np.divide(real, item.scale, out=np.zeros_like(real), where=item.scale != 0)
