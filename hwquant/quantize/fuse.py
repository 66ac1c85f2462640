"""From float nodes to the layers that the hardware runs: what is fused into what.

A :class:`LayerPlan` is a sum of linear terms, a bias and a clamp, which the accelerator computes in one pass:

- Clip (ReLU, ReLU6) goes into the layer before it; one that follows a MaxPool first changes places with it.
- Add takes the convolutions before it as terms of its own, which saves a rounding each, and reads its other
  inputs through an identity term.
- AveragePool is a term with constant weights.
- A product of two tensors (:class:`ProductPlan`) takes in the Clip behind it, as a layer does.
- A Function becomes a table behind the clamp of the layer before it, and takes in what clips or functions follow.
- A Clip or a Function that nothing can take in (on an input, or where others read the tensor in front of it) is a
  layer with one identity term.

A layer carries the name of the last node that is fused into it, and so does its tensor. A tensor whose integers are
given (:mod:`hwquant.given`) stays one of its own: what reads it is not fused into the layer that gives it, but for a
function.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from hwquant.errors import HwquantError
from hwquant.expression import Expression, bounded
from hwquant.graph import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    Function,
    Graph,
    MaxPool,
    Multiply,
    Node,
    Rearrange,
)
from hwquant.quantize.plans import FunctionPlan, LayerPlan, Plan, PlanNode, ProductPlan, TermPlan


def plan_layers(graph: Graph) -> Plan:
    """Fuse the nodes of a float network into layers.

    Parameters
    ----------
    graph : Graph
        The float network.

    Returns
    -------
    Plan
        Its layers.

    Raises
    ------
    HwquantError
        Weights are not finite, a clip has bounds that leave no number, or an average leaves its padding out.
    """
    graph = hoist_functions(graph)
    readers = _readers(graph)
    averages = {node.name for node in graph.nodes if isinstance(node, AveragePool)}
    planned: dict[str, PlanNode] = {}
    for node in graph.nodes:
        match node:
            case Conv():
                planned[node.name] = _scaled_average(node, graph, planned, readers) or _convolution(node)
            case AveragePool():
                planned[node.name] = _average(node, graph)
            case Add():
                planned[node.name] = _addition(node, graph, planned, readers, averages)
            case Multiply():
                a, b = node.inputs
                planned[node.name] = ProductPlan(node.name, (a, b), (node.name,))
            case Clip():
                planned[node.name] = _clip(node, graph, planned, readers)
            case Function():
                planned[node.name] = _function(node, graph, planned, readers)
            case MaxPool() | Concat() | Rearrange():
                planned[node.name] = node
            case _:
                assert_never(node)
    return Plan(graph, tuple(planned.values()))


def hoist_functions(graph: Graph) -> Graph:
    """Move each Clip that follows a MaxPool before it, where the layer before can take it in.

    So it goes with a Function that never falls: the maximum of clipped values is the clipped maximum. The MaxPool
    takes the Clip's name, so that its tensor is found under that name as before; the Clip gets a new one.
    """
    while True:
        readers = _readers(graph)
        nodes = {node.name: node for node in graph.nodes}
        for clip in graph.nodes:
            if not (isinstance(clip, Clip) or (isinstance(clip, Function) and clip.expression.rises)):
                continue
            pool = nodes.get(clip.inputs[0])
            if not isinstance(pool, MaxPool) or readers[pool.name] > 1:
                continue
            source = pool.inputs[0]
            if (
                source in graph.given.formats
                or source not in nodes
                or isinstance(nodes[source], Concat | Rearrange)
                or readers[source] > 1
            ):
                continue
            name = f"{source}.{clip.name}"
            while name in graph.shapes:
                name += "_"
            before = replace(clip, name=name, inputs=(source,))
            after = replace(pool, name=clip.name, inputs=(name,))
            changed: list[Node] = []
            for node in graph.nodes:
                if node is pool:
                    changed += [before, after]
                elif node is not clip:
                    changed.append(node)
            graph = replace(graph, nodes=tuple(changed))
            break
        else:
            return graph


def _readers(graph: Graph) -> Counter[str]:
    """How often each tensor is read, by nodes and by outputs."""
    return Counter(
        [name for node in graph.nodes for name in node.inputs] + [output.tensor for output in graph.outputs]
    )


def _convolution(node: Conv) -> LayerPlan:
    if not (np.isfinite(node.weight).all() and np.isfinite(node.bias).all()):
        raise HwquantError(
            f"the weights of {node.name!r} hold a NaN or an infinity; train or export it again"
        )
    term = TermPlan(node.name, node.inputs[0], node.weight, node.window, node.groups)
    return LayerPlan(node.name, (term,), node.bias, (node.name,))


def _scaled_average(
    node: Conv, graph: Graph, planned: dict[str, PlanNode], readers: Counter[str]
) -> LayerPlan | None:
    """An average that is multiplied by one number: a sum, whose integers are exact where those of its tensor are given.

    None for everything else, and where no integers are given.
    """
    name = node.inputs[0]
    source = planned.get(name)
    single = node.groups == len(node.weight) and node.weight.shape[1:] == (1, 1, 1)
    factor = float(node.weight.flat[0])
    if not (graph.given and single and factor > 0 and (node.weight == factor).all()):
        return None
    alone = readers[name] == 1 and name not in graph.given.formats
    if not (alone and isinstance(source, LayerPlan) and source.linear and source.terms[0].constant):
        return None
    del planned[name]
    term = replace(source.terms[0], weight=source.terms[0].weight * factor, unit=None)
    return LayerPlan(node.name, (term,), node.bias, (*source.members, node.name))


def _average(node: AveragePool, graph: Graph) -> LayerPlan:
    if node.window.padded and not node.count_include_pad:
        raise HwquantError(
            f"average pooling {node.name!r} leaves its padding out of the mean, so that its divisor changes "
            "from pixel to pixel; use count_include_pad, or no padding"
        )
    channels = graph.shapes[node.name][0]
    area = math.prod(node.window.kernel)
    unit = 1 / area if area & (area - 1) == 0 else None
    weight = np.full((channels, 1, *node.window.kernel), 1 / area)
    term = TermPlan(node.name, node.inputs[0], weight, node.window, groups=channels, unit=unit, constant=True)
    return LayerPlan(node.name, (term,), np.zeros(channels), (node.name,))


def _identity(node: str, tensor: str, graph: Graph) -> TermPlan:
    channels = graph.shapes[tensor][0]
    return TermPlan(node, tensor, np.ones((channels, 1, 1, 1)), groups=channels, unit=1.0)


def _addition(
    node: Add, graph: Graph, planned: dict[str, PlanNode], readers: Counter[str], averages: set[str]
) -> LayerPlan:
    terms: list[TermPlan] = []
    bias = np.zeros(graph.shapes[node.name][0])
    members: list[str] = []
    together = not graph.given or _one_unit([planned.get(name) for name in node.inputs], graph)
    for name in node.inputs:
        source = planned.get(name)
        alone = readers[name] == 1 and name not in averages and together
        if alone and isinstance(source, LayerPlan) and source.linear:
            del planned[name]
            terms += source.terms
            bias = bias + source.bias
            members += source.members
        else:
            terms.append(_identity(node.name, name, graph))
    return LayerPlan(node.name, tuple(terms), bias, (*members, node.name))


def _one_unit(sources: Sequence[PlanNode | None], graph: Graph) -> bool:
    """Whether sums with given weights count in one unit, as those of the parts of one matrix do.

    Others keep their scales, which suit no common accumulator.
    """
    units = set()
    for source in sources:
        if not isinstance(source, LayerPlan) or not source.linear or source.name in graph.given.formats:
            return False
        for term in source.terms:
            grid, form = graph.given.weights.get(term.node), graph.given.formats.get(term.input)
            if grid is None or form is None:
                return False
            units.add((form.scale, *grid.scale.tolist()))
    return len(units) == 1


def _clip(
    node: Clip, graph: Graph, planned: dict[str, PlanNode], readers: Counter[str]
) -> LayerPlan | ProductPlan:
    if not node.low <= node.high:
        raise HwquantError(
            f"clip {node.name!r} has the lower bound {node.low} above its upper bound {node.high}"
        )
    if node.low == math.inf or node.high == -math.inf:
        raise HwquantError(f"clip {node.name!r} has an infinite lower or upper bound, which leaves no number")
    name = node.inputs[0]
    source = planned.get(name)
    if isinstance(source, LayerPlan | ProductPlan) and readers[name] == 1 and name not in graph.given.formats:
        del planned[name]
        if isinstance(source, LayerPlan) and source.function:
            return _composed(source, node.name, bounded(Expression(), node.low, node.high))
        return replace(
            source,
            name=node.name,
            members=(*source.members, node.name),
            low=min(max(source.low, node.low), node.high),
            high=min(max(source.high, node.low), node.high),
        )
    bias = np.zeros(graph.shapes[node.name][0])
    return LayerPlan(node.name, (_identity(node.name, name, graph),), bias, (node.name,), node.low, node.high)


def _function(node: Function, graph: Graph, planned: dict[str, PlanNode], readers: Counter[str]) -> LayerPlan:
    name = node.inputs[0]
    source = planned.get(name)
    # Integers that are given in front of a function are its table's addresses; those behind one are rounded.
    apart = isinstance(source, LayerPlan) and source.function is not None and name in graph.given.formats
    if isinstance(source, LayerPlan) and readers[name] == 1 and not apart:
        del planned[name]
    else:
        bias = np.zeros(graph.shapes[node.name][0])
        source = LayerPlan(node.name, (_identity(node.name, name, graph),), bias, ())
    if source.function:
        return _composed(source, node.name, node.expression)
    argument = f"{node.name}/argument"
    while argument in graph.shapes:
        argument += "_"
    function = FunctionPlan(node.expression, name, argument)
    return replace(source, name=node.name, members=(*source.members, node.name), function=function)


def _composed(source: LayerPlan, name: str, outer: Expression) -> LayerPlan:
    """A layer with a function, and another one of that."""
    assert source.function is not None
    function = replace(source.function, expression=outer.of(source.function.expression))
    return replace(source, name=name, members=(*source.members, name), function=function)
