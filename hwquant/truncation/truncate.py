"""Truncation of a trained network, with its parity report (a phased-array laboratory's method)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.data import Samples
from hwquant.errors import HwquantError, Unsupported
from hwquant.graph import Conv, Graph
from hwquant.history import Step, with_steps
from hwquant.progress import Progress
from hwquant.qgraph import QGraph
from hwquant.quantize import observe_network, quantize_observed
from hwquant.quantize.calibration import check_data
from hwquant.quantize.equalize import rescale
from hwquant.quantize.fuse import plan_layers
from hwquant.truncation import fixed_point, float16
from hwquant.truncation.fixed_point import Binary
from hwquant.truncation.measure import (
    Tensors,
    Truncate,
    Truncated,
    TruncationStep,
    layer_parity,
    named,
    operator_parity,
)
from hwquant.truncation.parity import ParityReport

if TYPE_CHECKING:
    from hwquant.training import Training
    from hwquant.training.loop import Evaluate

Target = Literal["float16", "int8", "binary"]
TARGETS: tuple[Target, ...] = get_args(Target)
_EVALUATED = 2000
"""Samples that the accuracy after each epoch is an estimate from."""
BINARY: tuple[Binary, ...] = get_args(Binary)


@dataclass(frozen=True, eq=False)
class Truncation:
    """A truncated network.

    Attributes
    ----------
    to : str
        "float16", "int8" or "binary".
    graph : Graph
        The float network with its parameters in float16, from which int8 and binary go on.
    qgraph : QGraph or None
        The integer network; None for float16.
    parity : ParityReport
        How close it is to the float network.
    """

    to: str
    graph: Graph
    qgraph: QGraph | None
    parity: ParityReport


def truncate(
    graph: Graph,
    calibration: NDArray[Any] | Tensors,
    to: Target = "int8",
    *,
    test: Samples | None = None,
    int8_ends: bool = False,
    binary: Binary = "bipolar",
    training: Training | None = None,
    progress: Progress | None = None,
) -> Truncation:
    """Truncate a network that was trained in float32, and measure what each truncation costs.

    Parameters are rounded to float16 first, and from there to 8-bit or 1-bit fixed point: every scale is a
    power of two (``hwquant.truncation.fixed_point``). Each operator then works between explicit conversions
    of its inputs and of its output. Numbers are rounded to the nearest that is left; cutting bits off would
    shift every number by half a step on average.

    Parameters
    ----------
    graph : Graph
        The trained network.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        Typical inputs, as for :func:`hwquant.quantize.quantize`.
    to : {"float16", "int8", "binary"}, default "int8"
        What it is truncated to: "int8" weights and activations; "binary" 1-bit weights and activations in 8 bits.
    test : Samples or None, optional
        Inputs, perhaps with labels, that parity is measured on; the calibration data if None.
    int8_ends : bool, default False
        Leave the first and the last layer with weights in 8 bits where the rest is "binary".
    binary : {"bipolar", "unipolar"}, default "bipolar"
        What binary weights are, with a scale ``S`` for each output channel: +S or -S, by their sign, as published; or
        0 or S, or 0 or -S.
    training : Training or None, optional
        What the integer network is fine-tuned with; not at all if None. What is returned is the best on its validation
        samples, or on a share of the training data that is not trained on, of the networks without training and after
        it. Unless it evaluates in another way, the score of an epoch is the accuracy on ``test``.
    progress : Progress or None, optional
        Told of everything but the fine-tuning, of which the training's is.

    Returns
    -------
    Truncation
        The truncated network, and its parity.

    Raises
    ------
    HwquantError
        For a target that does not exist or does not suit the other arguments, parameters or tensors beyond
        float16, data that do not fit, and what the quantizer refuses.

    Examples
    --------
    Method 5, to 8 bits, with each operator's parity as a test:

    >>> import hwquant
    >>> from hwquant import demo
    >>> graph = hwquant.load_model(demo.MODEL)
    >>> calibration = hwquant.load_samples(demo.CALIBRATION, graph.inputs).x
    >>> samples = hwquant.load_samples(demo.TEST_DATA, graph.inputs)
    >>> result = hwquant.truncate_network(graph, calibration, "int8", test=samples)
    >>> [row.name for row in result.parity.operators]
    ['conv1', 'relu1', 'conv2', 'relu2', 'pool', 'into scores', 'scores']
    >>> hwquant.check_parity(result.parity, hwquant.ParityLimits(max_drop=0.5, min_sqnr=20.0))
    ()
    """
    _check_arguments(graph, to, int8_ends, binary, training)
    data = check_data(graph, calibration)
    names = _binary(graph, to, int8_ends)
    signed = names if binary == "bipolar" else frozenset[str]()
    _check_zeros(graph, signed)
    if test is None:
        test = Samples(data if len(data) > 1 else next(iter(data.values())), None)
    operators = operator_parity(graph, data, named(graph, test.x), _operator(to, names, binary), progress)

    parameters, qgraph, exact = float16.truncate_parameters(graph, signed), None, graph
    if to == "float16":
        steps = [TruncationStep(node.name, (node.name,), (node.name,)) for node in graph.nodes]
        run: Truncated = partial(float16.run, parameters)
    else:
        observed = observe_network(parameters, data, progress)
        options = fixed_point.options(to, names, binary)
        if training is None:
            qgraph = quantize_observed(observed, options, progress)
            step = Step("truncate", f"to {to}{f', {binary}' if to == 'binary' else ''}, not fine-tuned")
            qgraph = replace(qgraph, options=with_steps(qgraph.options, [step]))
        else:
            training = replace(training, evaluate=training.evaluate or _accuracy(test))
            qgraph = fixed_point.finetune(observed, options, training, data)
        # Planning may move activations and rescale channels, and rounds nothing: these are the float tensors of
        # integer layers.
        plan = plan_layers(rescale(graph, observed.equalized))
        exact, members = plan.graph, {layer.name: layer.members for layer in plan.layers}
        steps = [
            TruncationStep(node.name, (node.name,), members.get(node.name, (node.name,)))
            for node in qgraph.nodes
        ]
        run = integers(qgraph)
    inputs = tuple(item.name for item in graph.inputs)
    steps.insert(0, TruncationStep(", ".join(inputs), inputs, ()))
    layers, accuracy = layer_parity(exact, steps, run, test, progress)
    return Truncation(to, parameters, qgraph, ParityReport(to, len(test), operators, layers, accuracy))


def _check_arguments(
    graph: Graph, to: Target, int8_ends: bool, binary: Binary, training: Training | None
) -> None:
    """Raise for a target that does not exist or does not suit the other arguments."""
    if to not in TARGETS:
        raise HwquantError(f"to must be one of {', '.join(TARGETS)}, not {to!r}")
    if binary not in BINARY:
        raise HwquantError(f"binary must be one of {', '.join(BINARY)}, not {binary!r}")
    if int8_ends and to != "binary":
        raise HwquantError(f"int8_ends is for binary weights; leave it out with {to!r}")
    if training is not None and to == "float16":
        raise HwquantError("float16 networks are not fine-tuned: leave the training data out")
    if training is not None and len(graph.inputs) > 1:
        raise Unsupported(f"network {graph.name!r} has several inputs; fine-tuning trains networks of one")


def _accuracy(test: Samples) -> Evaluate | None:
    """The accuracy on some of the test samples, where they are such as one can train with, and have labels."""
    from hwquant.training import accuracy

    if test.y is None or isinstance(test.x, Mapping):
        return None
    x, y = test.x[:_EVALUATED], test.y[:_EVALUATED]
    return lambda module: accuracy(module, x, y)


def _check_zeros(graph: Graph, signed: Collection[str]) -> None:
    """Raise where weights that are to be +S or -S are 0."""
    for node in graph.nodes:
        if isinstance(node, Conv) and node.name in signed and not node.weight.all():
            count = int(np.count_nonzero(node.weight == 0))
            raise Unsupported(
                f"{count} weights of {node.name!r} are exactly 0, as pruned ones are, and bipolar weights are +S or "
                '-S; choose "unipolar" (--binary unipolar), or keep 8 bits',
                where=node.name,
            )


def _binary(graph: Graph, to: Target, int8_ends: bool) -> frozenset[str]:
    """Names of the operators whose weights get one bit; raises where there is nothing to truncate."""
    names = fixed_point.weighted(graph)
    if not names or (int8_ends and len(names) < 3):
        where = " between its ends: leave int8_ends out" if int8_ends else ""
        raise Unsupported(f"network {graph.name!r} has no weights to truncate{where}")
    return frozenset(names[1:-1] if int8_ends else names) if to == "binary" else frozenset()


def integers(qgraph: QGraph) -> Truncated:
    """Make an integer network one between conversions: quantize, run, dequantize every tensor."""

    def run(x: Tensors) -> Tensors:
        q = golden.run(qgraph, golden.quantize_input(qgraph, x), keep=qgraph.tensors)
        return {name: qgraph.tensors[name].dequantize(value) for name, value in q.items()}

    return run


def _operator(to: str, names: frozenset[str], binary: Binary) -> Truncate:
    """A function that truncates an operator alone, with the weights and bits that it has in the network."""

    def truncate_operator(network: Graph, inputs: Tensors) -> Truncated:
        own = names & {node.name for node in network.nodes}
        parameters = float16.truncate_parameters(network, own if binary == "bipolar" else ())
        if to == "float16":
            return partial(float16.run, parameters)
        options = fixed_point.options(to, own, binary)
        return integers(quantize_observed(observe_network(parameters, inputs), options, described=False))

    return truncate_operator
