"""What a candidate is judged by: a registry, to which a new objective is one entry.

An objective takes a :class:`Trial`, in which everything expensive is computed once and only if it is asked
for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.memories import memory_bits
from hwquant.program.program import Program
from hwquant.program.sides import Array
from hwquant.program.sizing import DSP_OPERAND_BITS
from hwquant.program.widths import bits_for
from hwquant.qgraph import IntArray, Layer, QGraph
from hwquant.search.target import Target

if TYPE_CHECKING:
    from hwquant.boards.resources import Resources


@dataclass(frozen=True, eq=False)
class Trial:
    """A quantized candidate, and what can be known about it.

    Attributes
    ----------
    qgraph : QGraph
        The integer network.
    test : Samples
        Labelled samples that the candidate is judged by.
    exact : ndarray, shape (N, ...)
        The float network's first output for the samples.
    array : tuple of int
        Rows and columns of the array that the network is compiled for.
    target : Target, optional
        The board that the network is compiled for; None for none in particular.
    """

    qgraph: QGraph
    test: Samples
    exact: NDArray[Any]
    array: Array
    target: Target | None = None

    @cached_property
    def output(self) -> NDArray[Any]:
        """The network's first output for the test samples, as the user gets it."""
        return golden.predict(self.qgraph, self.test.x)[0]

    @cached_property
    def program(self) -> Program:
        """The network compiled, every memory as small as it allows."""
        operand_bits = self.target.operand_bits if self.target else DSP_OPERAND_BITS
        return compile_network(self.qgraph, self.array, operand_bits=operand_bits)

    @property
    def board(self) -> Target:
        """The board that the network is compiled for; there must be one."""
        if self.target is None:
            raise HwquantError("resources are those of a board, and there is none: name one")
        return self.target

    @cached_property
    def resources(self) -> Resources:
        """What the program takes of the board's device."""
        return self.board.resources(self.program)

    @property
    def noise(self) -> float:
        """Power of the output's error over the power of the float network's output, which may not vary: it is finite.

        Where the output is classes, the share of them, 0..1, that differs.
        """
        if self.exact.dtype.kind in "iu":
            return float((self.output != self.exact).mean())
        power = float(np.square(self.exact - self.exact.mean(axis=0)).sum())
        error = float(np.square(self.output - self.exact).sum())
        with np.errstate(over="ignore"):
            return min(float(np.float64(error) / max(power, np.finfo(float).tiny)), sys.float_info.max)


@dataclass(frozen=True)
class Objective:
    """A number that a search makes as small or as large as possible.

    Attributes
    ----------
    title : str
        What the number is, in words for people.
    measure : callable
        Function from a :class:`Trial` to the number.
    maximize : bool, default False
        Whether large is good.
    of_board : bool, default False
        Whether the number is one of a board.
    decimals : int, default 0
        Digits behind the point that are shown, and below which differences do not count.
    """

    title: str
    measure: Callable[[Trial], float]
    maximize: bool = False
    of_board: bool = False
    decimals: int = 0

    def show(self, value: float) -> str:
        """Write a value for people."""
        return f"{value:,.{self.decimals}f}"

    def ratio(self, value: float, reference: float) -> float:
        """Divide a value by another; what is less than the least digit that is shown counts as this digit."""
        return max(value, self.least) / max(reference, self.least)

    @property
    def least(self) -> float:
        """The least digit that is shown, as a number."""
        return 10.0**-self.decimals


def _accuracy(trial: Trial) -> float:
    accuracy = trial.test.accuracy(trial.output)
    if accuracy is None:
        raise HwquantError("the test data have no labels y, which the accuracy is measured with; add them")
    return accuracy


def _weight_bits(trial: Trial) -> float:
    layers = [node for node in trial.qgraph.nodes if isinstance(node, Layer)]
    points = {name: tensor.zero_point for name, tensor in trial.qgraph.tensors.items()}
    weights = sum(
        term.bits * (term.codes.size if term.mask is None else int(np.count_nonzero(term.mask)))
        for layer in layers
        for term in layer.terms
    )
    return weights + sum(_bias_bits(layer.constant(points)) for layer in layers)


def _bias_bits(constants: IntArray) -> int:
    """Bits of a layer's biases as hardware has them, without the low bits that all share as zeros."""
    shared = int(np.bitwise_or.reduce(constants))
    zeros = max(0, (shared & -shared).bit_length() - 1)
    return constants.size * (bits_for(int(constants.min()), int(constants.max())) - zeros)


def _weight_bytes(trial: Trial) -> float:
    config = trial.program.config
    return _bytes(memory_bits(config)["weight"] + config.parameter_depth * config.stored_bias_bits)


def _bytes(bits: int) -> int:
    return -(-bits // 8)


ACCURACY, FILL = "accuracy", "fill"
OBJECTIVES = {
    ACCURACY: Objective("accuracy", _accuracy, maximize=True),
    "cycles": Objective("cycles", lambda trial: timing(trial.program).cycles),
    "weight_bytes": Objective("weight bytes", _weight_bytes),
    "memory_bytes": Objective(
        "memory bytes", lambda trial: _bytes(sum(memory_bits(trial.program.config).values()))
    ),
    "weight_bits": Objective("weight bits", _weight_bits),
    "lut": Objective("LUTs", lambda trial: trial.resources.lut, of_board=True),
    "ff": Objective("flip-flops", lambda trial: trial.resources.ff, of_board=True),
    "dsp": Objective("DSP blocks", lambda trial: trial.resources.dsp, of_board=True),
    "ram": Objective("block RAMs", lambda trial: trial.resources.ram, of_board=True),
    "milliseconds": Objective(
        "ms",
        lambda trial: trial.board.milliseconds(trial.program, timing(trial.program).cycles),
        of_board=True,
        decimals=4,
    ),
    FILL: Objective(
        "of the board's scarcest resource",
        lambda trial: trial.board.fill(trial.program),
        of_board=True,
        decimals=3,
    ),
}
"""All objectives by name.

``accuracy``: share of right answers, 0..1. ``cycles``: cycles of one inference, exact. ``weight_bytes``: size of
weights and biases in the compiled program's memories, incomplete tiles and all. ``memory_bytes``: size of all memories.
``weight_bits``: bits of all weights that are not pruned and of all biases, which do not depend on the array.

Of a board: ``lut``, ``ff``, ``dsp``, ``ram``: what the accelerator and the host link take of its device
(:mod:`hwquant.boards.resources`). ``milliseconds``: time of one inference at the clock that is estimated for it.
``fill``: share of what may be used of its scarcest resource; above 1 the network does not fit
(:mod:`hwquant.boards.fit`)."""
