"""A network whose integers are given, observed: on calibration data, or, where it needs none, on random numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
from hwquant.quantize.calibration import Data
from hwquant.quantize.formats import TensorFormat
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.given_formats import given_groups
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
        calibration, implied = _random_inputs(graph)
        options = replace(options, error_compensation=False, bias_correction=False)
        observed = observe_network(graph, calibration, progress, validation, keep=True)
        if validation is None:
            observed = replace(observed, judged_by=RANDOM)
        observed = replace(observed, advice=tuple(_implied(graph, implied)), count=0)
    else:
        observed = observe_network(graph, calibration, progress, validation, keep=True)
    told = (*observed.advice, *map(_lost, graph.given.lost), *_changed(graph))
    return replace(observed, advice=told), options


def _lost(name: str) -> Advice:
    return Advice(
        "integers_lost",
        name,
        f"the integers of {name!r} in the source are not kept: constants are multiplied into them, which no scale "
        "takes in; they are quantized anew",
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


def _implied(graph: Graph, names: Sequence[str]) -> Iterator[Advice]:
    if names:
        yield Advice(
            "implied_formats",
            graph.name,
            f"{', '.join(map(repr, names[:SHOWN]))}{', ...' if len(names) > SHOWN else ''} of network {graph.name!r} "
            "have no scales in the source; they hold all that follows from the scales of others, which calibration "
            "data may show to be less",
            "--calibration-data",
            len(names),
        )


def _random_inputs(graph: Graph) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Samples whose integers are evenly distributed, and the tensors whose formats follow from others'."""
    plan = plan_layers(graph)
    groups = scale_groups(plan)
    known = kept_formats(plan, groups, {}, proven=True)
    missing = [name for name in plan.formats if groups.find(name) not in known]
    if missing:
        raise HwquantError(
            f"tensor {missing[0]!r} of network {graph.name!r} has no scale in the source, and {len(missing) - 1} more "
            "have none; give calibration data, typical inputs (-c, --calibration-data)"
        )
    rng = np.random.default_rng(0)
    samples = {item.name: _samples(item, known[groups.find(item.name)], rng) for item in plan.graph.inputs}
    given = given_groups(plan, groups)
    return samples, [plan.floats.get(name, name) for name in plan.formats if groups.find(name) not in given]


def _samples(item: Input, form: TensorFormat, rng: np.random.Generator) -> NDArray[np.float64]:
    """Arrays (N, *shape) of the user's that become even integers of the input's format."""
    low, high = integer_limits(form.bits)
    q = rng.integers(low, high, (RANDOM_SAMPLES, math.prod(item.shape)), endpoint=True)
    real = form.scale.value * (q - form.zero_point)
    if item.order is not None:
        real[:, item.order] = real.copy()
    real = real.reshape(RANDOM_SAMPLES, *item.shape) - item.shift
    return np.divide(real, item.scale, out=np.zeros_like(real), where=item.scale != 0)
