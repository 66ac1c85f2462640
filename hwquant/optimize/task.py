"""One candidate, judged: quantized, trained where that is asked for, run on samples, put on its best array."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hwquant import golden, training
from hwquant.boards.board import Board
from hwquant.boards.device import find_device
from hwquant.boards.shapes import Shapes
from hwquant.data import Samples
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.graph import Graph
from hwquant.optimize.hardware import best_hardware
from hwquant.optimize.options import OptimizeOptions
from hwquant.optimize.space import Design, Space
from hwquant.qgraph import QGraph
from hwquant.quantize import Observed, QuantizeOptions, observe_network, quantize_observed
from hwquant.quantize.calibration import Data
from hwquant.search.evaluate import Outcome, network_checksum, one_thread
from hwquant.search.objectives import ACCURACY
from hwquant.search.space import Configuration

if TYPE_CHECKING:
    from hwquant.training import Training


@dataclass(frozen=True, eq=False)
class Task:
    """All that judging a candidate needs; sent to a worker once.

    Attributes
    ----------
    graphs : tuple of Graph
        The float networks by their numbers, the dense one first.
    calibration : mapping of ndarray
        Calibration data by name of input.
    validation : Samples
        Labelled samples that candidates are judged by.
    training : Training
        What finalists are trained with.
    board : Board
        The board, without its device, which does not travel.
    device : str
        Name of the board's device.
    space : Space
        What a configuration chooses.
    options : OptimizeOptions
        What is to be best, and the quantizer's options.
    """

    graphs: tuple[Graph, ...]
    calibration: Data
    validation: Samples
    training: Training
    board: Board
    device: str
    space: Space
    options: OptimizeOptions
    _observed: dict[int, Observed] = field(default_factory=dict, repr=False)

    def __call__(self, configuration: Configuration) -> tuple[Outcome, QGraph | None]:
        """Judge a candidate; that it does not work is an outcome and no error. A trained network comes along."""
        design = self.space.design(configuration)
        try:
            options = _checked(design, self.options.quantizer)
            with one_thread():
                network = self.network(design, options, described=design.trained)
                network = self._trained(network, design, options) if design.trained else network
                shapes = Shapes(network, offset=design.placing)
                board = replace(self.board, device=find_device(self.device))
                numbers = best_hardware(shapes, board, self.options.objective, self.options.min_fps)
                measures = {ACCURACY: self.accuracy(network), **numbers}
        except (DoesNotFit, Unsupported) as error:
            return Outcome(error=str(error)), None
        outcome = Outcome(measures, network=network_checksum(network))
        return outcome, network if design.trained else None

    def network(self, design: Design, options: QuantizeOptions, described: bool = False) -> QGraph:
        """Quantize a design without training; ``described`` measures the result too."""
        if design.network not in self._observed:
            self._observed[design.network] = observe_network(self.graphs[design.network], self.calibration)
        return quantize_observed(self._observed[design.network], options, described=described)

    def accuracy(self, network: QGraph) -> float:
        """Measure the share of the validation samples that an integer network gets right."""
        accuracy = self.validation.accuracy(golden.predict(network, self.validation.x)[0])
        if accuracy is None:
            raise HwquantError("the validation samples have no labels y")
        return accuracy

    def _trained(self, direct: QGraph, design: Design, options: QuantizeOptions) -> QGraph:
        """Train a design; where that makes it no better, the direct network is what is returned."""
        with one_torch_thread():
            trained = training.progressive(
                self.graphs[design.network], self.training, self.calibration, options
            )
        return max(direct, trained, key=self.accuracy)


def _checked(design: Design, base: QuantizeOptions) -> QuantizeOptions:
    """The quantizer's options of a design; what contradicts itself is a candidate that does not work."""
    try:
        return design.options(base)
    except HwquantError as error:
        raise Unsupported(str(error)) from error


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Train on one thread in the ``with`` block, for the same weights on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
