"""The compiler: an integer network to a program, by the passes of :mod:`hwquant.program.compilation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hwquant.errors import HwquantError, check_type
from hwquant.program.batch import batched
from hwquant.program.compilation import best_compilation, lowered_network
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.program import Program
from hwquant.program.raw_choice import PackInput
from hwquant.program.sides import Array
from hwquant.program.sizing import DSP_OPERAND_BITS, OffsetChoice, Requirements
from hwquant.qgraph import QGraph


def compile_network(
    qgraph: QGraph,
    array: Array,
    *,
    offset: OffsetChoice = "auto",
    limits: Mapping[str, int] | None = None,
    config: ArrayConfig | None = None,
    operand_bits: int = DSP_OPERAND_BITS,
    batch: int = 1,
    pack_input: PackInput = "auto",
    external: ExternalMemory | None = None,
) -> Program:
    """Compile an integer network for an array of (rows, columns), or for several: (arrays, rows, columns).

    Parameters
    ----------
    qgraph : QGraph
        The network.
    array : tuple of int
        Rows and columns of the systolic array, 2..32 each; before them the number of arrays, 1..8, where several are
        to share instructions and weights.
    offset : {"auto", "none", "edge", "sum"}
        Where integer offsets are added, as in :class:`~hwquant.program.array_shape.ArrayShape`. "auto" is "none" where
        every offset is zero, else "edge" where adjusted weights have at most ``operand_bits``, else "sum".
    limits : mapping of int, optional
        Greatest allowed values of ``accumulator_depth``, and of the fields that
        :class:`~hwquant.program.config.ArrayConfig` adds, by name; what is not named is chosen as small as the network
        allows.
    config : ArrayConfig, optional
        Existing hardware to compile for, instead of choosing one; it must be that of ``array``.
    operand_bits : int, default 9
        Width of the widest weight that a multiplier of the device takes, 1..18.
    batch : int, default 1
        Samples that an inference computes side by side (:mod:`hwquant.program.batch`): of a fully connected network,
        whose weights are loaded once for all of them.
    pack_input : {"auto", "none"}
        Whether the hardware gets a packer, and the host sends inputs as they are: "auto" is where that saves cycles or
        bytes on the way to it (:mod:`hwquant.program.raw_inputs`).
    external : ExternalMemory, optional
        The memory outside that weights and parameters come from (:mod:`hwquant.program.moves`), and a program that is
        too long (:mod:`hwquant.program.fetched_program`), through memories inside as deep as ``limits`` say; the
        hardware then has no packer. None: all of them are inside.

    Returns
    -------
    Program
        Instructions and memory images, and the array that they are for.

    Raises
    ------
    DoesNotFit
        The array or a memory is too small; the message says by how much, and what would make the network fit.
    Unsupported
        An operator cannot be mapped to the array.
    HwquantError
        An argument is out of range, or contradicts another one.
    TypeError
        The network is no QGraph, or the array no pair or triple of integers.
    """
    check_type("qgraph", qgraph, QGraph, hint="hwquant.quantize_network makes one of a float network")
    if not _is_array(array):
        raise TypeError(
            f"array must be (rows, columns), such as (8, 8), or (arrays, rows, columns), not {array!r}"
        )
    requirements = Requirements(array, offset, dict(limits or {}), config, operand_bits, pack_input, external)
    if batch > 1 and external:
        raise HwquantError(
            "a batch cannot have external memory: compile with batch 1, or with all weights inside"
        )
    network = batched(qgraph, batch)
    return replace(best_compilation(network, lowered_network(network), requirements).program, batch=batch)


def _is_array(array: object) -> bool:
    sides = array if isinstance(array, tuple | list) else ()
    return len(sides) in (2, 3) and all(isinstance(side, int | np.integer) for side in sides)
