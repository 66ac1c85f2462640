"""The layers of a network in order, each fitted to what the integer layers before it really produce.

The layers so far run on the calibration data as integers. From their output follow, per output channel, the mean error
that goes into the bias (``bias_correction``), and the covariances for error-compensated rounding (``compensation``).
"""

from __future__ import annotations

import numpy as np

from hwquant.progress import Progress
from hwquant.qgraph import Layer, QNode
from hwquant.quantize.assemble import assemble_layer, round_layer
from hwquant.quantize.bias_correction import mean_error
from hwquant.quantize.compensation import compensate
from hwquant.quantize.formats import Formats, integer_tensors
from hwquant.quantize.fuse import LayerPlan
from hwquant.quantize.integer_run import IntegerRun
from hwquant.quantize.observe import Observed
from hwquant.quantize.precision import Precision


def fit_layers(
    precision: Precision, formats: Formats, observed: Observed, progress: Progress | None = None
) -> tuple[QNode, ...]:
    """Compute the integer nodes of a plan whose tensors' formats are chosen.

    Parameters
    ----------
    precision : Precision
        The plan, and how its weights become integers.
    formats : Formats
        The formats of its tensors.
    observed : Observed
        The samples that layers are fitted to, and what the float network makes of them.
    progress : Progress or None, optional
        Called with "quantize", nodes done and nodes in all.

    Returns
    -------
    tuple of QNode
        The nodes, in the order of the plan.
    """
    plan = precision.plan
    run = IntegerRun(plan, integer_tensors(plan, formats), observed.samples)
    nodes: list[QNode] = []
    for node in plan.integer_nodes(lambda layer: _fit_layer(layer, precision, formats, observed, run)):
        run.step(node)
        nodes.append(node)
        if progress:
            progress("quantize", len(nodes), len(plan.nodes))
    return tuple(nodes)


def _fit_layer(
    layer: LayerPlan,
    precision: Precision,
    formats: Formats,
    observed: Observed,
    run: IntegerRun,
) -> Layer:
    """A layer rounded, with the errors of its weights compensated and its mean error in the bias, as asked for."""
    options = precision.options
    scales, terms = round_layer(layer, precision, formats, observed.statistics)
    if options.error_compensation:
        terms = compensate(layer, terms, run, observed.references)
    correction = np.zeros(())
    if options.bias_correction:
        correction = mean_error(layer, terms, observed.references.images, run)
    return assemble_layer(layer, terms, scales, correction, formats[layer.name])
