"""A network after one look at its calibration data: what every choice of options has in common."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from hwquant.graph import Graph
from hwquant.qgraph import QGraph
from hwquant.quantize.calibration import Data, Progress, TensorStatistics, check_data, observe
from hwquant.quantize.elimination import Cost
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.polish import build_nodes, fitting_samples, mean_images
from hwquant.quantize.report import describe
from hwquant.quantize.scales import choose_scales, term_bits, weight_scheme
from hwquant.quantize.structure import Plan, plan_layers
from hwquant.quantize.weights import Array


@dataclass(frozen=True, eq=False)
class Observed:
    """All that quantization needs besides its options; who tries many options makes it once.

    Attributes
    ----------
    graph : the float network
    plan : its layers
    statistics : of every tensor, over all calibration samples
    samples : those that layers are fitted to, by input name
    images : mean over ``samples`` of each float tensor that a layer reads, float64 (C, H, W)
    count : number of calibration samples
    tables : what earlier calls of :func:`quantize_observed` have found out about single weights; it changes no
        result
    """

    graph: Graph
    plan: Plan
    statistics: Mapping[str, TensorStatistics]
    samples: Mapping[str, NDArray[Any]]
    images: Mapping[str, Array]
    count: int
    tables: dict[Hashable, Cost] = field(default_factory=dict)


def observe_network(
    graph: Graph, calibration: NDArray[Any] | Data, progress: Progress | None = None
) -> Observed:
    """Runs the float network on the calibration data; arguments and errors are those of
    :func:`hwquant.quantize.quantize`."""
    data = check_data(graph, calibration)
    plan = plan_layers(graph)
    statistics = observe(plan.graph, data, plan.tensors, progress)
    samples = fitting_samples(plan, data)
    count = len(next(iter(data.values())))
    return Observed(graph, plan, statistics, samples, mean_images(plan, samples), count)


def quantize_observed(
    observed: Observed,
    options: QuantizeOptions,
    progress: Progress | None = None,
    described: bool = True,
) -> QGraph:
    """The network that :func:`hwquant.quantize.quantize` gives for the same network, data and options.

    Without ``described`` its ``options`` lack "layers" and "tensors", which take as long to measure as all
    the rest.
    """
    plan, samples = observed.plan, observed.samples
    activations = choose_scales(plan, observed.statistics, options, observed.tables)
    tensors = {name: activations[name].tensor(name, plan.graph.shapes[name]) for name in plan.tensors}
    nodes = build_nodes(
        plan, activations, tensors, observed.statistics, samples, observed.images, options, progress
    )
    summary: dict[str, object] = {
        "quantizer": options.as_json(),
        "calibration_samples": observed.count,
    }
    graph = observed.graph
    qgraph = QGraph(graph.name, graph.inputs, tuple(nodes), graph.outputs, tensors, summary)
    if described:
        bits = term_bits(plan, options)
        schemes = {
            layer.name: [weight_scheme(term, plan, bits, options) for term in layer.terms]
            for layer in plan.layers
        }
        summary.update(describe(plan, qgraph, schemes, activations, samples))
    return qgraph
