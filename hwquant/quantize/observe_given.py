"""A network whose integers are given, observed: on calibration data, or, where it needs none, on random numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.advice import Advice
from hwquant.coding import integer_limits
from hwquant.errors import HwquantError
from hwquant.given import GivenFormat
from hwquant.graph import Graph
from hwquant.interface import Input
from hwquant.progress import Progress
from hwquant.quantize.calibration import Data
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.given_formats import given_groups, kept_formats
from hwquant.quantize.groups import scale_groups
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
        calibration = _random_inputs(graph)
        options = replace(options, error_compensation=False, bias_correction=False)
        observed = observe_network(graph, calibration, progress, validation, keep=True)
        if validation is None:
            observed = replace(observed, judged_by=RANDOM)
        observed = replace(observed, advice=(), count=0)
    else:
        observed = observe_network(graph, calibration, progress, validation, keep=True)
    return replace(observed, advice=(*observed.advice, *map(_lost, graph.given.lost))), options


def _lost(name: str) -> Advice:
    return Advice(
        "integers_lost",
        name,
        f"the integers of {name!r} in the source are not kept: constants are multiplied into them, which no scale "
        "takes in, or they have more than 8 bits; they are quantized anew",
    )


def _random_inputs(graph: Graph) -> dict[str, NDArray[np.float64]]:
    """Samples whose integers are evenly distributed."""
    plan = plan_layers(graph)
    groups = scale_groups(plan)
    known, formats = given_groups(plan, groups), kept_formats(plan, groups)
    missing = [name for name in plan.formats if groups.find(name) not in formats]
    if missing:
        raise HwquantError(
            f"tensor {missing[0]!r} of network {graph.name!r} has no scale in the source, and {len(missing) - 1} more "
            "have none; give calibration data, typical inputs (-c, --calibration-data)"
        )
    rng = np.random.default_rng(0)
    return {item.name: _samples(item, known[groups.find(item.name)], rng) for item in plan.graph.inputs}


def _samples(item: Input, form: GivenFormat, rng: np.random.Generator) -> NDArray[np.float64]:
    """Arrays (N, *shape) of the user's that become even integers of the input's format."""
    low, high = integer_limits(form.bits)
    q = rng.integers(low, high, (RANDOM_SAMPLES, math.prod(item.shape)), endpoint=True)
    real = form.scale * (q - form.zero_point)
    if item.order is not None:
        real[:, item.order] = real.copy()
    real = real.reshape(RANDOM_SAMPLES, *item.shape) - item.shift
    return np.divide(real, item.scale, out=np.zeros_like(real), where=item.scale != 0)
