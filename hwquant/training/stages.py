"""Progressive quantization, sub-network by sub-network (CN112884133A), and all at once for comparison.

The network is cut into sub-networks of consecutive layers. In order, the inputs of a sub-network and the part of its
weights that is largest in absolute value, sorted over all of the sub-network, become integers for good, and what is
still float, in all of the network, is fine-tuned to make up for it. When the last sub-network is done, the remaining
weights follow in rounds, the largest first, with fine-tuning in between. Biases belong to the remaining parameters: an
accumulator holds them in steps so fine that they are never worth freezing early.

``literal`` (:class:`ProgressiveOptions`) is that and nothing else. Otherwise three things are added. The network starts
from what the quantizer makes of it without training (:mod:`hwquant.training.rate`). Before the first sub-network,
everything is trained for a while as what it will be rounded to (straight-through), and so is what is still float
afterwards; freezing it then changes nothing but that it stays: towards the end of a training, weights that are left to
oscillate between two integers are noise for the others (Nagel et al., "Overcoming Oscillations in Quantization-Aware
Training", ICML 2022). And a guard (:mod:`hwquant.training.guard`) returns the best of the networks without training,
the trained one, and what it was after an earlier epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwquant.graph import Graph
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions, observe_for
from hwquant.training.options import ProgressiveOptions
from hwquant.training.quantized import QuantizedNetwork
from hwquant.training.subnetworks import SubNetwork, convolutions, cut
from hwquant.training.training import Training
from hwquant.training.tuning import Calibration, Convert, Method, Stage, tune

ROUNDED_SHARE, SUBNETWORKS_SHARE, LAST_SHARE = 0.97, 0.018, 0.004
"""Shares of all epochs: before the first sub-network, for the sub-networks, and for the biases when nothing else is
left; the rounds before the last one have the rest. Freezing while the learning rate is still high (from 60, 80 or 90 %
on) costs up to a point of accuracy on grids of 2 bits, and gains nothing that shows on those of 3 and 4; when the rate
has nearly come down, weights have settled, and it costs nothing."""
LITERAL_STEPS = 10
"""Steps that a stage of the literal method has at least: its weights change when they are frozen."""


def progressive(
    graph: Graph,
    training: Training,
    calibration: Calibration,
    options: QuantizeOptions | None = None,
    stages: ProgressiveOptions | None = None,
) -> QGraph:
    """Quantize a network part by part, and fine-tune what is still float after each.

    Parameters
    ----------
    graph : Graph
        The trained float network; weights that are exactly zero stay zero.
    training : Training
        What is trained with. The epochs are those of all stages together: 97 % before the first sub-network, 2 % for
        the sub-networks, the rest for the rounds, in the last of which only biases are left to train. With ``literal``
        the sub-networks, and the rounds that train, have equal shares, but at least 10 steps each. The learning rate
        follows one schedule over all of them; where none is given, short trainings that count besides find it.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        Typical inputs, as for :func:`hwquant.quantize.quantize`.
    options : QuantizeOptions or None, optional
        Options of the quantizer.
    stages : ProgressiveOptions or None, optional
        What becomes an integer when.

    Returns
    -------
    QGraph
        The best on the samples that decide (``training.validation``, or a share of the training data) of the networks
        without training and the trained ones; with ``literal`` the trained one. It computes what the fine-tuned network
        does, bit for bit. Its ``options`` have, besides those of :func:`hwquant.quantize.quantize`, "progressive":
        "fraction", "rounds" and so on, "training", "start", "lr" and the "trials" that found them, "stages" with each
        stage's name, share of frozen weights, loss and score, and "guard", which network was returned and why.

    Raises
    ------
    HwquantError
        Options that the network does not suit, training data of which none can be held back, a training that
        diverges, or a checkpoint of another one.

    Examples
    --------
    Method 2, with 3 bits; the guard returns what is best on the validation samples:

    >>> import hwquant
    >>> from hwquant import demo
    >>> graph = hwquant.load_model(demo.MODEL)
    >>> calibration = hwquant.load_samples(demo.CALIBRATION, graph.inputs).x
    >>> samples = hwquant.load_samples(demo.TEST_DATA, graph.inputs)
    >>> train, validation, test = samples[:160], samples[160:260], samples[260:]
    >>> options = hwquant.TrainOptions(epochs=1, batch_size=16, lr=1e-3)
    >>> training = hwquant.Training(train.pair(), options, validation=validation.pair())
    >>> bits = hwquant.QuantizeOptions(bits=3)
    >>> qgraph = hwquant.quantize_progressively(graph, training, calibration, bits)
    >>> [score["name"] for score in qgraph.options["progressive"]["guard"]["scores"][:3]]
    ['compensated', 'direct', 'trained']
    >>> bool(test.accuracy(hwquant.predict(qgraph, test.x)[0]) > 0.9)
    True
    """
    chosen = stages or ProgressiveOptions()
    options = options or QuantizeOptions()
    if chosen.literal:
        options = replace(options, equalization=False)
    observed = observe_for(graph, calibration, options)
    parts = cut(observed.plan, chosen.subnetworks)
    summary = {**chosen.as_json(), "subnetworks": len(parts)}
    in_order = _literal(parts, chosen) if chosen.literal else _stages(parts, chosen)
    method = Method("progressive", "progressive", in_order, summary, chosen.literal)
    return tune(method, observed, training, calibration, options)


def finetune_all_at_once(
    graph: Graph, training: Training, calibration: Calibration, options: QuantizeOptions | None = None
) -> QGraph:
    """Quantize everything at the start, and fine-tune with straight-through gradients.

    Weights and biases are rounded in the forward pass, and frozen in the end.

    Parameters
    ----------
    graph : Graph
        The trained float network; weights that are exactly zero stay zero.
    training : Training
        What is trained with.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        Typical inputs, as for :func:`hwquant.quantize.quantize`.
    options : QuantizeOptions or None, optional
        Options of the quantizer, as for :func:`progressive`.

    Returns
    -------
    QGraph
        The best on the samples that decide, as of :func:`progressive`; "finetuned" in its ``options`` says which.

    Raises
    ------
    HwquantError
        As :func:`progressive`.
    """
    stage = Stage("all at once", _nothing, 1.0)
    method = Method("finetuned", "progressive --all-at-once", [stage], {}, literal=False)
    options = options or QuantizeOptions()
    return tune(method, observe_for(graph, calibration, options), training, calibration, options)


def _stages(parts: Sequence[SubNetwork], options: ProgressiveOptions) -> list[Stage]:
    """Everything rounded, then a stage for each sub-network, then the rounds."""
    rounds, rest = options.all_rounds, 1 - ROUNDED_SHARE - SUBNETWORKS_SHARE - LAST_SHARE
    share = SUBNETWORKS_SHARE / len(parts)
    stages = [Stage("all at once", _nothing, ROUNDED_SHARE)]
    for number, part in enumerate(parts, 1):
        freeze = _freeze([part], options.fraction)
        stages.append(Stage(f"sub-network {number}/{len(parts)}", freeze, share))
    for number in range(1, rounds):
        freeze = _freeze(parts, options.fraction)
        stages.append(Stage(f"round {number}/{rounds}", freeze, rest / (rounds - 1)))
    return [*stages, Stage(f"round {rounds}/{rounds}", _freeze(parts, 1.0), LAST_SHARE)]


def _literal(parts: Sequence[SubNetwork], options: ProgressiveOptions) -> list[Stage]:
    """The stages as published; nothing is trained when all weights are integers."""
    rounds = options.all_rounds
    share = 1 / (len(parts) + rounds - 1)
    stages = [
        Stage(
            f"sub-network {number}/{len(parts)}",
            _quantize_part(part, number == len(parts), options.fraction),
            share,
            LITERAL_STEPS,
        )
        for number, part in enumerate(parts, 1)
    ]
    for number in range(1, rounds):
        freeze = _freeze(parts, options.fraction)
        stages.append(Stage(f"round {number}/{rounds}", freeze, share, LITERAL_STEPS))
    return [*stages, Stage(f"round {rounds}/{rounds}", _freeze(parts, 1.0), 0.0)]


def _nothing(network: QuantizedNetwork) -> None:
    """Leave the network as it is."""


def _freeze(parts: Sequence[SubNetwork], fraction: float) -> Convert:
    """Make integers of the largest of the weights of each sub-network that are still float."""

    def convert(network: QuantizedNetwork) -> None:
        for part in parts:
            network.freeze(convolutions(part), fraction)

    return convert


def _quantize_part(part: SubNetwork, last: bool, fraction: float) -> Convert:
    """Make integers of the inputs of a sub-network and of the largest of its weights.

    The network's outputs follow after the last sub-network.
    """

    def convert(network: QuantizedNetwork) -> None:
        network.quantize_tensors(name for layer in part for name in layer.inputs)
        network.decide_grids(layer.name for layer in part)
        network.freeze(convolutions(part), fraction)
        if last:
            network.quantize_tensors(network.plan.tensors)

    return convert
