"""The memories of a compiled accelerator, by the names that CXXRTL has for them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.program.isa import program_bits
from hwquant.program.program import Program
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.banks import Bank, banks
from hwquant.rtl_templates.tables import COLUMNS

SEQUENCER, WEIGHTS, PARAMETERS = "sequencer memory", "weights memory", "parameter_reader memory"
TABLE = "collector table{} memory"
"""Hierarchical names of the memories, below the accelerator."""


def chunks(values: list[int], bits: int) -> NDArray[np.uint32]:
    """Cut unsigned integers into 32-bit chunks.

    Parameters
    ----------
    values : list of int
        The integers.
    bits : int
        Width of each of them.

    Returns
    -------
    ndarray of uint32, shape (values, chunks)
        A row for each integer, least significant chunk first.
    """
    width = 4 * -(-bits // 32)
    raw = b"".join(value.to_bytes(width, "little") for value in values)
    return np.frombuffer(raw, "<u4").reshape(len(values), width // 4).copy()


def pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    """The pointer to an array, for a compiled function; the caller keeps the array."""
    return ctypes.c_void_p(array.ctypes.data)


def write_program(
    library: ctypes.CDLL, handle: int, program: Program, *, place: str = "", weights: bool = True
) -> None:
    """Fill the memories of a compiled design.

    Parameters
    ----------
    library : ctypes.CDLL
        Has ``hwquant_poke`` of cxxrtl_memory.cpp.
    handle : int
        The instance.
    program : Program
        What is written.
    place : str
        Hierarchical name of the accelerator, with a space behind it; empty where it is the top.
    weights : bool
        Whether the weights are written too.

    Raises
    ------
    HwquantError
        The design has no such memory.
    """
    config = program.config
    images: dict[str, tuple[list[int], int, list[Bank]]] = {}
    if not config.program_half:
        images[SEQUENCER] = list(program.words), program_bits(config), banks(config.program_depth)
    if not config.external_bits:
        words = program.parameter_image
        images[PARAMETERS] = words, config.parameter_bits, banks(config.parameter_depth)
    table = Bank(0, 0, config.table_depth, index_bits(config.table_depth))
    for number in range(-(-config.columns // COLUMNS) if config.tables else 0):
        for array in range(config.arrays):
            of_array = f"{number}_{array}" if array else number
            images[TABLE.format(of_array)] = program.table_image, config.activation_bits, [table]
    if weights and not config.external_bits:
        slots = config.columns * config.slot_bits
        images[WEIGHTS] = program.weight_image, slots, banks(config.weight_depth)
    for name, (image, bits, parts) in images.items():
        for bank in parts:
            _poke(library, handle, f"{place}{bank.name(name)}", chunks(bank.part(image), bits), bits)


def write_external(
    library: ctypes.CDLL, handle: int, program: Program, settings: Sequence[int], place: str = "external "
) -> None:
    """Fill the simulated memory beside a compiled design (:mod:`hwquant.sim.external_memory`).

    Parameters
    ----------
    library : ctypes.CDLL
        Has ``hwquant_poke`` of cxxrtl_memory.cpp.
    handle : int
        The instance.
    program : Program
        Its weights and parameters are written.
    settings : Sequence of int
        When the memory serves bursts.
    place : str
        Hierarchical name of the simulated memory, with a space behind it.

    Raises
    ------
    HwquantError
        The design has no such memory.
    """
    image, bits = program.external_image, program.config.external_bits
    width = 4 * -(-bits // 32)
    padded = np.pad(image, ((0, 0), (0, width - image.shape[1])))
    _poke(library, handle, f"{place}storage", padded.view("<u4"), bits)
    write_settings(library, handle, settings, place)


def write_settings(
    library: ctypes.CDLL, handle: int, settings: Sequence[int], place: str = "external "
) -> None:
    """Say when the simulated memory beside a compiled design serves bursts; parameters of :func:`write_external`."""
    _poke(library, handle, f"{place}settings", chunks(list(settings), 32), 32)


def _poke(library: ctypes.CDLL, handle: int, name: str, words: NDArray[np.uint32], bits: int) -> None:
    library.hwquant_poke.argtypes = [
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p),
        *(ctypes.c_size_t, ctypes.c_size_t),
    ]
    if not library.hwquant_poke(handle, name.encode(), pointer(words), bits, len(words)):
        raise HwquantError(f"the simulated hardware has no memory {name!r} of {len(words)} x {bits} bits")
