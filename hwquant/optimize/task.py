"""One candidate, judged: quantized, trained where that is asked for, run on samples, put on its best array."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hwquant import golden, hwq, training
from hwquant.boards.board import Board
from hwquant.boards.device import find_device
from hwquant.boards.pins import LinkKind
from hwquant.boards.sdram import BoardMemory
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
from hwquant.search.evaluate import Item, Outcome, network_checksum, one_thread
from hwquant.search.objectives import ACCURACY
from hwquant.search.target import Target
from hwquant.search.tuning import Tuned, one_torch_thread

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
    target : Target
        The board.
    link : {"uart", "usb", "ethernet"}
        Its host link, which takes part of the FPGA.
    memory : BoardMemory or None
        Its memory, where that may take part.
    space : Space
        What a configuration chooses.
    options : OptimizeOptions
        What is to be best, and the quantizer's options.
    """

    graphs: tuple[Graph, ...]
    calibration: Data
    validation: Samples
    training: Training
    target: Target
    link: LinkKind
    memory: BoardMemory | None
    space: Space
    options: OptimizeOptions
    _observed: dict[int, Observed] = field(default_factory=dict, repr=False)

    def __call__(self, item: Item) -> Outcome:
        """Judge a candidate; that it does not work is an outcome and no error."""
        tuned = isinstance(item, Tuned)
        design = self.space.design(item.configuration if isinstance(item, Tuned) else item)
        try:
            options = _checked(design, self.options.quantizer)
            with one_thread():
                network = self._trained(design, options) if tuned else self.network(design, options)
                return self._measured(network, design, hwq.to_bytes(network) if tuned else b"")
        except (DoesNotFit, Unsupported, training.Diverged) as error:
            return Outcome(error=str(error))

    @property
    def board(self) -> Board:
        """The board as far as candidates are judged by it."""
        name, device = self.target.board, find_device(self.target.device)
        return Board(name, name, device, link=self.link, target_mhz=self.target.megahertz, memory=self.memory)

    def network(self, design: Design, options: QuantizeOptions, described: bool = False) -> QGraph:
        """Quantize a design without training; ``described`` measures the result too."""
        if design.network not in self._observed:
            self._observed[design.network] = observe_network(self.graphs[design.network], self.calibration)
        return quantize_observed(self._observed[design.network], options, described=described)

    def _trained(self, design: Design, options: QuantizeOptions) -> QGraph:
        """Train a design; whether that paid is judged here, as of all candidates."""
        trained = replace(self.training.tuned, returns="trained")
        with one_torch_thread():
            return training.progressive(
                self.graphs[design.network], replace(self.training, tuning=trained), self.calibration, options
            )

    def _measured(self, network: QGraph, design: Design, made: bytes) -> Outcome:
        """Put a network on its best array, and measure both."""
        shapes, options = Shapes(network, offset=design.placing), self.options
        numbers = best_hardware(shapes, self.board, options.objective, options.min_fps, options.external)
        accuracy = self.validation.accuracy(golden.predict(network, self.validation.x)[0])
        if accuracy is None:
            raise HwquantError("the validation samples have no labels y")
        return Outcome({ACCURACY: accuracy, **numbers}, network=network_checksum(network), made=made)


def _checked(design: Design, base: QuantizeOptions) -> QuantizeOptions:
    """The quantizer's options of a design; what contradicts itself is a candidate that does not work."""
    try:
        return design.options(base)
    except HwquantError as error:
        raise Unsupported(str(error)) from error
