"""Quantization: a float :class:`~hwquant.graph.Graph` becomes an integer :class:`~hwquant.qgraph.QGraph`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hwquant.errors import check_type
from hwquant.graph import Graph
from hwquant.options import chosen
from hwquant.progress import Progress
from hwquant.qgraph import QGraph
from hwquant.quantize.calibration import Data
from hwquant.quantize.observe import Observed, observe_network
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.pipeline import quantize_observed

__all__ = ["Observed", "QuantizeOptions", "observe_network", "quantize", "quantize_observed"]


def quantize(
    graph: Graph,
    calibration: NDArray[Any] | Data,
    options: QuantizeOptions | None = None,
    *,
    progress: Progress | None = None,
    validation: NDArray[Any] | Data | None = None,
    **changes: Any,
) -> QGraph:
    """Quantize a network after training, to integers with integer offsets and pure shifts between layers.

    The method is CN112085154A / US 12,008,467 (``weights``), with scales chosen jointly so that
    ``S_x * S_w / S_y`` is a power of two in every layer (``scales``).

    Parameters
    ----------
    graph : the float network
    calibration : typical inputs, (N, *shape) as the network's user gives them; a mapping by input name where
        there are several inputs
    options : all options at once, or
    **changes : single options: the attributes of :class:`QuantizeOptions`
    progress : told of every stage
    validation : inputs that the result is measured on; they change no integer. Without them it is measured on
        calibration samples that layers were not fitted to, or, where there are too few, on those that they were

    Returns
    -------
    QGraph
        the same for the same arguments, bit for bit. Its ``options`` are plain JSON values: "quantizer" (the
        options), "calibration_samples", "layers" and "tensors" (scales, ranges, shifts, signal to noise
        ratios), "sqnr" (the outputs, the worst tensor, and the samples that it was measured on) and "warnings", which
        :func:`hwquant.advice.of_options` reads.

    Raises
    ------
    HwquantError
        for options out of range, calibration data that do not fit or are not finite, weights that are not
        finite, and networks that integers cannot express
    """
    check_type("graph", graph, Graph, hint="hwquant.load_model reads one")
    options = chosen(QuantizeOptions, options, changes)
    return quantize_observed(observe_network(graph, calibration, progress, validation), options, progress)
