"""From what is known of a network and its calibration data to integers, stage by stage."""

from __future__ import annotations

from dataclasses import replace

from hwquant.history import with_steps
from hwquant.progress import Progress
from hwquant.qgraph import QGraph, QNode
from hwquant.quantize.formats import Formats, integer_tensors
from hwquant.quantize.implied import kept_formats
from hwquant.quantize.layerwise import fit_layers
from hwquant.quantize.observe import RANDOM, Observed
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
    """Quantize a network that was observed, its channels as they are in there.

    :func:`hwquant.quantize.quantize` gives the same for its data with ``equalization=False``, or after
    :func:`hwquant.quantize.balance`.

    Parameters
    ----------
    observed : Observed
        The network and what is known of it, from :func:`hwquant.quantize.observe_network`.
    options : QuantizeOptions
        What is asked for.
    progress : Progress or None, optional
        Called with the stage, steps done and steps in all.
    described : bool, default True
        Measure the result, too. Otherwise its ``options`` lack "layers", "tensors", "sqnr" and "warnings", which take
        as long as all the rest.

    Returns
    -------
    QGraph
        The integer network.

    Raises
    ------
    HwquantError
        Options that do not suit the network, and networks that integers cannot express.
    """
    precision = resolve_precision(observed.plan, options)
    kept = kept_formats(observed.plan, precision.groups, precision.bits) if precision.keep else None
    formats: Formats = choose_scales(precision, observed.statistics, observed.tables, kept)
    fitted = fit_layers(precision, formats, observed, progress)
    precision, formats = fitted.precision, fitted.formats
    qgraph = integer_network(observed, precision, formats, fitted.nodes)
    if not described:
        return qgraph
    # Random numbers are no evidence of what is wrong with a network.
    return with_report(qgraph, observed, precision, formats, trained=observed.judged_by == RANDOM)


def integer_network(
    observed: Observed, precision: Precision, formats: Formats, nodes: tuple[QNode, ...]
) -> QGraph:
    """Put the integer nodes together to a network, whose ``options`` say how it was asked for."""
    graph = observed.graph
    chosen = replace(precision.options, scales="keep") if precision.keep else precision.options
    asked = {"quantizer": chosen.as_json(), "calibration_samples": observed.count}
    tensors = integer_tensors(precision.plan, formats)
    options = with_steps(asked, graph.history)
    return QGraph(graph.name, graph.inputs, nodes, graph.outputs, tensors, options, graph.host)


def with_report(
    qgraph: QGraph, observed: Observed, precision: Precision, formats: Formats, trained: bool = False
) -> QGraph:
    """Add to a network's ``options`` what quantization did to it: see :mod:`hwquant.quantize.report`."""
    report = quantization_report(observed, qgraph, precision, formats, trained)
    return replace(qgraph, options={**qgraph.options, **report})
