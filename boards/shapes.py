"""A network on arrays of many shapes: roughly without compiling it, exactly once it is compiled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwquant.boards.contents import Contents
from hwquant.boards.families.family import Device
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.array_shape import PACKINGS
from hwquant.program.compilation import Compilation, best_compilation, lowered_network
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.moves import BUFFER, RING
from hwquant.program.program import Program
from hwquant.program.raw_choice import PackInput
from hwquant.program.sides import Array
from hwquant.program.sizing import DSP_OPERAND_BITS, OffsetChoice, Requirements
from hwquant.program.traffic import Port, Work
from hwquant.program.weight_format import weight_format
from hwquant.program.widths import index_bits
from hwquant.qgraph import QGraph
from hwquant.report import Report, make_report

SIDES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32)

SHAPES: tuple[Array, ...] = tuple(
    (rows, columns) for rows in SIDES for columns in SIDES if rows % columns == 0 or columns % rows == 0
)
"""The arrays that are tried: in others a part of the columns is idle in some words of the activation memory."""

SEVERAL: tuple[Array, ...] = (
    *((arrays, side, side) for arrays in (2, 3, 4) for side in (4, 8, 9, 16)),
    *((2, 16, 8), (2, 8, 16), (4, 8, 4), (8, 8, 8)),
)
"""Several arrays that are tried: few, as each is compiled that may fit."""

TYPICAL = {"accumulator_bits": 22, "coordinate_bits": 10, "block_steps": 4096}
"""Widths of 8-bit networks, for an array whose program is not known yet."""

TYPICAL_STRIP_BITS = 4
"""The same for several arrays."""

LEAST_PROGRAM = 16
"""Number of instructions of the shortest programs."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """A network compiled for an array.

    Attributes
    ----------
    program : Program
        The program.
    report : Report
        Exact cycles, utilization and memories of the program.
    contents : Contents
        Bits of the program's read-only memories that become hardware.
    """

    program: Program
    report: Report
    contents: Contents


class Shapes:
    """A network for arrays of any shape; one object serves several boards.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    offset : OffsetChoice, default "auto"
        Where integer offsets are added: "auto", "edge" or "sum".
    limits : mapping of str to int, optional
        Greatest depths and widths of memories, as for :func:`hwquant.program.compiler.compile_network`.
    pack_input : {"auto", "none"}
        Whether the hardware may make words of the inputs, likewise.
    """

    def __init__(
        self,
        qgraph: QGraph,
        *,
        offset: OffsetChoice = "auto",
        limits: Mapping[str, int] | None = None,
        pack_input: PackInput = "auto",
    ) -> None:
        self.qgraph, self.offset, self.limits = qgraph, offset, dict(limits or {})
        self.pack_input: PackInput = pack_input
        self._layers = lowered_network(qgraph)
        self._compiled: dict[tuple[object, ...], Compiled] = {}
        self._rough: dict[int, dict[Array, ArrayConfig]] = {}

    def compiled(
        self,
        shape: Array,
        device: Device,
        memory: ExternalMemory | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> Compiled:
        """Compile the network for an array, once; raises what the compiler raises.

        Parameters
        ----------
        shape : tuple of int
            The array.
        device : Device
            The device, for the weights that its multipliers take.
        memory : ExternalMemory, optional
            The memory outside; None: all is inside.
        limits : mapping of int, optional
            Depths and widths of memories, in place of the network's.
        """
        operand_bits, limits = self._operand_bits(device), self.limits if limits is None else limits
        key = shape, operand_bits, memory, tuple(sorted(limits.items()))
        if key not in self._compiled:
            program = self._compilation(shape, operand_bits, memory, limits).program
            self._compiled[key] = Compiled(program, make_report(program), Contents.of_program(program))
        return self._compiled[key]

    def guess(self, shape: Array, device: Device, memory: ExternalMemory | None = None) -> ArrayConfig:
        """Guess the configuration of one array, with external memory or without; raises what the compiler raises."""
        return self._guess(shape, self._operand_bits(device), memory)

    def rough_cycles(self, shape: Array, device: Device, memory: ExternalMemory) -> float:
        """Estimate the cycles that the array takes, or all weights to come once where those are more."""
        compilation = self._compilation(shape, self._operand_bits(device), memory)
        array, layers = compilation.offered, range(len(compilation.mapped))
        work, port = Work(compilation.mapped, array), Port.of(memory, array, BUFFER)
        fetched = port.weights * sum(work.weights(number) for number in layers)
        return max(fetched, sum(work.whole(number) for number in layers))

    def rough(self, device: Device) -> Mapping[Array, ArrayConfig]:
        """Guess the configuration of each of SHAPES and SEVERAL that can express the network, without compiling it.

        Memories are at least as small as compiled ones will be, so that nothing is ruled out that could fit.
        """
        operand_bits = self._operand_bits(device)
        if operand_bits not in self._rough:
            configurations: dict[Array, ArrayConfig] = {}
            refused: list[HwquantError] = []
            for shape in (*SHAPES, *SEVERAL):
                try:
                    configurations[shape] = self._guess(shape, operand_bits)
                except (
                    DoesNotFit,
                    Unsupported,
                ) as error:  # such as channel offsets that this array has no place for
                    refused.append(error)
            if not configurations:
                raise refused[0]
            self._rough[operand_bits] = configurations
        return self._rough[operand_bits]

    @cached_property
    def macs(self) -> int:
        """Number of multiply-accumulates with weights that are not zero, which no array can leave out."""
        return sum(
            int(np.count_nonzero(term.weight)) * math.prod(layer.pixels) * math.prod(layer.window)
            for layer in self._layers
            for term in layer.terms
        )

    @cached_property
    def _narrow(self) -> bool:
        """Whether adjusted weights are so narrow that all devices get the same program."""
        return self._compilation(SHAPES[0], DSP_OPERAND_BITS).offered.adjusted_bits <= DSP_OPERAND_BITS

    def _operand_bits(self, device: Device) -> int:
        return DSP_OPERAND_BITS if self._narrow else device.operand_bits

    def _compilation(
        self,
        shape: Array,
        operand_bits: int,
        memory: ExternalMemory | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> Compilation:
        requirements = Requirements(
            shape,
            self.offset,
            self.limits if limits is None else limits,
            operand_bits=operand_bits,
            pack_input=self.pack_input,
            external=memory,
        )
        return best_compilation(self.qgraph, self._layers, requirements)

    def _guess(self, shape: Array, operand_bits: int, memory: ExternalMemory | None = None) -> ArrayConfig:
        """The array with memories as deep as the sizes of tensors, weights and channels suggest, or as buffers are."""
        compilation = self._compilation(shape, operand_bits, memory, {} if memory else None)
        array, layers = compilation.needed, [item.layer for item in compilation.mapped]
        packed = replace(array, weight_packing=max(n for n in PACKINGS if n <= array.weight_bits))
        weights = sum(
            np.count_nonzero(term.weight) / weight_format(term, packed).rows_per_word
            for layer in layers
            for term in layer.terms
        )
        channels = sum(-(-len(layer.bias) // array.columns) * array.columns for layer in layers)
        depths = {
            "activation_depth": max(2, compilation.placed.peak),
            "weight_depth": max(2, int(weights / array.columns)),
            "parameter_depth": max(2, channels),
            "program_depth": LEAST_PROGRAM,
            "strip_bits": TYPICAL_STRIP_BITS if array.arrays > 1 else 0,
        }
        if memory:
            beats = 8 * memory.size // memory.data_bits
            depths |= {"parameter_depth": RING, "external_address_bits": index_bits(beats)}
        return ArrayConfig.of(array, TYPICAL | depths)


def regular(ratio: int) -> Sequence[Array]:
    """The arrays of SHAPES whose sides are at most ``ratio``:1, the largest first, squares before others."""
    chosen = [shape for shape in SHAPES if max(shape) <= ratio * min(shape)]
    return sorted(chosen, key=lambda shape: (-math.prod(shape), max(shape)))
