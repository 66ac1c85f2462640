"""Mutations of TensorFlow Lite files, from a seed; most go where the tables are, few to the weights."""

from __future__ import annotations

import struct

import numpy as np

NUMBERS = (-(1 << 31), -1, 0, 1, 2, 3, 4, 7, 8, 64, 1000, 1 << 20, (1 << 31) - 1)


def mutated(data: bytes, seed: int) -> bytes:
    """A file with one mutation or a few."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        _mutate(changed, rng)
    return bytes(changed)


def _mutate(changed: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(8, max(9, len(changed) - 8)))
    match int(rng.integers(8)):
        case 0:
            changed[place] = int(rng.integers(256))
        case 1:
            changed[place] ^= 1 << int(rng.integers(8))
        case 2:  # an offset, a length or a size
            struct.pack_into("<i", changed, place // 4 * 4, int(rng.choice(NUMBERS)))
        case 3:
            (number,) = struct.unpack_from("<I", changed, place // 4 * 4)
            moved = (number + int(rng.integers(-16, 17))) % (1 << 32)
            struct.pack_into("<I", changed, place // 4 * 4, moved)
        case 4:  # the words of two places change places
            other = int(rng.integers(8, max(9, len(changed) - 8))) // 4 * 4
            place = place // 4 * 4
            one, two = changed[place : place + 4], changed[other : other + 4]
            changed[place : place + 4], changed[other : other + 4] = two, one
        case 5:
            struct.pack_into("<H", changed, place // 2 * 2, int(rng.choice([0, 1, 4, 6, 8, 20, 0xFFFF])))
        case 6 if rng.random() < 0.4:
            del changed[place:]
            changed.extend(bytes(max(0, 16 - len(changed))))
        case _:
            (number,) = struct.unpack_from("<I", changed, place // 4 * 4)
            if number < 4096:  # likely one that means something
                struct.pack_into("<I", changed, place // 4 * 4, int(rng.integers(0, 12)))
