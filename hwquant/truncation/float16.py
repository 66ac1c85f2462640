"""Truncation to float16: parameters and tensors are rounded to it, sums are not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Unsupported
from hwquant.floating import evaluate
from hwquant.graph import Conv, Graph

Array = NDArray[Any]
_SMALLEST = float(np.finfo(np.float16).smallest_subnormal)


def rounded(x: Array, what: str) -> Array:
    """Round to float16 values, as float64; raise Unsupported, naming ``what``, where they are infinite."""
    with np.errstate(over="ignore"):  # refused below
        half = x.astype(np.float32).astype(np.float16)
    if not np.isfinite(half).all():
        raise Unsupported(
            f"{what} exceeds 65504, the largest float16; truncate to int8, or scale the network"
        )
    return half.astype(np.float64)


def truncate_parameters(graph: Graph, signed: Collection[str] = ()) -> Graph:
    """Round every weight and bias of a network to the nearest float16.

    Parameters
    ----------
    graph : Graph
        The network.
    signed : collection of str, default empty
        Names of the convolutions of whose weights the signs matter: those that are too small for float16 become the
        smallest numbers that it has, in place of 0.

    Returns
    -------
    Graph
        The network with other parameters.

    Raises
    ------
    Unsupported
        A parameter exceeds the largest float16.
    """
    return replace(
        graph,
        nodes=tuple(
            _truncated(node, node.name in signed) if isinstance(node, Conv) else node for node in graph.nodes
        ),
    )


def _truncated(node: Conv, signed: bool) -> Conv:
    weight = rounded(node.weight, f"the weight of {node.name!r}")
    if signed:
        lost = (weight == 0) & (node.weight != 0)
        weight = np.where(lost, np.copysign(_SMALLEST, node.weight), weight)
    return replace(node, weight=weight, bias=rounded(node.bias, f"the bias of {node.name!r}"))


def run(graph: Graph, x: Mapping[str, Array]) -> dict[str, Array]:
    """Evaluate a network whose parameters are float16, with every tensor rounded to float16.

    Parameters
    ----------
    graph : Graph
        A network from :func:`truncate_parameters`.
    x : mapping of ndarray of real numbers, shape (N, *shape)
        The inputs, by name.

    Returns
    -------
    dict of ndarray of float64, shape (N, C, H, W)
        Every tensor, by name.

    Raises
    ------
    Unsupported
        A tensor exceeds the largest float16.
    """
    values = {}
    for item in graph.inputs:
        prepared = rounded(item.prepare(x[item.name]), f"input {item.name!r}")
        values[item.name] = prepared.swapaxes(0, 1)
    for node in graph.nodes:
        inputs = [values[name].astype(np.float32) for name in node.inputs]
        values[node.name] = rounded(evaluate(node, *inputs), f"tensor {node.name!r}")
    return {name: value.swapaxes(0, 1) for name, value in values.items()}
