"""Measure parity: every operator alone, and the network truncated layer after layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import floating
from hwquant.data import Samples
from hwquant.graph import Conv, Graph
from hwquant.host import after, before
from hwquant.progress import Progress
from hwquant.states import completed
from hwquant.truncation.operators import alone, has_reshape, kind, reshaped, rest
from hwquant.truncation.parity import ErrorSum, LayerParity, OperatorParity

Array = NDArray[Any]
Tensors = Mapping[str, Array]
Truncated = Callable[[Tensors], Tensors]
"""A truncated network between conversions: from the user's arrays by input name to every tensor, real (N, C, H, W)."""
Truncate = Callable[[Graph, Tensors], Truncated]
"""A function that truncates a network of one operator, given calibration data for it."""

_BATCH_ELEMENTS = 1 << 23
"""Elements of all tensors of a batch (64 MiB in float64)."""


@dataclass(frozen=True)
class TruncationStep:
    """What is truncated together: the tensors that become known, and the float operators behind them.

    Attributes
    ----------
    name : str
        Name of the step: its layer.
    tensors : tuple of str
        The tensors that become known with it.
    operators : tuple of str
        The float operators that compute them.
    """

    name: str
    tensors: tuple[str, ...]
    operators: tuple[str, ...]


def operator_parity(
    graph: Graph,
    calibration: Tensors,
    test: Tensors,
    truncate: Truncate,
    progress: Progress | None = None,
) -> tuple[OperatorParity, ...]:
    """Measure every operator alone, on the tensors that it reads in the float network.

    A matrix product that reads pixels, as the first fully connected layer behind convolutions does, has a row for the
    reshape between them before its own: the truncated tensor that goes in against the vector that is multiplied.

    Parameters
    ----------
    graph : Graph
        The float network.
    calibration : mapping of ndarray, shape (N, *shape)
        Calibration data by input name, for the truncation.
    test : mapping of ndarray, shape (N, *shape)
        Inputs by name that parity is measured on.
    truncate : callable
        The function that truncates a network of one operator, given calibration data for it.
    progress : Progress or None, optional
        Told of every operator.

    Returns
    -------
    tuple of OperatorParity
        A row for each operator, and for each reshape.
    """
    nodes = [(node, alone(node, graph)) for node in graph.nodes]
    truncated = []
    for done, (node, network) in enumerate(nodes):
        # Again and again from the inputs: all tensors at once would take the memory of all layers.
        truncated.append(truncate(network, floating.run(graph, calibration, keep=set(node.inputs))))
        if progress:
            progress("truncate each operator", done + 1, len(nodes))
    errors = {node.name: ErrorSum() for node, _ in nodes}
    reshapes = {node.name: ErrorSum() for node, _ in nodes if has_reshape(node, graph)}
    for done, count, part in batches(graph, test):
        exact = floating.run(graph, part, keep=graph.shapes)
        for (node, _), operator in zip(nodes, truncated):
            got = operator({name: exact[name] for name in node.inputs})
            errors[node.name].add(exact[node.name], got[node.name])
            if node.name in reshapes and isinstance(node, Conv):
                pixels = got[node.inputs[0]]
                reshapes[node.name].add(pixels, reshaped(node, pixels))
        if progress:
            progress("test each operator", done, count)
    rows = []
    for node, _ in nodes:
        if node.name in reshapes:
            rows.append(OperatorParity(f"into {node.name}", "reshape", reshapes[node.name].result()))
        rows.append(OperatorParity(node.name, kind(node, graph), errors[node.name].result()))
    return tuple(rows)


def layer_parity(
    graph: Graph,
    steps: Sequence[TruncationStep],
    truncated: Truncated,
    samples: Samples,
    progress: Progress | None = None,
) -> tuple[tuple[LayerParity, ...], float | None]:
    """Measure the network truncated up to each step, and float after it.

    Parameters
    ----------
    graph : Graph
        The float network whose tensors the steps name.
    steps : sequence of TruncationStep
        What is truncated, in order; the first has the inputs.
    truncated : callable
        The function from the inputs to the real values of all tensors of all steps.
    samples : Samples
        Inputs, perhaps with labels.
    progress : Progress or None, optional
        Told of the samples.

    Returns
    -------
    rows : tuple of LayerParity
        A row for each step.
    accuracy : float or None
        The accuracy of the float network, 0..1; None without labels.
    """
    known: set[str] = set()
    tails = []
    for step in steps:
        known |= set(step.tensors)
        tails.append(rest(graph, frozenset(known)))
    tensor_errors, output_errors = ([ErrorSum() for _ in steps] for _ in range(2))
    answers: list[list[Array]] = [[] for _ in range(len(steps) + 1)]
    outputs = [output.tensor for output in graph.outputs]
    for done, count, part in batches(graph, named(graph, samples.x)):
        exact = floating.run(graph, part, keep=graph.shapes)
        got = truncated(part)
        answers[-1].append(_answer(graph, part, exact))
        for index, (step, tail) in enumerate(zip(steps, tails)):
            for name in step.tensors:
                tensor_errors[index].add(exact[name], got[name])
            result = floating.run(tail, {item.name: got[item.name] for item in tail.inputs}, keep=outputs)
            for name in dict.fromkeys(outputs):
                output_errors[index].add(exact[name], result[name])
            answers[index].append(_answer(graph, part, result))
        if progress:
            progress("test layer after layer", done, count)
    accuracies = [samples.accuracy(np.concatenate(parts)) for parts in answers]
    rows = tuple(
        LayerParity(step.name, step.operators, tensor.result(), output.result(), accuracy)
        for step, tensor, output, accuracy in zip(steps, tensor_errors, output_errors, accuracies)
    )
    return rows, accuracies[-1]


def _answer(graph: Graph, part: Tensors, tensors: Tensors) -> Array:
    """The whole network's first output."""
    results = [floating.finish(output, tensors[output.tensor]) for output in graph.outputs]
    return after(graph, part, results)[0]


def named(graph: Graph, x: Array | Tensors) -> Tensors:
    """The user's arrays by input name, and what the head makes of them; a single array is that of the first input."""
    inner = completed(graph, before(graph, x), lambda one: floating.outputs(graph, one))
    return inner if isinstance(inner, Mapping) else {graph.inputs[0].name: inner}


def batches(graph: Graph, data: Tensors) -> Iterator[tuple[int, int, Tensors]]:
    """Parts of the data of which all tensors fit into memory: samples so far, samples in all, arrays."""
    elements = sum(math.prod(shape) for shape in graph.shapes.values())
    size = max(1, _BATCH_ELEMENTS // elements)
    count = len(next(iter(data.values())))
    for start in range(0, count, size):
        part = {name: array[start : start + size] for name, array in data.items()}
        yield min(start + size, count), count, part
