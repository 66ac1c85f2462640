"""How good a network is while it is pruned: its accuracy in float and as integers, and what it costs the hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from hwquant import golden, training
from hwquant.data import Samples
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.sides import Array
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions, observe_for, quantize_observed
from hwquant.quantize.calibration import Data

if TYPE_CHECKING:
    from hwquant.training import TrainableNetwork


@dataclass(frozen=True)
class Verdict:
    """What a network achieves on the validation samples, and what it costs as a program.

    Attributes
    ----------
    floating : float
        Accuracy of the float network, 0..1.
    integer : float
        Accuracy of the network as integers, 0..1: the one that decides.
    skipped : float
        Share of the tiles, 0..1, that the program skips.
    cycles : int
        Cycles of one inference, exact.
    """

    floating: float
    integer: float
    skipped: float
    cycles: int

    @property
    def accuracy(self) -> dict[str, float]:
        """Both accuracies, by the names that reports have for them."""
        return {"float": self.floating, "integer": self.integer}


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges networks on the same samples, quantized and compiled in the same way.

    Attributes
    ----------
    x : ndarray, shape (N, ...)
        Validation samples.
    y : ndarray of int, shape (N,)
        Their labels.
    calibration : ndarray, shape (N, ...), or mapping of them
        What networks are quantized with.
    quantizer : QuantizeOptions
        How networks are quantized.
    array : tuple of int
        Rows and columns of the array that networks are compiled for.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    calibration: NDArray[Any] | Data
    quantizer: QuantizeOptions
    array: Array

    def quantized(self, graph: Graph) -> QGraph:
        """Quantize a network, without a report on it."""
        observed = observe_for(graph, self.calibration, self.quantizer)
        return quantize_observed(observed, self.quantizer, described=False)

    def verdict(self, network: TrainableNetwork, qgraph: QGraph | None = None) -> Verdict:
        """Judge a network as it is now; ``qgraph`` is what it is as integers, where that is known."""
        if qgraph is None:
            qgraph = self.quantized(network.to_graph())
        program = compile_network(qgraph, self.array)
        tiles = sum(layer.tiles for layer in program.layers)
        integer = Samples(self.x, self.y).accuracy(golden.predict(qgraph, self.x)[0])
        return Verdict(
            floating=training.accuracy(network, self.x, self.y),
            integer=cast(float, integer),  # there are labels
            skipped=sum(layer.tiles_skipped for layer in program.layers) / tiles,
            cycles=timing(program).cycles,
        )
