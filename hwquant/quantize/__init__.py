"""Quantization: a float :class:`~hwquant.graph.Graph` becomes an integer :class:`~hwquant.qgraph.QGraph`.

The rooms, in the order in which a network goes through them:

===================  ==================================================================================================
``fuse``             float nodes to layers: a :class:`~hwquant.quantize.plans.Plan`
``calibration``      what the calibration data say about each tensor
``equalize``         channels made alike where one scale cannot serve them
``judge_data``       what is wrong with the calibration data
``observe``          all of this once for a network, whatever the options: ``Observed``
``options``          what a user can ask for
``groups``           tensors that share a scale, and those whose scales differ by powers of two
``kept``             integers that the network had before it came here, taken over; ``observe_given`` needs no data for
                     them, and ``bounds`` none for what is computed from them by functions; ``implied`` has the formats
                     that follow from those given; ``thresholds`` and ``ties`` round sums where the source does
``precision``        bits and weight schemes, resolved from the options: ``Precision``
``value_ranges``     what the scale of each group has to represent; ``activations`` finds the best one for a mantissa
``scales``           all mantissas at once (``elimination`` finds the minimum): ``TensorFormat`` of ``formats``
``shifts``           weight scales that leave a pure shift between layers; ``layer_scales`` puts a layer's together
``weights``          method 1: weights to codes and an integer offset, as their ``weight_scheme`` says
``single_bit``       what one bit with an offset cannot hold
``assemble``         a layer in integers
``chains``           layers that hand on their sums without rescaling them
``references``       what the float network gives on the samples that layers are fitted to
``layerwise``        one after the other on what the integers before (``integer_run``) really give: ``compensation`` of
                     rounding errors, ``bias_correction``, biases of few bits (``narrow_bias``)
``fidelity``         how well each tensor stands for the float one; ``judge`` says what is wrong, ``remedies``
                     what helps
``report``           all of it as plain values
``pipeline``         the stages from ``Observed`` on
``balance``          channels balanced, where the network quantized both ways is better so
===================  ==================================================================================================
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from hwquant.errors import HwquantError, check_type
from hwquant.graph import Graph
from hwquant.history import with_steps
from hwquant.options import chosen
from hwquant.progress import Progress
from hwquant.qgraph import QGraph
from hwquant.quantize.balance import observe_for
from hwquant.quantize.calibration import Data
from hwquant.quantize.observe import Observed, observe_network
from hwquant.quantize.observe_given import observe_given
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.pipeline import quantize_observed
from hwquant.quantize.report import quantized_step

__all__ = ["Observed", "QuantizeOptions", "observe_for", "observe_network", "quantize", "quantize_observed"]


def quantize(
    graph: Graph,
    calibration: NDArray[Any] | Data | None = None,
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
    graph : Graph
        The float network.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them, optional
        Typical inputs, as the network's user gives them; a mapping by input name where there are
        several inputs. A network that says the integers of all its tensors needs none; what is left to round is then
        rounded to the nearest, and the result measured on random numbers.
    options : QuantizeOptions or None, optional
        All options at once, instead of single ones by name.
    progress : Progress or None, optional
        Told of every stage.
    validation : ndarray of real numbers, shape (N, *shape), or mapping of them, optional
        Inputs that the result is measured on; they change no integer. Without them it is measured on
        calibration samples that layers were not fitted to, or, where there are too few, on those that they were.
    **changes : Any
        Single options: the attributes of :class:`QuantizeOptions`.

    Returns
    -------
    QGraph
        The same for the same arguments, bit for bit. Its ``options`` are plain JSON values: "quantizer" (the
        options), "calibration_samples", "layers" and "tensors" (scales, ranges, shifts, signal to noise
        ratios), "sqnr" (the outputs, the worst tensor, and the samples that it was measured on), "kept" (the same
        of the integers that the network had, where it is not to keep them), "warnings", which
        :func:`hwquant.advice.of_options` reads, and "history", which :func:`hwquant.history.history` reads.

    Raises
    ------
    HwquantError
        For options out of range, calibration data that do not fit or are not finite, weights that are not
        finite, and networks that integers cannot express.

    Examples
    --------
    Method 1, 4 bits of which the last layer gets 8:

    >>> import hwquant
    >>> from hwquant import demo
    >>> graph = hwquant.load_model(demo.MODEL)
    >>> calibration = hwquant.load_samples(demo.CALIBRATION, graph.inputs).x
    >>> qgraph = hwquant.quantize_network(graph, calibration, bits={"*": 4, "scores": 8})
    >>> samples = hwquant.load_samples(demo.TEST_DATA, graph.inputs)
    >>> bool(samples.accuracy(hwquant.predict(qgraph, samples.x)[0]) > 0.95)
    True
    >>> [(term.bits, term.anchor, term.offset.shape) for node in qgraph.nodes[:1] for term in node.terms]
    [(4, 'min', (1,))]
    """
    check_type("graph", graph, Graph, hint="hwquant.load_model reads one")
    options = chosen(QuantizeOptions, options, changes)
    if options.scales == "keep" and graph.given:
        observed, options = observe_given(graph, calibration, options, progress, validation)
    elif calibration is None:
        raise HwquantError(
            f"network {graph.name!r} is to get integers of its own, for which calibration data are needed; give "
            "typical inputs (-c, --calibration-data)"
        )
    else:
        observed = observe_for(graph, calibration, options, progress, validation)
    qgraph = quantize_observed(observed, options, progress)
    told = with_steps(qgraph.options, [quantized_step(qgraph)])
    if options.scales != "keep" and graph.given:
        kept = quantize(graph, calibration, progress=progress, validation=validation)
        told["kept"] = kept.options["sqnr"]
    return replace(qgraph, options=told)
