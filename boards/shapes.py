"""A network on arrays of many shapes: roughly without compiling it, exactly once it is compiled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwquant.boards.contents import Contents
from hwquant.boards.families.family import Device
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.compiler import compile_network
from hwquant.program.config import PACKINGS, ArrayConfig, bits_for
from hwquant.program.lowering import ArrayTerm, lower
from hwquant.program.program import Program
from hwquant.program.sizing import DSP_OPERAND_BITS, Requirements
from hwquant.qgraph import QGraph
from hwquant.report import Report, make_report

Shape = tuple[int, int]

SIDES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32)

SHAPES: tuple[Shape, ...] = tuple(
    (rows, columns) for rows in SIDES for columns in SIDES if rows % columns == 0 or columns % rows == 0
)
"""The arrays that are tried: in others a part of the columns is idle in some words of the activation memory."""

TYPICAL_ACCUMULATOR_BITS = 22
"""Of 8-bit networks, before their weights say it exactly."""


LEAST_PROGRAM = 16
"""Instructions of the shortest programs."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """A program, its exact numbers, and the bits of its read-only memories that become hardware."""

    program: Program
    report: Report
    contents: Contents


class Shapes:
    """A network for arrays of any shape; one serves several boards.

    Parameters
    ----------
    offset, limits : as for :func:`hwquant.program.compiler.compile_network`
    """

    def __init__(
        self, qgraph: QGraph, *, offset: str = "auto", limits: Mapping[str, int] | None = None
    ) -> None:
        self.qgraph, self.offset, self.limits = qgraph, offset, dict(limits or {})
        self._steps = lower(qgraph)
        if not self._steps:
            raise Unsupported(f"network {qgraph.name!r} has no layer to execute", where=qgraph.name)
        self._compiled: dict[tuple[Shape, int], Compiled] = {}
        self._rough: dict[int, dict[Shape, ArrayConfig]] = {}

    def compiled(self, shape: Shape, device: Device) -> Compiled:
        """The network for an array, compiled when it is asked for first; raises what the compiler raises."""
        operand_bits = self._operand_bits(device)
        key = shape, operand_bits
        if key not in self._compiled:
            program = compile_network(
                self.qgraph, shape, offset=self.offset, limits=self.limits, operand_bits=operand_bits
            )
            self._compiled[key] = Compiled(program, make_report(program), Contents.of_program(program))
        return self._compiled[key]

    def rough(self, device: Device) -> Mapping[Shape, ArrayConfig]:
        """About the hardware of every array of SHAPES that can express the network, without compiling it.

        Memories are at least as small as compiled ones will be, so that nothing is ruled out that could fit.
        """
        operand_bits = self._operand_bits(device)
        if operand_bits not in self._rough:
            found: dict[Shape, ArrayConfig] = {}
            refused: list[HwquantError] = []
            for shape in SHAPES:
                try:
                    found[shape] = self._guess(shape, operand_bits)
                except (
                    DoesNotFit,
                    Unsupported,
                ) as error:  # such as channel offsets that this array has no place for
                    refused.append(error)
            if not found:
                raise refused[0]
            self._rough[operand_bits] = found
        return self._rough[operand_bits]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates with weights that are not zero: what no array can leave out."""
        return sum(
            int(np.count_nonzero(term.weight)) * math.prod(step.pixels) * math.prod(step.window)
            for step in self._steps
            for term in step.terms
        )

    @cached_property
    def _narrow(self) -> bool:
        """Whether adjusted weights are so narrow that all devices get the same program."""
        return self._needed(SHAPES[0], DSP_OPERAND_BITS).adjusted_bits <= DSP_OPERAND_BITS

    def _operand_bits(self, device: Device) -> int:
        return DSP_OPERAND_BITS if self._narrow else device.operand_bits

    def _needed(self, shape: Shape, operand_bits: int) -> ArrayConfig:
        return Requirements(shape, self.offset, self.limits, None, operand_bits).shape(
            self._steps, self.qgraph
        )

    def _guess(self, shape: Shape, operand_bits: int) -> ArrayConfig:
        """The array with memories as deep as tensors, weights and channels suggest."""
        config, tensors, steps = self._needed(shape, operand_bits), self.qgraph.tensors, self._steps
        words = {
            name: -(-item.shape[0] // config.lanes) * item.shape[1] * item.shape[2]
            for name, item in tensors.items()
        }
        alive = max(words[step.name] + max(words[term.tensor] for term in step.terms) for step in steps)
        weights = sum(
            np.count_nonzero(term.weight) / _packing(term, config) for step in steps for term in step.terms
        )
        channels = sum(-(-tensors[step.name].shape[0] // config.columns) * config.columns for step in steps)
        return dataclasses.replace(
            config,
            accumulator_bits=TYPICAL_ACCUMULATOR_BITS,
            activation_depth=max(2, alive),
            weight_depth=max(2, int(weights / config.columns)),
            parameter_depth=max(2, channels),
            program_depth=LEAST_PROGRAM,
        )


def regular(ratio: int) -> Sequence[Shape]:
    """Those of SHAPES whose sides are at most ``ratio``:1, the largest first, squares before others."""
    chosen = [shape for shape in SHAPES if max(shape) <= ratio * min(shape)]
    return sorted(chosen, key=lambda shape: (-math.prod(shape), max(shape)))


def _packing(term: ArrayTerm, config: ArrayConfig) -> int:
    """Rows of a tile that may share a word of the weight memory."""
    bits = bits_for(*term.stored_limits)
    return max(item for item in PACKINGS if item == 1 or item * bits <= config.weight_bits)
