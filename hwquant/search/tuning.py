"""Fine-tuning of candidates: which are worth it, and what it is done with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hwquant.data import Samples
from hwquant.fingerprint import fingerprint
from hwquant.graph import Graph
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions
from hwquant.quantize.calibration import Data
from hwquant.search.space import Configuration
from hwquant.training.options import TrainOptions


@dataclass(frozen=True)
class Tuned:
    """A configuration whose network is fine-tuned.

    Attributes
    ----------
    configuration : tuple of int
        The bits.
    training : str
        Checksum of what it is fine-tuned with: :attr:`FineTuning.checksum`.
    """

    configuration: Configuration
    training: str


@dataclass(frozen=True, eq=False)
class FineTuning:
    """What candidates are fine-tuned with.

    Attributes
    ----------
    samples : Samples
        Labelled training data.
    calibration : mapping of ndarray
        Typical inputs by input name, as for quantization.
    options : TrainOptions
        How long, and at which rate.
    method : {"progressive", "all_at_once"}
        The way to train.
    """

    samples: Samples
    calibration: Data
    options: TrainOptions
    method: Literal["progressive", "all_at_once"]

    @cached_property
    def checksum(self) -> str:
        """A checksum of training data, options and method."""
        return fingerprint(self.samples, self.options, self.method)

    def run(self, graph: Graph, options: QuantizeOptions) -> QGraph:
        """Fine-tune a network, on one thread, so that it is the same in every process.

        Raises
        ------
        HwquantError
            The network cannot be trained, or its training diverges.
        MissingPackage
            PyTorch is not installed.
        """
        from hwquant.training import Training, TuneOptions, finetune_all_at_once, progressive

        method = progressive if self.method == "progressive" else finetune_all_at_once
        with one_torch_thread():
            # A search judges on its own samples whether training paid.
            training = Training(self.samples.pair(), self.options, tuning=TuneOptions(returns="trained"))
            return method(graph, training, self.calibration, options)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Train on one thread in the ``with`` block: how sums are split among threads shows in their last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
