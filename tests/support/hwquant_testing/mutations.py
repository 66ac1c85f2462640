"""Files of ours with something wrong in them: damaged bytes, and changed contents with digests that are right."""

import copy
from pathlib import Path

import numpy as np

from hwquant import container

ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    1 << 40,
    1 << 70,
    0.0,
    -1.5,
    1e308,
    5e-324,
    "",
    "x",
    "nan",
    [],
    {},
    [0],
    ["x"],
]
"""What is put in the place of a JSON value."""


def damaged_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Bytes that differ: flipped, left out, doubled, or cut off."""
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 64))
    match int(rng.integers(4)):
        case 0:
            return data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]
        case 1:
            return data[:place] + data[place + length :]
        case 2:
            return data[:place] + data[place : place + length] + data[place:]
        case _:
            return data[:place]


def resealed(rng: np.random.Generator, path: Path, kind: str, version: int, changes: int = 1) -> bytes:
    """A container with changed JSON values or arrays, whose digests are right again."""
    members, arrays = container.read(path, kind, version)
    members, arrays = copy.deepcopy(members), dict(arrays)
    for _ in range(changes):
        if arrays and rng.random() < 0.4:
            _change_array(rng, arrays)
        else:
            _change_value(rng, members)
    return container.pack(kind, version, members, arrays)


def _change_value(rng, members):
    places = [(members, key) for key in members]
    found = []
    while places:
        holder, key = places.pop()
        found.append((holder, key))
        value = holder[key]
        if isinstance(value, dict):
            places += [(value, name) for name in value]
        elif isinstance(value, list):
            places += [(value, index) for index in range(len(value))]
    holder, key = found[int(rng.integers(1, len(found)))]
    value = holder[key]
    match int(rng.integers(4)):
        case 0:
            del holder[key]
        case 1 if type(value) is int:
            holder[key] = value + int(rng.choice([-1, 1, 3, 100]))
        case 1 if type(value) is float:
            holder[key] = value * float(rng.choice([-1.0, 0.0, 0.5, 3.0, 1e30, 1e-30]))
        case 2:
            donor, other = found[int(rng.integers(1, len(found)))]
            # What was deleted or cut short on the way is no donor.
            if other in donor if isinstance(donor, dict) else other < len(donor):
                holder[key] = copy.deepcopy(donor[other])
        case _:
            holder[key] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])


def _change_array(rng, arrays):
    name = str(rng.choice(sorted(arrays)))
    array = np.array(arrays[name])
    match int(rng.integers(6)):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = array.astype(rng.choice(["int8", "int64", "float64", "float32", "bool", "uint16"]))
        case 2:
            arrays[name] = array.reshape(-1)[: int(rng.integers(array.size + 1))]
        case 3:
            arrays[name] = array.reshape([1, *array.shape])
        case 4 if array.size:
            odd = (
                [0, -1, 127, np.nan, np.inf, 1e308, 5e-324]
                if array.dtype.kind == "f"
                else [0, 1, -128, 1 << 62]
            )
            flat = array.reshape(-1)
            with np.errstate(over="ignore", invalid="ignore"):
                flat[int(rng.integers(flat.size))] = np.array(odd[int(rng.integers(len(odd)))]).astype(
                    array.dtype
                )
            arrays[name] = flat.reshape(array.shape)
        case _:
            arrays[name] = np.array(arrays[str(rng.choice(sorted(arrays)))])
