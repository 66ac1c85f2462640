"""Integers of a few bits in bytes: one behind the other, lowest bit first; the last byte ends in zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError


def pack(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Pack integers into bytes.

    Parameters
    ----------
    values : ndarray of integers or bool
        Integers of ``bits`` bits, in two's complement; they are taken in row-major order.
    bits : int
        Bits of an integer, 1..8.

    Returns
    -------
    ndarray of uint8, shape (bytes,)
        The fewest bytes that hold them.
    """
    single = np.ascontiguousarray(values).reshape(-1, 1).astype(np.uint8)
    return np.packbits(np.unpackbits(single, axis=1, count=bits, bitorder="little"), bitorder="little")


def unpack(packed: NDArray[Any], count: int, bits: int) -> NDArray[np.uint8]:
    """Read integers that :func:`pack` packed.

    Parameters
    ----------
    packed : ndarray of uint8, shape (bytes,)
        The bytes.
    count : int
        How many integers there are.
    bits : int
        Bits of an integer, 1..8.

    Returns
    -------
    ndarray of uint8, shape (count,)
        The integers' bits, without their sign.

    Raises
    ------
    HwquantError
        There are too few or too many bytes, or bits behind the last integer that are not zero. The message is the end
        of a sentence that begins with what has them.
    """
    if not 1 <= bits <= 8:
        raise HwquantError(f"of {bits} bits; 1 to 8 are possible")
    size = -(-count * bits // 8)
    if packed.dtype != np.uint8 or packed.shape != (size,):
        raise HwquantError(
            f"packed in {packed.dtype} of shape {packed.shape}; {count} of {bits} bits are uint8 of shape ({size},)"
        )
    flat = np.unpackbits(packed, bitorder="little")
    if flat[count * bits :].any():
        raise HwquantError("with bits behind the last one that are not zero")
    return np.packbits(flat[: count * bits].reshape(count, bits), axis=1, bitorder="little")[:, 0]
