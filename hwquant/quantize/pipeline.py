"""From what is known of a network and its calibration data to integers, stage by stage."""

from __future__ import annotations

from dataclasses import replace

from hwquant.progress import Progress
from hwquant.qgraph import QGraph, QNode
from hwquant.quantize.formats import Formats, integer_tensors
from hwquant.quantize.layerwise import fit_layers
from hwquant.quantize.observe import Observed
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.precision import Precision, resolve_precision
from hwquant.quantize.report import quantization_report
from hwquant.quantize.scales import choose_scales


def quantize_observed(
    observed: Observed,
    options: QuantizeOptions,
    progress: Progress | None = None,
    described: bool = True,
) -> QGraph:
    """The network that :func:`hwquant.quantize.quantize` gives for the same network, data and options.

    Parameters
    ----------
    observed : Observed
        The network and what is known of it, from :func:`hwquant.quantize.observe_network`.
    options : QuantizeOptions
        What is asked for.
    progress : Progress or None
        Called with the stage, steps done and steps in all.
    described : bool
        Without it the result's ``options`` lack "layers", "tensors", "sqnr" and "warnings", which take as long
        to measure as all the rest.

    Raises
    ------
    HwquantError
        Options that do not suit the network, and networks that integers cannot express.
    """
    precision = resolve_precision(observed.plan, options)
    formats = choose_scales(precision, observed.statistics, observed.tables)
    nodes = fit_layers(precision, formats, observed, progress)
    qgraph = integer_network(observed, precision, formats, nodes)
    return with_report(qgraph, observed, precision, formats) if described else qgraph


def integer_network(
    observed: Observed, precision: Precision, formats: Formats, nodes: tuple[QNode, ...]
) -> QGraph:
    """The integer nodes as one network; its ``options`` say how it was asked for."""
    graph = observed.graph
    asked = {"quantizer": precision.options.as_json(), "calibration_samples": observed.count}
    tensors = integer_tensors(precision.plan, formats)
    return QGraph(graph.name, graph.inputs, nodes, graph.outputs, tensors, asked)


def with_report(
    qgraph: QGraph, observed: Observed, precision: Precision, formats: Formats, trained: bool = False
) -> QGraph:
    """The network with what became of it in its ``options``: :func:`hwquant.quantize.report.quantization_report`."""
    report = quantization_report(observed, qgraph, precision, formats, trained)
    return replace(qgraph, options={**qgraph.options, **report})
